"""Costs as frames: hand-made records and points whose answers are known."""

import itertools

import numpy as np
import pandas as pd
import pytest
import synthetic

from moelib import comparisons, costs
from moelib.kinds import BenchmarkNumbers, Case, ScalePoint, Timed
from moelib.run import Run

HEADS = ("sparse", "total", "active")  # of a point
ROUNDING = {"rel": 1e-12}  # float64, a handful of operations


@pytest.fixture(scope="module")
def study():
    return synthetic.study(seeds=(0, 1))


def changed(record, **numbers):
    """The record with other numbers."""
    return record.model_copy(update={"numbers": record.numbers.model_copy(update=numbers)})


# -- work and memory ------------------------------------------------------------------------------


def test_work_says_what_share_the_head_has_and_what_sparing_all_of_it_would_bring(study):
    """50 of 1000 multiply-accumulates are the head's: without it, 1000 / 950 times faster."""
    table = costs.work([synthetic.efficient(Run(study, head, 0)) for head in ("dense", "sparse")])
    assert list(table.columns[:3]) == ["study", "head", "seed"]
    assert list(table["head_share"]) == pytest.approx([0.05] * 2, **ROUNDING)
    assert list(table["ceiling"]) == pytest.approx([1000 / 950] * 2, **ROUNDING)
    assert list(table["active_parameters"]) == [100, 40]
    assert list(table["executed_macs"]) == [80, 80]


def test_footprints_have_one_row_per_run_and_batch(study):
    records = [synthetic.efficient(Run(study, head, 0)) for head in ("dense", "soft")]
    (footprint,) = records[1].numbers.footprints
    more = (footprint, footprint.model_copy(update={"batch": 1, "peak_mib": 0.5}))
    records[1] = changed(records[1], footprints=more)
    table = costs.footprints(records)
    assert list(table["head"]) == ["dense", "soft", "soft"]
    assert list(table["batch"]) == [256, 256, 1]
    assert list(table["peak_mib"]) == [20.0, 20.0, 0.5]
    assert list(table["weights_mib"]) == [0.5] * 3


# -- latencies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("slower", [0.5, 1.0, 1.3])
def test_the_ratio_is_the_slow_down_however_both_drift(study, slower):
    """In the record all times grow by 40 % from the first repeat to the last."""
    table = costs.latencies([synthetic.efficient(Run(study, "sparse", 0), slower)])
    expected = {  # (part, what, executor, routing): times the reference's
        ("head", "reference", None, None): 1,
        ("head", "this head", "auto", "learned"): slower,
        ("head", "this head", "loop", "learned"): 2 * slower,
        ("head", "this head", "auto", "skewed"): 2 * slower,
        ("model", "backbone", None, None): 1 / 1.1,
        ("model", "reference", None, None): 1,
        ("model", "this head", "auto", "learned"): slower,
    }
    measured = table[table["part"] != "input"]
    assert len(measured) == 2 * len(expected)  # batches of 1 and of 256
    for row in measured.itertuples():
        way = tuple(None if pd.isna(x) else x for x in (row.executor, row.routing))
        ratio = expected[row.part, row.what, *way]
        assert row.ratio_low == pytest.approx(ratio, **ROUNDING)
        assert row.ratio == pytest.approx(ratio, **ROUNDING)
        assert row.ratio_high == pytest.approx(ratio, **ROUNDING)
        assert row.ratios == pytest.approx([ratio] * 5, **ROUNDING)


def test_a_part_without_a_reference_has_times_and_no_ratio(study):
    table = costs.latencies([synthetic.efficient(Run(study, "dense", 0))])
    rows = table[table["part"] == "input"]
    assert list(rows["batch"]) == [1, 256]
    assert rows[["ratio", "ratio_low", "ratio_high"]].isna().all(axis=None)
    assert list(rows["ratios"]) == [(), ()]
    # 0.01 ms an image, and 10 % more with each repeat: of five, the quartiles are the inner ones.
    first = rows.iloc[0]
    quartiles = [first["ms_low"], first["ms"], first["ms_high"]]
    assert quartiles == pytest.approx([0.011, 0.012, 0.013], **ROUNDING)
    assert list(rows["images_per_second"]) == pytest.approx([1 / 0.012e-3] * 2, **ROUNDING)


def timed(what, *milliseconds, compiled=False):
    return Timed(
        part="model",
        what=what,
        executor=None,
        routing=None,
        compiled=compiled,
        batch=1,
        milliseconds=milliseconds,
    )


