"""The paper's claims, judged by rules that are the same for every study.

The book's page on the claims states the rules; their thresholds are the constants below.
"""

from collections.abc import Mapping

import pandas as pd

from moelib.report import comparisons, costs, frames
from moelib.report.costs import Efficient
from moelib.report.frames import EIGENVECTOR, Analysed, Sharp, Surfaces, Trained
from moelib.report.statistics import has_width, median_interval
from moelib.report.wording import devices_of, in_points, listed, tau_with_interval, with_interval

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
CLAIMED = ("soft", "sparse")  # the heads that the paper's claims are about
FITTED = 0.999  # training accuracy from which on a head fits the training images
COMPARABLE = 0.01  # accuracy difference below which two heads count as comparable
SIMILAR = 1.5  # ratio up to which two curvatures, or two rises of the loss, count as alike
WEAK = 0.3  # Kendall's tau up to which, in either direction, two measures count as not ordered
FASTER = 0.98  # times the dense model's time, below which a model counts as faster
BALANCED = 0.2  # coefficient of variation of gate mass below which experts count as balanced


def judge(
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
    timed = [r for r in efficient if r.head in heads]
    if {r.head for r in timed} >= set(CLAIMED):
        found.append(_no_faster(timed))
    return found


def overview(judged: Mapping[str, list[tuple[str, str, str]]]) -> pd.DataFrame:
    """One row a claim, one column a study: the verdict, missing where a study cannot test it."""
    said = {
        study: {claim: verdict for claim, verdict, _ in found} for study, found in judged.items()
    }
    claims = dict.fromkeys(claim for found in said.values() for claim in found)
    return pd.DataFrame(said, index=list(claims)).rename_axis("claim").reset_index()


def _more_accurate(trained: Trained) -> tuple[str, str, str]:
    claim = "Soft and sparse are slightly more accurate than dense."
    compared = comparisons.differences(trained)
    if compared.empty:
        single = comparisons.image_comparisons(trained).itertuples()
        numbers = listed(f"{row.head} {in_points(row.difference)}" for row in single)
        return claim, UNDECIDED, f"{numbers}; needs two seeds or more"
    numbers = listed(
        f"{row.head} {in_points(row.difference)} ({row.verdict})" for row in compared.itertuples()
    )
    if (compared["verdict"] == "higher").all():
        return claim, HOLDS, numbers
    return claim, FAILS if (compared["verdict"] == "lower").any() else UNDECIDED, numbers


def _comparable(trained: Trained) -> tuple[str, str, str]:
    claim = "The heads generalise comparably."
    compared = comparisons.differences(trained)
    if compared.empty:
        return claim, UNDECIDED, "needs two seeds or more"
    numbers = listed(
        f"{row.head} {in_points(row.low)} to {in_points(row.high)}" for row in compared.itertuples()
    )
    certain = has_width(compared["low"], compared["high"])
    within = certain & (compared["low"] > -COMPARABLE) & (compared["high"] < COMPARABLE)
    apart = certain & ((compared["high"] < -COMPARABLE) | (compared["low"] > COMPARABLE))
    return claim, _verdict(within.all(), apart.any()), numbers


def _fitted(trained: Trained) -> tuple[str, str, str]:
    lowest = frames.finals(trained).groupby("head", sort=False)["last_train_accuracy"].min()
    numbers = listed(f"{head} {value:.2%}" for head, value in lowest.items())
    verdict = HOLDS if (lowest >= FITTED).all() else FAILS
    return "All heads fit the training images.", verdict, numbers


def _balanced(test: pd.DataFrame) -> tuple[str, str, str]:
    highest = test.groupby("head", sort=False)[["gate_mass_variation", "load_variation"]].max()
    numbers = listed(
        f"{row.Index} {row.gate_mass_variation:.2f} (load {row.load_variation:.2f})"
        for row in highest.itertuples()
    )
    verdict = HOLDS if (highest["gate_mass_variation"] < BALANCED).all() else FAILS
    return "With balance losses, the experts end balanced.", verdict, numbers


def _not_collapsed(test: pd.DataFrame) -> tuple[str, str, str]:
    totals = test.groupby("head", sort=False)[["dead_experts", "epochs_with_dead"]].max()
    numbers = listed(
        f"{row.Index} {row.dead_experts} at the end, some in {row.epochs_with_dead} epochs"
        for row in totals.itertuples()
    )
    verdict = FAILS if (totals["dead_experts"] > 0).any() else HOLDS
    return "Expert collapse is avoided.", verdict, numbers


def _specialised(test: pd.DataFrame) -> tuple[str, str, str]:
    groups = test.groupby("head", sort=False)[["information", "null_95"]]
    numbers = listed(
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
    ends = frames.farthest(sweeps).query("split == 'train'")
    ends = ends[ends["kind"] == EIGENVECTOR]
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
    numbers = listed(f"tau {tau_with_interval(row)} on {row.split}" for row in found.itertuples())
    within = (found["low"] > -WEAK) & (found["high"] < WEAK)  # without an interval: neither
    beyond = (found["low"] > WEAK) | (found["high"] < -WEAK)
    holds = len(found) == 2 and within.all()
    return claim, _verdict(holds, beyond.any()), f"{numbers}, {found['runs'].max()} runs"


def _no_faster(timed: list) -> tuple[str, str, str]:
    claim = "Soft and sparse heads bring no faster inference than a dense one."
    table = costs.whole_models(timed)
    intervals = {row.head: median_interval(row.ratios) for row in table.itertuples()}
    numbers = listed(
        f"{head} {found.estimate:.3f} ({_end(found.low)} to {_end(found.high)})"
        for head, found in intervals.items()
    )
    where = f"batches of {table['batch'].max()}, {devices_of(timed)}"
    said = f"times dense: {numbers}; {where}"
    control = intervals.pop(comparisons.REFERENCE, None)  # a dense head beside its like
    if control is None:
        return claim, UNDECIDED, f"{said}; needs a dense head beside its like"
    # What tells two like heads apart by the margin cannot be trusted with unlike ones.
    trusted = FASTER <= control.low and control.high <= 2 - FASTER
    holds = trusted and all(found.low > FASTER for found in intervals.values())
    fails = trusted and any(found.high < FASTER for found in intervals.values())
    return claim, _verdict(holds, fails), said


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
    certain = has_width(compared["low"], compared["high"])
    return certain & (compared["low"] > 1 / SIMILAR) & (compared["high"] < SIMILAR)


def _unlike(compared: pd.DataFrame) -> pd.Series:
    certain = has_width(compared["low"], compared["high"])
    return certain & ((compared["low"] > SIMILAR) | (compared["high"] < 1 / SIMILAR))


def _compared(compared: pd.DataFrame) -> str:
    names = {"lambda_max": "eigenvalue ", "trace": "trace ", "rise": ""}
    numbers = listed(
        f"{names[row.measure]}{row.head}/{row.reference} {with_interval(row)} on {row.split}"
        for row in compared.itertuples()
    )
    if len(compared) and compared["seeds"].max() > 1:
        return numbers
    return f"{numbers}; needs two seeds or more".removeprefix("; ")


def _verdict(holds: bool, fails: bool) -> str:
    return FAILS if fails else HOLDS if holds else UNDECIDED
