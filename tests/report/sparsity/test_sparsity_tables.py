"""Sparse heads of many sizes, and accuracy for time."""

import statistics

import numpy as np
import pandas as pd
import pytest
import synthetic
from points import point, scaled, with_numbers
from scipy import stats

from moelib.records.benchmarks import Aim, BenchmarkNumbers, Case
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.sparsity import costs, tables
from moelib.study import heads as config
from moelib.study.run import Run

ROUNDING = {"rel": 1e-12}  # float64, a handful of operations


def test_one_point_by_hand():
    row = tables.scale(scaled(point())).iloc[0]
    assert (row["share"], row["ideal"]) == (0.5, 2)
    # Pairs of total by sparse, in order: 1/2, 1, 1, 3/2, 2, 5/2, 3, 3, 4.
    assert (row["speedup_low"], row["speedup"], row["speedup_high"]) == (1, 2, 3)
    # Pairs of sparse by active, in order: 1, 1, 2, 2, 2, 2, 4, 4, 4.
    assert (row["overhead_low"], row["overhead"], row["overhead_high"]) == (2, 2, 4)
    assert (row["sparse_ms"], row["total_ms"], row["active_ms"]) == (4, 4, 1)
    assert row["regret"] == 4 / 1.6


def test_the_sure_speed_up_is_the_low_end_of_the_interval_of_the_median():
    """Of nine the second smallest: below it lies the median with 10 / 512 < 2.5 %, by signs."""
    total = (0.2, 1.3, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 9.0)
    row = tables.scale(scaled(point(sparse={"batched": (1.0,) * 9}, total=total))).iloc[0]
    assert (row["surely"], row["speedup_low"], row["speedup"]) == (1.3, 1.5, 1.7)


def test_five_rounds_make_no_speed_up_sure():
    five = {"sparse": {"batched": (1.0,) * 5}, "total": (3.0,) * 5, "active": (1.0,) * 5}
    row = tables.scale(scaled(point(**five))).iloc[0]
    assert row["speedup"] == 3 and np.isnan(row["surely"])


@pytest.mark.parametrize(
    ("chosen", "regret"),
    [("grouped", 4 / 1.25), ("loop", 5 / 1.25), ("batched", 1)],  # medians, and none is of pairs
)
def test_the_regret_is_against_the_fastest_executor(monkeypatch, chosen, regret):
    """Of the rule as it is now, whatever it was when the point was timed."""
    monkeypatch.setattr(tables, "choose", lambda *_, **__: chosen)
    sparse = {
        "batched": (1.25, 1.0, 9.0),
        "loop": (5.0, 5.0, 5.0),
        "grouped": (1.0, 4.0, 4.0),
    }
    dense = {"total": (8.0, 8.0, 8.0), "active": (1.0, 1.0, 1.0)}
    row = tables.scale(scaled(point(chosen="then", sparse=sparse, **dense))).iloc[0]
    assert row["chosen"] == chosen
    assert row["regret"] == pytest.approx(regret, **ROUNDING)
    # All other times are of that executor too.
    assert row["sparse_ms"] == np.median(sparse[chosen])
    assert row["speedup"] == pytest.approx(np.median([8 / ms for ms in sparse[chosen]]), **ROUNDING)
    assert row["overhead"] == np.median(sparse[chosen])


@pytest.mark.parametrize("device", ["cpu", "another"])
def test_the_rule_is_asked_for_each_point_on_its_device(monkeypatch, device):
    calls = []
    monkeypatch.setattr(
        tables, "choose", lambda *args, **keys: calls.append((args, keys)) or "batched"
    )
    grouped = point(sparse={"batched": (1.0,) * 9, "grouped": (1.0,) * 9})
    record = scaled(grouped, point())
    if device != "cpu":
        provenance = record.provenance.model_copy(update={"device": "some GPU"})
        record = record.model_copy(update={"provenance": provenance})
    tables.scale(record)
    size = {"experts": 4, "features": 10, "hidden": 5, "on_cpu": device == "cpu"}
    assert calls == [((3, 2), {**size, "has_grouped": has}) for has in (True, False)]


