import numpy as np
import pytest
import series
import synthetic

from moelib.report import claims
from moelib.study.run import Run

BALANCED, COLLAPSED = (0.25, 0.25, 0.25, 0.25), (0.5, 0.5, 0.0, 0.0)


def verdicts(records, usage=()):
    return {claim: verdict for claim, verdict, _ in claims.judge(records, usage)}


MORE_ACCURATE = "Soft and sparse are slightly more accurate than dense."
COMPARABLE = "The heads generalise comparably."


@pytest.mark.parametrize(
    ("soft", "sparse", "more_accurate", "comparable"),
    [
        ((85, 86, 87), (84, 86, 87), "holds", "does not hold"),
        ((85, 86, 87), (80, 80, 81), "undecided", "does not hold"),
        ((75, 76, 75), (85, 86, 87), "does not hold", "does not hold"),
        ((81, 79, 80), (79, 80, 81), "undecided", "undecided"),
        ((87, 87, 87), (87, 87, 87), "undecided", "undecided"),  # seeds that agree decide nothing
    ],
)
def test_claims_on_accuracy(soft, sparse, more_accurate, comparable):
    records = series.trained(
        synthetic.study(), {"dense": (80, 80, 80), "soft": soft, "sparse": sparse}
    )
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


def test_seeds_that_agree_up_to_rounding_decide_no_claim_on_accuracy():
    counts = {"dense": (71, 78, 85), "soft": (74, 81, 88), "sparse": (75, 82, 89)}
    found = verdicts(series.trained(synthetic.study(), counts))
    assert (found[MORE_ACCURATE], found[COMPARABLE]) == ("undecided", "undecided")


def test_one_seed_decides_no_claim_on_accuracy_however_large_the_difference():
    study = synthetic.study(seeds=(0,))
    found = verdicts(series.trained(study, {"dense": (10,), "soft": (90,), "sparse": (90,)}))
    assert (found[MORE_ACCURATE], found[COMPARABLE]) == ("undecided", "undecided")


def test_without_a_dense_head_accuracy_is_not_judged():
    study = synthetic.study(seeds=(0,))
    assert MORE_ACCURATE not in verdicts(series.trained(study, {"soft": (90,), "sparse": (90,)}))


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
    found = verdicts(series.trained(study, {"soft": (90,)}), series.analysed(study, gate_mass))
    assert found["With balance losses, the experts end balanced."] == balanced
    assert found["Expert collapse is avoided."] == avoided


LARGEST_EIGENVALUE = (
    "The soft head has the largest Hessian eigenvalue, on training and on test images."
)


LARGEST_TRACE = "The soft head has the largest Hessian trace, on training and on test images."


SIMILAR = "Dense and sparse lie in a similar curvature regime."


SEPARATED = "Finite steps along the top eigenvector tell dense from soft and sparse."


UNORDERED = "Sharpness does not order validation accuracy."


def landscape_verdicts(study, sharp=(), surfaces=()):
    records = series.trained(study, {"dense": [80] * len(study.seeds)})
    found = claims.judge(records, (), sharp, surfaces)
    return {claim: verdict for claim, verdict, _ in found}


DENSE, ALIKE = (1.0, 1.1, 0.9), (1.05, 1.1, 0.92)


@pytest.mark.parametrize(
    ("soft", "soft_on_test", "largest"),
    [
        ((2.0, 2.3, 1.7), (2.0, 2.3, 1.7), "holds"),
        ((0.5, 0.5, 0.5), (2.0, 2.3, 1.7), "does not hold"),  # as in the authors' saved files
        ((0.5, 2.0, 1.0), (2.0, 2.3, 1.7), "undecided"),
    ],
)
def test_soft_must_be_sharper_on_both_splits(soft, soft_on_test, largest):
    train = {"dense": DENSE, "soft": soft, "sparse": ALIKE}
    found = landscape_verdicts(
        synthetic.study(), series.sharp(synthetic.study(), train, {**train, "soft": soft_on_test})
    )
    assert (found[LARGEST_EIGENVALUE], found[LARGEST_TRACE]) == (largest, largest)


@pytest.mark.parametrize(
    ("sparse", "similar"),
    [
        (ALIKE, "holds"),
        ((3.0, 3.2, 3.1), "does not hold"),
        ((1.0, 2.0, 1.5), "undecided"),
        (DENSE, "undecided"),  # seeds that all agree to the last digit decide nothing
    ],
)
def test_dense_and_sparse_are_alike_within_a_factor(sparse, similar):
    study = synthetic.study()
    train = {"dense": DENSE, "soft": (2.0, 2.3, 1.7), "sparse": sparse}
    assert landscape_verdicts(study, series.sharp(study, train))[SIMILAR] == similar


@pytest.mark.parametrize(
    ("soft", "sparse", "separated"),
    [
        ((4.0, 4.1, 4.2), (3.0, 3.3, 3.6), "holds"),
        ((0.3, 0.2, 0.3), (0.3, 0.3, 0.2), "holds"),  # the claim has no direction
        ((4.0, 4.1, 4.2), (0.3, 0.3, 0.2), "does not hold"),
        ((4.0, 4.1, 4.2), ALIKE, "does not hold"),
        ((4.0, 4.1, 4.2), (1.0, 3.0, 2.0), "undecided"),
    ],
)
def test_mixtures_are_told_from_dense_on_one_side(soft, sparse, separated):
    study = synthetic.study()
    surfaces = series.surfaced(study, {"dense": DENSE, "soft": soft, "sparse": sparse})
    assert landscape_verdicts(study, surfaces=surfaces)[SEPARATED] == separated


