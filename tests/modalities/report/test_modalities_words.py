"""What the chapters on modalities say of made-up records, with records and without."""

import json
import subprocess
import sys

import prose
import pytest
import synthetic_modalities
from small import small_run
from synthetic_modalities import answers, human, records, trained, utilized

from moelib.modalities.report import answers as concluded
from moelib.modalities.report import figures, tables, words
from moelib.modalities.report.tables import POINT, Comparison
from moelib.records.modalities import ModalityUtilizationNumbers
from moelib.report.statistics.hypotheses import BELOW, SUPPORTED, WITHIN
from moelib.study.base import PROJECT
from moelib.study.modalities import ModalityRun, load_modality_study

CHAPTERS = ("modalities", "modalities-composition", "modalities-sparsity", "modalities-tables")


def test_words_are_chosen_by_the_numbers(results):
    assert "no records" in words.missing("main", [])[0].data
    synthetic_modalities.write_study("main", seeds=(0, 1))
    runs = tables.load("main")
    assert "28 of 70 runs" in words.missing("main", runs)[0].data
    few = concluded.answer(tables.judged(runs, tables.MAIN))  # two seeds decide nothing
    assert "decide none" in few and prose.numbers(few) == ["6"]
    assert "few runs" in concluded.allocation(tables.judged([], tables.MAIN))


SMALL, LARGE = [0.010, 0.012, 0.009, 0.011], [0.030, 0.031, 0.029, 0.030]
SCATTERED = [0.00, 0.08, 0.01, 0.05]


@pytest.mark.parametrize(
    ("top_2", "hard", "verdict"),
    [
        (SMALL, SMALL, "does.**"),
        (SMALL, [0.051, 0.050, 0.050, 0.049], "does not.**"),
        (SMALL, SCATTERED, "not decide"),
    ],
)
def test_allocation_helps_if_both_gaps_are_smaller(top_2, hard, verdict):
    gaps = {"dense": LARGE, "top-2": top_2, "hard": hard}
    arms = [record for arm, values in gaps.items() for record in records(arm, values)]
    questions = (
        Comparison("H1", "top-2", "dense", "top-2", "dense", "gap", WITHIN, POINT),
        Comparison("H2", "hard", "dense", "hard", "dense", "gap", WITHIN, POINT),
    )
    answer = concluded.allocation(tables.judged(arms, questions))
    assert verdict in answer and ("none of a point" in answer) == ("decide" in verdict)
    assert "1.95 points smaller than with top-2" in answer


def test_an_answer_says_in_words_what_was_decided():
    arms = records("top-2", SMALL) + records("dense", LARGE) + records("hard", SCATTERED)
    questions = (
        Comparison("A", "two", "one", "top-2", "dense", "gap", WITHIN, POINT),
        Comparison("B", "half", "one", "hard", "dense", "gap", WITHIN, POINT),
    )
    text = concluded.answer(tables.judged(arms, questions))
    assert "With two rather than one, the difference in gap is −1.95 points**" in text
    assert "contrary to expectation (A: within 1 point)" in text and "half" not in text
    difference, _, low, high, seeds, within, *left = prose.numbers(text)
    assert (within, seeds, left) == ("1", "4", ["1", "2"])
    assert (difference, low, high) == ("−1.95", "−2.04", "−1.86")


def test_a_difference_that_may_be_none_is_not_called_one():
    arms = records("top-2", SMALL) + records("dense", SMALL)
    question = (Comparison("A", "two", "one", "top-2", "dense", "gap", BELOW, POINT),)
    judged = tables.judged(arms, question).assign(verdict=SUPPORTED, estimate=-0.0109)
    text = concluded.answer(judged)
    assert "than one, the difference in gap is −1.09 points** (95% interval" in text
    assert "as expected (A: below +1 point)" in text
    assert "lower" not in text and "falls" not in text


def test_seeds_that_agree_exactly_say_nothing_of_what_others_could_tell():
    arms = records("top-2", SMALL[:3]) + records("dense", SMALL[:3])
    questions = [
        Comparison(name, "top-2", "dense", "top-2", "dense", "gap", WITHIN, POINT)
        for name in ("H1", "H2")
    ]
    answer = concluded.allocation(tables.judged(arms, questions))
    assert "not decide" in answer and "would take" not in answer