def test_points_at_which_the_rules_executor_was_not_timed_are_left_out():
    untimed = point(k=4, sparse={"loop": (1.0,) * 9})
    record = scaled(point(), untimed)
    assert list(tables.scale(record)["k"]) == [2]
    assert tables.timed(record) == [(point(), "batched")]
    groups = [point(batch=batch) for batch in (3, 4)]
    model = costs.fit(scaled(*groups))
    extended = costs.fit(scaled(*groups, untimed))
    pd.testing.assert_frame_equal(extended.predictions, model.predictions)


def shares(experts, batch, points):
    """Rows of a frame of scale, from k -> its sure speed-up."""
    size = {"experts": experts, "features": 8, "hidden": 8, "batch": batch}
    return [
        {**size, "k": k, "share": k / experts, "surely": surely} for k, surely in points.items()
    ]


@pytest.mark.parametrize(
    ("points", "crossover"),
    [
        ({1: 3.0, 2: 1.5, 4: 1.1, 8: 0.5}, 4 / 8),
        ({4: 0.9, 2: 1.5, 1: 3.0}, 2 / 8),  # in whatever order
        ({1: 3.0, 2: 1.0, 4: 1.0}, 1 / 8),  # 1 is not above 1
        ({1: 3.0, 2: 0.9, 4: 1.5}, 1 / 8),  # between them, dense is as good
        ({1: 3.0, 2: np.nan, 4: 1.5}, 1 / 8),  # too few rounds
        ({1: 0.9, 2: 1.5, 4: 1.2}, None),  # the smallest share does not win
        ({1: 0.2, 2: 0.5, 8: 0.4}, None),
        ({1: 3.0, 2: 2.0, 8: 1.5}, 2 / 8),  # k = E leaves out no expert
    ],
)
def test_the_crossover_is_the_largest_share_up_to_which_sparse_surely_wins(points, crossover):
    share = tables.crossovers(pd.DataFrame(shares(8, 1, points)))["crossover"].item()
    assert share == crossover or (crossover is None and np.isnan(share))


@pytest.mark.parametrize(
    ("points", "has_crossover"),
    [
        ({1: 3.0, 2: 1.5, 4: 0.9}, True),
        ({1: 3.0, 2: 1.5, 4: 1.1}, False),
        ({2: 1.1, 1: 3.0, 8: 0.5}, False),  # k = E cannot win
        ({1: 0.9, 2: 1.5}, True),
    ],
)
def test_a_crossover_at_the_largest_timed_share_is_open(points, has_crossover):
    assert tables.crossovers(pd.DataFrame(shares(8, 1, points)))["open"].item() is not has_crossover


def test_a_size_of_a_single_share_has_no_crossover_to_look_for():
    one_share, two_shares = {1: 3.0, 8: 0.5}, {1: 3.0, 2: 1.5}
    table = tables.crossovers(pd.DataFrame(shares(8, 1, one_share) + shares(8, 32, two_shares)))
    assert list(table["batch"]) == [32]
    assert tables.crossovers(pd.DataFrame(shares(8, 1, one_share))).empty


AT = {"experts": 4, "k": 2, "features": 10, "hidden": 5, "batch": 3}


@pytest.mark.parametrize(
    ("speedup", "overhead", "met"),
    [(2, 2, True), (2.001, 2, False), (2, 1.999, False), (1, 9, True), (9, 1, False)],
)
def test_an_aim_is_met_where_both_bounds_are_kept(speedup, overhead, met):
    """The point's medians are 2 and 2, at the low ends of whose intervals lies less."""
    record = with_numbers(scaled(point()), aim=Aim(**AT, speedup=speedup, overhead=overhead))
    (row,) = tables.aim_curve(record).itertuples()
    assert (row.speedup, row.overhead, row.met) == (2, 2, met)


