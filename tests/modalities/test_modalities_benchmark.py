"""What the benchmark of modalities measures: its sizes and aims, without a measurement."""

import runpy
from types import SimpleNamespace

import pytest

from moelib.study.base import PROJECT


@pytest.fixture
def script():
    defined = runpy.run_path(str(PROJECT / "benchmarks" / "modalities.py"))
    defined["measure"].__globals__["interleave"] = lambda *works, repeats: (
        [(1.0,) * repeats] * len(works)
    )
    return SimpleNamespace(**defined)


def test_aims_of_blocks_and_items(script):
    cases = script.measure(6).cases
    aims = {
        (case.setting["against"], case.setting.get("tokens"), case.setting.get("mode")): (
            case.target_ratio
        )
        for case in cases
    }
    assert len(aims) == len(cases) == 4 * 2 * 2 + 1
    assert all(aims["loop", t, m] == 1 for t in script.TOKENS for m in ("training", "inference"))
    assert aims["dense", 256, "training"] is None
    assert aims["dense", 4096, "training"] == aims["dense", 16384, "inference"] == 1 / 1.5
    assert aims["step", None, None] == 20