def test_comparisons_across_devices_are_counted():
    runs = records("dense", SMALL) + records("top-2", SMALL) + records("hard", SMALL)
    family = (
        Comparison("H1", "top-2", "dense", "top-2", "dense", "gap", WITHIN, POINT),
        Comparison("H2", "top-2", "hard", "top-2", "hard", "gap", WITHIN, POINT),
    )
    elsewhere = runs[0].provenance.model_copy(update={"device": "another CPU"})
    runs[0] = runs[0].model_copy(update={"provenance": elsewhere})
    judged = tables.judged(runs, family)
    assert judged["apart"].tolist() == [1, 0]
    assert "| 4 | 1 | " in concluded.verdicts(judged).data.splitlines()[2]


def test_another_version_of_torch_is_another_machine():
    runs = records("dense", SMALL) + records("top-2", SMALL)
    newer = runs[0].provenance.model_copy(update={"packages": {"torch": "3.0"}})
    runs[0] = runs[0].model_copy(update={"provenance": newer})
    family = (Comparison("H1", "top-2", "dense", "top-2", "dense", "gap", WITHIN, POINT),)
    assert tables.judged(runs, family)["apart"].tolist() == [1]


def test_a_model_that_two_studies_trained_tells_what_rounding_does():
    runs = records("top-2", [0.10, 0.20])
    assert words.rounding(runs, runs) == []  # one machine makes one net
    elsewhere = runs[0].provenance.model_copy(update={"device": "another CPU"})
    others = [run.model_copy(update={"provenance": elsewhere}) for run in records("hard", [0.13])]
    assert words.rounding(runs, others) == []  # another model
    others = [run.model_copy(update={"inputs": runs[0].inputs}) for run in others]
    twins = tables.twins(runs, others)
    assert twins["seed"].tolist() == [0] and twins["gap"].tolist() == pytest.approx([-0.03])
    (text,) = words.rounding(runs, others)
    assert "*top-2* of `small` and *hard* of `small`" in text.data and "(1 seed)" in text.data


def test_curves_are_drawn(closed):
    figure = figures.curves(tables.epochs(records("top-2", [0.0])))
    assert [line.get_ydata().tolist() for axes in figure.axes for line in axes.lines] == [
        [0.5],
        [0.7],
    ]


def claim(chart) -> str:
    """The sentence in bold with which a caption begins."""
    return chart.data.split("**")[1]


def test_a_chart_says_what_costs_most_to_arms_that_see_both(closed):
    runs = [trained(small_run(arm, 0), 0.9, 0.7) for arm in ("top-2", "dense", "words")]
    for run, pairs in zip(runs, (0.6, 0.5, 0.1), strict=True):
        run.numbers.tests["pairs"] = answers(pairs)
    text = claim(words.split_chart(tables.sighted(runs)))
    assert "*pairs*" in text and prose.numbers(text) == ["35.00", "30.00", "40.00", "2", "2"]


def test_a_chart_tells_the_gap_and_between_what_it_lies(closed):
    runs = records("top-2", [0.1, 0.3]) + records("dense", [0.1, 0.2]) + records("words", [0.0])
    text = words.gap_chart(tables.sighted(runs)).data
    assert prose.numbers(claim(words.gap_chart(tables.sighted(runs)))) == ["15.00", "20.00"]
    above = text.partition("held-out compositions")[2]
    assert prose.numbers(above)[:4] == ["20.00", "25.00", "40.00", "40.00"]


def test_parts_of_the_guidance_stand_beside_all_of_it(results):
    assert words.guidance([], []) == []
    synthetic_modalities.write_study("guidance", seeds=(0, 1))
    runs = tables.load("guidance")
    used = tables.load("guidance", ModalityUtilizationNumbers)
    for run in runs:
        if run.head == "bins-alone":
            run.numbers.tests["iid"] = answers(0.7 + 0.001 * run.seed)
    for run in used:
        (layer,) = run.numbers.layers
        own = {"guided-kl": 0.9, "bins-alone": 0.3}.get(run.head, 0.5)
        layer = layer.model_copy(update={"specialisation": own})
        run.numbers.__dict__["layers"] = (layer,)
    text, table = words.guidance(runs, used)
    assert "highest with *guided-kl* and" in text.data and "*guided* has 0.50" in text.data
    assert "lowest with *bins-alone*;" in text.data
    rows = {line.split(" | ")[0].strip("| "): line for line in table.data.splitlines()[2:]}
    assert [*rows] == ["guided-one-hot", "guided-gaussian", "guided-kl", "bins-alone", "fixed-bins"]
    cells = rows["bins-alone"].split(" | ")
    assert cells[1] == "2" and prose.numbers(cells[2])[0] == f"{words.in_points(-0.1)}"
    assert rows["guided-kl"].endswith("| 0.90 |") and rows["fixed-bins"].endswith("| 0.50 |")
    (_, alone) = words.guidance(runs, [])  # before anything is analysed
    assert "Specialisation" not in alone.data


