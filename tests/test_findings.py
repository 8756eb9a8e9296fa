import numpy as np
import pytest
import synthetic

from moelib import findings
from moelib.kinds import Case
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


# -- curvature and loss surface -------------------------------------------------------------------


LARGEST_EIGENVALUE = (
    "The soft head has the largest Hessian eigenvalue, on training and on test images."
)
LARGEST_TRACE = "The soft head has the largest Hessian trace, on training and on test images."
SIMILAR = "Dense and sparse lie in a similar curvature regime."
SEPARATED = "Finite steps along the top eigenvector tell dense from soft and sparse."
UNORDERED = "Sharpness does not order validation accuracy."


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


def landscape_verdicts(study, sharp=(), surfaces=()):
    records = trained(study, {"dense": [80] * len(study.seeds)})
    found = findings.claims(records, (), sharp, surfaces)
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
        synthetic.study(), sharp(synthetic.study(), train, {**train, "soft": soft_on_test})
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
    assert landscape_verdicts(study, sharp(study, train))[SIMILAR] == similar


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
    surfaces = surfaced(study, {"dense": DENSE, "soft": soft, "sparse": sparse})
    assert landscape_verdicts(study, surfaces=surfaces)[SEPARATED] == separated


def test_one_seed_decides_no_claim_on_curvature():
    study = synthetic.study(seeds=(0,))
    by_head = {"dense": (1.0,), "soft": (9.0,), "sparse": (1.0,)}
    found = landscape_verdicts(study, sharp(study, by_head), surfaced(study, by_head))
    claims = (LARGEST_EIGENVALUE, LARGEST_TRACE, SIMILAR, SEPARATED, UNORDERED)
    assert [found[claim] for claim in claims] == ["undecided"] * 5


def test_claims_on_curvature_need_all_their_heads():
    study = synthetic.study()
    found = landscape_verdicts(study, sharp(study, {"dense": DENSE}), surfaced(study, {}))
    assert {LARGEST_EIGENVALUE, SIMILAR, SEPARATED}.isdisjoint(found)


def test_a_clear_order_refutes_that_there_is_none():
    study = synthetic.study()
    by_head = {"dense": (1.0, 2.0, 3.0), "soft": (4.0, 5.0, 6.0), "sparse": (7.0, 8.0, 9.0)}
    # One of 36 pairs is out of order: an interval with a width.
    validation = {"dense": (0.1, 0.2, 0.3), "soft": (0.5, 0.4, 0.6), "sparse": (0.7, 0.8, 0.9)}
    found = findings.claims(accurate(study, validation), (), sharp(study, by_head))
    assert next(verdict for claim, verdict, _ in found if claim == UNORDERED) == "does not hold"


@pytest.mark.parametrize(("seeds", "unordered"), [(3, "undecided"), (30, "holds")])
def test_that_there_is_no_order_takes_many_runs(seeds, unordered):
    study = synthetic.study(seeds=tuple(range(seeds)))
    generator = np.random.default_rng(3)
    by_head, validation = (
        {head: generator.random(seeds) for head in ("dense", "sparse")} for _ in range(2)
    )
    found = findings.claims(accurate(study, validation), (), sharp(study, by_head))
    assert next(verdict for claim, verdict, _ in found if claim == UNORDERED) == unordered


def test_sharpness_sentence_compares_with_dense():
    records = sharp(synthetic.study(), {"dense": (1.0, 1.0, 1.0), "soft": (2.0, 4.0, 2.0)})
    said = findings.sharpness_sentence(records)
    assert said.startswith(
        "3 seeds. Largest Hessian eigenvalue, mean over seeds, on training and on test images: "
        "dense 1 and 30, soft 2.67 and 80. Trace: dense 10 and 300, soft 26.7 and 800."
    )
    # Logarithms of 2, 4, 2: mean 4/3 ln 2, half-width t(0.975, 2) / 3 ln 2 = 1.434 ln 2.
    assert "with 95% intervals: eigenvalue soft 2.52 (0.93 to 6.81) and 2.52" in said


def test_sharpness_sentence_counts_what_did_not_converge():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0))
    loose = record.numbers.train.eigenvalues.model_copy(update={"converged": False})
    train = record.numbers.train.model_copy(update={"eigenvalues": loose})
    numbers = record.numbers.model_copy(update={"train": train})
    said = findings.sharpness_sentence([record.model_copy(update={"numbers": numbers})])
    assert "In 1 of 2 cases the eigenvalues did not converge." in said
    assert "Times that of dense" not in said


