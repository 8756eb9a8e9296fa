"""How many seeds a claim needs: as many as that of its parts which needs most."""

import pytest

from moelib.report.claims.claims import CLAIMS, Judgement
from moelib.report.statistics.hypotheses import INCONCLUSIVE, LEVEL, Evidence
from moelib.report.statistics.power import POWER, needed_seeds

FAMILY = LEVEL / len(CLAIMS)


def needed(number: int, *deviations: float, seeds: int = 3) -> int | None:
    """Of an inconclusive claim whose parts have as few seeds as tell of their spread."""
    claim = next(claim for claim in CLAIMS if claim.number == number)
    parts = tuple(Evidence("part", 0.0, -1.0, 1.0, seeds, 0.5, 0.5, d) for d in deviations)
    return Judgement(claim, parts, INCONCLUSIVE, 1.0, 1.0, len(CLAIMS)).needed


@pytest.mark.parametrize(
    ("number", "smallest", "level", "power"),
    [
        (1, 0.005, FAMILY, 1 - (1 - POWER) / 2),  # each of two parts must see it
        (3, 0.01, FAMILY, 1 - (1 - POWER) / 4),  # and of each part two one-sided tests
        (10, 0.22314355131420976, FAMILY / 2, 1 - (1 - POWER) / 2),  # ln 1.25, on either side
    ],
)
def test_the_part_that_scatters_most_decides(number, smallest, level, power):
    narrow, wide = smallest, 2 * smallest
    expected = needed_seeds(smallest, wide, level, power)
    assert needed(number, wide, narrow) == needed(number, narrow, wide) == expected
    assert expected > needed_seeds(smallest, narrow, level, power)


def test_a_part_of_unknown_scatter_leaves_the_number_unknown():
    assert needed(1, 0.005, float("nan")) is None


def test_two_seeds_do_not_tell_how_many_are_needed():
    assert needed(1, 0.02, 0.02, seeds=2) is None
