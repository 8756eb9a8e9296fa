"""Sentences and verdicts computed from records: the book's words cannot outlive its numbers.

The book's page on the claims states the rules; their thresholds are the constants below.
"""

from collections.abc import Iterable

import pandas as pd

from moelib import comparisons, costs, frames
from moelib.costs import Efficient
from moelib.frames import EIGENVECTOR, RANDOM, Analysed, Sharp, Surfaces, Trained
from moelib.kinds import BenchmarkNumbers, ScaleNumbers
from moelib.record import Record
from moelib.statistics import CONFIDENCE, median_interval

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
MANY = 8  # heads, above which a sentence counts them instead of naming each
CLAIMED = ("soft", "sparse")  # the heads that the paper's claims are about
FITTED = 0.999  # training accuracy from which on a head fits the training images
COMPARABLE = 0.01  # accuracy difference below which two heads count as comparable
SIMILAR = 1.5  # ratio up to which two curvatures, or two rises of the loss, count as alike
WEAK = 0.3  # Kendall's tau up to which, in either direction, two measures count as not ordered
FASTER = 0.98  # times the dense model's time, below which a model counts as faster
CLAIMED_BATCH = 256  # images, for which the paper's latencies were taken
BALANCED = 0.2  # coefficient of variation of gate mass below which experts count as balanced


# -- sentences ------------------------------------------------------------------------------------


def accuracy_sentence(records: Trained) -> str:
    """What the accuracies of one study say, and how sure that is."""
    records = list(records)
    table = comparisons.accuracy(records)
    if len(table) > MANY:
        return _many(records, table)
    means = _list(f"{row.head} {row.mean:.1%}" for row in table.itertuples())
    said = f"{_seeds(records)}. Mean test accuracy: {means}."
    compared = comparisons.differences(records)
    if len(compared):
        parts = (
            f"{row.head} is {row.verdict} ({_points(row.difference)}, "
            f"95% interval {_points(row.low)} to {_points(row.high)})"
            for row in compared.itertuples()
        )
        return f"{said} Against dense, in points, paired by seed: {_list(parts)}."
    single = comparisons.image_comparisons(records)
    if len(single):
        parts = (
            f"{row.head} is {_image_verdict(row)} "
            f"({_points(row.difference)}, p = {row.p_value:.2g})"
            for row in single.itertuples()
        )
        return (
            f"{said} Against dense, in points, on the same test images (exact McNemar test): "
            f"{_list(parts)}. With one seed this compares trained nets, and not heads."
        )
    return said


def _many(records: list, table: pd.DataFrame) -> str:
    """The ends of a long list of heads, and how many of them differ from the dense one."""
    worst, best = table.loc[table["mean"].idxmin()], table.loc[table["mean"].idxmax()]
    said = (
        f"{_seeds(records)}. {len(table)} heads, with mean test accuracies from "
        f"{worst['mean']:.1%} ({worst['head']}) to {best['mean']:.1%} ({best['head']})."
    )
    verdicts = list(comparisons.differences(records).get("verdict", []))
    test = "paired by seed, at 95%"
    if not verdicts:
        single = comparisons.image_comparisons(records)
        verdicts = [_image_verdict(row) for row in single.itertuples()]
        test = "on the same test images (exact McNemar test, not corrected for their number)"
    if not verdicts:
        return said
    counts = _list(f"{verdicts.count(name)} {name}" for name in dict.fromkeys(verdicts))
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
    return (
        f"{_seeds(records)}. Coefficients of variation of gate mass and of load over experts, on "
        f"test images: {_list(variations)}. Dead experts: {_list(dead)}. Class and expert share "
        f"more information than under 95% of shuffled labels in {informed} of {len(test)} runs."
    )


