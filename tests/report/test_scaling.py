"""Sparse heads of many sizes."""

import itertools

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy.optimize import lsq_linear

from moelib.heads.executors import EXECUTORS
from moelib.records.benchmarks import Aim, ScalePoint
from moelib.report import scaling
from moelib.study.executors import choose

ROUNDING = {"rel": 1e-12}  # float64, a handful of operations


def changed(record, **numbers):
    """The record with other numbers."""
    return record.model_copy(update={"numbers": record.numbers.model_copy(update=numbers)})


def point(**changes):
    """Four experts of 5 units, two chosen, on 3 images of 10 features: so few are `batched`."""
    of = {
        "experts": 4,
        "k": 2,
        "features": 10,
        "hidden": 5,
        "batch": 3,
        "dtype": "float32",
        "chosen": "batched",
        "sparse": {"batched": (2.0, 2.0, 4.0, 8.0, 4.0, 1.0, 2.0, 4.0, 8.0), "loop": (1.6,) * 9},
        "total": (4.0, 3.0, 4.0, 8.0, 12.0, 3.0, 5.0, 2.0, 32.0),
        "active": (1.0, 2.0, 2.0, 4.0, 1.0, 1.0, 1.0, 1.0, 2.0),
    }
    return ScalePoint(**{**of, **changes})


def scaled(*points, classes=2):
    return changed(synthetic.scaled(), points=points, classes=classes)


def test_one_point_by_hand():
    row = scaling.scale(scaled(point())).iloc[0]
    assert (row["share"], row["ideal"]) == (0.5, 2)
    # Pairs of total by sparse, in order: 1/2, 1, 1, 3/2, 2, 5/2, 3, 3, 4.
    assert (row["speedup_low"], row["speedup"], row["speedup_high"]) == (1, 2, 3)
    # Pairs of sparse by active, in order: 1, 1, 2, 2, 2, 2, 4, 4, 4.
    assert (row["overhead_low"], row["overhead"], row["overhead_high"]) == (2, 2, 4)
    assert (row["sparse_ms_low"], row["sparse_ms"], row["sparse_ms_high"]) == (2, 4, 4)
    assert (row["total_ms"], row["active_ms"]) == (4, 1)
    # On each image the gate's 10 * 4, and twice 10 * 5 + 5 * 2 and 2 to weight the logits; dense,
    # 20 units of 10 + 2.
    assert row["macs"] == 3 * (40 + 2 * 62) == 492
    assert row["arithmetic"] == pytest.approx(720 / 492, **ROUNDING)
    # All four experts are chosen by some image: 40 + 4 * 60 weights, and 3 * (10 + 2) values.
    assert row["intensity"] == pytest.approx(984 / (4 * (280 + 36)), **ROUNDING)
    assert row["gigaflops"] == pytest.approx(984 / 4e-3 / 1e9, **ROUNDING)
    assert row["regret"] == 4 / 1.6


def test_the_sure_speed_up_is_the_low_end_of_the_interval_of_the_median():
    """Of nine the second smallest: below it lies the median with 10 / 512 < 2.5 %, by signs."""
    total = (0.2, 1.3, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 9.0)
    row = scaling.scale(scaled(point(sparse={"batched": (1.0,) * 9}, total=total))).iloc[0]
    assert (row["surely"], row["speedup_low"], row["speedup"]) == (1.3, 1.5, 1.7)


def test_five_rounds_make_no_speed_up_sure():
    five = {"sparse": {"batched": (1.0,) * 5}, "total": (3.0,) * 5, "active": (1.0,) * 5}
    row = scaling.scale(scaled(point(**five))).iloc[0]
    assert row["speedup"] == 3 and np.isnan(row["surely"])


