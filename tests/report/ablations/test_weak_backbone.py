"""Hypotheses written beforehand, without records too."""

import re

import numpy as np
import prose
import pytest
import synthetic

from moelib.records.record import write_record
from moelib.report.ablations import weak_backbone
from moelib.study.reader import load_study
from moelib.study.run import Run


@pytest.fixture(autouse=True)
def fresh(results):
    return results


def text(parts):
    return "\n".join(part.data for part in parts)


def write(study, head, shares, kind="train"):
    """Records of the first seeds of a study, of which shares of 1,000 test images are right."""
    for seed, share in zip(load_study(study).seeds, shares, strict=False):
        run = Run(load_study(study), head, seed)
        right = np.arange(1000) < round(1000 * share)
        write_record(run.record_path("train"), synthetic.trained(run, right))


def test_without_records_the_chapters_name_the_commands():
    assert "STUDY=weak-backbone" in text(weak_backbone.answer())
    assert list(weak_backbone.fit()) == []


def test_what_the_head_can_do_is_told_by_the_numbers():
    write("weak-backbone", "linear", [0.600, 0.602, 0.601])
    write("weak-backbone", "dense", [0.650, 0.651, 0.653])
    write("weak-backbone", "sparse", [0.649, 0.652, 0.652])
    answer, *evidence = weak_backbone.answer()
    claim, questions = answer.data.split("\n\n")
    assert "Sparse" in claim and "cannot be told apart" in claim
    # The whole interval of sparse lies within half a point of 0: no effect, where half a point was
    # expected.
    assert re.findall(r"\*\*(.*?)\*\*", questions) == ["Yes.", "No."]
    chart, table = (part.data for part in evidence)
    assert ":::{chart}" in chart
    cells = re.findall(r"\| (\S+ against \S+) \| (\S+)", table)
    minus = "\N{MINUS SIGN}"
    assert cells == [("dense against linear", "+5.03"), ("sparse against dense", f"{minus}0.03")]


def test_a_question_is_answered_in_part_where_its_hypotheses_differ():
    dense = np.array([0.650, 0.651, 0.652, 0.650, 0.651])
    for head, gain in (("linear", -0.05), ("dense", 0), ("soft", 0.09), ("sparse", -0.09)):
        write("weak-backbone", head, dense + gain * np.array([1, 1.01, 1, 0.99, 1]))
    _, questions = next(weak_backbone.answer()).data.split("\n\n")
    assert re.findall(r"\*\*(.*?)\*\*", questions)[:2] == ["Yes.", "In part."]


@pytest.mark.parametrize(("gain", "reason"), [(0.02, "part of"), (0.0, "does not explain")])
def test_few_images_explain_the_loss_only_if_soft_is_better(gain, reason):
    assert "not compared" in weak_backbone.images_of_experts().data
    sparse = np.array([0.600, 0.602, 0.601, 0.603, 0.600])
    write("weak-backbone", "dense", sparse)  # its records know nothing of the other heads
    write("weak-backbone", "sparse", sparse)
    write("weak-backbone", "soft", sparse + gain + [0.001, -0.001, 0, 0.001, -0.001])
    text = weak_backbone.images_of_experts().data
    assert reason in text
    assert prose.numbers(text)[:4] == ["2", "8", "25%", f"{100 * gain:+.2f}"]


JITTER = np.array([0.0, 0.001, -0.001, 0.002, -0.002])


def fitted(head, train, test):
    """Five seeds of a head of the study, right on such shares of images in their last epoch."""
    study = load_study("weak-backbone")
    for seed, more in zip(study.seeds, JITTER * len(head), strict=True):  # heads differ in it
        run = Run(study, head, seed)
        record = synthetic.trained(run, np.arange(1000) < round(1000 * (test + more)))
        last = record.numbers.epochs[-1]
        fitted = last.train.model_copy(update={"accuracy": train + more})
        epochs = (last.model_copy(update={"train": fitted}),)
        numbers = record.numbers.model_copy(update={"epochs": epochs})
        write_record(run.record_path("train"), record.model_copy(update={"numbers": numbers}))


def test_heads_that_fit_worse_are_named_and_those_that_do_not_are_told_apart():
    fitted("dense", 0.80, 0.70)
    fitted("soft", 0.70, 0.60)
    fitted("sparse", 0.80, 0.65)
    words, table = weak_backbone.fit()
    both, only = words.data.split("(after")
    assert not prose.lacking(both, ("soft",)) and prose.lacking(both, ("sparse",))
    assert not prose.lacking(only, ("sparse",))
    assert "| dense | 5 | 80.0% | 70.0% |" in table.data
    fitted("soft", 0.80, 0.60)
    words, _ = weak_backbone.fit()
    assert "none is behind" in words.data and not prose.lacking(words.data, ("soft", "sparse"))


def test_where_no_head_is_behind_only_the_table_stands():
    fitted("dense", 0.80, 0.70)
    fitted("soft", 0.70, 0.72)
    (table,) = weak_backbone.fit()
    assert table.data.count("| 5 |") == 2