def sharpness_sentence(records: Sharp) -> str:
    """What the curvatures of one study say, and how sure that is."""
    records = list(records)
    table = frames.curvature(records)
    said = (
        f"{_seeds(records)}. Largest Hessian eigenvalue, mean over seeds, on training and on test "
        f"images: {_by_split(table, 'lambda_max')}. Trace: {_by_split(table, 'trace')}."
    )
    loose = int((~table["converged"]).sum())
    if loose:
        said += f" In {loose} of {len(table)} cases the eigenvalues did not converge."
    return said + _times_dense(table, {"eigenvalue": "lambda_max", "trace": "trace"})


def surface_sentence(records: Surfaces) -> str:
    """What finite steps in the weights of one study do to its loss, and how sure that is."""
    records = list(records)
    ends = frames.farthest(frames.sweeps(records))
    said, compared = [f"{_seeds(records)}."], ""
    for kind, along in ((EIGENVECTOR, "the top eigenvector"), (RANDOM, "random directions")):
        table = ends[ends["kind"] == kind]
        if table.empty:
            continue
        said.append(
            f"At radius {table['radius'].max():g} along {along} the loss on training and on test "
            f"images has risen by, in nats: {_by_split(table, 'rise')}."
        )
        rerouted = table.dropna(subset="rerouted").groupby("head", sort=False)["rerouted"].mean()
        if len(rerouted):
            shares = _list(f"{head} {share:.0%}" for head, share in rerouted.items())
            said.append(f"Images that are sent to other experts there: {shares}.")
        if kind == EIGENVECTOR:
            compared = _times_dense(table, {"rise along the eigenvector": "rise"})
    return " ".join(said) + compared


def efficiency_sentence(records: Efficient) -> str:
    """What inference costs in one study, where it was measured."""
    records = list(records)
    work, times = costs.work(records), _whole_models(records)
    batch = times["batch"].max()
    heads = costs.chosen(costs.latencies(records)).query("part == 'head'")
    heads = heads[heads["batch"] == batch]
    ratios = _list(
        f"{row.head} {row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"
        for row in times.itertuples()
    )
    alone = _list(f"{row.head} {row.ratio:.2f}" for row in heads.itertuples())
    return (
        f"{_devices(records)}, batches of {batch}. Time of the whole model, times that with a "
        f"dense head of as many hidden units, with quartiles: {ratios}. The head alone: {alone}. "
        "Heads without experts are timed beside their like. Without any head a model would be at "
        f"most {work['ceiling'].max():.4g} times faster by its multiply-accumulates."
    )


def scale_sentence(record: Record[ScaleNumbers]) -> str:
    """For which sizes sparse heads are faster than dense ones, on the device of the record."""
    table = costs.scale(record)
    exact = table[table["dtype"] == "float32"]
    sparsest = exact[exact["k"] < exact["experts"]]
    wins = sparsest["speedup_low"] > 1
    best = sparsest.loc[sparsest["speedup"].idxmax()]
    model = costs.cost_model(record)
    return (
        f"Of {len(sparsest)} sizes with k < E, a sparse head is faster than a dense one of equal "
        f"total parameters at {wins.sum()}, most at E = {best.experts}, k = {best.k}, "
        f"h = {best.hidden} and {best.batch} images: {best.speedup:.1f} times, "
        f"{best.speedup / best.ideal:.0%} of the ideal. Beside a dense head of equal active "
        f"parameters it takes {sparsest['overhead'].min():.2g} to {sparsest['overhead'].max():.2g} "
        f"times as long. A linear model of the cost predicts sizes that it has not seen with a "
        f"median error of {model.median_error:.0%}."
    )


def front_sentence(trained: Trained, numbers: BenchmarkNumbers) -> str:
    """Which heads give the most accuracy for their time, and whether they can be told apart."""
    table = costs.tradeoff(trained, numbers)
    said = []
    for (part, batch), points in table.groupby(["part", "batch"], sort=False):
        best = points[points["efficient"]].sort_values("ms")
        top, fastest = best.iloc[-1], best.iloc[0]
        where = {"head": "the head alone", "model": "the whole model"}[part]
        front = _list(f"{row.head} ({row.accuracy:.2%})" for row in best.itertuples())
        if top.low <= fastest.high and fastest.low <= top.high:
            apart = "overlap, so that the data do not tell them apart"
        else:
            apart = "do not overlap"
        said.append(
            f"For {where} and batches of {batch} the front is {front}; the intervals of the "
            f"accuracies of its ends {apart}."
        )
    return " ".join(said)