def test_learned_slots_are_told_to_favour_empty_patches_if_they_do_in_every_seed():
    runs = [learned(seed, empty=3.0, others=1.5) for seed in (0, 1)]
    (text,) = words.favoured(runs)
    assert prose.numbers(text.data)[:5] == ["2", "3.00", "3.00", "1.50", "1.50"]
    assert "H1 and H2 do not test" in text.data
    # No token has fewer than elsewhere.
    assert words.favoured([learned(0, empty=3.0, others=2.5)]) == []
    assert words.favoured([*runs, learned(2, empty=1.0, others=2.0)]) == []
    assert words.favoured([]) == [] and words.favoured([utilized(small_run("top-2", 0))]) == []


def learned(seed: int, empty: float, others: float):
    """Use of experts by learned slots."""
    run = utilized(ModalityRun(load_modality_study("main"), "slots", seed))
    run.numbers.layers[0].real.update(dict.fromkeys(run.numbers.tokens, others), empty=empty)
    return run


def test_a_chart_says_which_tokens_meet_most_experts(closed):
    even, uneven = utilized(small_run("top-2", 0)), utilized(small_run("hard", 0))
    uneven.numbers.layers[0].real.update(empty=3.5, answer=1.25)
    text = claim(words.type_chart([even, uneven]))
    assert "*hard*" in text and text.index("*empty*") < text.index("*answer*")
    assert prose.numbers(text) == ["3.50", "1.25"]


def test_a_chart_says_where_most_choices_go(closed):
    text = claim(words.load_chart(utilized(small_run("top-2", 0))))
    assert prose.numbers(text) == ["1", "0", "100%"] and "vision" in text


def test_an_arm_of_one_seed_is_hollow_and_no_line_joins_it(results, closed):
    synthetic_modalities.write_study("sparsity", seeds=(0, 1), every=False)
    runs = [run for run in tables.load("sparsity") if run.seed == 0 or run.head != "total-1-8"]
    axes = figures.sparsity(tables.sparsity(runs))[0].axes[0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [x for line in hollow for x in line.get_xdata()] == [1 / 8]
    joined = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [1 / 8 in line.get_xdata() for line in joined] == [False, True]


def test_a_chart_says_how_far_arms_are_apart_and_how_far_seeds(results, closed):
    synthetic_modalities.write_study("sparsity", seeds=(0, 1))
    runs = tables.load("sparsity")
    for run in runs:
        shares = {"total-1-4": 0.99, "active-1-2": 0.80 + 0.1 * run.seed}
        run.numbers.tests["iid"] = answers(shares.get(run.head, 0.90))
    text = claim(words.sparsity_chart(runs))
    assert "9.00 points with equal total parameters" in text
    assert "5.00 points with equal active parameters" in text and "up to 10.00" in text
    first = [run for run in runs if run.seed == 0]
    assert "9.00" not in claim(words.sparsity_chart(first))  # one seed orders nothing


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_without_records_can_be_read(results, tmp_path, chapter):
    cells = json.loads((PROJECT / "book" / f"{chapter}.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    script = tmp_path / "chapter.py"
    script.write_text(f"import matplotlib\nmatplotlib.use('Agg')\n{code}\n")
    process = subprocess.run([sys.executable, script], cwd=PROJECT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]


@pytest.mark.parametrize(
    ("accuracy", "sides"), [(0.5, ("As", "below")), (0.6, ("Contrary", "above"))]
)
def test_whether_an_arm_beats_the_more_frequent_label_is_told(accuracy, sides):
    record = human(small_run("top-2", 0))
    record.numbers.__dict__["accuracy"] = accuracy  # the majority is 55 %
    text = claim(words.human([record])), words.human([record]).data.split("**")[2]
    assert text[0].startswith(sides[0]) and sides[1] in text[1]
    assert "5.00 points" in text[1]


def test_what_chapters_say_in_fixed_words_holds_for_the_published_records(monkeypatch):
    monkeypatch.delenv("MOELIB_RESULTS", raising=False)
    # modalities-composition: counts and queries on iid are always right.
    forms = [run.numbers.tests["iid"].forms for run in tables.sighted(tables.load("main"))]
    other = [right for run in forms for form, right in run.items() if form not in tables.TRUTHS]
    assert other and set(other) == {1.0}
    # modalities: the grounding loss weighs as much as the loss of the answer.
    assert load_modality_study("main").grounding == 1.0