@pytest.mark.parametrize(
    ("chosen", "regret"),
    [("grouped", 4 / 1.25), ("loop", 5 / 1.25), ("batched", 1)],  # medians, and none is of pairs
)
def test_the_regret_is_against_the_fastest_executor(monkeypatch, chosen, regret):
    """Of the rule as it is now, whatever it was when the point was timed."""
    monkeypatch.setattr(scaling, "choose", lambda *_, **__: chosen)
    sparse = {
        "batched": (1.25, 1.0, 9.0),
        "loop": (5.0, 5.0, 5.0),
        "grouped": (1.0, 4.0, 4.0),
    }
    dense = {"total": (8.0, 8.0, 8.0), "active": (1.0, 1.0, 1.0)}
    row = scaling.scale(scaled(point(chosen="then", sparse=sparse, **dense))).iloc[0]
    assert row["chosen"] == chosen
    assert row["regret"] == pytest.approx(regret, **ROUNDING)
    # All other times are of that executor too.
    assert row["sparse_ms"] == np.median(sparse[chosen])
    assert row["speedup"] == pytest.approx(np.median([8 / ms for ms in sparse[chosen]]), **ROUNDING)
    assert row["overhead"] == np.median(sparse[chosen])


@pytest.mark.parametrize("device", ["cpu", "another"])
def test_the_rule_is_asked_for_each_point_on_its_device(monkeypatch, device):
    asked = []
    monkeypatch.setattr(
        scaling, "choose", lambda *of, **more: asked.append((of, more)) or "batched"
    )
    both = point(sparse={"batched": (1.0,) * 9, "grouped": (1.0,) * 9})
    record = scaled(both, point())
    if device != "cpu":
        provenance = record.provenance.model_copy(update={"device": "some GPU"})
        record = record.model_copy(update={"provenance": provenance})
    scaling.scale(record)
    of = {"experts": 4, "features": 10, "hidden": 5, "on_cpu": device == "cpu"}
    assert asked == [((3, 2), {**of, "has_grouped": has}) for has in (True, False)]


def test_points_at_which_the_rules_executor_was_not_timed_are_left_out():
    untimed = point(k=4, sparse={"loop": (1.0,) * 9})
    record = scaled(point(), untimed)
    assert list(scaling.scale(record)["k"]) == [2]
    assert scaling.untimed_points(record) == [untimed]
    groups = [point(batch=batch) for batch in (3, 4)]
    model = scaling.cost_model(scaled(*groups))
    more = scaling.cost_model(scaled(*groups, untimed))
    pd.testing.assert_frame_equal(more.predictions, model.predictions)


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({"batch": 1}, 40 + 2 * 60 + 12),  # of one image, two experts
        ({"batch": 1, "k": 4}, 40 + 4 * 60 + 12),
        ({"batch": 2, "k": 1}, 40 + 2 * 60 + 24),
        ({"batch": 100}, 40 + 4 * 60 + 1200),  # no more than there are
    ],
)
def test_only_weights_that_some_image_needs_are_moved(changes, values):
    row = scaling.scale(scaled(point(**changes))).iloc[0]
    assert row["intensity"] == pytest.approx(2 * row["macs"] / (4 * values), **ROUNDING)


def test_numbers_of_half_the_bytes_have_twice_the_intensity():
    wide, narrow = scaling.scale(scaled(point(), point(dtype="bfloat16")))["intensity"]
    assert narrow == 2 * wide


def test_all_experts_chosen_have_nothing_to_gain():
    row = scaling.scale(scaled(point(k=4))).iloc[0]
    assert (row["share"], row["ideal"]) == (1, 1)
    assert row["arithmetic"] < 1  # the gate is on top


def test_arithmetic_nears_the_ideal_as_the_gate_shrinks_beside_its_experts():
    """It is E / k times (d + c) / (d E / (h k) + d + c + c / h), which grows with h."""
    wide = [point(hidden=hidden) for hidden in (1, 10, 1000, 10**6)]
    table = scaling.scale(scaled(*wide))
    assert table["arithmetic"].is_monotonic_increasing
    assert (table["arithmetic"] < table["ideal"]).all()
    assert table["arithmetic"].iloc[-1] == pytest.approx(2, rel=1e-5)


