"""Sentences and verdicts computed from records: the book's words cannot outlive its numbers.

The book's page on the claims states the rules; their thresholds are the constants below.
"""

from collections.abc import Iterable

import pandas as pd

from moelib import comparisons, frames
from moelib.frames import Analysed, Trained
from moelib.statistics import CONFIDENCE

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
CLAIMED = ("soft", "sparse")  # the heads that the paper's claims are about
FITTED = 0.999  # training accuracy from which on a head fits the training images
COMPARABLE = 0.01  # accuracy difference below which two heads count as comparable
BALANCED = 0.2  # coefficient of variation of gate mass below which experts count as balanced


# -- sentences ------------------------------------------------------------------------------------


def accuracy_sentence(records: Trained) -> str:
    """What the accuracies of one study say, and how sure that is."""
    records = list(records)
    table = comparisons.accuracy(records)
    means = _list(f"{row.head} {row.mean:.1%}" for row in table.itertuples())
    said = f"{_seeds(records)}. Mean test accuracy: {means}."
    compared = comparisons.differences(records)
    if len(compared):
        parts = (
            f"{row.head} is {row.verdict} ({_points(row.difference)}, "
            f"95% interval {_points(row.low)} to {_points(row.high)})"
            for row in compared.itertuples()
        )
        return f"{said} Against dense, in points, paired by seed: {_list(parts)}."
    single = comparisons.image_comparisons(records)
    if len(single):
        parts = (
            f"{row.head} is {_image_verdict(row)} "
            f"({_points(row.difference)}, p = {row.p_value:.2g})"
            for row in single.itertuples()
        )
        return (
            f"{said} Against dense, in points, on the same test images (exact McNemar test): "
            f"{_list(parts)}. With one seed this compares trained nets, and not heads."
        )
    return said


def usage_sentence(records: Analysed) -> str:
    """What the utilization of one study says."""
    records = list(records)
    test = frames.usage_summary(records).query("split == 'test'")
    experts = {record.head: len(record.numbers.test.gate_mass) for record in records}
    variations, dead = [], []
    for head, runs in test.groupby("head", sort=False):
        mass, load = runs["gate_mass_variation"].mean(), runs["load_variation"].mean()
        variations.append(f"{head} {mass:.2f} and {load:.2f}")
        dead.append(f"{head} {runs['dead_experts'].sum()} of {len(runs) * experts[head]}")
    informed = int((test["information"] > test["null_95"]).sum())
    return (
        f"{_seeds(records)}. Coefficients of variation of gate mass and of load over experts, on "
        f"test images: {_list(variations)}. Dead experts: {_list(dead)}. Class and expert share "
        f"more information than under 95% of shuffled labels in {informed} of {len(test)} runs."
    )


# -- the paper's claims ---------------------------------------------------------------------------


def claims(trained: Trained, analysed: Analysed) -> list[tuple[str, str, str]]:
    """(claim, verdict, the numbers behind it) for each claim that a study's records can test."""
    trained = [r for r in trained if r.head in (*CLAIMED, comparisons.REFERENCE)]
    usage = frames.usage_summary(r for r in analysed if r.head in CLAIMED)
    found = []
    if len(comparisons.seed_differences(trained)):
        found += [_more_accurate(trained), _comparable(trained)]
    found.append(_fitted(trained))
    if len(usage):
        test = usage.query("split == 'test'")
        found += [_balanced(test), _not_collapsed(test), _specialised(test)]
    return found


def _more_accurate(trained: Trained) -> tuple[str, str, str]:
    claim = "Soft and sparse are slightly more accurate than dense."
    compared = comparisons.differences(trained)
    if compared.empty:
        single = comparisons.image_comparisons(trained).itertuples()
        numbers = _list(f"{row.head} {_points(row.difference)}" for row in single)
        return claim, UNDECIDED, f"{numbers}; needs two seeds or more"
    numbers = _list(
        f"{row.head} {_points(row.difference)} ({row.verdict})" for row in compared.itertuples()
    )
    if (compared["verdict"] == "higher").all():
        return claim, HOLDS, numbers
    return claim, FAILS if (compared["verdict"] == "lower").any() else UNDECIDED, numbers


def _comparable(trained: Trained) -> tuple[str, str, str]:
    claim = "The heads generalise comparably."
    compared = comparisons.differences(trained)
    if compared.empty:
        return claim, UNDECIDED, "needs two seeds or more"
    numbers = _list(
        f"{row.head} {_points(row.low)} to {_points(row.high)}" for row in compared.itertuples()
    )
    if (compared["low"] > -COMPARABLE).all() and (compared["high"] < COMPARABLE).all():
        return claim, HOLDS, numbers
    apart = (compared["high"] < -COMPARABLE) | (compared["low"] > COMPARABLE)
    return claim, FAILS if apart.any() else UNDECIDED, numbers


def _fitted(trained: Trained) -> tuple[str, str, str]:
    lowest = frames.finals(trained).groupby("head", sort=False)["last_train_accuracy"].min()
    numbers = _list(f"{head} {value:.2%}" for head, value in lowest.items())
    verdict = HOLDS if (lowest >= FITTED).all() else FAILS
    return "All heads fit the training images.", verdict, numbers


def _balanced(test: pd.DataFrame) -> tuple[str, str, str]:
    highest = test.groupby("head", sort=False)[["gate_mass_variation", "load_variation"]].max()
    numbers = _list(
        f"{row.Index} {row.gate_mass_variation:.2f} (load {row.load_variation:.2f})"
        for row in highest.itertuples()
    )
    verdict = HOLDS if (highest["gate_mass_variation"] < BALANCED).all() else FAILS
    return "With balance losses, the experts end balanced.", verdict, numbers


def _not_collapsed(test: pd.DataFrame) -> tuple[str, str, str]:
    totals = test.groupby("head", sort=False)[["dead_experts", "epochs_with_dead"]].max()
    numbers = _list(
        f"{row.Index} {row.dead_experts} at the end, some in {row.epochs_with_dead} epochs"
        for row in totals.itertuples()
    )
    verdict = FAILS if (totals["dead_experts"] > 0).any() else HOLDS
    return "Expert collapse is avoided.", verdict, numbers


def _specialised(test: pd.DataFrame) -> tuple[str, str, str]:
    groups = test.groupby("head", sort=False)[["information", "null_95"]]
    numbers = _list(
        f"{head} {runs['information'].min():.2f} nats (null {runs['null_95'].max():.2f})"
        for head, runs in groups
    )
    verdict = HOLDS if (test["information"] > test["null_95"]).all() else FAILS
    return "Experts specialise by class.", verdict, numbers


# -- words ----------------------------------------------------------------------------------------


def _seeds(records: list) -> str:
    seeds = len({record.seed for record in records})
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def _image_verdict(row) -> str:
    if row.p_value >= 1 - CONFIDENCE:
        return "not distinguishable"
    return "higher" if row.difference > 0 else "lower"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "\N{MINUS SIGN}")


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