def test_the_ratio_is_the_median_of_pairs_and_not_of_medians(study):
    """Pairs 3, 3/4, 3, 1, 1/2: median 1, quartiles 3/4 and 3; the medians are 3 and 2."""
    ways = (timed("this head", 3, 3, 9, 1, 1), timed("reference", 1, 4, 3, 1, 2))
    record = changed(synthetic.efficient(Run(study, "dense", 0)), timed=ways)
    row = costs.latencies([record]).iloc[0]
    assert (row["ratio_low"], row["ratio"], row["ratio_high"]) == (0.75, 1.0, 3.0)
    assert (row["ms_low"], row["ms"], row["ms_high"]) == (1, 3, 3)


def test_compiled_ways_are_compared_with_the_compiled_reference(study):
    ways = (
        timed("this head", *[6.0] * 5),
        timed("reference", *[3.0] * 5),
        timed("this head", *[1.0] * 5, compiled=True),
        timed("reference", *[0.25] * 5, compiled=True),
    )
    record = synthetic.efficient(Run(study, "dense", 0))
    table = costs.latencies([changed(record, timed=ways)])
    assert list(table["ratio"]) == [2, 1, 4, 1]
    assert list(table["compiled"]) == [False, False, True, True]
    without = costs.latencies([changed(record, timed=ways[:3])])
    assert without["ratio"].isna().tolist() == [False, False, True]


def test_a_record_is_compared_with_itself_alone(study):
    """The second record's machine is a hundred times slower: ratios are as before."""
    record = synthetic.efficient(Run(study, "dense", 0), 1.5)
    slow = tuple(
        way.model_copy(update={"milliseconds": tuple(100 * ms for ms in way.milliseconds)})
        for way in record.numbers.timed
    )
    table = costs.latencies([record, changed(record, timed=slow)])
    half = len(table) // 2
    first, second = table["ratio"][:half], table["ratio"][half:]
    assert list(second) == pytest.approx(list(first), nan_ok=True, **ROUNDING)
    assert set(table["device"]) == {record.provenance.device}
    assert set(table["threads"]) == {record.provenance.threads}


# -- scale ----------------------------------------------------------------------------------------


def point(**changes):
    """Four experts of 5 units, two chosen, on 3 images of 10 features."""
    of = {
        "experts": 4,
        "k": 2,
        "features": 10,
        "hidden": 5,
        "batch": 3,
        "dtype": "float32",
        "executor": "grouped",
        "sparse": (2.0, 2.0, 4.0, 8.0, 4.0),
        "total": (4.0, 3.0, 4.0, 8.0, 12.0),
        "active": (1.0, 2.0, 2.0, 4.0, 1.0),
    }
    return ScalePoint(**{**of, **changes})


def scaled(*points, classes=2):
    return changed(synthetic.scaled(), points=points, classes=classes)


def test_one_point_by_hand():
    row = costs.scale(scaled(point())).iloc[0]
    assert (row["share"], row["ideal"]) == (0.5, 2)
    # Pairs of total by sparse: 2, 3/2, 1, 1, 3; of sparse by active: 2, 1, 2, 2, 4.
    assert (row["speedup_low"], row["speedup"], row["speedup_high"]) == (1, 1.5, 2)
    assert (row["overhead_low"], row["overhead"], row["overhead_high"]) == (2, 2, 2)
    assert (row["sparse_ms_low"], row["sparse_ms"], row["sparse_ms_high"]) == (2, 4, 4)
    assert (row["total_ms"], row["active_ms"]) == (4, 2)
    # On each image the gate's 10 * 4 and twice 10 * 5 + 5 * 2.
    assert row["macs"] == 3 * (40 + 2 * 60) == 480
    # All four experts are chosen by some image: 40 + 4 * 60 weights, and 3 * (10 + 2) values.
    assert row["intensity"] == pytest.approx(960 / (4 * (280 + 36)), **ROUNDING)
    assert row["gigaflops"] == pytest.approx(960 / 4e-3 / 1e9, **ROUNDING)


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
    row = costs.scale(scaled(point(**changes))).iloc[0]
    assert row["intensity"] == pytest.approx(2 * row["macs"] / (4 * values), **ROUNDING)


def test_numbers_of_half_the_bytes_have_twice_the_intensity():
    wide, narrow = costs.scale(scaled(point(), point(dtype="bfloat16")))["intensity"]
    assert narrow == 2 * wide


