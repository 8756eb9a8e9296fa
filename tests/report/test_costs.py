"""Costs as frames: hand-made records and points whose answers are known."""

import statistics

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats

from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.records.kinds import Timed
from moelib.report import comparisons, costs
from moelib.study import heads as config
from moelib.study.run import Run

ROUNDING = {"rel": 1e-12}  # float64, a handful of operations


@pytest.fixture(scope="module")
def study():
    return synthetic.study(seeds=(0, 1))


def changed(record, **numbers):
    """The record with other numbers."""
    return record.model_copy(update={"numbers": record.numbers.model_copy(update=numbers)})


# -- work and memory ------------------------------------------------------------------------------


def test_work_says_what_share_the_head_has_and_what_sparing_all_of_it_would_bring(study):
    """Of 80 + 950 multiply-accumulates that are run: without the head, 1030 / 950 times faster."""
    table = costs.work([synthetic.efficient(Run(study, head, 0)) for head in ("dense", "sparse")])
    assert list(table.columns[:3]) == ["study", "head", "seed"]
    assert list(table["head_share"]) == pytest.approx([80 / 1030] * 2, **ROUNDING)
    assert list(table["ceiling"]) == pytest.approx([1030 / 950] * 2, **ROUNDING)
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


def test_a_free_head_is_timed_by_the_backbone_alone(study):
    """Reference models over their backbones, pair by pair: 4/3, 3/2, 2, 2, 4."""
    backbone, whole = (3.0, 2.0, 1.0, 2.0, 1.0), (4.0, 3.0, 2.0, 4.0, 4.0)
    ways = (
        timed("backbone", *backbone),
        timed("reference", *whole),
        timed("this head", *[9.0] * 5),
        timed("backbone", *whole, compiled=True),
        timed("reference", *whole, compiled=True),
    )
    record = changed(synthetic.efficient(Run(study, "sparse", 0)), timed=ways)
    (row,) = costs.headless(costs.latencies([record])).itertuples()
    assert (row.head, row.what, row.batch, row.ms) == ("sparse", "backbone", 1, 2)
    assert (row.gain_low, row.gain, row.gain_high) == (1.5, 2, 2)
    assert costs.headless(costs.latencies([changed(record, timed=ways[1:3])])).empty


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
        assert row.ratios == pytest.approx([ratio] * 6, **ROUNDING)


def test_a_part_without_a_reference_has_times_and_no_ratio(study):
    table = costs.latencies([synthetic.efficient(Run(study, "dense", 0))])
    rows = table[table["part"] == "input"]
    assert list(rows["batch"]) == [1, 256]
    assert rows[["ratio", "ratio_low", "ratio_high"]].isna().all(axis=None)
    assert list(rows["ratios"]) == [(), ()]
    # 0.01 ms an image, and 10 % more with each repeat: of six, a quartile lies between two of them.
    first = rows.iloc[0]
    quartiles = [first["ms_low"], first["ms"], first["ms_high"]]
    assert quartiles == pytest.approx([0.01125, 0.0125, 0.01375], **ROUNDING)
    assert list(rows["images_per_second"]) == pytest.approx([1 / 0.0125e-3] * 2, **ROUNDING)


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


@pytest.mark.parametrize(
    ("batches", "shown"),
    [((1, 256), 256), ((1, 32), 32), ((32, 256, 512), 256), ((512, 2048), 512)],
)
def test_whole_models_are_shown_at_the_largest_batch_up_to_the_papers(study, batches, shown):
    ways = [
        way.model_copy(update={"batch": batch})
        for way in synthetic.efficient(Run(study, "sparse", 0), 1.5).numbers.timed
        if way.batch == 1
        for batch in batches
    ]
    record = changed(synthetic.efficient(Run(study, "sparse", 0)), timed=tuple(ways))
    (row,) = costs.whole_models([record]).itertuples()
    assert (row.part, row.what, row.executor, row.batch) == ("model", "this head", "auto", shown)
    assert row.ratio == pytest.approx(1.5, **ROUNDING)


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
    found = costs.pareto_front(cost, value)
    assert found.tolist() == expected
    assert any(expected) and not all(expected)


