"""Synthetic runs that tests of several chapters share."""

import numpy as np
import pytest
import synthetic

from moelib.study.run import Run


@pytest.fixture(scope="module")
def study():
    return synthetic.study(seeds=(0, 1))


@pytest.fixture(scope="module")
def runs(study):
    return [Run(study, head, seed) for head in study.heads for seed in study.seeds]


@pytest.fixture(scope="module")
def trained(runs):
    return [
        synthetic.trained(run, np.arange(10) < 6 + run.seed + len(run.head) % 3) for run in runs
    ]
