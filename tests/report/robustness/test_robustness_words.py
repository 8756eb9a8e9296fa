"""The answers beyond the test split, without records too."""

import re

import numpy as np
import pandas as pd
import prose
import pytest
import robust
import synthetic

from moelib.records.record import write_record
from moelib.report.robustness import words
from moelib.study.run import Run


@pytest.fixture(autouse=True)
def fresh(results):
    return results


def text(parts):
    return "\n".join(part.data for part in parts)


def write_robust(losses, sharp=True, seeds=(0, 1, 2)):
    study = synthetic.study("paper", seeds)
    for head, loss in losses.items():
        for seed in study.seeds:
            run = Run(study, head, seed)
            write_record(run.record_path("train"), synthetic.trained(run))
            record = robust.robust(run, loss * (1 + seed / 50))
            write_record(run.record_path("robustness"), record)
            if sharp:
                record = synthetic.sharp(run, 1 + seed + 10 * loss, 30.0)
                write_record(run.record_path("sharpness"), record)


def test_without_records_of_robustness_the_page_says_so():
    for part in (words.corruptions, words.calibration, words.agreement):
        assert text(part(["paper"])) == words.NOTHING
    assert "No study" in text(words.predictions(["paper"]))


def test_the_less_robust_head_is_named():
    write_robust({"dense": 0.1, "soft": 0.2, "sparse": 0.1})
    answer, *charts = words.corruptions(["paper"])
    parts = answer.data.split("**")[1].split("; ")
    assert any("Soft is less robust" in part for part in parts)
    assert any("sparse cannot be told apart" in part for part in parts)
    assert [":::{chart}" in chart.data for chart in charts] == [True, True]
    alt = re.search(":alt: (.*)", charts[-1].data)[1]
    # Points lost: 0.9 of the loss at strength 5, of 0.1, 0.2 and 0.1; of seeds, planned, of images.
    lost = f"{90 * 1.02 * (0.1 + 0.2 + 0.1) / 3:.1f}"
    assert prose.numbers(alt)[:4] == [lost, "3", "5", "20"]


def test_all_seeds_of_a_head_count_and_are_told_where_heads_differ():
    write_robust({"dense": 0.1}, seeds=(0, 1))
    write_robust({"soft": 0.2}, seeds=(1, 2, 3))
    alt = re.search(":alt: (.*)", words.corruptions(["paper"])[-1].data)[1]
    assert "2\N{EN DASH}3 of 5 seeds of paper" in alt
    # Each head weighs alike: 0.9 of the loss at strength 5, which grows by 2% with the seed.
    lost = 90 * np.mean([0.1 * (1 + 0.5 / 50), 0.2 * (1 + 2 / 50)])
    assert prose.numbers(alt)[0] == f"{lost:.1f}"
    *_, table = words.calibration(["paper"])
    assert "| paper | dense | 2 |" in table.data and "| paper | soft | 3 |" in table.data


def test_calibration_and_agreement_are_tabled():
    write_robust({"dense": 0.1, "soft": 0.2}, sharp=False)
    answer, _, table = words.calibration(["paper"])
    assert "Soft cannot be told apart" in answer.data
    assert "| paper | dense | 3 | 90.0% |" in table.data
    answer, table = words.agreement(["paper"])
    pairs = {row.split(" | ")[1]: row.split(" | ")[2:4] for row in table.data.splitlines()[2:]}
    assert {shared: int(count) for shared, (count, _) in pairs.items()} == {
        "same head": 6,
        "same seed": 3,
        "neither": 6,
    }
    shares = [f"{100 * float(share):.1f}%" for _, share in pairs.values()]
    *told, difference = prose.numbers(answer.data)
    assert told == shares and "seed" in answer.data
    values = [100 * float(share) for _, share in pairs.values()]
    assert float(difference) == pytest.approx(max(values) - min(values), abs=0.1)  # as rounded


def test_sharpness_that_orders_seeds_as_errors_do_is_found_in_every_head():
    write_robust({"dense": 0.1, "soft": 0.2, "sparse": 0.3})
    assert len(words.predictions(["paper"])) == 1  # nine runs are too few
    write_robust({"dense": 0.1, "soft": 0.2, "sparse": 0.3}, seeds=(0, 1, 2, 3))
    answer, table = words.predictions(["paper"])
    rows = table.data.count("| paper |")
    assert prose.numbers(answer.data)[0] == str(rows) and rows > 0
    assert "| paper | Largest eigenvalue | Error on corrupted images | 12 |" in table.data


def test_each_head_weighs_alike_in_agreement(monkeypatch):
    """Three pairs of dense runs agree in full, one of soft runs in half: the mean is 3/4."""
    write_robust({"dense": 0.1, "soft": 0.2}, sharp=False)
    heads = ["dense"] * 3 + ["soft"]
    pairs = pd.DataFrame({"study": "paper", "first": heads, "second": heads, "shared": "same head"})
    pairs = pairs.assign(agreement=[1.0, 1.0, 1.0, 0.5], equal_errors=0.0)
    monkeypatch.setattr(words.tables, "agreement", lambda *_: pairs)
    answer, table = words.agreement(["paper"])
    assert "| paper | same head | 4 | 0.750 |" in table.data
