"""Sentences on sparsity, computed from records: the book's words cannot outlive its numbers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from IPython.display import Markdown

from moelib.records.benchmarks import ScaleNumbers
from moelib.records.record import Record
from moelib.report import pages
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.frames import Trained
from moelib.report.headings import headings
from moelib.report.sparsity import costs, figures, tables
from moelib.report.statistics.intervals import CONFIDENCE
from moelib.report.statistics.power import holm
from moelib.report.wording import devices_of, enumeration, listed
from moelib.study.heads import family

NOTHING = "*There are no records of `benchmarks/scale.py` in this checkout.*"


def pays(records: Mapping[str, Record[ScaleNumbers]]) -> list[Markdown]:
    """At which sizes sparse heads are faster than dense ones, device by device, in a figure."""
    if not records:
        return [Markdown(NOTHING)]
    heads = [_selecting(record) for record in records.values()]
    shares = [_by_width(table)["share"] for table in heads]
    grow = all(own.is_monotonic_increasing and own.iloc[-1] > own.iloc[0] for own in shares)
    claim = (
        "The larger the experts, the more often a sparse head is faster than a dense one of equal "
        "total parameters."
        if grow
        else "Larger experts do not make a sparse head faster more often, on every device."
    )
    lines = [f"- {_wins(record)}" for record in records.values()]
    middle = enumeration(f"{table['overhead'].median():.2g}" for table in heads)
    price = (
        "A dense head of as many parameters as the active experts shows what routing costs: a "
        f"sparse head takes {middle} times as long at the median of each device, gate included."
    )
    scripts = listed(pages.record_link("scale", file) for file in records)
    return [
        Markdown("\n".join([*lines, "", price])),
        pages.chart(
            "pays",
            [figures.speedups(table, table["device"]) for table in heads],
            f"**{claim}** Median speed-up over rounds, in float32, against the ideal E/k (dashed). "
            "Each mark is a number of experts, a k and a batch, run as the rule chooses.",
            pd.concat(heads),
            f"{scripts} · made by `.venv/bin/python benchmarks/scale.py`",
        ),
    ]


def _selecting(record: Record[ScaleNumbers]) -> pd.DataFrame:
    """The heads in float32 that leave out some of their experts."""
    return tables.scale(record).query("k < experts and dtype == 'float32'")


def _by_width(heads: pd.DataFrame) -> pd.DataFrame:
    """How many heads are faster than dense, from the smallest experts to the largest."""
    faster = heads.assign(weights=heads["features"] * heads["hidden"], faster=heads["surely"] > 1)
    widths = faster.groupby(["weights", "features", "hidden"])["faster"]
    return widths.agg(faster="sum", heads="size", share="mean").reset_index()


def _wins(record: Record[ScaleNumbers]) -> str:
    """How many sparse heads are faster than dense on a device, of all and of some widths."""
    heads = _selecting(record)
    smallest, *_, largest = _by_width(heads).itertuples()
    widths = " and ".join(
        f"in {width.faster} of {width.heads} with the {size} ({width.features} × {width.hidden})"
        for size, width in (("largest experts", largest), ("smallest", smallest))
    )
    return (
        f"{devices_of([record])}: sparse is faster in {(heads['surely'] > 1).sum()} of "
        f"{len(heads)} cases, {widths} (each by its own 95% interval). The largest speed-up is "
        f"{heads['speedup'].max():.0f}-fold."
    )


def scale(record: Record[ScaleNumbers]) -> str:
    """What the fastest sparse head gains on a device, and what routing costs all of them."""
    exact = tables.scale(record).query("dtype == 'float32'")
    heads = exact.query("k < experts")
    best = heads.loc[heads["speedup"].idxmax()]
    overhead, regret = heads["overhead"], heads["regret"] - 1
    points = [point for point in record.numbers.points if point.dtype == "float32"]
    sparse = sum(point.k < point.experts for point in points)
    return (
        f"**{record.provenance.device}**: the largest speed-up is {best.speedup:.1f}-fold, "
        f"{best.speedup / best.ideal:.0%} of E/k, at E = {best.experts}, k = {best.k}, "
        f"d = {best.features}, h = {best.hidden} and batches of {best.batch}. The {len(heads)} "
        f"heads with k < E take {overhead.min():.2g} to {overhead.max():.2g} times (median "
        f"{overhead.median():.2g}) as long as a dense head of as many active parameters. The "
        f"rule's choice takes {regret.median():.0%} longer than the best executor of a size at "
        f"the median, and {regret.max():.0%} at worst. Heads left out because that choice was not "
        f"timed: {len(points) - len(exact)}, of which {sparse - len(heads)} with k < E."
    )


def crossovers(record: Record[ScaleNumbers]) -> Markdown:
    """A table of `tables.crossovers` in float32: a row for each width and batch, E in columns."""
    table = tables.crossovers(_selecting(record))
    share = table["crossover"].map("{:.3g}".format).where(table["crossover"].notna(), "none")
    table["wins"] = share.where(~table["open"], "≥ " + share)
    wide = table.pivot(index=["features", "hidden", "batch"], columns="experts", values="wins")
    columns = headings("features", "hidden", "batch") | {"hidden": ("h", "d"), "batch": ("n", "d")}
    return pages.table(wide.reset_index(), columns | {e: (f"E = {e}", "") for e in wide})


def aim(record: Record[ScaleNumbers]) -> str:
    """What was aimed at beforehand."""
    aim = record.numbers.aim
    return (
        f"At E = {aim.experts}, k = {aim.k}, d = {aim.features}, h = {aim.hidden} and {aim.batch} "
        f"images the aim was to be at least {aim.speedup:g} times as fast as the dense head of "
        f"equal total parameters, and at most {aim.overhead:g} times as slow as that of "
        "equal active parameters."
    )


def cost(record: Record[ScaleNumbers]) -> list[Markdown]:
    """The model of the cost on a device: how well it predicts, its prices, and measured bounds."""
    model, numbers = costs.fit(record), record.numbers
    errors = enumeration(
        f"{row.median:.0%} for {row.Index} heads (nine in ten below {row.nine_in_ten:.0%})"
        for row in model.errors.itertuples()
    )
    prices = pd.DataFrame({"term": costs.TERMS, "price": model.coefficients})
    prices["bound_ms"] = pd.Series(  # two operations for a multiply-accumulate
        {
            "gigamacs": 2000 / numbers.gigaflops["float32"],
            "gigabytes": 1000 / numbers.gigabytes,
        }
    )
    return [
        Markdown(
            f"**{record.provenance.device}**: the median error is {errors}. For {model.right:.0%} "
            "of the points the model foresees whether a sparse head with k < E is faster than the "
            "dense one of equal total parameters; always giving the more frequent answer would be "
            f"right for {model.majority:.0%}."
        ),
        pages.table(prices, headings("term", "price", "bound_ms")),
    ]


def most_accurate(trained: Trained) -> str:
    """The most accurate head of each family, and how many can be told from the best of all."""
    trained = list(trained)
    heads = accuracy_tables.means(trained).sort_values("mean", kind="stable")
    best = heads["head"].iloc[-1]
    families = heads[~heads["head"].map(family).duplicated(keep="last")]
    accurate = listed(f"{row.head} {row.mean:.2%}" for row in families.itertuples())
    others = accuracy_tables.image_comparisons(trained, reference=best)
    alike = np.sum(np.array(holm(others["p_value"])) >= 1 - CONFIDENCE)
    return (
        f"The most accurate head of each family: {accurate}. Of {len(others)} other heads {alike} "
        f"cannot be told from {best} on the same test images (exact McNemar test, corrected for "
        "their number)."
    )
