import math

import numpy as np
import pytest
import series
import synthetic

from moelib.report import thresholds
from moelib.report.claims import claims
from moelib.report.claims.evidence import Records
from moelib.report.statistics.hypotheses import (
    CONTRADICTED,
    INCONCLUSIVE,
    LEVEL,
    SUPPORTED,
    Evidence,
    detectable,
)
from moelib.study.backbones import ResNet18, SmallResNet
from moelib.study.run import Run

SEEDS = tuple(range(8))  # at which a clear effect passes the correction for thirteen claims
NOISE = np.array([0.0, 0.4, -0.5, 0.3, -0.2, 0.6, -0.4, -0.2])
PAPER_NET = ResNet18(kind="resnet18")
OTHER = np.array([0.3, -0.1, 0.2, -0.4, 0.1, -0.3, 0.4, -0.2])


def study(seeds=SEEDS, backbone=PAPER_NET):
    return synthetic.study(seeds=seeds).model_copy(update={"backbone": backbone})


def judgements(*records):
    return {judgement.claim.number: judgement for judgement in claims.judge(Records(*records))}


def judge(*records):
    return {number: judgement.verdict for number, judgement in judgements(*records).items()}


def accurate_heads(**points):
    """Records of training: of each head its accuracy beyond dense in points, with some noise."""
    eight_seeds = study()
    right = {"dense": 8000 + 0 * NOISE}
    right |= {
        head: 8000 + 100 * lead + 20 * noise
        for (head, lead), noise in zip(points.items(), (NOISE, OTHER), strict=False)
    }
    return [
        synthetic.trained(Run(eight_seeds, head, seed), np.arange(10000) < round(counts[seed]))
        for head, counts in right.items()
        for seed in eight_seeds.seeds
    ]


@pytest.mark.parametrize(
    ("soft", "sparse", "more_accurate", "comparable"),
    [
        (3, 3, SUPPORTED, CONTRADICTED),
        (3, 0, INCONCLUSIVE, CONTRADICTED),
        (-3, 3, CONTRADICTED, CONTRADICTED),
        (0, 0, INCONCLUSIVE, SUPPORTED),
        (0.5, 0.5, SUPPORTED, SUPPORTED),
        (1, 0, INCONCLUSIVE, INCONCLUSIVE),
    ],
)
def test_claims_on_accuracy(soft, sparse, more_accurate, comparable):
    verdicts = judge(accurate_heads(soft=soft, sparse=sparse))
    assert (verdicts[1], verdicts[3]) == (more_accurate, comparable)


def test_seeds_that_agree_decide_nothing_while_they_are_few():
    right = {"dense": (80,) * 3, "soft": (87,) * 3, "sparse": (87,) * 3}
    verdicts = judge(series.trained(synthetic.study(), right))
    assert verdicts[1] == verdicts[3] == INCONCLUSIVE


def test_one_seed_decides_no_claim_about_training_however_large_the_difference():
    one_seed = study(seeds=(0,))
    right, by_head = ({"dense": (n,), "soft": (9 * n,), "sparse": (n,)} for n in (10, 1.0))
    records = series.trained(one_seed, right)
    verdicts = judge(
        records,
        series.analysed(one_seed, BALANCED),
        series.sharp(one_seed, by_head),
        series.surfaced(one_seed, by_head),
    )
    verdicts.pop(13, None)
    assert verdicts == dict.fromkeys(range(1, 12), INCONCLUSIVE)


def test_a_narrow_net_says_nothing_of_what_its_size_alone_decides():
    narrow = study(backbone=SmallResNet(kind="small_resnet"))
    records = [
        record.model_copy(update={"study": narrow}) for record in accurate_heads(soft=0, sparse=0)
    ]
    assert {2, 13} < {*judge(accurate_heads(soft=0, sparse=0))}
    assert {2, 13}.isdisjoint(judge(records)) and {1, 3} <= {*judge(records)}


def test_a_claim_needs_all_its_heads():
    verdicts = judge(accurate_heads(soft=3), (), series.sharp(study(), {"dense": 1 + 0 * NOISE}))
    assert {1, 3, 7, 8, 9, 10, 12, 13}.isdisjoint(verdicts)


BALANCED, COLLAPSED = (0.25, 0.25, 0.25, 0.25), (0.5, 0.5, 0.0, 0.0)