def _whole_models(records: list) -> pd.DataFrame:
    latencies = costs.latencies(records)
    batches = latencies.loc[latencies["batch"] <= CLAIMED_BATCH, "batch"]
    whole = costs.chosen(latencies).query("part == 'model'")
    return whole[whole["batch"] == (batches.max() if len(batches) else latencies["batch"].min())]


def _devices(records: list) -> str:
    return _list(
        sorted({f"{r.provenance.device}, threads: {r.provenance.threads}" for r in records})
    )


def _by_split(table: pd.DataFrame, measure: str) -> str:
    means = table.groupby(["head", "split"], sort=False)[measure].mean().unstack(sort=False)
    return _list(
        f"{head} {' and '.join(_number(value) for value in row)}"
        for head, row in means[["train", "test"]].iterrows()
    )


def _times_dense(table: pd.DataFrame, measures: dict[str, str]) -> str:
    parts = []
    for name, measure in measures.items():
        compared = comparisons.ratios(table, measure)
        heads = _list(
            f"{head} {' and '.join(_ratio(row) for row in rows.itertuples())}"
            for head, rows in compared.groupby("head", sort=False)
        )
        parts.append(f"{name} {heads}")
    if compared.empty:
        return ""
    said = f" Times that of dense, paired by seed: {'; '.join(parts)}."
    if compared["seeds"].max() > 1:
        return said.replace("by seed:", "by seed, with 95% intervals:")
    return f"{said} With one seed this compares trained nets, and not heads."


# -- the paper's claims ---------------------------------------------------------------------------


def claims(
    trained: Trained,
    analysed: Analysed,
    sharp: Sharp = (),
    surfaces: Surfaces = (),
    efficient: Efficient = (),
) -> list[tuple[str, str, str]]:
    """(claim, verdict, the numbers behind it) for each claim that a study's records can test."""
    heads = {comparisons.REFERENCE, *CLAIMED}
    trained = [r for r in trained if r.head in heads]
    usage = frames.usage_summary(r for r in analysed if r.head in CLAIMED)
    curvature = frames.curvature(r for r in sharp if r.head in heads)
    sweeps = frames.sweeps(r for r in surfaces if r.head in heads)
    found = []
    if len(comparisons.seed_differences(trained)):
        found += [_more_accurate(trained), _comparable(trained)]
    found.append(_fitted(trained))
    if len(usage):
        test = usage.query("split == 'test'")
        found += [_balanced(test), _not_collapsed(test), _specialised(test)]
    if len(curvature) and set(curvature["head"]) == heads:
        found += [
            _sharpest(curvature, "lambda_max", "eigenvalue"),
            _sharpest(curvature, "trace", "trace"),
            _similar(curvature),
        ]
    if len(sweeps) and set(sweeps["head"]) == heads:
        found.append(_separated(sweeps))
    if len(curvature):
        found.append(_unordered(curvature, trained))
    timed = [r for r in efficient if r.head in CLAIMED]
    if {r.head for r in timed} == set(CLAIMED):
        found.append(_no_faster(timed))
    return found


def _more_accurate(trained: Trained) -> tuple[str, str, str]:
    claim = "Soft and sparse are slightly more accurate than dense."
    compared = comparisons.differences(trained)
    if compared.empty:
        single = comparisons.image_comparisons(trained).itertuples()
        numbers = _list(f"{row.head} {_points(row.difference)}" for row in single)
        return claim, UNDECIDED, f"{numbers}; needs two seeds or more"
    numbers = _list(
        f"{row.head} {_points(row.difference)} ({row.verdict})" for row in compared.itertuples()
    )
    if (compared["verdict"] == "higher").all():
        return claim, HOLDS, numbers
    return claim, FAILS if (compared["verdict"] == "lower").any() else UNDECIDED, numbers


