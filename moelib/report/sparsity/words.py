"""Sentences on sparsity, computed from records: the book's words cannot outlive its numbers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from IPython.display import Markdown

from moelib.records.benchmarks import BenchmarkNumbers, ScaleNumbers
from moelib.records.record import Record
from moelib.report import pages
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.frames import Trained
from moelib.report.sparsity import costs, figures, tables
from moelib.report.statistics.intervals import CONFIDENCE
from moelib.report.statistics.power import holm
from moelib.report.wording import devices_of, enumeration, listed


def pays(records: Mapping[str, Record[ScaleNumbers]], name: str = "pays") -> list[Markdown]:
    """At which sizes sparse heads are faster than dense ones, device by device, in a figure."""
    tabled = {
        file: table[(table["k"] < table["experts"]) & (table["dtype"] == "float32")]
        for file, record in records.items()
        if len(table := tables.scale(record))
    }
    if not tabled:
        return [Markdown("*There are no records of `benchmarks/scale.py` in this checkout.*")]
    lines = [f"- {_wins(records[file], table)}" for file, table in tabled.items()]
    grow = all(map(_grows, tabled.values()))
    claim = (
        "**The larger the experts, the more often a sparse head is faster than a dense one of "
        "equal total parameters.**"
        if grow
        else "**Larger experts do not make a sparse head faster more often, on every device.**"
    )
    middle = enumeration(f"{table['overhead'].median():.2g}" for table in tabled.values())
    price = (
        "What routing costs is seen beside a dense head of as many parameters as the active "
        f"experts: a sparse head takes {middle} times as long at the median, gate included."
    )
    drawn = [figures.overview(table, records[file].provenance.device)
             for file, table in tabled.items()]  # fmt: skip
    scripts = listed(pages.record_link("scale", file) for file in tabled)
    return [
        Markdown("\n".join([claim, "", *lines, "", price])),
        pages.chart(
            name, drawn,
            f"{claim} How many times faster, in float32, against the ideal E/k (dashed): a dot for "
            "each number of experts, k and batch, by the executor that the rule chooses; medians "
            "over rounds.", pd.concat(tabled.values()),
            f"{scripts} · made by `.venv/bin/python benchmarks/scale.py`",
        ),
    ]  # fmt: skip


def _wins(record: Record[ScaleNumbers], table: pd.DataFrame) -> str:
    """How many sparse heads are faster than dense on a device, of all and of some widths."""
    smallest, largest = _by_width(table)
    widths = " and ".join(
        f"{(rows['surely'] > 1).sum()} of {len(rows)} with {size} experts "
        f"({rows['features'].iloc[0]} × {rows['hidden'].iloc[0]})"
        for size, rows in (("the largest", largest), ("the smallest", smallest))
    )
    return (
        f"{devices_of([record])}: {(table['surely'] > 1).sum()} of {len(table)} are faster, "
        f"{widths} (each by its own 95% interval). The largest gain is "
        f"{table['speedup'].max():.0f} times."
    )


def _by_width(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The heads of the smallest experts, and those of the largest."""
    weights = table["features"] * table["hidden"]
    return table[weights == weights.min()], table[weights == weights.max()]


def _grows(table: pd.DataFrame) -> bool:
    """Whether the share of heads that are faster rises with the size of their experts."""
    shares = (table["surely"] > 1).groupby(table["features"] * table["hidden"]).mean()
    return shares.is_monotonic_increasing and shares.iloc[-1] > shares.iloc[0]


def scale(record: Record[ScaleNumbers]) -> str:
    """For which sizes sparse heads are faster than dense ones, on the device of the record."""
    table = tables.scale(record)
    selecting = table[(table["k"] < table["experts"]) & (table["dtype"] == "float32")]
    best = selecting.loc[selecting["speedup"].idxmax()]
    overhead, regret = selecting["overhead"], selecting["regret"] - 1
    wins = (selecting["surely"] > 1).sum()
    untimed = [
        point
        for point, chosen in tables.by_rule(record)
        if chosen not in point.sparse and point.dtype == "float32"
    ]
    sparse = sum(point.k < point.experts for point in untimed)
    errors = costs.fit(record).errors["median"]
    sentences = (
        f"Of {len(selecting)} sparse heads with k < E, {wins} are faster than a dense one of equal "
        f"total parameters (each by the 95% interval of its median, not corrected for their "
        f"number), most at "
        f"E = {best.experts}, k = {best.k}, d = {best.features}, h = {best.hidden} and "
        f"batches of {best.batch}: {best.speedup:.1f} times, {best.speedup / best.ideal:.0%} of "
        "E/k.",
        f"Beside a dense head of as many parameters as their active experts they take, gate "
        f"included, {overhead.min():.2g} to {overhead.max():.2g} times as long, with a median of "
        f"{overhead.median():.2g}.",
        f"The rule that chooses the executor, which was fitted to such "
        f"times of one thread of an Intel Xeon, costs {regret.median():.0%} at the median and "
        f"{regret.max():.0%} at worst against the best one of each size, without the time that "
        "choosing takes.",
        f"Left out are {sparse} more with k < E and {len(untimed) - sparse} with "
        "k = E, at which the executor of the rule was not timed.",
        "A linear model of the cost "
        "predicts the heads of a batch of which it has seen none with a median error of "
        f"{errors['sparse']:.0%} for sparse heads and {errors['dense']:.0%} for dense ones.",
    )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def aim(record: Record[ScaleNumbers]) -> str:
    """Whether the aim that was set beforehand is met, in each precision."""
    aim = record.numbers.aim
    results = listed(
        f"{row.dtype} {row.speedup:.1f} and {row.overhead:.2f} ({'met' if row.met else 'missed'})"
        for row in tables.aims(record).itertuples()
    )
    outcome = f"Found: {results}." if results else "The record holds no timing of this size."
    return (
        f"At E = {aim.experts}, k = {aim.k}, d = {aim.features}, h = {aim.hidden} and {aim.batch} "
        f"images the aim was at least {aim.speedup:g} times the speed of the dense head of equal "
        f"total parameters, and at most {aim.overhead:g} times the time of that of equal active "
        f"parameters. {outcome}"
    )


def front(trained: Trained, numbers: BenchmarkNumbers) -> str:
    """Which heads give the most accuracy for their time, and whether they can be told apart."""
    trained = list(trained)
    table = tables.tradeoff(trained, numbers)
    fronts = []
    for (part, batch), points in table.groupby(["part", "batch"], sort=False):
        best = points[points["efficient"]].sort_values("ms")
        where = {"head": "the head alone", "model": "the whole model"}[part]
        front = listed(f"{row.head} ({row.stays:.0%})" for row in best.itertuples())
        fronts.append(f"For {where} and batches of {batch} the front is {front}.")
    heads = table.drop_duplicates("head")
    families = heads.sort_values("accuracy").drop_duplicates("family", keep="last")
    accurate = listed(f"{row.head} {row.accuracy:.2%}" for row in families.itertuples())
    best = heads.loc[heads["accuracy"].idxmax(), "head"]
    others = accuracy_tables.image_comparisons(trained, reference=best)
    alike = np.sum(np.array(holm(others["p_value"])) >= 1 - CONFIDENCE)
    return (
        f"{' '.join(fronts)} Each with the share of resamples, of test images and of rounds, in "
        f"which it stays there. The most accurate of each family: {accurate}. Of "
        f"{len(others)} other heads {alike} cannot be told from {best} on the same test images "
        "(exact McNemar test, corrected for their number)."
    )