def usage(gate_mass):
    """Utilization of both heads with every seed, each a little off these masses."""
    eight_seeds = study()
    return [
        synthetic.analysed(
            Run(eight_seeds, head, seed), tuple(np.abs(np.array(gate_mass) + wobble).tolist())
        )
        for head in ("soft", "sparse")
        for seed in eight_seeds.seeds
        for wobble in [0.01 * NOISE[seed] * np.array([1, -1, 0.5, -0.5])]
    ]


@pytest.mark.parametrize(
    ("gate_mass", "balanced", "avoided"),
    [
        (BALANCED, SUPPORTED, SUPPORTED),
        ((0.4, 0.3, 0.2, 0.1), CONTRADICTED, SUPPORTED),
        (COLLAPSED, CONTRADICTED, CONTRADICTED),
    ],
)
def test_claims_on_balance(gate_mass, balanced, avoided):
    verdicts = judge((), usage(gate_mass))
    assert (verdicts[4], verdicts[5]) == (balanced, avoided)


DENSE, ALIKE = np.exp(0.05 * NOISE), np.exp(0.05 * OTHER)


@pytest.mark.parametrize(
    ("soft", "soft_on_test", "largest"),
    [
        (2.0, 2.0, SUPPORTED),
        (0.5, 2.0, CONTRADICTED),  # as in the authors' saved files
        (1.0, 2.0, INCONCLUSIVE),
    ],
)
def test_soft_must_be_sharper_on_both_splits(soft, soft_on_test, largest):
    noise = np.exp(0.1 * OTHER[::-1])
    train = {"dense": DENSE, "soft": soft * noise, "sparse": ALIKE}
    verdicts = judge((), (), series.sharp(study(), train, {**train, "soft": soft_on_test * noise}))
    assert (verdicts[7], verdicts[8]) == (largest, largest)


@pytest.mark.parametrize(
    ("sparse", "similar"),
    [(ALIKE, SUPPORTED), (3 * ALIKE, CONTRADICTED), (1.5 * ALIKE, INCONCLUSIVE)],
)
def test_dense_and_sparse_are_alike_within_a_factor(sparse, similar):
    train = {"dense": DENSE, "soft": 2 * ALIKE, "sparse": sparse}
    assert judge((), (), series.sharp(study(), train))[9] == similar


@pytest.mark.parametrize(
    ("soft", "sparse", "separated"),
    [
        (4.0, 3.0, SUPPORTED),
        (0.3, 0.3, SUPPORTED),  # the claim has no direction
        (4.0, 0.3, CONTRADICTED),
        (4.0, 1.0, INCONCLUSIVE),
    ],
)
def test_mixtures_are_told_from_dense_on_one_side(soft, sparse, separated):
    rises = {"dense": DENSE, "soft": soft * ALIKE, "sparse": sparse * ALIKE[::-1]}
    assert judge((), (), (), series.surfaced(study(), rises))[10] == separated


def test_a_clear_order_refutes_that_there_is_none():
    by_head = {"dense": range(1, 9), "soft": range(9, 17), "sparse": range(17, 25)}
    # Some pairs are out of order: an interval with a width.
    validation = {head: (np.array(values) + 2 * NOISE) / 40 for head, values in by_head.items()}
    verdicts = judge(series.accurate(study(), validation), (), series.sharp(study(), by_head))
    assert verdicts[11] == CONTRADICTED


@pytest.mark.parametrize(("seeds", "unordered"), [(3, INCONCLUSIVE), (100, SUPPORTED)])
def test_that_there_is_no_order_takes_many_runs(seeds, unordered):
    many_seeds = study(seeds=tuple(range(seeds)))
    generator = np.random.default_rng(3)
    by_head, validation = (
        {head: generator.random(seeds) for head in ("dense", "sparse")} for _ in range(2)
    )
    verdicts = judge(series.accurate(many_seeds, validation), (), series.sharp(many_seeds, by_head))
    assert verdicts[11] == unordered


def verdict_on_inference(records):
    return judge((), (), (), (), records).get(12)


