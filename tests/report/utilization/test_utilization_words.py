"""What is said of experts that die, and of gates on features that nobody trained."""

import pandas as pd
import pytest

from moelib.report.utilization import words

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
            "**In `s` experts die and come back**: dead experts occur in 2 of 2 sparse runs, up to "
            "epoch 3 of 5.",
        ),
        (
            {"sparse": [[1], []], "switch": [[4, 5], [2]]},
            "resnet18",
            "**In 1 of 4 runs of `s` an expert is dead at the end**: dead experts occur in 1 of 2 "
            "sparse runs, up to epoch 1; in 2 of 2 switch runs, up to epoch 5 of 5 (the authors’ "
            "run: sparse, up to epoch 11).",
        ),
    ],
)
def test_dead_experts_are_told_by_head_and_last_epoch(runs, backbone, told):
    assert words._died(dead(**runs), backbone) == told