def test_equal_points_are_efficient_together_and_a_point_alone_is():
    assert costs.pareto_front([1, 1, 2, 1], [5, 5, 5, 4]).tolist() == [True, True, False, False]
    assert costs.pareto_front([3], [0.1]).tolist() == [True]
    assert costs.pareto_front([], []).tolist() == []


def test_the_front_does_not_depend_on_units_or_order():
    generator = np.random.default_rng(0)
    cost, value = generator.integers(6, size=(2, 20))
    found = costs.pareto_front(cost, value)
    assert np.array_equal(costs.pareto_front(1e3 * cost, value / 7 - 1), found)
    order = generator.permutation(20)
    assert np.array_equal(costs.pareto_front(cost[order], value[order]), found[order])


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
    assert table["efficient"].dtype == bool
    known = comparisons.accuracy(trained).set_index("head")
    for row in table.itertuples():
        assert row.family == row.head
        assert row.accuracy == known["mean"][row.head] == pytest.approx(sum(right[row.head]) / 20)
        assert (row.low, row.high, row.seeds) == tuple(
            known.loc[row.head, ["low", "high", "seeds"]]
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
    assert costs.tradeoff(trained, benchmark({("linear", "head", 1): (times, times)})).empty
    assert costs.tradeoff(trained, benchmark({})).empty


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


def timed_alone(ms):
    """A benchmark of one part and batch, beside times of 1, from head -> its times."""
    return benchmark({(head, "head", 1): ((1.0,) * len(t), t) for head, t in ms.items()})


def test_times_are_those_of_the_reference_times_the_median_ratio_with_its_interval():
    """Nine ratios of 1.1 to 1.9 in any order: the interval is from the second to the eighth."""
    reference = (2.0, 3.0, 50.0, 2.0, 4.0, 3.0, 60.0, 3.0, 5.0)  # median 3
    ratios = (1.9, 1.1, 1.8, 1.2, 1.7, 1.3, 1.6, 1.4, 1.5)
    times = tuple(a * b for a, b in zip(reference, ratios, strict=True))
    same = np.arange(4) < 2
    table = costs.tradeoff(
        nets({"soft": same}), benchmark({("soft", "head", 1): (reference, times)})
    )
    (row,) = table.itertuples()
    found = (row.ratio_low, row.ratio, row.ratio_high)
    assert found == pytest.approx((1.2, 1.5, 1.8), **ROUNDING)
    assert (row.ms_low, row.ms, row.ms_high) == pytest.approx((3.6, 4.5, 5.4), **ROUNDING)


def test_a_round_that_is_slow_for_all_moves_no_head_before_another():
    """Times the reference's 0.9, 1.2, 0.9 and 1, 0.8, 1; but the median times are 10.8 and 10."""
    dense = (10.0, 11.0, 12.0)
    cases = {"fast": (9.0, 13.2, 10.8), "slow": (10.0, 8.8, 12.0)}
    cases = {(head, "head", 1): (dense, times) for head, times in cases.items()}
    same = np.arange(4) < 2
    table = costs.tradeoff(nets({"fast": same, "slow": same}), benchmark(cases))
    assert table["efficient"].tolist() == [True, False]


def test_what_is_best_in_every_image_and_round_always_stays_and_its_opposite_never():
    images = np.arange(40)
    right = {"best": images >= 0, "fast": images % 4 > 0, "worst": images % 4 == 3}
    ms = {"best": (2.0, 5.0, 3.0), "fast": (1.0, 6.0, 3.5), "worst": (9.0, 8.0, 7.0)}
    table = costs.tradeoff(nets(right), timed_alone(ms)).set_index("head")
    assert table["efficient"].tolist() == [True, False, False]
    # Slower in each round than all others ever are, and right only where both of them are.
    assert table["stays"]["worst"] == 0
    assert table["stays"]["best"] == 1
    # Faster than the best where two of three drawn rounds are the first: 1/27 + 6/27.
    assert table["stays"]["fast"] == pytest.approx(7 / 27, abs=0.06)  # 4 standard errors


def test_rounds_are_drawn_for_all_heads_alike():
    """In each round the first head is faster, though its slow rounds are slower than others."""
    same = np.arange(20) < 10
    ms = {"fast": (1.0, 100.0, 10.0, 50.0), "slow": (2.0, 101.0, 11.0, 51.0)}
    table = costs.tradeoff(nets({"fast": same, "slow": same}), timed_alone(ms))
    assert table["stays"].tolist() == [1, 0]


def test_images_are_drawn_for_all_heads_alike():
    """One head is right wherever the other is, and on more: never is the other more accurate."""
    images = np.arange(50)
    right = {"better": images < 30, "worse": images < 29}
    ms = dict.fromkeys(right, (1.0, 1.0, 1.0))
    table = costs.tradeoff(nets(right), timed_alone(ms)).set_index("head")
    assert table["stays"]["better"] == 1
    # The other ties where the one image is not drawn: (49/50)^50 = 36 % of resamples, +- 1.5 %.
    assert table["stays"]["worse"] == pytest.approx((49 / 50) ** 50, abs=0.06)


def test_as_accurate_in_half_of_all_resamples():
    """Two heads, right on different images as often, and as fast: a tie keeps both.

    With K, L of n images drawn from either side, the first stays where K >= L.
    """
    images = np.arange(1000)
    right = {"even": images % 2 == 0, "odd": images % 2 == 1}
    table = costs.tradeoff(nets(right), timed_alone(dict.fromkeys(right, (1.0, 1.0, 1.0))))
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
        synthetic.trained(Run(study, head, seed), right[head][i])
        for head in right
        for i, seed in enumerate(study.seeds)
    ]
    table = costs.tradeoff(records, timed_alone(dict.fromkeys(right, (1.0, 1.0, 1.0))))
    drawn = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=costs.RESAMPLES)
    one, other = (drawn @ right[head].sum(axis=0) for head in right)
    assert (one == other).sum() > 50
    stays = table.set_index("head")["stays"]
    assert stays["one"] == np.mean(one >= other) and stays["other"] == np.mean(other >= one)