def _comparable(trained: Trained) -> tuple[str, str, str]:
    claim = "The heads generalise comparably."
    compared = comparisons.differences(trained)
    if compared.empty:
        return claim, UNDECIDED, "needs two seeds or more"
    numbers = _list(
        f"{row.head} {_points(row.low)} to {_points(row.high)}" for row in compared.itertuples()
    )
    if (compared["low"] > -COMPARABLE).all() and (compared["high"] < COMPARABLE).all():
        return claim, HOLDS, numbers
    apart = (compared["high"] < -COMPARABLE) | (compared["low"] > COMPARABLE)
    return claim, FAILS if apart.any() else UNDECIDED, numbers


def _fitted(trained: Trained) -> tuple[str, str, str]:
    lowest = frames.finals(trained).groupby("head", sort=False)["last_train_accuracy"].min()
    numbers = _list(f"{head} {value:.2%}" for head, value in lowest.items())
    verdict = HOLDS if (lowest >= FITTED).all() else FAILS
    return "All heads fit the training images.", verdict, numbers


def _balanced(test: pd.DataFrame) -> tuple[str, str, str]:
    highest = test.groupby("head", sort=False)[["gate_mass_variation", "load_variation"]].max()
    numbers = _list(
        f"{row.Index} {row.gate_mass_variation:.2f} (load {row.load_variation:.2f})"
        for row in highest.itertuples()
    )
    verdict = HOLDS if (highest["gate_mass_variation"] < BALANCED).all() else FAILS
    return "With balance losses, the experts end balanced.", verdict, numbers


def _not_collapsed(test: pd.DataFrame) -> tuple[str, str, str]:
    totals = test.groupby("head", sort=False)[["dead_experts", "epochs_with_dead"]].max()
    numbers = _list(
        f"{row.Index} {row.dead_experts} at the end, some in {row.epochs_with_dead} epochs"
        for row in totals.itertuples()
    )
    verdict = FAILS if (totals["dead_experts"] > 0).any() else HOLDS
    return "Expert collapse is avoided.", verdict, numbers


def _specialised(test: pd.DataFrame) -> tuple[str, str, str]:
    groups = test.groupby("head", sort=False)[["information", "null_95"]]
    numbers = _list(
        f"{head} {runs['information'].min():.2f} nats (null {runs['null_95'].max():.2f})"
        for head, runs in groups
    )
    verdict = HOLDS if (test["information"] > test["null_95"]).all() else FAILS
    return "Experts specialise by class.", verdict, numbers


def _sharpest(curvature: pd.DataFrame, measure: str, name: str) -> tuple[str, str, str]:
    claim = f"The soft head has the largest Hessian {name}, on training and on test images."
    compared = _ratios_of("soft", curvature, [measure], [comparisons.REFERENCE, "sparse"])
    holds = len(compared) == 4 and (compared["verdict"] == "higher").all()
    fails = (compared["verdict"] == "lower").any()
    return claim, _verdict(holds, fails), _compared(compared)


def _similar(curvature: pd.DataFrame) -> tuple[str, str, str]:
    claim = "Dense and sparse lie in a similar curvature regime."
    compared = _ratios_of("sparse", curvature, ["lambda_max", "trace"], [comparisons.REFERENCE])
    holds = len(compared) == 4 and _alike(compared).all()
    return claim, _verdict(holds, _unlike(compared).any()), _compared(compared)


def _separated(sweeps: pd.DataFrame) -> tuple[str, str, str]:
    claim = "Finite steps along the top eigenvector tell dense from soft and sparse."
    ends = frames.farthest(sweeps).query("kind == @EIGENVECTOR and split == 'train'")
    compared = pd.concat(
        _ratios_of(head, ends, ["rise"], [comparisons.REFERENCE]) for head in CLAIMED
    )
    said = set(compared["verdict"])
    holds = len(compared) == 2 and said in ({"higher"}, {"lower"})
    fails = said == {"higher", "lower"} or _alike(compared).any()
    return claim, _verdict(holds, fails), _compared(compared)


