"""Files of a few lines, written where a test wants them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Write a text as it is, and anything else as JSON, one value a line if the name says so."""

    def write(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str):
            lines = name.endswith(".jsonl")
            content = "\n".join(map(json.dumps, content)) if lines else json.dumps(content)
        path.write_text(content)
        return path

    return write
