"""Sentences on sparsity, computed from records: the book's words cannot outlive its numbers."""

from moelib.records.benchmarks import BenchmarkNumbers, ScaleNumbers
from moelib.records.record import Record
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.frames import Trained
from moelib.report.sparsity import costs, tables
from moelib.report.statistics.intervals import CONFIDENCE
from moelib.report.wording import listed


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
    return (
        f"Of {len(selecting)} sparse heads with k < E, {wins} are faster than a dense one of equal "
        f"total parameters (each by the 95% interval of its median, not corrected for their "
        f"number), most at "
        f"E = {best.experts}, k = {best.k}, d = {best.features}, h = {best.hidden} and "
        f"batches of {best.batch}: {best.speedup:.1f} times, {best.speedup / best.ideal:.0%} of "
        "E/k. "
        f"Beside a dense head of as many parameters as their active experts they take, gate "
        f"included, {overhead.min():.2g} to {overhead.max():.2g} times as long, with a median of "
        f"{overhead.median():.2g}. The rule that chooses the executor, which was fitted to such "
        f"times of one thread of an Intel Xeon, costs {regret.median():.0%} at the median and "
        f"{regret.max():.0%} at worst against the best one of each size, without the time that "
        f"choosing takes. Left out are {sparse} more with k < E and {len(untimed) - sparse} with "
        "k = E, at which the executor of the rule was not timed. A linear model of the cost "
        "predicts the heads of a batch of which it has seen none with a median error of "
        f"{errors['sparse']:.0%} for sparse heads and {errors['dense']:.0%} for dense ones."
    )


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
    alike = (others["p_value"] >= 1 - CONFIDENCE).sum()
    return (
        f"In brackets: the share of resamples, of test images and of rounds, in which a head is on "
        f"the front. {' '.join(fronts)} The most accurate of each family: {accurate}. Of "
        f"{len(others)} other heads {alike} cannot be told from {best} on the same test images "
        "(exact McNemar test, not corrected for their number)."
    )