def test_one_seed_decides_no_claim_on_curvature():
    study = synthetic.study(seeds=(0,))
    by_head = {"dense": (1.0,), "soft": (9.0,), "sparse": (1.0,)}
    found = landscape_verdicts(study, series.sharp(study, by_head), series.surfaced(study, by_head))
    claims = (LARGEST_EIGENVALUE, LARGEST_TRACE, SIMILAR, SEPARATED, UNORDERED)
    assert [found[claim] for claim in claims] == ["undecided"] * 5


def test_claims_on_curvature_need_all_their_heads():
    study = synthetic.study()
    found = landscape_verdicts(
        study, series.sharp(study, {"dense": DENSE}), series.surfaced(study, {})
    )
    assert {LARGEST_EIGENVALUE, SIMILAR, SEPARATED}.isdisjoint(found)


def test_a_clear_order_refutes_that_there_is_none():
    study = synthetic.study()
    by_head = {"dense": (1.0, 2.0, 3.0), "soft": (4.0, 5.0, 6.0), "sparse": (7.0, 8.0, 9.0)}
    # One of 36 pairs is out of order: an interval with a width.
    validation = {"dense": (0.1, 0.2, 0.3), "soft": (0.5, 0.4, 0.6), "sparse": (0.7, 0.8, 0.9)}
    found = claims.judge(series.accurate(study, validation), (), series.sharp(study, by_head))
    assert next(verdict for claim, verdict, _ in found if claim == UNORDERED) == "does not hold"


@pytest.mark.parametrize(("seeds", "unordered"), [(3, "undecided"), (30, "holds")])
def test_that_there_is_no_order_takes_many_runs(seeds, unordered):
    study = synthetic.study(seeds=tuple(range(seeds)))
    generator = np.random.default_rng(3)
    by_head, validation = (
        {head: generator.random(seeds) for head in ("dense", "sparse")} for _ in range(2)
    )
    found = claims.judge(series.accurate(study, validation), (), series.sharp(study, by_head))
    assert next(verdict for claim, verdict, _ in found if claim == UNORDERED) == unordered


NO_FASTER = "Soft and sparse heads bring no faster inference than a dense one."


def no_faster(records):
    """The verdict and the numbers of the claim on inference, as a list; empty if not judged."""
    right = {"dense": (80,) * 3, "soft": (80,) * 3, "sparse": (80,) * 3}
    found = claims.judge(series.trained(synthetic.study(), right), (), (), (), records)
    return [(said, numbers) for claim, said, numbers in found if claim == NO_FASTER]


@pytest.mark.parametrize(
    ("soft", "sparse", "repeats", "verdict"),
    [
        (1.2, 1.0, 7, "holds"),
        (1.0, 0.99, 7, "holds"),  # a gain of 1 % is none
        (1.2, 0.9, 7, "does not hold"),
        (1.2, 0.9, 5, "undecided"),  # five repeats have no interval of the median
    ],
)
def test_the_claim_on_inference_is_of_both_heads(soft, sparse, repeats, verdict):
    records = series.efficient([("dense", 1.0), ("soft", soft), ("sparse", sparse)], repeats)
    ((said, numbers),) = no_faster(records)
    assert said == verdict
    assert numbers.startswith("times dense: dense 1.000 (")
    assert f"soft {soft:.3f} (" in numbers and f"sparse {sparse:.3f} (" in numbers


@pytest.mark.parametrize("sparse", [1.2, 0.9])  # which alone would decide
@pytest.mark.parametrize(
    ("control", "decided"),
    [(0.985, True), (1.015, True), (0.975, False), (1.025, False), (None, False)],
)
def test_a_dense_head_that_differs_from_its_like_leaves_inference_undecided(
    sparse, control, decided
):
    heads = [("soft", 1.2), ("sparse", sparse)]
    ((said, _),) = no_faster(series.efficient([*heads, *([("dense", control)] if control else [])]))
    assert said == ({1.2: "holds", 0.9: "does not hold"}[sparse] if decided else "undecided")


@pytest.mark.parametrize(("off", "verdict"), [(1, "holds"), (2, "undecided")])
def test_the_interval_of_the_control_counts_and_not_its_median_alone(off, verdict):
    """Of nine ratios the interval goes from the second to the eighth."""
    heads = [("dense", 1.0), ("soft", 1.2), ("sparse", 1.2)]
    dense, *mixtures = series.efficient(heads, repeats=9)
    noisy = tuple(
        way.model_copy(
            update={
                "milliseconds": tuple(
                    ms * (1.5 if i < off else 1) for i, ms in enumerate(way.milliseconds)
                )
            }
        )
        if way.what == "this head"
        else way
        for way in dense.numbers.timed
    )
    numbers = dense.numbers.model_copy(update={"timed": noisy})
    ((said, _),) = no_faster([dense.model_copy(update={"numbers": numbers}), *mixtures])
    assert said == verdict


def test_the_claim_on_inference_needs_both_heads():
    assert no_faster(series.efficient([("dense", 1.0), ("sparse", 1.0)])) == []


def test_the_overview_has_a_verdict_for_each_claim_and_study_that_can_test_it():
    judged = {
        "a": [("first", "holds", "1"), ("third", "undecided", "3")],
        "b": [("first", "does not hold", "1"), ("second", "holds", "2")],
    }
    table = claims.overview(judged).set_index("claim")
    assert list(table.columns) == ["a", "b"]
    assert table["a"].dropna().to_dict() == {"first": "holds", "third": "undecided"}
    assert table["b"].dropna().to_dict() == {"first": "does not hold", "second": "holds"}