def _unordered(curvature: pd.DataFrame, trained: Trained) -> tuple[str, str, str]:
    claim = "Sharpness does not order validation accuracy."
    runs, accuracy = ["study", "head", "seed"], "best_validation_accuracy"
    known = curvature.merge(frames.finals(trained)[[*runs, accuracy]], on=runs)
    found = comparisons.orders(known, ["lambda_max"], accuracy)
    if found.empty:
        return claim, UNDECIDED, "needs four runs or more, of different accuracy"
    numbers = _list(
        f"tau {_number(row.tau)} ({_number(row.low)} to {_number(row.high)}) on {row.split}"
        for row in found.itertuples()
    )
    certain = found["low"] < found["high"]
    within = certain & (found["low"] > -WEAK) & (found["high"] < WEAK)
    beyond = certain & ((found["low"] > WEAK) | (found["high"] < -WEAK))
    holds = len(found) == 2 and within.all()
    return claim, _verdict(holds, beyond.any()), f"{numbers}, {found['runs'].max()} runs"


def _no_faster(timed: list) -> tuple[str, str, str]:
    claim = "Soft and sparse heads bring no faster inference than a dense one."
    table = _whole_models(timed)
    intervals = {row.head: median_interval(row.ratios) for row in table.itertuples()}
    numbers = _list(
        f"{head} {found.estimate:.3f} ({_end(found.low)} to {_end(found.high)}) times dense"
        for head, found in intervals.items()
    )
    holds = all(found.low > FASTER for found in intervals.values())
    fails = any(found.high < FASTER for found in intervals.values())
    where = f"batches of {table['batch'].max()}, {_devices(timed)}"
    return claim, _verdict(holds, fails), f"{numbers}; {where}"


def _end(value: float) -> str:
    return "unknown" if pd.isna(value) else f"{value:.3f}"


def _ratios_of(
    head: str, table: pd.DataFrame, measures: list[str], references: list[str]
) -> pd.DataFrame:
    """Ratios of one head to others, with the columns measure and reference."""
    return pd.concat(
        comparisons.ratios(table[table["head"].isin([head, reference])], measure, reference).assign(
            measure=measure, reference=reference
        )
        for measure in measures
        for reference in references
    )


def _alike(compared: pd.DataFrame) -> pd.Series:
    certain = compared["low"] < compared["high"]  # as in `moelib.statistics.verdict`
    return certain & (compared["low"] > 1 / SIMILAR) & (compared["high"] < SIMILAR)


def _unlike(compared: pd.DataFrame) -> pd.Series:
    certain = compared["low"] < compared["high"]
    return certain & ((compared["low"] > SIMILAR) | (compared["high"] < 1 / SIMILAR))


def _compared(compared: pd.DataFrame) -> str:
    names = {"lambda_max": "eigenvalue ", "trace": "trace ", "rise": ""}
    numbers = _list(
        f"{names[row.measure]}{row.head}/{row.reference} {_ratio(row)} on {row.split}"
        for row in compared.itertuples()
    )
    if len(compared) and compared["seeds"].max() > 1:
        return numbers
    return f"{numbers}; needs two seeds or more".removeprefix("; ")


def _verdict(holds: bool, fails: bool) -> str:
    return FAILS if fails else HOLDS if holds else UNDECIDED


# -- words ----------------------------------------------------------------------------------------


def _seeds(records: list) -> str:
    seeds = len({record.seed for record in records})
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def _image_verdict(row) -> str:
    if row.p_value >= 1 - CONFIDENCE:
        return "not distinguishable"
    return "higher" if row.difference > 0 else "lower"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "\N{MINUS SIGN}")


def _ratio(row) -> str:
    if pd.isna(row.ratio):
        return "unknown"
    if pd.isna(row.low):
        return f"{row.ratio:.2f}"
    return f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})"


def _number(value: float) -> str:
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return digits.replace("-", "\N{MINUS SIGN}")


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