def test_all_experts_chosen_have_nothing_to_gain():
    row = costs.scale(scaled(point(k=4))).iloc[0]
    assert (row["share"], row["ideal"]) == (1, 1)


def shares(experts, batch, points):
    """Rows of a frame of scale, from k -> (lower quartile, median) of the speed-up."""
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
            "speedup_low": low,
            "speedup": median,
        }
        for k, (low, median) in points.items()
    ]


def test_the_crossover_is_the_largest_share_at_which_sparse_is_surely_faster():
    table = costs.crossovers(
        pd.DataFrame(
            shares(8, 1, {1: (0.2, 0.3), 2: (0.5, 0.8), 8: (0.4, 0.5)})  # none beats dense
            + shares(8, 32, {1: (3.0, 4.0), 2: (1.5, 2.0), 4: (0.9, 1.1), 8: (0.5, 0.6)})
            + shares(16, 32, {1: (0.8, 1.5), 2: (1.2, 1.3), 4: (1.0, 1.2)})
        )
    )
    assert list(zip(table["experts"], table["batch"], strict=True)) == [(8, 1), (8, 32), (16, 32)]
    # 1.1 is not surely above 1 if its lower quartile is 0.9; a quartile of 1 is not above 1.
    assert np.isnan(table["crossover"][0])
    assert list(table["crossover"][1:]) == [2 / 8, 2 / 16]
    assert list(table["best"]) == [0.8, 4.0, 1.5]
    assert list(table["best_k"]) == [2, 1, 1]
    assert list(table["of_ideal"]) == pytest.approx([0.8 / 4, 4 / 8, 1.5 / 16], **ROUNDING)


def test_sizes_of_another_dtype_are_other_sizes():
    points = (point(), point(k=1), point(dtype="bfloat16"))
    table = costs.crossovers(costs.scale(scaled(*points)))
    assert list(table["dtype"]) == ["float32", "bfloat16"]


# -- the cost model -------------------------------------------------------------------------------

COST = {  # ms of each unit, all six of them at work
    "call": 0.02,
    "routing": 0.05,
    "experts": 0.01,
    "gigamacs": 50.0,
    "gigabytes": 100.0,
    "gigavalues": 800.0,
}


def made_by(cost):
    """A record whose times are what the cost model says, under both executors."""
    points = []
    for experts, hidden, batch in itertools.product((4, 16, 64), (64, 512), (1, 32, 256)):
        d, n = 512, batch

        def dense(units, n=n, d=d):
            return (
                cost["call"]
                + cost["gigamacs"] * n * d * units / 1e9
                + cost["gigabytes"] * 4 * d * units / 1e9
                + cost["gigavalues"] * n * units / 1e9
            )

        for k, executor in itertools.product((1, 2, experts), ("batched", "grouped")):
            # Batched, all experts are run on all images and none is visited on its own; grouped,
            # images are gathered for each choice, and experts that nobody chose are not read.
            run, visits, gathered = experts, 0, 0
            read = experts
            if executor == "grouped":
                run, gathered, read = k, k * d, min(experts, n * k)
                visits = read
            sparse = (
                cost["call"]
                + cost["routing"]
                + cost["experts"] * visits
                + cost["gigamacs"] * n * d * (experts + run * hidden) / 1e9
                + cost["gigabytes"] * 4 * read * d * hidden / 1e9
                + cost["gigavalues"] * n * (run * hidden + gathered + experts) / 1e9
            )
            points.append(
                ScalePoint(
                    experts=experts,
                    k=k,
                    features=d,
                    hidden=hidden,
                    batch=n,
                    dtype="float32",
                    executor=executor,
                    sparse=(sparse,) * 5,
                    total=(dense(experts * hidden),) * 5,
                    active=(dense(k * hidden),) * 5,
                )
            )
    return changed(synthetic.scaled(), points=tuple(points))


def test_the_coefficients_that_made_the_times_are_found():
    found = costs.cost_model(made_by(COST)).coefficients
    assert list(found.index) == list(costs.TERMS)
    # Columns of numbers from 1e-5 to 100 make the least squares ill-conditioned.
    assert dict(found) == pytest.approx(COST, rel=1e-6)