def shares(experts, batch, points):
    """Rows of a frame of scale, from k -> (sure speed-up, its median)."""
    return [
        {
            "experts": experts,
            "features": 8,
            "hidden": 8,
            "batch": batch,
            "dtype": "float32",
            "k": k,
            "share": k / experts,
            "ideal": experts / k,
            "arithmetic": 0.5 * experts / k,
            "surely": surely,
            "speedup": median,
        }
        for k, (surely, median) in points.items()
    ]


@pytest.mark.parametrize(
    ("points", "crossover"),
    [
        ({1: (3.0, 4.0), 2: (1.5, 2.0), 4: (1.1, 1.2), 8: (0.5, 0.6)}, 4 / 8),
        ({4: (0.9, 1.1), 2: (1.5, 2.0), 1: (3.0, 4.0)}, 2 / 8),  # in whatever order; 1.1 is unsure
        ({1: (3.0, 4.0), 2: (1.0, 1.2), 4: (1.0, 1.1)}, 1 / 8),  # 1 is not above 1
        ({1: (3.0, 4.0), 2: (0.9, 1.0), 4: (1.5, 1.6)}, 1 / 8),  # between them, dense is as good
        ({1: (3.0, 4.0), 2: (np.nan, 3.0), 4: (1.5, 1.6)}, 1 / 8),  # too few rounds
        ({1: (0.9, 1.5), 2: (1.5, 2.0), 4: (1.2, 1.3)}, None),  # the smallest share does not win
        ({1: (0.2, 0.3), 2: (0.5, 0.8), 8: (0.4, 0.5)}, None),
        ({1: (3.0, 4.0), 2: (2.0, 2.0), 8: (1.5, 1.6)}, 2 / 8),  # k = E leaves out no expert
    ],
)
def test_the_crossover_is_the_largest_share_up_to_which_sparse_surely_wins(points, crossover):
    found = scaling.crossovers(pd.DataFrame(shares(8, 1, points)))["crossover"].item()
    assert found == crossover or (crossover is None and np.isnan(found))


@pytest.mark.parametrize(
    ("points", "seen"),
    [
        ({1: (3.0, 4.0), 2: (1.5, 2.0), 4: (0.9, 1.2)}, True),
        ({1: (3.0, 4.0), 2: (1.5, 2.0), 4: (1.1, 1.2)}, False),
        ({2: (1.1, 1.2), 1: (3.0, 4.0), 8: (0.5, 0.6)}, False),  # k = E cannot win
        ({1: (0.9, 4.0), 2: (1.5, 2.0)}, True),
    ],
)
def test_a_crossover_at_the_largest_timed_share_is_open(points, seen):
    assert scaling.crossovers(pd.DataFrame(shares(8, 1, points)))["open"].item() is not seen


def test_each_size_has_its_best_share():
    table = scaling.crossovers(
        pd.DataFrame(
            shares(8, 1, {1: (0.2, 0.3), 2: (0.5, 0.8), 8: (0.4, 9.0)})
            + shares(8, 32, {1: (3.0, 4.0), 2: (1.5, 2.0), 4: (0.9, 1.1), 8: (0.5, 0.6)})
            + shares(16, 32, {1: (0.8, 1.5), 2: (1.2, 1.3), 4: (1.0, 1.2)})
        )
    )
    assert list(zip(table["experts"], table["batch"], strict=True)) == [(8, 1), (8, 32), (16, 32)]
    assert list(table["best"]) == [0.8, 4.0, 1.5]
    assert list(table["best_k"]) == [2, 1, 1]
    assert list(table["of_ideal"]) == pytest.approx([0.8 / 4, 4 / 8, 1.5 / 16], **ROUNDING)
    assert list(table["of_arithmetic"]) == pytest.approx([0.8 / 2, 4 / 4, 1.5 / 8], **ROUNDING)


def test_a_size_of_a_single_share_has_no_crossover_to_look_for():
    one, two = {1: (3.0, 4.0), 8: (0.5, 0.6)}, {1: (3.0, 4.0), 2: (1.5, 2.0)}
    table = scaling.crossovers(pd.DataFrame(shares(8, 1, one) + shares(8, 32, two)))
    assert list(table["batch"]) == [32]
    assert scaling.crossovers(pd.DataFrame(shares(8, 1, one))).empty


