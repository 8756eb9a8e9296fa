"""Power, equivalence and the correction for a family, against simulation and by hand."""

import numpy as np
import pytest
from scipy import stats

from moelib.report.statistics.hypotheses import WITHIN, over_seeds
from moelib.report.statistics.power import (
    POWER,
    detectable_effect,
    holm,
    needed_seeds,
    power,
)

pytestmark = pytest.mark.slow


def test_power_is_the_share_of_studies_that_see_the_effect():
    generator = np.random.default_rng(0)
    studies = generator.normal(1.0, 1.3, size=(20_000, 6))
    share = (stats.ttest_1samp(studies, 0, axis=1).pvalue < 0.05).mean()
    # Three deviations of a share of about 0.3 over 20,000 studies.
    assert power(1.0, 1.3, 6, 0.05) == pytest.approx(share, abs=0.01)


def test_without_an_effect_power_is_the_level():
    for level in (0.05, 0.05 / 13):
        assert power(0.0, 2.0, 5, level) == pytest.approx(level, rel=1e-9)


def test_needed_seeds_are_the_fewest():
    # Cohen's table 2.4: d = 1.0 two-sided at 0.05 and power 0.8 takes 10 pairs.
    assert needed_seeds(1.0, 1.0, 0.05) == 10
    for effect in (0.5, 2.0, -2.0):
        n = needed_seeds(effect, 1.0, 0.05 / 13)
        assert power(effect, 1.0, n, 0.05 / 13) >= POWER > power(effect, 1.0, n - 1, 0.05 / 13)
    assert needed_seeds(1e-6, 1.0, 0.05) is None


def test_the_detectable_effect_has_the_power():
    for deviation, seeds in ((0.2, 2), (3.0, 5), (1.0, 40)):
        effect = detectable_effect(deviation, seeds, 0.05)
        assert power(effect, deviation, seeds, 0.05) == pytest.approx(POWER, rel=1e-6)


def test_equivalence_errs_at_its_level_at_the_margin():
    generator = np.random.default_rng(1)
    at_margin = generator.normal(1.0, 0.4, size=(4000, 6))
    share = np.mean([equivalence(study) < 0.05 for study in at_margin])
    assert share == pytest.approx(0.05, abs=0.011)  # three deviations of 0.0034
    assert equivalence([0.01, -0.01, 0.0, 0.02]) < 0.001
    assert equivalence([0.9, 1.1, 1.0, 1.2]) > 0.5
    assert np.isnan(equivalence([0.1]))  # the spread over seeds is unknown


def equivalence(differences) -> float:
    """p-value of the hypothesis that the mean difference is within 1 of 0."""
    return over_seeds("difference", differences, WITHIN, 1.0).p_for


def test_holm_by_hand_and_over_families():
    assert holm([0.5]) == [0.5]
    assert holm([0.04, 0.001, 0.9]) == pytest.approx([0.08, 0.003, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    generator = np.random.default_rng(2)
    families = generator.uniform(size=(4000, 13))
    share = np.mean([min(holm(family)) < 0.05 for family in families])
    assert share == pytest.approx(0.05, abs=0.011)
