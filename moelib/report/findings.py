"""Sentences computed from records: the book's words cannot outlive its numbers."""

import numpy as np
import pandas as pd

from moelib.records.kinds import BenchmarkNumbers, ScaleNumbers
from moelib.records.record import Record
from moelib.report import comparisons, costs, frames, scaling
from moelib.report.costs import Efficient
from moelib.report.frames import EIGENVECTOR, RANDOM, Analysed, Sharp, Surfaces, Trained
from moelib.report.wording import (
    devices_of,
    image_verdict,
    in_points,
    listed,
    rounded,
    seeds_of,
    signed,
    tau_with_interval,
)

MANY = 8  # heads, above which a sentence counts them instead of naming each
CURVATURES = {  # raw ones, one that rescaling cannot change, and one that confidence cannot
    "eigenvalue": "lambda_max",
    "trace": "trace",
    "adaptive trace": "adaptive_trace",
    "trace at matched loss": "matched_trace",
}
IN_NATS = "in nats, paired by seed, with 95% intervals"
RISES = {"rise along the eigenvector": EIGENVECTOR, "rise along random directions": RANDOM}


def accuracy_sentence(records: Trained) -> str:
    """What the accuracies of one study say, and how sure that is."""
    records = list(records)
    table = comparisons.accuracy(records)
    if len(table) > MANY:
        return _many(records, table)
    means = listed(f"{row.head} {row.mean:.1%}" for row in table.itertuples())
    said = f"{seeds_of(records)}. Mean test accuracy: {means}."
    compared = comparisons.differences(records)
    if len(compared):
        said += f" Against dense, in points, paired by seed: {_paired(compared)}."
        beyond = comparisons.accuracy_beyond_frozen(records)
        if len(beyond):
            said += f" Against a frozen gate, likewise: {_paired(beyond)}."
        return said
    single = comparisons.image_comparisons(records)
    if len(single):
        parts = (
            f"{row.head} is {image_verdict(row)} "
            f"({in_points(row.difference)}, p = {row.p_value:.2g})"
            for row in single.itertuples()
        )
        return (
            f"{said} Against dense, in points, on the same test images (exact McNemar test): "
            f"{listed(parts)}. With one seed this compares trained nets, and not heads."
        )
    return said


def _paired(compared: pd.DataFrame) -> str:
    return listed(
        f"{row.head} is {row.verdict} ({in_points(row.difference)}, "
        f"95% interval {in_points(row.low)} to {in_points(row.high)})"
        for row in compared.itertuples()
    )


def _many(records: list, table: pd.DataFrame) -> str:
    """The ends of a long list of heads, and how many of them differ from the dense one."""
    worst, best = table.loc[table["mean"].idxmin()], table.loc[table["mean"].idxmax()]
    said = (
        f"{seeds_of(records)}. {len(table)} heads, with mean test accuracies from "
        f"{worst['mean']:.1%} ({worst['head']}) to {best['mean']:.1%} ({best['head']})."
    )
    verdicts = list(comparisons.differences(records).get("verdict", []))
    test = "paired by seed, at 95%"
    if not verdicts:
        single = comparisons.image_comparisons(records)
        verdicts = [image_verdict(row) for row in single.itertuples()]
        test = "on the same test images (exact McNemar test, not corrected for their number)"
    if not verdicts:
        return said
    counts = listed(f"{verdicts.count(name)} {name}" for name in dict.fromkeys(verdicts))
    return f"{said} Against dense, {test}: {counts}."


def usage_sentence(records: Analysed) -> str:
    """What the utilization of one study says."""
    records = list(records)
    test = frames.usage_summary(records).query("split == 'test'")
    experts = {record.head: len(record.numbers.test.gate_mass) for record in records}
    variations, dead = [], []
    for head, runs in test.groupby("head", sort=False):
        mass, load = runs["gate_mass_variation"].mean(), runs["load_variation"].mean()
        variations.append(f"{head} {mass:.2f} and {load:.2f}")
        dead.append(f"{head} {runs['dead_experts'].sum()} of {len(runs) * experts[head]}")
    informed = int((test["information"] > test["null_95"]).sum())
    beyond = listed(
        f"{row.head} {signed(row.difference)} ({signed(row.low)} to {signed(row.high)})"
        for row in comparisons.information_beyond_frozen(records).itertuples()
    )
    return (
        f"{seeds_of(records)}. Coefficients of variation of gate mass and of load over experts, on "
        f"test images: {listed(variations)}. Dead experts: {listed(dead)}. Class and expert share "
        f"more information than under 95% of shuffled labels in {informed} of {len(test)} runs"
        + (f"; beyond that with a frozen gate, {IN_NATS}: {beyond}." if beyond else ".")
    )


