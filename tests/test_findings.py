import numpy as np
import pytest
import synthetic

from moelib import findings
from moelib.run import Run

BALANCED, COLLAPSED = (0.25, 0.25, 0.25, 0.25), (0.5, 0.5, 0.0, 0.0)


def trained(study, right):
    """`right[head]`: for each seed, how many of 100 test images are classified rightly."""
    return [
        synthetic.trained(Run(study, head, seed), np.arange(100) < count)
        for head, counts in right.items()
        for seed, count in zip(study.seeds, counts, strict=True)
    ]


def analysed(study, gate_mass):
    return [synthetic.analysed(Run(study, head, 0), gate_mass) for head in ("soft", "sparse")]


def verdicts(records, usage=()):
    return {claim: verdict for claim, verdict, _ in findings.claims(records, usage)}


MORE_ACCURATE = "Soft and sparse are slightly more accurate than dense."
COMPARABLE = "The heads generalise comparably."


@pytest.mark.parametrize(
    ("soft", "sparse", "more_accurate", "comparable"),
    [
        ((85, 86, 87), (84, 86, 87), "holds", "does not hold"),
        ((85, 86, 87), (80, 80, 81), "undecided", "does not hold"),
        ((75, 76, 75), (85, 86, 87), "does not hold", "does not hold"),
        ((81, 79, 80), (79, 80, 81), "undecided", "undecided"),
    ],
)
def test_claims_on_accuracy(soft, sparse, more_accurate, comparable):
    records = trained(synthetic.study(), {"dense": (80, 80, 80), "soft": soft, "sparse": sparse})
    found = verdicts(records)
    assert (found[MORE_ACCURATE], found[COMPARABLE]) == (more_accurate, comparable)


def test_heads_that_differ_by_less_than_a_point_generalise_comparably():
    study = synthetic.study()
    counts = {"dense": (800, 800, 800), "soft": (801, 802, 801), "sparse": (799, 800, 801)}
    records = [
        synthetic.trained(Run(study, head, seed), np.arange(1000) < counts[head][seed])
        for head in counts
        for seed in study.seeds
    ]
    assert verdicts(records)[COMPARABLE] == "holds"


def test_one_seed_decides_no_claim_on_accuracy_however_large_the_difference():
    study = synthetic.study(seeds=(0,))
    found = verdicts(trained(study, {"dense": (10,), "soft": (90,), "sparse": (90,)}))
    assert (found[MORE_ACCURATE], found[COMPARABLE]) == ("undecided", "undecided")


def test_without_a_dense_head_accuracy_is_not_judged():
    study = synthetic.study(seeds=(0,))
    assert MORE_ACCURATE not in verdicts(trained(study, {"soft": (90,), "sparse": (90,)}))


@pytest.mark.parametrize(
    ("gate_mass", "balanced", "avoided"),
    [
        (BALANCED, "holds", "holds"),
        ((0.4, 0.3, 0.2, 0.1), "does not hold", "holds"),
        (COLLAPSED, "does not hold", "does not hold"),
    ],
)
def test_claims_on_balance(gate_mass, balanced, avoided):
    study = synthetic.study(seeds=(0,))
    found = verdicts(trained(study, {"soft": (90,)}), analysed(study, gate_mass))
    assert found["With balance losses, the experts end balanced."] == balanced
    assert found["Expert collapse is avoided."] == avoided


def test_accuracy_sentence_of_several_seeds_names_the_interval():
    records = trained(synthetic.study(), {"dense": (80, 80, 80), "soft": (85, 86, 87)})
    said = findings.accuracy_sentence(records)
    assert said.startswith("3 seeds. Mean test accuracy: dense 80.0%, soft 86.0%.")
    # Differences 5, 6, 7: 6 and t(0.975, 2) / sqrt(3) = 4.303 / 1.732 = 2.48 on either side.
    assert "soft is higher (+6.00, 95% interval +3.52 to +8.48)" in said


def test_accuracy_sentence_of_one_seed_says_what_it_cannot_tell():
    study = synthetic.study(seeds=(0,))
    said = findings.accuracy_sentence(trained(study, {"dense": (80,), "soft": (60,)}))
    assert "soft is lower (\N{MINUS SIGN}20.00" in said
    assert "With one seed this compares trained nets, and not heads." in said


def test_usage_sentence_counts_dead_experts_and_informed_runs():
    said = findings.usage_sentence(analysed(synthetic.study(), COLLAPSED))
    assert "Dead experts: soft 2 of 4, sparse 2 of 4." in said
    assert "in 2 of 2 runs" in said
