"""Costs as frames: hand-made records whose answers are known."""

import pandas as pd
import pytest
import synthetic
from points import with_numbers

from moelib.records.kinds import Timed
from moelib.report.efficiency import tables
from moelib.study.run import Run

ROUNDING = {"rel": 1e-12}  # float64, a handful of operations


@pytest.fixture(scope="module")
def study():
    return synthetic.study(seeds=(0, 1))


def test_work_says_what_share_the_head_has_and_what_sparing_all_of_it_would_bring(study):
    """Of 80 + 950 multiply-accumulates that are run: without the head, 1030 / 950 times faster."""
    table = tables.work([synthetic.efficient(Run(study, head, 0)) for head in ("dense", "sparse")])
    assert list(table.columns[:3]) == ["study", "head", "seed"]
    assert list(table["head_share"]) == pytest.approx([80 / 1030] * 2, **ROUNDING)
    assert list(table["ceiling"]) == pytest.approx([1030 / 950] * 2, **ROUNDING)
    assert list(table["active_parameters"]) == [100, 40]
    assert list(table["executed_macs"]) == [80, 80]


def test_footprints_have_one_row_per_run_and_batch(study):
    records = [synthetic.efficient(Run(study, head, 0)) for head in ("dense", "soft")]
    (footprint,) = records[1].numbers.footprints
    footprints = (footprint, footprint.model_copy(update={"batch": 1, "peak_mib": 0.5}))
    records[1] = with_numbers(records[1], footprints=footprints)
    table = tables.footprints(records)
    assert list(table["head"]) == ["dense", "soft", "soft"]
    assert list(table["batch"]) == [256, 256, 1]
    assert list(table["peak_mib"]) == [20.0, 20.0, 0.5]
    assert list(table["weights_mib"]) == [0.5] * 3


def test_a_free_head_is_timed_by_the_backbone_alone(study):
    """Reference models over their backbones, pair by pair: 4/3, 3/2, 2, 2, 4."""
    backbone, whole = (3.0, 2.0, 1.0, 2.0, 1.0), (4.0, 3.0, 2.0, 4.0, 4.0)
    timings = (
        model_timing("backbone", *backbone),
        model_timing("reference", *whole),
        model_timing("this head", *[9.0] * 5),
        model_timing("backbone", *whole, compiled=True),
        model_timing("reference", *whole, compiled=True),
    )
    record = with_numbers(synthetic.efficient(Run(study, "sparse", 0)), timed=timings)
    (row,) = tables.headless(tables.latencies([record])).itertuples()
    assert (row.head, row.what, row.batch, row.ms) == ("sparse", "backbone", 1, 2)
    assert (row.gain_low, row.gain, row.gain_high) == (1.5, 2, 2)
    assert tables.headless(tables.latencies([with_numbers(record, timed=timings[1:3])])).empty


@pytest.mark.parametrize("slower", [0.5, 1.0, 1.3])
def test_the_ratio_is_the_slow_down_however_both_drift(study, slower):
    """In the record all times grow by 40 % from the first repeat to the last."""
    table = tables.latencies([synthetic.efficient(Run(study, "sparse", 0), slower)])
    expected = {  # (part, what, executor, routing): times the reference's
        ("head", "reference", None, None): 1,
        ("head", "this head", "auto", "learned"): slower,
        ("head", "this head", "loop", "learned"): 2 * slower,
        ("head", "this head", "auto", "skewed"): 2 * slower,
        ("model", "backbone", None, None): 1 / 1.1,
        ("model", "reference", None, None): 1,
        ("model", "this head", "auto", "learned"): slower,
    }
    rows = table[table["part"] != "input"]
    assert len(rows) == 2 * len(expected)  # batches of 1 and of 256
    for row in rows.itertuples():
        choice = tuple(None if pd.isna(value) else value for value in (row.executor, row.routing))
        ratio = expected[row.part, row.what, *choice]
        assert row.ratio_low == pytest.approx(ratio, **ROUNDING)
        assert row.ratio == pytest.approx(ratio, **ROUNDING)
        assert row.ratio_high == pytest.approx(ratio, **ROUNDING)
        assert row.ratios == pytest.approx([ratio] * 6, **ROUNDING)