def sharpness_sentence(records: Sharp) -> str:
    """What the curvatures of one study say, and how sure that is."""
    records = list(records)
    table = frames.curvature(records)
    said = (
        f"{seeds_of(records)}. Largest Hessian eigenvalue on training and on test images"
        f"{_over_seeds(table)}: {_by_split(table, 'lambda_max')}."
    )
    loose = int((~table["lambda_max_converged"]).sum())
    if loose:
        said += f" In {loose} of {len(table)} cases the eigenvalues did not converge."
    known = {name: measure for name, measure in CURVATURES.items() if table[measure].notna().any()}
    return said + _against_dense(table, known)


def order_sentence(
    runs: pd.DataFrame, measure: str = "lambda_max", called: str = "the largest eigenvalue"
) -> str:
    """How the runs' order by a measure goes with that by test accuracy; '' if unknown.

    `runs` has a row per run and split, as `comparisons.orders` takes them.
    """
    found = comparisons.orders(runs, [measure])
    if found.empty:
        return ""
    taus = listed(f"{tau_with_interval(row)} on {row.split}" for row in found.itertuples())
    return f"Kendall's tau of {called} and test accuracy over {found['runs'].max()} runs: {taus}."


def surface_sentence(records: Surfaces) -> str:
    """What finite steps in the weights of one study do to its loss, and how sure that is."""
    records = list(records)
    sweeps = frames.sweeps(records)
    ends, said = frames.farthest(sweeps), [f"{seeds_of(records)}."]
    for kind, along in ((EIGENVECTOR, "the top eigenvector"), (RANDOM, "random directions")):
        table = ends[ends["kind"] == kind]
        if table.empty:
            continue
        said.append(
            f"At radius {table['radius'].max():g} along {along} the loss on training and on test "
            f"images has risen by, in nats{_over_seeds(table)}: {_by_split(table, 'rise')}."
        )
        rerouted = table.dropna(subset="rerouted").groupby("head", sort=False)["rerouted"].mean()
        if len(rerouted):
            shares = listed(f"{head} {share:.0%}" for head, share in rerouted.items())
            said.append(f"Images that are sent to other experts there: {shares}.")
    swept = {name: kind for name, kind in RISES.items() if (ends["kind"] == kind).any()}
    return " ".join(said) + _against_dense(frames.rises(sweeps), swept)


def efficiency_sentence(records: Efficient) -> str:
    """What inference costs in one study, where it was measured."""
    records = list(records)
    work, times = costs.work(records), costs.whole_models(records)
    batch = times["batch"].max()
    heads = costs.chosen(costs.latencies(records)).query("part == 'head'")
    heads = heads[heads["batch"] == batch]
    ratios = listed(
        f"{row.head} {row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"
        for row in times.itertuples()
    )
    alone = listed(f"{row.head} {row.ratio:.2f}" for row in heads.itertuples())
    gains = costs.headless(costs.latencies(records)).groupby("batch")["gain"].agg(["min", "max"])
    bare = listed(
        f"{row.min:.2f} to {row.max:.2f} in batches of {row.Index}"
        for row in gains.loc[sorted({gains.index.min(), batch})].itertuples()
    )
    return (
        f"{devices_of(records)}, batches of {batch}. Time of the whole model, times that with a "
        f"dense head of as many hidden units, with quartiles: {ratios}. The head alone: {alone}. "
        "Heads without experts are timed beside their like. By the multiply-accumulates that are "
        f"run for one image no model could be more than {work['ceiling'].max() - 1:.2%} faster "
        f"without its head. Timed, models with such a dense head take this many times as long as "
        f"their backbone alone: {bare}."
    )


def choice_sentence(records: Efficient) -> str:
    """Which executor the rule chose at which batches, and what that means for the routing."""
    said = []
    for record in records:
        batches = {}
        for batch, executor in record.numbers.chosen.items():
            batches.setdefault(executor, []).append(batch)
        of = " and ".join(f"{name} in batches of {listed(of)}" for name, of in batches.items())
        said.append(f"{record.head} {of}" if of else "")
    chosen = "; ".join(filter(None, said))
    if not chosen:
        return ""
    return (
        f"The rule chose: {chosen}. Where it chose batched, all experts are computed whatever the "
        "plan says: there the routing cannot matter to auto."
    )


