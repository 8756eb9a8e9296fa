"""Whether heads that are behind fit worse, told by made-up records."""

import numpy as np
import prose
import pytest
import synthetic

from moelib.records.record import write_record
from moelib.report.ablations import fit
from moelib.study.reader import load_study
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")
JITTER = np.array([0.0, 0.001, -0.001, 0.002, -0.002])


def write(head, train, test):
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


def test_nothing_is_told_without_records():
    assert list(fit.answer("weak-backbone")) == []


def test_heads_that_fit_worse_are_named_and_those_that_do_not_are_told_apart():
    write("dense", 0.80, 0.70)
    write("soft", 0.70, 0.60)
    write("sparse", 0.80, 0.65)
    words, table = fit.answer("weak-backbone")
    fitted, only = words.data.split("(after")
    assert not prose.lacking(fitted, ("soft",)) and prose.lacking(fitted, ("sparse",))
    assert not prose.lacking(only, ("sparse",))
    assert "| dense | 5 | 80.0% | 70.0% | \N{MINUS SIGN}10.00 |" in table.data
    write("soft", 0.80, 0.60)
    words, _ = fit.answer("weak-backbone")
    assert words.data.startswith("None of soft, sparse")


def test_where_no_head_is_behind_only_the_table_stands():
    write("dense", 0.80, 0.70)
    write("soft", 0.70, 0.72)
    (table,) = fit.answer("weak-backbone")
    assert table.data.count("| 5 |") == 2
