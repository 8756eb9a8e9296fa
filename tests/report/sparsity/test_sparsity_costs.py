"""The cost model of sparse heads of many sizes."""

import itertools

import numpy as np
import pandas as pd
import pytest
import synthetic
from points import point, scaled, with_numbers
from scipy.optimize import lsq_linear

from moelib.heads.executors import EXECUTORS
from moelib.report.sparsity import costs
from moelib.study.executors import choose

ROUNDING = {"rel": 1e-12}  # float64, a handful of operations


COST = {  # ms of each unit, all six of them at work
    "call": 0.02,
    "routing": 0.05,
    "experts": 0.01,
    "gigamacs": 50.0,
    "gigabytes": 100.0,
    "gigavalues": 800.0,
}
ODD = (7.0, 8.0, 9.0, 10.0, 11.0, 12.0)  # times that no size of these tests has


def dense_units(features, units, batch):
    """Numbers of units, in the order of `COST`, of a dense head."""
    macs = features * units
    return np.array([1, 0, 0, batch * macs / 1e9, 4 * macs / 1e9, batch * units / 1e9])


def sparse_units(point):
    """The same of a sparse head by the executor that is chosen for it.

    Batched, all experts are run on all images and none is visited on its own; else images are
    gathered for each choice, and experts that nobody chose are not read.
    """
    d, h, n, experts = point.features, point.hidden, point.batch, point.experts
    run, read, visits, gathered = experts, experts, 0, 0
    if point.chosen != "batched":
        run, gathered, read = point.k, point.k * d, min(experts, n * point.k)
        visits = read
    macs, values = d * (experts + run * h), run * h + gathered + experts
    return np.array(
        [1, 1, visits, n * macs / 1e9, 4 * read * d * h / 1e9, n * values / 1e9],
    )


def record_from(cost):
    """A record whose times are what the cost model says of the executor that the rule chooses.

    All other executors take very long.
    """
    points = []
    coefficients = np.array(list(cost.values()))
    sizes = itertools.product((128, 512), (64, 512), (1, 32, 256), (4, 16, 64), (1, 2, None))
    for d, h, n, experts, k in sizes:
        size = {"experts": experts, "features": d, "hidden": h}
        chosen = choose(n, k or experts, **size)
        size |= {"k": k or experts, "batch": n, "chosen": chosen}
        ms = dict.fromkeys(EXECUTORS, (1e6,) * 6)
        ms[chosen] = (sparse_units(point(**size)) @ coefficients,) * 6
        total, active = (
            (dense_units(d, count * h, n) @ coefficients,) * 6 for count in (experts, k or experts)
        )
        points.append(point(**size, sparse=ms, total=total, active=active))
    return scaled(*points)


def different_heads(record):
    """`costs.HEAD` of all heads, a dense one that recurs once."""
    sparse, dense = [], []
    for p in record.numbers.points:
        sparse.append(("sparse", p.features, p.hidden, p.batch, p.experts, p.k))
        for experts in (p.experts, p.k):
            dense.append(("dense", p.features, experts * p.hidden, p.batch, 1, 1))
    return sparse + list(dict.fromkeys(dense))


def head_keys(table):
    return list(table[costs.HEAD].itertuples(index=False))


def noisy(record, deviation=0.1):
    """The time of each head off by a random factor, the same wherever it recurs."""
    generator = np.random.default_rng(0)
    factors = {
        head: np.exp(deviation * generator.standard_normal()) for head in different_heads(record)
    }

    def distorted(times, *head):
        return tuple(ms * factors[head] for ms in times)

    points = []
    for p in record.numbers.points:
        size = ("sparse", p.features, p.hidden, p.batch, p.experts, p.k)
        total, active = (
            distorted(times, "dense", p.features, experts * p.hidden, p.batch, 1, 1)
            for times, experts in ((p.total, p.experts), (p.active, p.k))
        )
        sparse = {name: distorted(times, *size) for name, times in p.sparse.items()}
        points.append(p.model_copy(update={"sparse": sparse, "total": total, "active": active}))
    return with_numbers(record, points=tuple(points))


