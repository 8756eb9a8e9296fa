"""What is said of experts that die, and of gates on features that nobody trained."""

import pandas as pd
import prose
import pytest
import synthetic
from test_utilization_tables import with_information

from moelib.report.utilization import words
from moelib.study.run import Run

EPOCHS = 5


def dead(**epochs: list[list[int]]) -> pd.DataFrame:
    """By head and seed in which epochs an expert is dead."""
    return pd.DataFrame(
        {"study": "s", "head": head, "seed": seed, "epoch": epoch, "dead": int(epoch in ends)}
        for head, seeds in epochs.items()
        for seed, ends in enumerate(seeds)
        for epoch in range(1, EPOCHS + 1)
    )


@pytest.mark.parametrize(
    ("runs", "backbone", "told"),
    [
        ({"sparse": [[], []]}, "resnet18", "**No expert is dead in any epoch of `s`.**"),
        (
            {"sparse": [[1, 2], [1, 2, 3]], "soft": [[], []]},
            "speednet",
            "**In 2 of 4 runs of `s` experts are dead in the first epoch, none loses an expert "
            "later, and none ends with a dead one**: dead experts occur in 2 of 2 sparse runs, up "
            "to epoch 3 of 5.",
        ),
        (
            {"sparse": [[1], []], "switch": [[4, 5], [2]]},
            "resnet18",
            "**In 1 of 4 runs of `s` experts are dead in the first epoch, 2 lose an expert later, "
            "and 1 ends with a dead one**: dead experts occur in 1 of 2 sparse runs, up to epoch "
            "1; in 2 of 2 switch runs, up to epoch 5 of 5 (the authors’ run: sparse, up to epoch "
            "11).",
        ),
    ],
)
def test_dead_experts_are_told_by_head_and_last_epoch(runs, backbone, told):
    assert words._died(dead(**runs), backbone) == told


def informed(name: str, **nats: float) -> list:
    """Runs of three seeds of a study, whose heads share so much information with the class."""
    gates = {"frozen": {"kind": "frozen"}}
    heads = {
        head.replace("_", "-"): {
            **gates.get(head, {"kind": "sparse"}),
            "experts": 4,
            "hidden": 8,
            "k": 2,
        }
        for head in nats
    }
    study = synthetic.study(name, heads=heads)
    return [
        with_information(synthetic.analysed(Run(study, head, seed)), value * (1 + 0.01 * seed))
        for head, value in zip(heads, nats.values(), strict=True)
        for seed in study.seeds
    ]


def test_what_is_left_without_losses_is_told_from_another_study():
    records = {
        "a": informed("a", frozen=0.2, sparse=0.5),
        "b": informed("b", frozen=0.2, sparse=0.6, sparse_free=0.2),
    }
    learned, free = words._beyond_frozen(records).split("\n\n")
    assert learned.startswith("**In `a` the sparse gate reveals more")
    assert prose.numbers(learned)[0] == "+0.30" and prose.numbers(free)[0] == "+0.00"
    assert "cannot be shown to reveal more**" in free and free.endswith("3 seeds of `b`).")
    assert "\n" not in words._beyond_frozen({"a": records["a"]})
