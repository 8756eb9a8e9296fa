"""All that was expected of departures is one family; what a device does alone."""

import re

import numpy as np
import pandas as pd
import prose
import pytest
import synthetic

from moelib.records.record import write_record
from moelib.report.ablations import contrasts, departures
from moelib.report.ablations.contrasts import DEPARTURES, EXPECTED, HEADS, studies
from moelib.report.statistics.hypotheses import decisions
from moelib.study.reader import load_study
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")


def write(study, head, shares):
    """Records of the first seeds of a study, of which shares of 1,000 test images are right."""
    for seed, share in zip(load_study(study).seeds, shares, strict=False):
        run = Run(load_study(study), head, seed)
        right = np.arange(1000) < round(1000 * share)
        write_record(run.record_path("train"), synthetic.trained(run, right))


def test_every_hypothesis_has_one_place_in_the_family():
    assert len(set(EXPECTED)) == len(EXPECTED) == 28
    assert {c.measure for c in EXPECTED} == {
        *("test_accuracy", "information", "log_lambda_max", "log_trace")
    }


def test_a_departure_is_compared_with_the_run_that_lacks_it_alone():
    right = {
        ("ablations", "sparse"): 0.8,
        ("ablations", "soft"): 0.5,
        ("protocol-load", "sparse"): 0.7,
        ("protocol-logit-dropout", "sparse"): 0.6,
        ("protocol-logit-dropout", "soft"): 0.4,
    }
    for (study, head), share in right.items():
        write(study, head, [share])
    rows = departures.judge_expected()
    differences = rows.set_index(["question", "head"])["difference"]
    # A sparse head has no smooth load under dropout on logits: it is compared with protocol-load.
    dropped = {("dropout on logits", head): -0.1 for head in ("sparse", "soft")}
    expected = {("importance as load", "sparse"): -0.1, **dropped}
    assert differences.to_dict() == pytest.approx(expected)


def test_without_records_nothing_is_judged():
    assert departures.judge_expected().empty
    for (text,) in (departures.answer(), departures.expected()):
        commands = re.findall(r"STUDY=([\w-]+)", text.data)
        assert set(commands) == set(studies(DEPARTURES))
    assert departures.in_use() == []


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, "supported"), (0.01, "contradicted"), (0.0025, "inconclusive")]
)
def test_a_device_is_judged_by_the_means_over_heads_of_a_seed(shift, verdict):
    noise = np.random.default_rng(0).normal(0, 3e-4, (len(HEADS), 5))
    accuracy = pd.DataFrame(
        (study, head, seed, 0.8 + moved * (shift + noise[rank, seed]))
        for study, moved in (("ablations", 0), ("protocol-corrected", 1))
        for rank, head in enumerate(HEADS)
        for seed in range(5)
    ).set_axis(["study", "head", "seed", "test_accuracy"], axis=1)
    part = departures.device_effect(accuracy)
    assert part.seeds == 5 and part.estimate == pytest.approx(shift + noise.mean())
    assert decisions([(part.p_for, part.p_against)])[0].verdict == verdict
    lacking = accuracy.drop(accuracy.index[-1])  # a seed without one of its heads
    assert departures.device_effect(lacking).seeds == 4


def test_a_departure_is_told_with_the_noise_floor_and_the_checkpoints():
    base = np.array([0.80, 0.81, 0.82, 0.80, 0.81])
    write("ablations", "dense", base)
    write("protocol-augment", "dense", base - [0.03, 0.031, 0.029, 0.03, 0.03])
    write("protocol-unpaired", "dense", base + [0.01, -0.01, 0.01, -0.01, 0])
    tally, *_, notes = departures.expected()
    supported, contradicted, inconclusive = 1, 0, 1
    untested = len(EXPECTED) - 2
    counts = (supported, contradicted, inconclusive, untested)
    assert prose.numbers(tally.data) == [*map(str, counts)]
    deviation, *last_epochs = prose.numbers(notes.data)
    assert deviation == "1.00" and last_epochs == ["15", "15", "0", "0"]  # deviation in points


def test_changes_of_use_and_curvature_are_tabled():
    for study, gates in (("ablations", (0.25,) * 4), ("protocol-kl", (0.4, 0.2, 0.2, 0.2))):
        for seed, scale in ((0, 1.0), (1, 1.1)):
            run = Run(load_study(study), "soft", seed)
            write_record(run.record_path("utilization"), synthetic.analysed(run, gates))
            record = synthetic.sharp(run, 2 * scale, 60 * scale)
            write_record(run.record_path("sharpness"), record)
    parts = iter(departures.in_use())
    tables = {title.data: table.data for title, table in zip(parts, parts, strict=True)}
    (variation,) = (table for title, table in tables.items() if "gate mass" in title)
    assert "| reversed KL | soft | test | 2 | 0.346 |" in variation  # std / mean of gates
    assert len(tables) == 4


def test_use_and_curvature_are_compared_on_the_device_of_the_departure():
    eigenvalues = {  # by study and the device of its training: only the second differs by nothing
        ("ablations", "here"): 8.0,
        ("protocol-corrected", "there"): 2.0,
        ("protocol-kl", "there"): 2.0,
    }
    for (study, device), largest in eigenvalues.items():
        for seed in (0, 1):
            run = Run(load_study(study), "soft", seed)
            trained = synthetic.trained(run)
            provenance = trained.provenance.model_copy(update={"device": device})
            trained = trained.model_copy(update={"provenance": provenance})
            write_record(run.record_path("train"), trained)
            write_record(run.record_path("sharpness"), synthetic.sharp(run, largest, largest))
    use = departures.use_and_curvature()
    changes = contrasts.changes(DEPARTURES, use, "log_lambda_max").set_index(["question", "split"])
    assert changes["change"].to_dict() == pytest.approx(
        {("reversed KL", split): 0.0 for split in ("train", "test")}, abs=1e-12
    )