def test_the_coefficients_that_made_the_times_are_found():
    model = costs.fit(record_from(COST))
    assert list(model.coefficients.index) == list(costs.TERMS)
    # Columns of numbers from 1e-5 to 100 make the least squares ill-conditioned.
    assert dict(model.coefficients) == pytest.approx(COST, rel=1e-6)
    assert (model.errors < 1e-6).all(axis=None)
    assert model.right == 1


def test_terms_that_cost_nothing_are_found_to_cost_nothing():
    model = costs.fit(synthetic.scaled())
    expected = dict.fromkeys(costs.TERMS, 0.0) | {
        "call": 0.02,
        "routing": 0.05,
        "experts": 0.01,
        "gigamacs": 100.0,
    }
    assert dict(model.coefficients) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_coefficients_are_never_negative():
    """Larger heads that are faster would need one."""
    points = []
    for hidden, batch in itertools.product((1, 2, 4, 8, 16), (1, 10)):
        ms = (10 / hidden,) * 6
        dense = {"total": ms, "active": ms}
        points.append(point(hidden=hidden, batch=batch, sparse={"batched": ms}, **dense))
    assert (costs.fit(scaled(*points)).coefficients >= 0).all()


def test_each_different_head_is_predicted_once():
    """Dense heads recur: of equal size are those beside all k, and 4 * 512 and 32 * 64 units."""
    record = noisy(record_from(COST))
    table = costs.fit(record).predictions
    expected = different_heads(record)
    assert len(expected) < 3 * len(record.numbers.points)
    assert sorted(head_keys(table)) == sorted(expected)
    ms = dict(zip(head_keys(table), table["ms"], strict=True))
    for p in record.numbers.points:
        measured = ms["sparse", p.features, p.hidden, p.batch, p.experts, p.k]
        assert measured == np.median(p.sparse[p.chosen])
        assert ms["dense", p.features, p.experts * p.hidden, p.batch, 1, 1] == p.total[0]


def test_errors_are_of_each_kind_of_head_apart():
    model = costs.fit(noisy(record_from(COST)))
    assert list(model.errors.index) == ["dense", "sparse"]
    for head, rows in model.predictions.groupby("head"):
        errors = sorted(abs(row.predicted / row.ms - 1) for row in rows.itertuples())
        median, nine_in_ten = model.errors.loc[head, ["median", "nine_in_ten"]]
        assert median == pytest.approx(np.median(errors), **ROUNDING)
        assert nine_in_ten == pytest.approx(np.quantile(errors, 0.9), **ROUNDING)
        assert 0 < median < nine_in_ten < 0.5


def test_predictions_are_those_of_a_fit_without_the_batch_of_a_head():
    """Here by hand; the least and the greatest of three batches are among them."""
    record = noisy(record_from(COST))
    table = costs.fit(record).predictions
    sparse = {(p.features, p.hidden, p.batch, p.experts, p.k): p for p in record.numbers.points}
    units = np.array(
        [
            sparse_units(sparse[d, h, n, e, k]) if head == "sparse" else dense_units(d, h, n)
            for head, d, h, n, e, k in head_keys(table)
        ]
    )
    ms = table["ms"].to_numpy()
    scale = units.max(axis=0)  # columns of like size, for the accuracy of the solver
    for batch in (1, 32, 256):
        in_batch = (table["batch"] == batch).to_numpy()
        relative = (units / scale)[~in_batch] / ms[~in_batch, None]
        ones, bounds = np.ones(len(relative)), (0, np.inf)
        solution = lsq_linear(relative, ones, bounds, tol=1e-14, method="bvls")
        expected = (units / scale)[in_batch] @ solution.x
        assert table["predicted"][in_batch].tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_nothing_of_its_batch_helps_a_prediction():
    """All times of one batch, of dense heads and of every d too, may be anything."""
    record = noisy(record_from(COST))
    predictions = costs.fit(record).predictions
    for left_out in (1, 32, 256):
        odd_times = {"sparse": dict.fromkeys(EXECUTORS, ODD), "total": ODD, "active": ODD}
        points = tuple(
            p.model_copy(update=odd_times) if p.batch == left_out else p
            for p in record.numbers.points
        )
        odd_predictions = costs.fit(with_numbers(record, points=points)).predictions
        in_batch = predictions["batch"] == left_out
        assert (odd_predictions["ms"][in_batch] != predictions["ms"][in_batch]).all()
        # All other predictions had the help of this batch.
        unchanged = predictions["predicted"] == odd_predictions["predicted"]
        assert unchanged.equals(in_batch)
        assert set(predictions["head"][in_batch]) == {"sparse", "dense"}