def test_surface_sentence_is_of_the_largest_radius():
    study = synthetic.study(seeds=(0,))
    said = findings.surface_sentence(surfaced(study, {"dense": (4.0,), "sparse": (8.0,)}))
    rises = "dense 1 and 1, sparse 2 and 2."  # bend r^2 at r = 0.5
    assert (
        f"At radius 0.5 along the top eigenvector the loss on training and on test images has "
        f"risen by, in nats: {rises}" in said
    )
    assert "Images that are sent to other experts there: sparse 50%." in said
    assert "rise along the eigenvector sparse 2.00 and 2.00. With one seed" in said


# -- cost -----------------------------------------------------------------------------------------

NO_FASTER = "Soft and sparse heads bring no faster inference than a dense one."


def efficient(slower, repeats=7):
    study = synthetic.study()
    return [synthetic.efficient(Run(study, head, 0), times, repeats) for head, times in slower]


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
    records = efficient([("soft", soft), ("sparse", sparse)], repeats)
    right = {"dense": (80,) * 3, "soft": (80,) * 3, "sparse": (80,) * 3}
    found = findings.claims(trained(synthetic.study(), right), (), (), (), records)
    assert [said for claim, said, _ in found if claim == NO_FASTER] == [verdict]


def test_the_claim_on_inference_needs_both_heads():
    records = efficient([("dense", 1.0), ("sparse", 1.0)])
    found = findings.claims(trained(synthetic.study(), {"dense": (80,) * 3}), (), (), (), records)
    assert NO_FASTER not in [claim for claim, _, _ in found]


def test_efficiency_sentence_is_of_the_whole_model_and_of_the_head():
    said = findings.efficiency_sentence(efficient([("dense", 1.0), ("sparse", 1.3)]))
    assert "batches of 256" in said
    assert "quartiles: dense 1.00 (1.00 to 1.00), sparse 1.30 (1.30 to 1.30)." in said
    assert "The head alone: dense 1.00, sparse 1.30." in said
    assert "at most 1.053 times faster" in said  # 1000 of 950 multiply-accumulates


def test_scale_sentence_counts_the_sizes_at_which_sparse_wins():
    record = synthetic.scaled()
    wins = [p for p in record.numbers.points if p.k < p.experts and p.total[0] > p.sparse[0]]
    said = findings.scale_sentence(record)
    assert said.startswith("Of 60 sizes with k < E, a sparse head is faster than a dense one of ")
    assert f"at {len(wins)}, most at E = 64, k = 1, h = 512 and 256 images" in said


def test_front_sentence_says_whether_its_ends_can_be_told_apart():
    study = synthetic.study(seeds=(0,))

    def said(dense, sparse):
        cases = tuple(
            Case(
                setting={"head": head, "part": "model", "batch": 1},
                baseline=(1.0, 1.0, 1.0),
                candidate=(ms, ms, ms),
            )
            for head, ms in (("dense", 1.0), ("sparse", 2.0))
        )
        numbers = synthetic.benchmark().numbers.model_copy(update={"cases": cases})
        right = {"dense": (dense,), "sparse": (sparse,)}
        return findings.front_sentence(trained(study, right), numbers)

    assert "the front is dense (50.00%), sparse (52.00%)" in said(50, 52)
    assert said(50, 52).endswith("overlap, so that the data do not tell them apart.")
    assert said(50, 90).endswith("do not overlap.")
    assert "the front is dense (60.00%);" in said(60, 52)  # faster, and more accurate


def test_many_heads_are_counted():
    heads = {f"dense-h{units}": {"kind": "dense", "hidden": units} for units in range(1, 10)}
    study = synthetic.study(seeds=(0,), heads={"dense": {"hidden": 8}, **heads})
    right = {head: (50 + rank,) for rank, head in enumerate(study.heads)}
    right["dense-h9"] = (99,)
    said = findings.accuracy_sentence(trained(study, right))
    assert said.startswith(
        "1 seed. 10 heads, with mean test accuracies from 50.0% (dense) to 99.0%"
    )
    # Six images that one alone has right: p = 2 / 2^6 = 0.03; five: 0.06.
    assert said.endswith("5 not distinguishable, 4 higher.")