def test_sizes_of_another_dtype_are_other_sizes():
    points = [point(k=k, dtype=dtype) for dtype in ("float32", "bfloat16") for k in (1, 2)]
    table = scaling.crossovers(scaling.scale(scaled(*points)))
    assert list(table["dtype"]) == ["float32", "bfloat16"]
    assert scaling.crossovers(scaling.scale(scaled(points[0], points[2]))).empty


AT = {"experts": 4, "k": 2, "features": 10, "hidden": 5, "batch": 3}


@pytest.mark.parametrize(
    ("speedup", "overhead", "met"),
    [(2, 2, True), (2.001, 2, False), (2, 1.999, False), (1, 9, True), (9, 1, False)],
)
def test_an_aim_is_met_where_both_bounds_are_kept(speedup, overhead, met):
    """The point's medians are 2 and 2, at the low ends of whose intervals lies less."""
    record = changed(scaled(point()), aim=Aim(**AT, speedup=speedup, overhead=overhead))
    (row,) = scaling.aims(record).itertuples()
    assert (row.speedup, row.overhead, row.met) == (2, 2, met)


def test_an_aim_is_of_its_size_alone_in_every_precision():
    others = [point(**{name: value + 1}) for name, value in AT.items()]
    slow = point(dtype="bfloat16", total=(1.0,) * 9)
    record = changed(
        scaled(*others[:3], point(), *others[3:], slow), aim=Aim(**AT, speedup=1.0, overhead=3.0)
    )
    table = scaling.aims(record)
    assert list(table["dtype"]) == ["float32", "bfloat16"]
    assert list(table["met"]) == [True, False]
    assert (table[list(AT)] == pd.Series(AT)).all(axis=None)
    assert scaling.aims(changed(record, points=tuple(others))).empty


def test_the_curve_of_an_aim_is_of_its_size_at_every_batch():
    points = [point(batch=batch) for batch in (9, 1, 3)]
    others = [point(**{name: value + 1}) for name, value in AT.items() if name != "batch"]
    narrow = [point(dtype="bfloat16", batch=batch) for batch in (2, 1)]
    record = changed(scaled(*narrow, *others, *points), aim=Aim(**AT, speedup=1.0, overhead=3.0))
    table = scaling.aim_curve(record)
    found = list(zip(table["dtype"], table["batch"], strict=True))
    assert found == [("float32", n) for n in (1, 3, 9)] + [("bfloat16", n) for n in (1, 2)]


# -- the cost model -------------------------------------------------------------------------------

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


def made_by(cost):
    """A record whose times are what the cost model says of the executor that the rule chooses.

    All other executors take very long.
    """
    points = []
    of = np.array(list(cost.values()))
    sizes = itertools.product((128, 512), (64, 512), (1, 32, 256), (4, 16, 64), (1, 2, None))
    for d, h, n, experts, k in sizes:
        size = {"experts": experts, "features": d, "hidden": h}
        chosen = choose(n, k or experts, **size)
        size |= {"k": k or experts, "batch": n, "chosen": chosen}
        ms = dict.fromkeys(EXECUTORS, (1e6,) * 6)
        ms[chosen] = (sparse_units(point(**size)) @ of,) * 6
        total, active = (
            (dense_units(d, count * h, n) @ of,) * 6 for count in (experts, k or experts)
        )
        points.append(point(**size, sparse=ms, total=total, active=active))
    return scaled(*points)


def different_heads(record):
    """(head, features, hidden units, batch, E, k) of all heads, a dense one that recurs once."""
    sparse, dense = [], []
    for p in record.numbers.points:
        sparse.append(("sparse", p.features, p.hidden, p.batch, p.experts, p.k))
        for experts in (p.experts, p.k):
            dense.append(("dense", p.features, experts * p.hidden, p.batch, 1, 1))
    return sparse + list(dict.fromkeys(dense))


def of_rows(table):
    return list(table[["head", "features", "hidden", "batch", "E", "k"]].itertuples(index=False))