def scale_sentence(record: Record[ScaleNumbers]) -> str:
    """For which sizes sparse heads are faster than dense ones, on the device of the record."""
    table = scaling.scale(record)
    selecting = table[(table["k"] < table["experts"]) & (table["dtype"] == "float32")]
    best = selecting.loc[selecting["speedup"].idxmax()]
    overhead, regret = selecting["overhead"], selecting["regret"] - 1
    wins = (selecting["surely"] > 1).sum()
    untimed = [point for point in scaling.untimed(record) if point.dtype == "float32"]
    sparse = sum(point.k < point.experts for point in untimed)
    errors = scaling.cost_model(record).errors["median"]
    return (
        f"Of {len(selecting)} sparse heads with k < E, {wins} are faster than a dense one of equal "
        f"total parameters (each by the 95% interval of its median, not corrected for their "
        f"number), most at "
        f"E = {best.experts}, k = {best.k}, d = {best.features}, h = {best.hidden} and "
        f"{best.batch} images: {best.speedup:.1f} times, {best.speedup / best.ideal:.0%} of E/k. "
        f"Beside a dense head of as many parameters as their active experts they take, gate "
        f"included, {overhead.min():.2g} to {overhead.max():.2g} times as long, with a median of "
        f"{overhead.median():.2g}. The rule that chooses the executor, which was fitted to such "
        f"times of one CPU thread, costs {regret.median():.0%} at the median and "
        f"{regret.max():.0%} at worst against the best one of each size, without the time that "
        f"choosing takes. Left out are {sparse} more with k < E and {len(untimed) - sparse} with "
        "k = E, at which the executor of the rule was not timed. A linear model of the cost "
        "predicts the heads of a batch of which it has seen none with a median error of "
        f"{errors['sparse']:.0%} for sparse heads and {errors['dense']:.0%} for dense ones."
    )


def aim_sentence(record: Record[ScaleNumbers]) -> str:
    """Whether the aim that was set beforehand is met, in each precision."""
    aim = record.numbers.aim
    met = listed(
        f"{row.dtype} {row.speedup:.1f} and {row.overhead:.2f} ({'met' if row.met else 'missed'})"
        for row in scaling.aimed(record).itertuples()
    )
    found = f"Found: {met}." if met else "The record holds no timing of this size."
    return (
        f"At E = {aim.experts}, k = {aim.k}, d = {aim.features}, h = {aim.hidden} and {aim.batch} "
        f"images the aim was at least {aim.speedup:g} times the speed of the dense head of equal "
        f"total parameters, and at most {aim.overhead:g} times the time of that of equal active "
        f"parameters. {found}"
    )


def front_sentence(trained: Trained, numbers: BenchmarkNumbers) -> str:
    """Which heads give the most accuracy for their time, and whether they can be told apart."""
    trained = list(trained)
    table = costs.tradeoff(trained, numbers)
    said = []
    for (part, batch), points in table.groupby(["part", "batch"], sort=False):
        best = points[points["efficient"]].sort_values("ms")
        where = {"head": "the head alone", "model": "the whole model"}[part]
        front = listed(f"{row.head} ({row.stays:.0%})" for row in best.itertuples())
        said.append(f"For {where} and batches of {batch} the front is {front}.")
    heads = table.drop_duplicates("head")
    families = heads.sort_values("accuracy").drop_duplicates("family", keep="last")
    accurate = listed(f"{row.head} {row.accuracy:.2%}" for row in families.itertuples())
    best = heads.loc[heads["accuracy"].idxmax(), "head"]
    others = comparisons.image_comparisons(trained, reference=best)
    alike = sum(image_verdict(row) == "not distinguishable" for row in others.itertuples())
    return (
        f"In brackets: the share of resamples, of test images and of rounds, in which a head is on "
        f"the front. {' '.join(said)} The most accurate of each family: {accurate}. Of "
        f"{len(others)} other heads {alike} cannot be told from {best} on the same test images "
        "(exact McNemar test, not corrected for their number)."
    )


def _over_seeds(table: pd.DataFrame) -> str:
    return " (geometric means over seeds)" if table["seed"].nunique() > 1 else ""


def _by_split(table: pd.DataFrame, measure: str) -> str:
    """Geometric means, so that their quotients are the ratios that are told of the same runs."""
    logs = np.log(table[measure].where(table[measure] > 0))
    runs = logs.groupby([table["head"], table["split"]], sort=False)
    means = np.exp(runs.agg(lambda values: values.mean(skipna=False)))
    return listed(
        f"{head} {' and '.join('unknown' if pd.isna(value) else rounded(value) for value in row)}"
        for head, row in means.unstack(sort=False)[["train", "test"]].iterrows()
    )


def _against_dense(table: pd.DataFrame, measures: dict[str, str]) -> str:
    """By which measures, and how many times, each head differs from the dense one over seeds."""
    compared = pd.concat(
        comparisons.ratios(table, measure).assign(measure=name)
        for name, measure in measures.items()
    )
    if compared.empty:
        return ""
    if compared["seeds"].max() == 1:
        return " With one seed this compares trained nets, and not heads."
    heads = listed(
        f"{head} ({_told_apart(rows)})" for head, rows in compared.groupby("head", sort=False)
    )
    return (
        " Times dense, paired by seed, where the 95% interval, not corrected for their number, "
        f"leaves out 1: {heads}."
    )


def _told_apart(rows: pd.DataFrame) -> str:
    apart = rows[rows["verdict"].isin(["higher", "lower"])]
    if apart.empty:
        return "by no measure"
    return listed(
        f"{measure} {' and '.join(f'{row.ratio:.2f} on {row.split}' for row in own.itertuples())}"
        for measure, own in apart.groupby("measure", sort=False)
    )
