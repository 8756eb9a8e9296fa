"""The notebook of the benchmarks, and its figure."""

import json
from pathlib import Path

import pytest

from moelib.modalities.benchmarks import figures
from moelib.modalities.benchmarks.evaluate import BENCHMARKS, EXAMPLES, evaluate, example
from moelib.study.base import PROJECT
from moelib.study.execution import execute

NOTEBOOK = PROJECT / "notebooks" / "modalities_benchmarks.ipynb"


def outputs(path: Path) -> list[dict]:
    cells = json.loads(path.read_text())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {
            "benchmark": "gqa",
            "questions": str(EXAMPLES / "gqa" / "questions.json"),
            "predictions": str(EXAMPLES / "gqa" / "predictions.json"),
            "choices": str(EXAMPLES / "gqa" / "choices.json"),
            "consistency": "True",
        },
    ],
    ids=["defaults", "gqa"],
)
def test_the_notebook_shows_a_figure_and_the_table(tmp_path, texts):
    output = tmp_path / NOTEBOOK.name
    assert execute([NOTEBOOK], {output.parent: texts}) == []
    parts = outputs(output)
    assert any("image/png" in part.get("data", {}) for part in parts)
    files = {k: texts[k] for k in ("choices", "consistency") if k in texts}
    benchmark = texts.get("benchmark", "nlvr")
    table = str(evaluate(benchmark, *example(benchmark), **files))
    streams = [part["text"] for part in parts if part["output_type"] == "stream"]
    assert "".join(line for text in streams for line in text) == table + "\n"


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_the_figure_shows_every_share_with_its_interval(benchmark):
    scores = evaluate(benchmark, *example(benchmark))
    axes = figures.forest(scores).axes[0]
    shares = [score for score in scores.scores if score.share]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    spans = [tuple(line.get_xdata()) for line in axes.lines if line.get_marker() == "None"]
    assert dots == [score.value for score in shares]
    assert spans == [(score.low, score.high) for score in shares if score.low is not None]
    assert [label.get_text() for label in axes.get_yticklabels()][0] == shares[0].name