def test_terms_that_cost_nothing_are_found_to_cost_nothing():
    model = costs.cost_model(synthetic.scaled())
    expected = dict.fromkeys(costs.TERMS, 0.0) | {
        "call": 0.02,
        "routing": 0.05,
        "experts": 0.01,
        "gigamacs": 100.0,
    }
    assert dict(model.coefficients) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert model.error_90 < 1e-9
    assert model.right_order == 1


def test_coefficients_are_never_negative():
    """Larger heads that are faster would need one."""
    points = [
        point(hidden=hidden, batch=batch, **{head: (10 / hidden,) * 5 for head in HEADS})
        for hidden in (1, 2, 4, 8, 16)
        for batch in (1, 10)
    ]
    assert (costs.cost_model(scaled(*points)).coefficients >= 0).all()


def test_predictions_are_one_for_each_head_of_each_point_and_errors_are_of_them():
    record = noisy(synthetic.scaled())
    model = costs.cost_model(record)
    table = model.predictions
    assert len(table) == 3 * len(record.numbers.points)
    assert not table.duplicated(["size", "k", "head"]).any()
    predicted = set(zip(table["size"], table["k"], table["head"], strict=True))
    assert predicted == {(size(p), p.k, head) for p in record.numbers.points for head in HEADS}
    errors = sorted(abs(row.predicted / row.ms - 1) for row in table.itertuples())
    assert model.median_error == pytest.approx(np.median(errors), **ROUNDING)
    assert model.error_90 == pytest.approx(np.quantile(errors, 0.9), **ROUNDING)
    assert 0 < model.median_error < model.error_90 < 0.5


def size(point):
    return point.experts, point.features, point.hidden, point.batch, point.dtype


def noisy(record, deviation=0.1):
    """Every time off by a random factor."""
    generator = np.random.default_rng(0)

    def off(times):
        return tuple(times[0] * np.exp(deviation * generator.standard_normal()) for _ in times)

    points = [
        p.model_copy(update={head: off(getattr(p, head)) for head in HEADS})
        for p in record.numbers.points
    ]
    return changed(record, points=tuple(points))


def test_shuffled_times_are_not_predicted():
    """What would show an error that does not depend on the measurements."""
    record = synthetic.scaled()
    points = record.numbers.points
    order = np.random.default_rng(0).permutation(len(points))
    shuffled = tuple(
        p.model_copy(update={head: getattr(points[i], head) for head in HEADS})
        for p, i in zip(points, order, strict=True)
    )
    mixed = costs.cost_model(changed(record, points=shuffled))
    assert mixed.median_error > 0.3 > 1e-9 > costs.cost_model(record).median_error
    assert mixed.right_order < 1


