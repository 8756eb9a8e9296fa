"""What all analyses share: they refuse in one sentence, before anything is trained."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from prose import refusal
from tiny import tiny_run

from moelib.study.analyses import Analyses
from moelib.study.base import PROJECT, ConfigError
from moelib.study.notebook import code_cells
from moelib.study.run import Run

NOTEBOOKS = {path.stem for path in (PROJECT / "notebooks").glob("*.ipynb")}


@pytest.mark.parametrize("name", Analyses.model_fields)
def test_an_analysis_that_the_study_leaves_out_trains_nothing(results: Path, name: str) -> None:
    run = tiny_run()
    analyses = run.study.analyses.model_copy(update={name: None})
    run = Run(run.study.model_copy(update={"analyses": analyses}), run.head, run.seed)
    analyse = getattr(import_module(f"moelib.analyses.{name}"), f"analyse_{name}")
    with refusal(ConfigError, f"analyses.{name}", "null"):
        analyse(run)
    assert not results.exists()


@pytest.mark.parametrize("name", sorted({*Analyses.model_fields} & NOTEBOOKS))
def test_a_notebook_asks_for_its_analysis_before_any_training(name: str) -> None:
    sources = (source for source, _ in code_cells(PROJECT / "notebooks" / f"{name}.ipynb"))
    first, *_ = re.findall(r"\b(analyse_\w+|train)\(run", "\n".join(sources))
    assert first == f"analyse_{name}"
