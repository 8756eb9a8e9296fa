"""What is said of heads over nets of several accuracies."""

import numpy as np
import pytest
import synthetic

from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.report.accuracy import words
from moelib.report.effects import frame, row
from moelib.study.run import Run

SPREAD = np.array([-0.1, 0.0, 0.0, 0.1])


def told(*nets: tuple[str, float, float]) -> str:
    """The sentence on nets: (name, how many images dense has right, what soft loses in points)."""
    records = {
        name: [synthetic.trained(Run(synthetic.study(name), "dense", 0), np.arange(100) < right)]
        for name, right, _ in nets
    }
    effects = frame(row(name, name, "soft", SPREAD - lost) for name, _, lost in nets)
    return words.across_studies(effects, records)


@pytest.mark.parametrize(
    ("at_worst", "at_best", "claimed"),
    [(3.0, 1.0, True), (1.0, 3.0, False), (1.1, 1.0, False), (-1.0, -3.0, False)],
)
def test_a_head_is_said_to_lose_less_only_where_its_intervals_do_not_meet(
    at_worst, at_best, claimed
):
    text = told(("good", 90, at_best), ("bad", 60, at_worst))
    losses = f"(soft: −{at_best:.2f} points against −{at_worst:.2f})"
    assert text == (
        f"Soft loses less to dense in `good` than in `bad` {losses}." if claimed else ""
    )


def test_one_study_alone_is_not_told_twice():
    assert told(("good", 90, 1.0)) == ""


def on(device: str, head: str, seed: int) -> Record[TrainNumbers]:
    """A run that was trained on a device."""
    record = synthetic.trained(Run(synthetic.study(), head, seed))
    provenance = record.provenance.model_copy(update={"device": device})
    return record.model_copy(update={"provenance": provenance})


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ("A A A A", ""),
        ("A A B B", "The runs paired here always share one."),
        ("A B A A", "In 1 of 2 pairs the two runs were trained on different devices"),
    ],
)
def test_a_study_of_several_devices_says_so(devices, told):
    runs = [("dense", 0), ("soft", 0), ("dense", 1), ("soft", 1)]
    records = [on(device, *run) for device, run in zip(devices.split(), runs, strict=True)]
    text = "".join(part.data for part in words.devices({"tiny": records}))
    assert told in text and bool(text) == bool(told)
