"""What the chapters on modalities say of made-up records, with records and without."""

import json
import subprocess
import sys

import prose
import pytest
import synthetic_modalities
from small import small_run
from synthetic_modalities import answers, human, records, trained, utilized

from moelib.modalities.report import figures, tables, words
from moelib.modalities.report.tables import POINT, Comparison, gap
from moelib.report.statistics.hypotheses import WITHIN
from moelib.study.base import PROJECT

CHAPTERS = ("modalities", "modalities-composition", "modalities-sparsity", "modalities-tables")


def test_words_are_chosen_by_the_numbers(results):
    assert "no records" in words.missing("main", [])[0].data
    synthetic_modalities.write_study("main", seeds=(0, 1))
    runs = tables.load("main")
    assert "28 of 70 runs" in words.missing("main", runs)[0].data
    assert words.answer(tables.judged(runs, tables.MAIN))
    assert "few runs" in words.allocation(tables.judged([], tables.MAIN))


SMALL, LARGE = [0.010, 0.012, 0.009, 0.011], [0.030, 0.031, 0.029, 0.030]
SCATTERED = [0.00, 0.08, 0.01, 0.05]


@pytest.mark.parametrize(
    ("top_2", "hard", "verdict"),
    [
        (SMALL, SMALL, "does**"),
        (SMALL, [0.051, 0.050, 0.050, 0.049], "does not**"),
        (SMALL, SCATTERED, "not decide"),
    ],
)
def test_allocation_helps_if_both_gaps_are_smaller(top_2, hard, verdict):
    gaps = {"dense": LARGE, "top-2": top_2, "hard": hard}
    arms = [record for arm, values in gaps.items() for record in records(arm, values)]
    questions = (
        Comparison("H1", "gap", "top-2", "dense", gap, WITHIN, POINT),
        Comparison("H2", "gap", "hard", "dense", gap, WITHIN, POINT),
    )
    answer = words.allocation(tables.judged(arms, questions))
    assert verdict in answer and ("one of a point" in answer) == ("decide" in verdict)
    assert "1.95 points smaller than that of top-2" in answer


def test_seeds_that_agree_exactly_say_nothing_of_what_others_could_tell():
    arms = records("top-2", SMALL[:3]) + records("dense", SMALL[:3])
    questions = [
        Comparison(name, "gap", "top-2", "dense", gap, WITHIN, POINT) for name in ("H1", "H2")
    ]
    answer = words.allocation(tables.judged(arms, questions))
    assert "not decide" in answer and "would take" not in answer


def test_pairs_of_two_devices_are_counted():
    runs = [*records("dense", SMALL), *records("top-2", SMALL[:3])]
    family = (Comparison("H", "gap", "top-2", "dense", gap, WITHIN, POINT),)
    assert words.devices(runs, family).data == ""
    elsewhere = runs[0].provenance.model_copy(update={"device": "another CPU"})
    runs[0] = runs[0].model_copy(update={"provenance": elsewhere})
    assert prose.numbers(words.devices(runs, family).data) == ["1", "3"]


def test_curves_are_drawn(results, closed):
    synthetic_modalities.write_study("sparsity", seeds=(0, 1))
    assert figures.curves(tables.epochs(tables.load("sparsity")))


def claim(chart) -> str:
    """The sentence in bold with which a caption begins."""
    return chart.data.split("**")[1]


def test_a_chart_says_what_costs_most_to_arms_that_see_both(closed):
    runs = [trained(small_run(arm, 0), 0.9, 0.7) for arm in ("top-2", "dense", "words")]
    for run, pairs in zip(runs, (0.6, 0.5, 0.1), strict=True):
        run.numbers.tests["pairs"] = answers(pairs)
    text = claim(words.split_chart(runs))
    assert "*pairs*" in text and prose.numbers(text) == ["35.00", "30.00", "40.00"]


def test_a_chart_tells_the_range_of_the_gap_of_arms_that_see_both(closed, monkeypatch):
    runs = records("top-2", [0.02, 0.04]) + records("dense", [0.04, 0.06]) + records("words", [0.0])
    text = claim(words.gap_chart(runs))
    assert prose.numbers(text) == ["3.00", "5.00"]  # and of no comparison
    monkeypatch.setattr(
        tables, "MAIN", (Comparison("H", "gap", "hard", "dense", gap, WITHIN, POINT),)
    )
    apart = records("dense", LARGE) + records("hard", SMALL)
    assert prose.numbers(claim(words.gap_chart(apart)))[2:] == ["1", "1"]


def test_charts_of_arms_that_see_one_modality_alone_claim_nothing(closed):
    runs = records("words", [0.0])
    assert "**" not in words.split_chart(runs).data
    assert "No arm" in words.gap_chart(runs).data
    assert "No arm" in words.sparsity_chart(runs).data


def test_a_chart_says_which_tokens_meet_most_experts(closed):
    even, uneven = utilized(small_run("top-2", 0)), utilized(small_run("hard", 0))
    uneven.numbers.layers[0].real.update(empty=3.5, answer=1.25)
    text = claim(words.type_chart([even, uneven]))
    assert "*hard*" in text and text.index("*empty*") < text.index("*answer*")
    assert prose.numbers(text) == ["3.50", "1.25"]


def test_a_chart_says_where_most_choices_go(closed):
    text = claim(words.load_chart(utilized(small_run("top-2", 0))))
    assert prose.numbers(text) == ["1", "0", "100%"] and "vision" in text


def test_a_chart_says_at_which_share_accuracy_is_highest(results, closed):
    synthetic_modalities.write_study("sparsity", seeds=(0, 1))
    runs = tables.load("sparsity")
    for run in runs:
        if run.head == "total-1-4":
            run.numbers.tests["iid"] = answers(0.99)
    assert "1/4 with equal total" in claim(words.sparsity_chart(runs))
    first = [run for run in runs if run.seed == 0]
    assert "1/4" not in claim(words.sparsity_chart(first))  # one seed orders nothing


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_without_records_can_be_read(results, tmp_path, chapter):
    cells = json.loads((PROJECT / "book" / f"{chapter}.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    script = tmp_path / "chapter.py"
    script.write_text(f"import matplotlib\nmatplotlib.use('Agg')\n{code}\n")
    process = subprocess.run([sys.executable, script], cwd=PROJECT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]


@pytest.mark.parametrize(("accuracy", "sides"), [(0.5, ("As", "below")), (0.6, ("Other", "above"))])
def test_whether_an_arm_beats_the_more_frequent_label_is_told(accuracy, sides):
    record = human(small_run("top-2", 0))
    record.numbers.__dict__["accuracy"] = accuracy  # the majority is 55 %
    text = claim(words.human([record])), words.human([record]).data.split("**")[2]
    assert text[0].startswith(sides[0]) and sides[1] in text[1]
    assert "5.00 points" in text[1]
