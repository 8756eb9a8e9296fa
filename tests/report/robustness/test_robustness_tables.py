"""Frames of robustness: means over corruptions, ratios, and agreement, all against closed forms."""

import numpy as np
import pytest
import robust
import synthetic
from prose import refusal

from moelib.report.robustness.tables import (
    agreement,
    predictions,
    relative_errors,
    strengths,
    summary,
)
from moelib.study.run import Run


def test_strengths_begin_with_the_images_before(records):
    frame = strengths(records[:1])
    assert list(frame["strength"]) == [0, 0, 1, 5, 1, 5]
    contrast = frame[frame["corruption"] == "contrast"].set_index("strength")["accuracy"]
    assert contrast.tolist() == pytest.approx([0.9, 0.86, 0.7])


def test_the_mean_error_is_over_corruptions_of_the_mean_over_strengths(records):
    frame = summary(records)
    # Losses 0.02, 0.1 and 0.04, 0.2: means 0.06 and 0.12, mean 0.09; twice that of the soft head.
    assert frame["lost_accuracy"].tolist() == pytest.approx([0.09, 0.09, 0.18, 0.18])
    assert frame["corruption_error"].tolist() == pytest.approx([0.19, 0.19, 0.28, 0.28])
    assert frame["corrupted_ece"].tolist() == pytest.approx([0.081, 0.081, 0.072, 0.072])


def test_relative_errors_are_means_of_ratios_paired_by_seed(records):
    frame = relative_errors(records)
    expected = (0.22 / 0.16 + 0.34 / 0.22) / 2
    assert frame["head"].tolist() == ["soft", "soft"] and frame["seed"].tolist() == [0, 1]
    assert frame["relative_error"].tolist() == pytest.approx([expected, expected])
    assert relative_errors(records[2:]).empty  # no dense run


@pytest.mark.parametrize(("text", "classes"), [("0a3", [0, 10, 3]), ("000a03", [0, 10, 3])])
def test_predictions_have_as_many_digits_as_they_need(study, text, classes):
    record = robust.robust(Run(study, "dense", 0), predicted=text)
    assert predictions(record, 3).tolist() == classes


def test_predictions_of_another_number_of_images_are_refused(study):
    record = robust.robust(Run(study, "dense", 0), predicted="0123")
    with refusal(ValueError, "4 digits", "3 images"):
        predictions(record, 3)


def test_agreement_counts_images_and_equal_errors(study):
    # Of 21 images 10 are right in both; of the other 11 one is right in the first alone, six are
    # wrong alike and four differ.
    first, second = "0" * 21, "0" * 10 + "1" + "0" * 6 + "1" * 4
    right = np.arange(21) < 11
    rows = {"dense": (first, right), "soft": (second, right & (np.arange(21) != 10))}
    runs = {head: Run(study, head, 0) for head in rows}
    trained = [synthetic.trained(runs[head], rows[head][1]) for head in rows]
    records = [robust.robust(runs[head], predicted=rows[head][0]) for head in rows]
    (row,) = agreement(records, trained).to_dict("records")
    assert row["agreement"] == pytest.approx(16 / 21)
    assert row["equal_errors"] == pytest.approx(6 / 11)
    assert row["shared"] == "same seed" and row["seeds"] == (0, 0)


def test_pairs_are_told_apart_by_what_they_share(study, records):
    trained = [synthetic.trained(Run(study, record.head, record.seed)) for record in records]
    frame = agreement(records, trained)
    assert frame["shared"].value_counts().to_dict() == {
        "same head": 2,
        "same seed": 2,
        "neither": 2,
    }
    assert agreement(records, []).empty