def test_the_resampled_fronts_are_what_brute_force_finds():
    """Two parts of five heads, drawn by the same generator and counted in whole numbers."""
    generator = np.random.default_rng(1)
    names = [f"head-{i}" for i in range(5)]
    right = {name: generator.random(12) < 0.3 + 0.1 * i for i, name in enumerate(names)}
    cases, found = {}, {}
    for part in ("head", "model"):
        for i, name in enumerate(names):
            times = tuple((1 + i + generator.integers(9, size=4)).astype(float))
            cases[name, part, 1] = ((1.0,) * 4, times)
    table = costs.tradeoff(nets(right), benchmark(cases))
    again = np.random.default_rng(0)
    counts = again.multinomial(12, np.full(12, 1 / 12), size=costs.RESAMPLES)
    for part in ("head", "model"):
        rounds = again.integers(4, size=(costs.RESAMPLES, 4))
        for name in names:
            found[name, part] = 0
        for times_drawn, turns in zip(counts.tolist(), rounds.tolist(), strict=True):
            drawn = {
                name: (
                    statistics.median(cases[name, part, 1][1][turn] for turn in turns),
                    sum(n for n, hit in zip(times_drawn, right[name].tolist(), strict=True) if hit),
                )
                for name in names
            }
            for name, (ms, hits) in drawn.items():
                found[name, part] += not any(
                    other_ms <= ms and other_hits >= hits and (other_ms, other_hits) != (ms, hits)
                    for other_ms, other_hits in drawn.values()
                )
    for row in table.itertuples():
        assert row.stays == pytest.approx(found[row.head, row.part] / costs.RESAMPLES, **ROUNDING)
    assert table["stays"].between(0.05, 0.95).any()


# -- benchmarks -----------------------------------------------------------------------------------


def test_speed_takes_quartiles_of_paired_ratios():
    table = costs.speed(synthetic.benchmark().numbers)
    assert list(table["ratio"]) == [3.0, 1.0]
    assert (table["low"][0], table["high"][0]) == (2.5, 3.5)
    assert (table["case"][0], table["batch"][0]) == ("batch 8", 8)


@pytest.mark.parametrize(
    ("aim", "met"), [(2.9, "yes"), (3.0, "yes"), (3.1, "no"), (1 / 1.2, "yes"), (None, "")]
)
def test_speed_says_whether_the_median_ratio_reaches_its_aim(aim, met):
    numbers = synthetic.benchmark().numbers
    case = numbers.cases[0].model_copy(update={"target_ratio": aim})
    table = costs.speed(numbers.model_copy(update={"cases": (case,)}))
    assert table["met"].tolist() == [met]