@pytest.mark.parametrize(
    ("soft", "sparse", "repeats", "verdict"),
    [
        (1.2, 1.0, 11, SUPPORTED),
        (1.0, 0.99, 11, SUPPORTED),  # a gain of 1 % is none
        (1.2, 0.9, 11, CONTRADICTED),
        (1.2, 0.9, 7, INCONCLUSIVE),  # seven signs cannot pass the correction
        (1.2, 0.9, 5, INCONCLUSIVE),
    ],
)
def test_the_claim_on_inference_is_of_both_heads(soft, sparse, repeats, verdict):
    heads = [("dense", 1.0), ("soft", soft), ("sparse", sparse)]
    assert verdict_on_inference(series.efficient(heads, repeats)) == verdict


@pytest.mark.parametrize("sparse", [1.2, 0.9])  # which alone would decide
@pytest.mark.parametrize(
    ("control", "decided"),
    [(0.985, True), (1.015, True), (0.975, False), (1.025, False), (None, False)],
)
def test_a_dense_head_that_differs_from_its_like_leaves_inference_undecided(
    sparse, control, decided
):
    heads = [("soft", 1.2), ("sparse", sparse), *([("dense", control)] if control else [])]
    expected = {1.2: SUPPORTED, 0.9: CONTRADICTED}[sparse] if decided else INCONCLUSIVE
    assert verdict_on_inference(series.efficient(heads, repeats=11)) == expected


def test_the_claim_on_inference_needs_both_heads():
    assert (
        verdict_on_inference(series.efficient([("dense", 1.0), ("sparse", 1.0)], repeats=11))
        is None
    )


def test_the_thirteen_claims_are_one_family():
    family = claims.judge(Records(accurate_heads(soft=3, sparse=3)))
    for judgement in family:
        assert judgement.adjusted >= judgement.p_value
    clearest = min(family, key=lambda judgement: judgement.p_value)
    assert clearest.adjusted == pytest.approx(min(1, 13 * clearest.p_value))
    assert [claim.number for claim in claims.CLAIMS] == [*range(1, 14)]


def test_an_inconclusive_claim_says_what_its_seeds_could_have_seen():
    judgement = judgements(accurate_heads(soft=0.1, sparse=0.1))[1]
    assert judgement.verdict == INCONCLUSIVE and judgement.weakest.seeds == 8
    deviation = 0.002 * np.std([NOISE, OTHER], axis=1, ddof=1).max()
    # Eight seeds at 5 % / 13 see about two and a half deviations with power 0.8.
    assert 1.5 * deviation < detectable(judgement.weakest, LEVEL / 13) < 3.5 * deviation
    assert judgement.needed is None  # as many as there are: the mean lies at the margin
    few = [record for record in accurate_heads(soft=0.1, sparse=0.1) if record.seed in (1, 2, 3)]
    assert judgements(few)[1].needed > 3


def test_a_verdict_hangs_on_the_number_that_one_seed_cannot_decide():
    records = accurate_heads(soft=3, sparse=3)
    incomplete = [record for record in records if record.head != "sparse" or record.seed == 0]
    judgement = judgements(incomplete)[1]
    assert judgement.verdict == INCONCLUSIVE
    assert "sparse" in judgement.weakest.name and judgement.weakest.seeds == 1


def test_the_smallest_effect_is_told_in_the_unit_of_its_claim():
    effects = {claim.number: claim.matters for claim in claims.CLAIMS}
    assert effects[1] == "0.5 points" and effects[6] == "0.1 nats" and effects[4] == "0.1"
    assert effects[7] == "a factor of 1.25"  # tested as a logarithm
    shares = Evidence("dense", 0.99, 0.97, 1.2, 2, *[0.5] * 3)
    assert "97.00% to 100.00%" in claims.CLAIMS[1].in_words(shares)
    ratio = Evidence("soft / dense", 1.1, 0.9, 1.35, 5, 0.01, 0.9, 0.01)
    assert claims.CLAIMS[6].in_words(ratio) == "soft / dense: 1.1 (0.9 to 1.35)"


def test_the_numbers_of_a_claim_have_their_unit():
    family = judgements(accurate_heads(soft=3, sparse=3))
    soft, points = (family[number].claim.in_words(family[number].evidence[0]) for number in (2, 1))
    assert points.startswith("soft − dense: +3.") and points.endswith("points")
    assert "%" in soft


def test_the_rules_name_their_own_thresholds():
    rules = {claim.number: claim.holds for claim in claims.CLAIMS}
    assert f"{thresholds.FITTED:.1%}" in rules[2] and f"{thresholds.BALANCED:g}" in rules[4]
    assert math.isclose(claims.CLAIMS[6].smallest, math.log(1.25))