def test_an_aim_is_of_its_size_at_every_batch_and_is_met_at_its_own():
    points = [point(batch=batch) for batch in (9, 1, 3)]
    neighbours = [point(**{name: value + 1}) for name, value in AT.items() if name != "batch"]
    narrow = [point(dtype="bfloat16", batch=batch, total=(1.0,) * 9) for batch in (3, 1)]
    record = with_numbers(
        scaled(*narrow, *neighbours, *points), aim=Aim(**AT, speedup=1.0, overhead=3.0)
    )
    table = tables.aim_curve(record)
    rows = list(zip(table["dtype"], table["batch"], table["met"], strict=True))
    assert rows == [
        *(("float32", 1, None), ("float32", 3, True), ("float32", 9, None)),
        *(("bfloat16", 1, None), ("bfloat16", 3, False)),
    ]
    assert tables.aim_curve(with_numbers(record, points=tuple(neighbours))).empty


@pytest.fixture(scope="module")
def study():
    return synthetic.study(seeds=(0, 1))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("values", [3, 6, 1000])  # few values: many ties
def test_the_front_is_what_brute_force_finds(seed, values):
    generator = np.random.default_rng(seed)
    cost, value = generator.integers(values, size=(2, 25)).tolist()
    expected = [
        not any(
            other_cost <= own_cost
            and other_value >= own_value
            and (other_cost, other_value) != (own_cost, own_value)
            for other_cost, other_value in zip(cost, value, strict=True)
        )
        for own_cost, own_value in zip(cost, value, strict=True)
    ]
    front = tables.pareto_front(cost, value)
    assert front.tolist() == expected
    assert any(expected) and not all(expected)


def test_equal_points_are_efficient_together_and_a_point_alone_is():
    assert tables.pareto_front([1, 1, 2, 1], [5, 5, 5, 4]).tolist() == [True, True, False, False]
    assert tables.pareto_front([3], [0.1]).tolist() == [True]
    assert tables.pareto_front([], []).tolist() == []


def test_the_front_does_not_depend_on_units_or_order():
    generator = np.random.default_rng(0)
    cost, value = generator.integers(6, size=(2, 20))
    front = tables.pareto_front(cost, value)
    assert np.array_equal(tables.pareto_front(1e3 * cost, value / 7 - 1), front)
    order = generator.permutation(20)
    assert np.array_equal(tables.pareto_front(cost[order], value[order]), front[order])


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
    table = tables.tradeoff(trained, benchmark(cases))
    rows = list(zip(table["head"], table["part"], table["batch"], strict=True))
    assert rows == [case for case in cases if case[0] != "linear"]
    assert list(table["efficient"]) == [True, True, False, True, True, True]
    assert table["efficient"].dtype == bool
    means = accuracy_tables.means(trained).set_index("head")
    for row in table.itertuples():
        assert row.family == row.head
        assert row.accuracy == means["mean"][row.head] == pytest.approx(sum(right[row.head]) / 20)
        assert (row.low, row.high, row.seeds) == tuple(
            means.loc[row.head, ["low", "high", "seeds"]]
        )
    soft = table.iloc[1]
    # Times the dense head's, of which the median is 6, by pairs: 2, 1, 2. Three have no interval.
    assert (soft["ratio"], soft["ms"]) == (2, 12)
    assert soft[["ratio_low", "ratio_high", "ms_low", "ms_high"]].isna().all()
    # Alone in its part and batch, a head cannot leave the front.
    assert table["stays"].iloc[-1] == 1


def test_without_a_head_in_common_there_is_no_trade(study):
    trained = [synthetic.trained(Run(study, "dense", 0))]
    times = (1.0, 1.0, 1.0)
    assert tables.tradeoff(trained, benchmark({("linear", "head", 1): (times, times)})).empty
    assert tables.tradeoff(trained, benchmark({})).empty