def test_shuffled_times_are_not_predicted():
    """What would show an error that does not depend on the measurements."""
    record = synthetic.scaled()
    points = record.numbers.points
    order = np.random.default_rng(0).permutation(len(points))
    shuffled = tuple(
        p.model_copy(
            update={name: getattr(points[i], name) for name in ("sparse", "total", "active")}
        )
        for p, i in zip(points, order, strict=True)
    )
    model = costs.fit(with_numbers(record, points=shuffled))
    assert (model.errors["median"] > 0.3).all()
    assert (costs.fit(record).errors["median"] < 1e-9).all()
    assert model.right < 1


def beats_dense(point):
    return point.sparse[point.chosen][0] < point.total[0]


def test_the_share_of_pairs_in_the_right_order_is_counted():
    """One sparse head that is a little faster than dense is made a little slower."""
    record = synthetic.scaled()
    points = list(record.numbers.points)
    selecting = [i for i, p in enumerate(points) if p.k < p.experts]
    wins = [i for i in selecting if beats_dense(points[i])]
    model = costs.fit(record)
    assert model.right == 1
    assert model.majority == max(len(wins), len(selecting) - len(wins)) / len(selecting) > 0.5
    closest = max(wins, key=lambda i: points[i].sparse[points[i].chosen][0] / points[i].total[0])
    slower = dict.fromkeys(EXECUTORS, tuple(1.001 * ms for ms in points[closest].total))
    points[closest] = points[closest].model_copy(update={"sparse": slower})
    slower_model = costs.fit(with_numbers(record, points=tuple(points)))
    assert slower_model.right == pytest.approx(1 - 1 / len(selecting), **ROUNDING)
    assert slower_model.majority != model.majority


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_majority_may_be_of_either_answer(factor):
    """Dense heads of equal total parameters that are all faster, or all slower."""
    points = tuple(
        p.model_copy(update={"total": tuple(factor * ms for ms in p.total)})
        for p in synthetic.scaled().numbers.points
    )
    assert costs.fit(scaled(*points)).majority == 1


def test_heads_that_choose_all_experts_enter_the_fit_and_no_order():
    record = synthetic.scaled()
    fast = dict.fromkeys(EXECUTORS, (1e-3,) * 6)
    points = tuple(
        p if p.k < p.experts else p.model_copy(update={"sparse": fast})
        for p in record.numbers.points
    )
    model, fast_model = costs.fit(record), costs.fit(with_numbers(record, points=points))
    assert model.majority == fast_model.majority
    assert model.coefficients["call"] != pytest.approx(fast_model.coefficients["call"])


def test_whether_a_head_wins_is_said_of_its_own_rounds():
    """The machine is ten times slower while some sizes are timed: who wins is as before.

    Each has dense heads of as many units as one that was timed while the machine was fast.
    """
    record = synthetic.scaled()

    def slower(times):
        return tuple(10 * ms for ms in times)

    points = tuple(
        p.model_copy(
            update={
                "sparse": {name: slower(times) for name, times in p.sparse.items()},
                "total": slower(p.total),
                "active": slower(p.active),
            }
        )
        if (p.experts, p.hidden) in ((32, 64), (64, 64))
        else p
        for p in record.numbers.points
    )
    slow_model = costs.fit(with_numbers(record, points=points))
    assert slow_model.majority == costs.fit(record).majority


def test_points_of_bfloat16_do_not_enter():
    record = synthetic.scaled()
    slow = dict.fromkeys(EXECUTORS, (1e6,) * 6)
    odd = tuple(
        p.model_copy(update={"dtype": "bfloat16", "sparse": slow})
        for p in record.numbers.points[::7]
    )
    model = costs.fit(record)
    with_odd = costs.fit(with_numbers(record, points=odd + record.numbers.points))
    pd.testing.assert_series_equal(with_odd.coefficients, model.coefficients)
    pd.testing.assert_frame_equal(with_odd.predictions, model.predictions)
    pd.testing.assert_frame_equal(with_odd.errors, model.errors)
    assert with_odd[3:] == model[3:]