def test_a_part_without_a_reference_has_times_and_no_ratio(study):
    table = tables.latencies([synthetic.efficient(Run(study, "dense", 0))])
    rows = table[table["part"] == "input"]
    assert list(rows["batch"]) == [1, 256]
    assert rows[["ratio", "ratio_low", "ratio_high"]].isna().all(axis=None)
    assert list(rows["ratios"]) == [(), ()]
    # 0.01 ms an image, and 10 % more with each repeat: of six, a quartile lies between two of them.
    row = rows.iloc[0]
    quartiles = [row["ms_low"], row["ms"], row["ms_high"]]
    assert quartiles == pytest.approx([0.01125, 0.0125, 0.01375], **ROUNDING)
    assert list(rows["images_per_second"]) == pytest.approx([1 / 0.0125e-3] * 2, **ROUNDING)


def model_timing(what, *milliseconds, compiled=False):
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
    timings = (model_timing("this head", 3, 3, 9, 1, 1), model_timing("reference", 1, 4, 3, 1, 2))
    record = with_numbers(synthetic.efficient(Run(study, "dense", 0)), timed=timings)
    row = tables.latencies([record]).iloc[0]
    assert (row["ratio_low"], row["ratio"], row["ratio_high"]) == (0.75, 1.0, 3.0)
    assert (row["ms_low"], row["ms"], row["ms_high"]) == (1, 3, 3)


def test_compiled_ways_are_compared_with_the_compiled_reference(study):
    timings = (
        model_timing("this head", *[6.0] * 5),
        model_timing("reference", *[3.0] * 5),
        model_timing("this head", *[1.0] * 5, compiled=True),
        model_timing("reference", *[0.25] * 5, compiled=True),
    )
    record = synthetic.efficient(Run(study, "dense", 0))
    table = tables.latencies([with_numbers(record, timed=timings)])
    assert list(table["ratio"]) == [2, 1, 4, 1]
    assert list(table["compiled"]) == [False, False, True, True]
    incomplete = tables.latencies([with_numbers(record, timed=timings[:3])])
    assert incomplete["ratio"].isna().tolist() == [False, False, True]


def test_a_record_is_compared_with_itself_alone(study):
    """The second record's machine is a hundred times slower: ratios are as before."""
    record = synthetic.efficient(Run(study, "dense", 0), 1.5)
    slow = tuple(
        timing.model_copy(update={"milliseconds": tuple(100 * ms for ms in timing.milliseconds)})
        for timing in record.numbers.timed
    )
    table = tables.latencies([record, with_numbers(record, timed=slow)])
    half = len(table) // 2
    first, second = table["ratio"][:half], table["ratio"][half:]
    assert list(second) == pytest.approx(list(first), nan_ok=True, **ROUNDING)


@pytest.mark.parametrize(
    ("batches", "largest"),
    [((1, 256), 256), ((1, 32), 32), ((32, 256, 512), 256), ((512, 2048), 512)],
)
def test_whole_models_are_shown_at_the_largest_batch_up_to_the_papers(study, batches, largest):
    timings = [
        timing.model_copy(update={"batch": batch})
        for timing in synthetic.efficient(Run(study, "sparse", 0), 1.5).numbers.timed
        if timing.batch == 1
        for batch in batches
    ]
    record = with_numbers(synthetic.efficient(Run(study, "sparse", 0)), timed=tuple(timings))
    (row,) = tables.whole_models([record]).itertuples()
    assert (row.part, row.what, row.executor, row.batch) == ("model", "this head", "auto", largest)
    assert row.ratio == pytest.approx(1.5, **ROUNDING)


def test_speed_takes_quartiles_of_paired_ratios():
    table = tables.speed(synthetic.benchmark().numbers)
    assert list(table["ratio"]) == [3.0, 1.0]
    assert (table["low"][0], table["high"][0]) == (2.5, 3.5)
    assert (table["case"][0], table["batch"][0]) == ("batch 8", 8)


@pytest.mark.parametrize(
    ("aim", "met"), [(2.9, "yes"), (3.0, "yes"), (3.1, "no"), (1 / 1.2, "yes"), (None, "")]
)
def test_speed_says_whether_the_median_ratio_reaches_its_aim(aim, met):
    numbers = synthetic.benchmark().numbers
    case = numbers.cases[0].model_copy(update={"target_ratio": aim})
    table = tables.speed(numbers.model_copy(update={"cases": (case,)}))
    assert table["met"].tolist() == [met]