@pytest.mark.parametrize(
    ("head", "family"),
    [("sparse-e16-k2", "sparse"), ("dense", "dense"), ("moe_2-h8", "moe_2")],
)
def test_a_family_is_what_comes_before_the_first_hyphen(head, family):
    assert config.family(head) == family


def nets(right):
    """Records of one seed each, from head -> which test images are classified rightly."""
    study = synthetic.study(seeds=(0,), heads={head: {"kind": "linear"} for head in right})
    return [synthetic.trained(Run(study, head, 0), bits) for head, bits in right.items()]


def head_benchmark(ms):
    """A benchmark of one part and batch, beside times of 1, from head -> its times."""
    return benchmark(
        {(head, "head", 1): ((1.0,) * len(times), times) for head, times in ms.items()}
    )


def test_times_are_those_of_the_reference_times_the_median_ratio_with_its_interval():
    """Nine ratios of 1.1 to 1.9 in any order: the interval is from the second to the eighth."""
    reference = (2.0, 3.0, 50.0, 2.0, 4.0, 3.0, 60.0, 3.0, 5.0)  # median 3
    ratios = (1.9, 1.1, 1.8, 1.2, 1.7, 1.3, 1.6, 1.4, 1.5)
    times = tuple(ms * ratio for ms, ratio in zip(reference, ratios, strict=True))
    bits = np.arange(4) < 2
    table = tables.tradeoff(
        nets({"mine": bits}), benchmark({("mine", "head", 1): (reference, times)})
    )
    (row,) = table.itertuples()
    interval = (row.ratio_low, row.ratio, row.ratio_high)
    assert interval == pytest.approx((1.2, 1.5, 1.8), **ROUNDING)
    assert (row.ms_low, row.ms, row.ms_high) == pytest.approx((3.6, 4.5, 5.4), **ROUNDING)


def test_a_round_that_is_slow_for_all_moves_no_head_before_another():
    """Times the reference's 0.9, 1.2, 0.9 and 1, 0.8, 1; but the median times are 10.8 and 10."""
    dense = (10.0, 11.0, 12.0)
    cases = {"fast": (9.0, 13.2, 10.8), "slow": (10.0, 8.8, 12.0)}
    cases = {(head, "head", 1): (dense, times) for head, times in cases.items()}
    bits = np.arange(4) < 2
    table = tables.tradeoff(nets({"fast": bits, "slow": bits}), benchmark(cases))
    assert table["efficient"].tolist() == [True, False]


def test_what_is_best_in_every_image_and_round_always_stays_and_its_opposite_never():
    images = np.arange(40)
    right = {"best": images >= 0, "fast": images % 4 > 0, "worst": images % 4 == 3}
    ms = {"best": (2.0, 5.0, 3.0), "fast": (1.0, 6.0, 3.5), "worst": (9.0, 8.0, 7.0)}
    table = tables.tradeoff(nets(right), head_benchmark(ms)).set_index("head")
    assert table["efficient"].tolist() == [True, False, False]
    # Slower in each round than all others ever are, and right only where both of them are.
    assert table["stays"]["worst"] == 0
    assert table["stays"]["best"] == 1
    # Faster than the best where two of three drawn rounds are the first: 1/27 + 6/27.
    assert table["stays"]["fast"] == pytest.approx(7 / 27, abs=0.06)  # 4 standard errors


def test_rounds_are_drawn_for_all_heads_alike():
    """In each round the first head is faster, though its slow rounds are slower than others."""
    bits = np.arange(20) < 10
    ms = {"fast": (1.0, 100.0, 10.0, 50.0), "slow": (2.0, 101.0, 11.0, 51.0)}
    table = tables.tradeoff(nets({"fast": bits, "slow": bits}), head_benchmark(ms))
    assert table["stays"].tolist() == [1, 0]