def noisy(record, deviation=0.1):
    """The time of each head off by a random factor, the same wherever it recurs."""
    generator = np.random.default_rng(0)
    factors = {
        head: np.exp(deviation * generator.standard_normal()) for head in different_heads(record)
    }

    def off(times, *head):
        return tuple(ms * factors[head] for ms in times)

    points = []
    for p in record.numbers.points:
        size = ("sparse", p.features, p.hidden, p.batch, p.experts, p.k)
        total, active = (
            off(times, "dense", p.features, experts * p.hidden, p.batch, 1, 1)
            for times, experts in ((p.total, p.experts), (p.active, p.k))
        )
        sparse = {name: off(times, *size) for name, times in p.sparse.items()}
        points.append(p.model_copy(update={"sparse": sparse, "total": total, "active": active}))
    return changed(record, points=tuple(points))


def test_the_coefficients_that_made_the_times_are_found():
    model = scaling.cost_model(made_by(COST))
    assert list(model.coefficients.index) == list(scaling.TERMS)
    # Columns of numbers from 1e-5 to 100 make the least squares ill-conditioned.
    assert dict(model.coefficients) == pytest.approx(COST, rel=1e-6)
    assert (model.errors < 1e-6).all(axis=None)
    assert model.right == 1


def test_terms_that_cost_nothing_are_found_to_cost_nothing():
    model = scaling.cost_model(synthetic.scaled())
    expected = dict.fromkeys(scaling.TERMS, 0.0) | {
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
    assert (scaling.cost_model(scaled(*points)).coefficients >= 0).all()


def test_each_different_head_is_predicted_once():
    """Dense heads recur: of equal size are those beside all k, and 4 * 512 and 32 * 64 units."""
    record = noisy(made_by(COST))
    table = scaling.cost_model(record).predictions
    expected = different_heads(record)
    assert len(expected) < 3 * len(record.numbers.points)
    assert sorted(of_rows(table)) == sorted(expected)
    ms = dict(zip(of_rows(table), table["ms"], strict=True))
    for p in record.numbers.points:
        found = ms["sparse", p.features, p.hidden, p.batch, p.experts, p.k]
        assert found == np.median(p.sparse[p.chosen])
        assert ms["dense", p.features, p.experts * p.hidden, p.batch, 1, 1] == p.total[0]


def test_errors_are_of_each_kind_of_head_apart():
    model = scaling.cost_model(noisy(made_by(COST)))
    assert list(model.errors.index) == ["dense", "sparse"]
    for head, rows in model.predictions.groupby("head"):
        errors = sorted(abs(row.predicted / row.ms - 1) for row in rows.itertuples())
        median, nine_in_ten = model.errors.loc[head, ["median", "nine_in_ten"]]
        assert median == pytest.approx(np.median(errors), **ROUNDING)
        assert nine_in_ten == pytest.approx(np.quantile(errors, 0.9), **ROUNDING)
        assert 0 < median < nine_in_ten < 0.5


def test_predictions_are_those_of_a_fit_without_the_batch_of_a_head():
    """Here by hand; the least and the greatest of three batches are among them."""
    record = noisy(made_by(COST))
    table = scaling.cost_model(record).predictions
    sparse = {(p.features, p.hidden, p.batch, p.experts, p.k): p for p in record.numbers.points}
    units = np.array(
        [
            sparse_units(sparse[d, h, n, e, k]) if head == "sparse" else dense_units(d, h, n)
            for head, d, h, n, e, k in of_rows(table)
        ]
    )
    ms = table["ms"].to_numpy()
    scale = units.max(axis=0)  # columns of like size, for the accuracy of the solver
    for batch in (1, 32, 256):
        own = (table["batch"] == batch).to_numpy()
        relative = (units / scale)[~own] / ms[~own, None]
        found = lsq_linear(relative, np.ones(len(relative)), (0, np.inf), tol=1e-14, method="bvls")
        expected = (units / scale)[own] @ found.x
        assert table["predicted"][own].tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_nothing_of_its_batch_helps_a_prediction():
    """All times of one batch, of dense heads and of every d too, may be anything."""
    record = noisy(made_by(COST))
    before = scaling.cost_model(record).predictions
    for left_out in (1, 32, 256):
        odd = {"sparse": dict.fromkeys(EXECUTORS, ODD), "total": ODD, "active": ODD}
        points = tuple(
            p.model_copy(update=odd) if p.batch == left_out else p for p in record.numbers.points
        )
        after = scaling.cost_model(changed(record, points=points)).predictions
        own = before["batch"] == left_out
        assert (after["ms"][own] != before["ms"][own]).all()
        # All other predictions had the help of this batch.
        same = before["predicted"] == after["predicted"]
        assert same.equals(own) and set(before["head"][own]) == {"sparse", "dense"}


def test_shuffled_times_are_not_predicted():
    """What would show an error that does not depend on the measurements."""
    record = synthetic.scaled()
    points = record.numbers.points
    order = np.random.default_rng(0).permutation(len(points))
    shuffled = tuple(
        p.model_copy(update={of: getattr(points[i], of) for of in ("sparse", "total", "active")})
        for p, i in zip(points, order, strict=True)
    )
    mixed = scaling.cost_model(changed(record, points=shuffled))
    assert (mixed.errors["median"] > 0.3).all()
    assert (scaling.cost_model(record).errors["median"] < 1e-9).all()
    assert mixed.right < 1


def won(point):
    return point.sparse[point.chosen][0] < point.total[0]


def test_the_share_of_pairs_in_the_right_order_is_counted():
    """One sparse head that is a little faster than dense is made a little slower."""
    record = synthetic.scaled()
    points = list(record.numbers.points)
    selecting = [i for i, p in enumerate(points) if p.k < p.experts]
    wins = [i for i in selecting if won(points[i])]
    model = scaling.cost_model(record)
    assert model.right == 1
    assert model.majority == max(len(wins), len(selecting) - len(wins)) / len(selecting) > 0.5
    closest = max(wins, key=lambda i: points[i].sparse[points[i].chosen][0] / points[i].total[0])
    slower = dict.fromkeys(EXECUTORS, tuple(1.001 * ms for ms in points[closest].total))
    points[closest] = points[closest].model_copy(update={"sparse": slower})
    after = scaling.cost_model(changed(record, points=tuple(points)))
    assert after.right == pytest.approx(1 - 1 / len(selecting), **ROUNDING)
    assert after.majority != model.majority


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_majority_may_be_of_either_answer(factor):
    """Dense heads of equal total parameters that are all faster, or all slower."""
    points = tuple(
        p.model_copy(update={"total": tuple(factor * ms for ms in p.total)})
        for p in synthetic.scaled().numbers.points
    )
    assert scaling.cost_model(scaled(*points)).majority == 1


def test_heads_that_choose_all_experts_enter_the_fit_and_no_order():
    record = synthetic.scaled()
    fast = dict.fromkeys(EXECUTORS, (1e-3,) * 6)
    points = tuple(
        p if p.k < p.experts else p.model_copy(update={"sparse": fast})
        for p in record.numbers.points
    )
    before, after = scaling.cost_model(record), scaling.cost_model(changed(record, points=points))
    assert before.majority == after.majority
    assert before.coefficients["call"] != pytest.approx(after.coefficients["call"])


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
    after = scaling.cost_model(changed(record, points=points))
    assert after.majority == scaling.cost_model(record).majority


def test_points_of_bfloat16_do_not_enter():
    record = synthetic.scaled()
    slow = dict.fromkeys(EXECUTORS, (1e6,) * 6)
    odd = tuple(
        p.model_copy(update={"dtype": "bfloat16", "sparse": slow})
        for p in record.numbers.points[::7]
    )
    model = scaling.cost_model(record)
    with_odd = scaling.cost_model(changed(record, points=odd + record.numbers.points))
    pd.testing.assert_series_equal(with_odd.coefficients, model.coefficients)
    pd.testing.assert_frame_equal(with_odd.predictions, model.predictions)
    pd.testing.assert_frame_equal(with_odd.errors, model.errors)
    assert with_odd[3:] == model[3:]
