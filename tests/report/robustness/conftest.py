"""Runs whose robustness is known."""

import pytest
import robust

from moelib.study.run import Run


@pytest.fixture
def records(study):
    """A soft head that loses twice as much as a dense one."""
    return [
        robust.robust(Run(study, head, seed), loss)
        for head, loss in {"dense": 0.1, "soft": 0.2}.items()
        for seed in study.seeds
    ]