def test_images_are_drawn_for_all_heads_alike():
    """One head is right wherever the other is, and on more: never is the other more accurate."""
    images = np.arange(50)
    right = {"better": images < 30, "worse": images < 29}
    ms = dict.fromkeys(right, (1.0, 1.0, 1.0))
    table = tables.tradeoff(nets(right), head_benchmark(ms)).set_index("head")
    assert table["stays"]["better"] == 1
    # The other ties where the one image is not drawn: (49/50)^50 = 36 % of resamples, +- 1.5 %.
    assert table["stays"]["worse"] == pytest.approx((49 / 50) ** 50, abs=0.06)


def test_as_accurate_in_half_of_all_resamples():
    """Two heads, right on different images as often, and as fast: a tie keeps both.

    With K, L of n images drawn from either side, the first stays where K >= L.
    """
    images = np.arange(1000)
    right = {"even": images % 2 == 0, "odd": images % 2 == 1}
    table = tables.tradeoff(nets(right), head_benchmark(dict.fromkeys(right, (1.0, 1.0, 1.0))))
    tie = stats.binom.pmf(500, 1000, 0.5)
    # A tie that rounding breaks would be counted once.
    assert table["stays"].sum() == pytest.approx(1 + tie, abs=4 * np.sqrt(tie / 1000))
    assert table["stays"].to_numpy() == pytest.approx([(1 + tie) / 2] * 2, abs=0.07)


def test_a_tie_is_one_over_several_seeds_too():
    """In each of three seeds one head has as many images right as the other, but other ones."""
    generator = np.random.default_rng(0)
    study = synthetic.study(heads={name: {"kind": "linear"} for name in ("one", "other")})
    bits = generator.random((3, 12)) < 0.6
    right = {"one": bits, "other": generator.permuted(bits, axis=1)}
    records = [
        synthetic.trained(Run(study, head, seed), right[head][index])
        for head in right
        for index, seed in enumerate(study.seeds)
    ]
    table = tables.tradeoff(records, head_benchmark(dict.fromkeys(right, (1.0, 1.0, 1.0))))
    draws = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=tables.RESAMPLES)
    hits, other_hits = (draws @ right[head].sum(axis=0) for head in right)
    assert (hits == other_hits).sum() > 50
    stays = table.set_index("head")["stays"]
    assert stays["one"] == np.mean(hits >= other_hits)
    assert stays["other"] == np.mean(other_hits >= hits)


def test_the_resampled_fronts_are_what_brute_force_finds():
    """Two parts of five heads, drawn by the same generator and counted in whole numbers."""
    generator = np.random.default_rng(1)
    names = [f"head-{rank}" for rank in range(5)]
    right = {name: generator.random(12) < 0.3 + 0.1 * rank for rank, name in enumerate(names)}
    cases, stays = {}, {}
    for part in ("head", "model"):
        for rank, name in enumerate(names):
            times = tuple((1 + rank + generator.integers(9, size=4)).astype(float))
            cases[name, part, 1] = ((1.0,) * 4, times)
    table = tables.tradeoff(nets(right), benchmark(cases))
    resampling = np.random.default_rng(0)
    counts = resampling.multinomial(12, np.full(12, 1 / 12), size=tables.RESAMPLES)
    for part in ("head", "model"):
        rounds = resampling.integers(4, size=(tables.RESAMPLES, 4))
        for name in names:
            stays[name, part] = 0
        for weights, turns in zip(counts, rounds.tolist(), strict=True):
            resample = {
                name: (
                    statistics.median(cases[name, part, 1][1][turn] for turn in turns),
                    weights[right[name]].sum(),
                )
                for name in names
            }
            for name, (ms, hits) in resample.items():
                stays[name, part] += not any(
                    other_ms <= ms and other_hits >= hits and (other_ms, other_hits) != (ms, hits)
                    for other_ms, other_hits in resample.values()
                )
    for row in table.itertuples():
        assert row.stays == pytest.approx(stays[row.head, row.part] / tables.RESAMPLES, **ROUNDING)
    assert table["stays"].between(0.05, 0.95).any()