def test_a_size_is_predicted_from_other_sizes_alone():
    """Its own times, of all k and of all its heads, may be anything: its predictions stay."""
    record = noisy(synthetic.scaled())
    before = costs.cost_model(record).predictions
    sizes = list(dict.fromkeys(before["size"]))
    for left_out in sizes[:: len(sizes) // 6]:
        points = tuple(
            p.model_copy(update={head: (7.0, 8.0, 9.0, 10.0, 11.0) for head in HEADS})
            if size(p) == left_out
            else p
            for p in record.numbers.points
        )
        after = costs.cost_model(changed(record, points=points)).predictions
        same = (before["predicted"] == after["predicted"]).to_numpy()
        own = (before["size"] == left_out).to_numpy()
        assert own.sum() == 9 and same[own].all()
        # A fifth of the sizes is left out at a time: all others were predicted with its help.
        assert (
            len({s for s, kept in zip(before["size"], same, strict=True) if kept}) == len(sizes) / 5
        )


def test_the_share_of_pairs_in_the_right_order_is_counted():
    """One sparse head that is a little faster than dense is made a little slower."""
    record = synthetic.scaled()
    points = list(record.numbers.points)
    closest = max(
        (i for i, p in enumerate(points) if p.sparse[0] < p.total[0]),
        key=lambda i: points[i].sparse[0] / points[i].total[0],
    )
    slower = tuple(1.001 * ms for ms in points[closest].total)
    points[closest] = points[closest].model_copy(update={"sparse": slower})
    model = costs.cost_model(changed(record, points=tuple(points)))
    assert model.right_order == pytest.approx(1 - 1 / len(points), **ROUNDING)


def test_points_of_bfloat16_do_not_enter():
    record = synthetic.scaled()
    odd = tuple(
        p.model_copy(update={"dtype": "bfloat16", "sparse": (1e6,) * 5})
        for p in record.numbers.points[::7]
    )
    model = costs.cost_model(record)
    with_odd = costs.cost_model(changed(record, points=odd + record.numbers.points))
    pd.testing.assert_series_equal(with_odd.coefficients, model.coefficients)
    assert with_odd[2:] == model[2:]
    assert len(with_odd.predictions) == len(model.predictions)


# -- accuracy for latency -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("values", [3, 6, 1000])  # few values: many ties
def test_the_front_is_what_brute_force_finds(seed, values):
    generator = np.random.default_rng(seed)
    cost, value = generator.integers(values, size=(2, 25)).tolist()
    expected = [
        not any(
            c <= mine and v >= worth and (c, v) != (mine, worth)
            for c, v in zip(cost, value, strict=True)
        )
        for mine, worth in zip(cost, value, strict=True)
    ]
    found = costs.efficient(cost, value)
    assert found.tolist() == expected
    assert any(expected) and not all(expected)


def test_equal_points_are_efficient_together_and_a_point_alone_is():
    assert costs.efficient([1, 1, 2, 1], [5, 5, 5, 4]).tolist() == [True, True, False, False]
    assert costs.efficient([3], [0.1]).tolist() == [True]
    assert costs.efficient([], []).tolist() == []


def test_the_front_does_not_depend_on_units_or_order():
    generator = np.random.default_rng(0)
    cost, value = generator.integers(6, size=(2, 20))
    found = costs.efficient(cost, value)
    assert np.array_equal(costs.efficient(1e3 * cost, value / 7 - 1), found)
    order = generator.permutation(20)
    assert np.array_equal(costs.efficient(cost[order], value[order]), found[order])


def benchmark(cases):
    """Latencies from (head, part, batch) -> (ms of the dense head, ms of this one)."""
    return BenchmarkNumbers(
        name="tradeoff",
        question="How fast?",
        baseline="dense",
        candidate="the head",
        unit="ms",
        cases=tuple(
            Case(
                setting={"head": head, "part": part, "batch": batch},
                baseline=baseline,
                candidate=candidate,
            )
            for (head, part, batch), (baseline, candidate) in cases.items()
        ),
    )


def test_accuracies_are_joined_with_latencies_and_fronts_are_of_one_part_and_batch(study):
    right = {"dense": (6, 8), "soft": (9, 9), "sparse": (5, 7)}  # of 10 images, two seeds
    trained = [
        synthetic.trained(Run(study, head, seed), np.arange(10) < count)
        for head, counts in right.items()
        for seed, count in enumerate(counts)
    ]
    dense = (4.0, 6.0, 8.0)
    cases = {
        ("dense", "head", 1): (dense, dense),
        ("soft", "head", 1): (dense, (8.0, 6.0, 16.0)),
        ("linear", "head", 1): (dense, (1.0, 1.0, 1.0)),  # nobody trained it
        ("sparse", "head", 1): (dense, (9.0, 9.0, 9.0)),
        ("dense", "model", 1): (dense, dense),
        ("sparse", "model", 1): (dense, (2.0, 2.0, 2.0)),
        ("sparse", "model", 8): (dense, (20.0, 20.0, 20.0)),
    }
    table = costs.tradeoff(trained, benchmark(cases))
    found = list(zip(table["head"], table["part"], table["batch"], strict=True))
    assert found == [case for case in cases if case[0] != "linear"]
    assert list(table["efficient"]) == [True, True, False, True, True, True]
    known = comparisons.accuracy(trained).set_index("head")
    for row in table.itertuples():
        assert row.accuracy == known["mean"][row.head] == pytest.approx(sum(right[row.head]) / 20)
        assert (row.low, row.high, row.seeds) == tuple(
            known.loc[row.head, ["low", "high", "seeds"]]
        )
    soft = table.iloc[1]
    assert (soft["ms_low"], soft["ms"], soft["ms_high"]) == (7, 8, 12)
    # Times the dense head's, pair by pair: 2, 1, 2.
    assert (soft["ratio_low"], soft["ratio"], soft["ratio_high"]) == (1.5, 2, 2)


# -- benchmarks -----------------------------------------------------------------------------------


def test_speed_takes_quartiles_of_paired_ratios():
    table = costs.speed(synthetic.benchmark().numbers)
    assert list(table["ratio"]) == [3.0, 1.0]
    assert (table["low"][0], table["high"][0]) == (2.5, 3.5)
    assert table["case"][0] == "batch 8"
