"""Synthetic records of several heads and seeds, for what compares runs."""

import numpy as np
import synthetic

from moelib.study.run import Run


def trained(study, right):
    """`right[head]`: for each seed, how many of 100 test images are classified rightly."""
    return [
        synthetic.trained(Run(study, head, seed), np.arange(100) < count)
        for head, counts in right.items()
        for seed, count in zip(study.seeds, counts, strict=True)
    ]


def analysed(study, gate_mass):
    return [synthetic.analysed(Run(study, head, 0), gate_mass) for head in ("soft", "sparse")]


def sharp(study, train, test=None):
    """`train[head]`, `test[head]`: the largest eigenvalue of each seed on these images."""
    test = test or {head: [30 * value for value in values] for head, values in train.items()}
    return [
        synthetic.sharp(Run(study, head, seed), train[head][i], test[head][i])
        for head in train
        for i, seed in enumerate(study.seeds)
    ]


def surfaced(study, bend):
    return [
        synthetic.surfaced(Run(study, head, seed), value)
        for head, values in bend.items()
        for seed, value in zip(study.seeds, values, strict=True)
    ]


def accurate(study, validation):
    """Records of training whose best validation accuracy is `validation[head][i]` of seed i."""
    records = trained(study, {head: [80] * len(study.seeds) for head in validation})
    for record in records:
        value = validation[record.head][study.seeds.index(record.seed)]
        last = record.numbers.epochs[-1]
        best = last.validation.model_copy(update={"accuracy": value})
        last = last.model_copy(update={"validation": best})
        numbers = record.numbers.model_copy(update={"epochs": (last,)})
        yield record.model_copy(update={"numbers": numbers})


def efficient(slower, repeats=7):
    study = synthetic.study()
    return [synthetic.efficient(Run(study, head, 0), times, repeats) for head, times in slower]
