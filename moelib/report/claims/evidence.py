"""What records say on each of the paper's claims: one number with its p-values for each part."""

import math
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.comparisons import REFERENCE, ratios
from moelib.report.efficiency import tables as efficiency_tables
from moelib.report.frames import RUN, Analysed, Efficient, Sharp, Surfaces, Trained, of_split
from moelib.report.paper import BACKBONE
from moelib.report.sharpness import tables as sharpness_tables
from moelib.report.statistics.hypotheses import ABOVE, WITHIN, Evidence, certain, over_seeds
from moelib.report.statistics.intervals import FEWEST_RUNS, kendall, median_interval, resampled_taus
from moelib.report.surface import tables as surface_tables
from moelib.report.surface.tables import EIGENVECTOR
from moelib.report.thresholds import ALIVE, FASTER, FITTED, MATCHED, SIMILAR, WEAK
from moelib.report.utilization import tables as utilization_tables
from moelib.report.wording import MINUS

HEADS = ("soft", "sparse")  # the heads that the paper's claims are about
# Of tau times sqrt(n), without an order: its variance is 2 (2n + 5) / 9n (n - 1) (Kendall 1945).
TAU_DEVIATION = 2 / 3


class Records(NamedTuple):
    """All records of one study that a claim is about: of its heads, and of the dense one."""

    trained: Trained = ()
    analysed: Analysed = ()
    sharp: Sharp = ()
    surfaces: Surfaces = ()
    efficient: Efficient = ()
    heads: tuple[str, ...] = HEADS  # that the claim is about, beside dense


def accuracy(kind: str, threshold: float, records: Records) -> list[Evidence]:
    """Test accuracy of each claimed head minus that of the dense run of its seed."""
    differences = accuracy_tables.seed_differences(records.trained)
    name = f"{{}} {MINUS} {REFERENCE}"
    return _by_head(differences, "difference", kind, threshold, records.heads, name)


def fit(records: Records) -> list[Evidence]:
    """Training accuracy of each head after the last epoch, of the paper's net alone."""
    finals = accuracy_tables.finals(_of_paper_net(records.trained))
    return _by_head(finals, "last_train_accuracy", ABOVE, FITTED, (REFERENCE, *records.heads))


def usage(measure: str, kind: str, threshold: float, records: Records) -> list[Evidence]:
    """The usage of experts on test images, of each claimed head."""
    used = utilization_tables.on_test(records.analysed)
    return _by_head(used, measure, kind, threshold, records.heads)


def least_usage(records: Records) -> list[Evidence]:
    """Gate mass of the least used expert, as a multiple of its uniform share."""
    shares = of_split(utilization_tables.expert_shares(records.analysed), "test")
    if shares.empty:
        return []
    runs = shares.groupby(["head", "seed"], sort=False)["gate_mass"]
    least = (runs.min() * runs.size()).rename("multiple").reset_index()
    return _by_head(least, "multiple", ABOVE, ALIVE, records.heads)


def sharpness(measure: str, records: Records) -> list[Evidence]:
    """Ratios of curvature of the soft head to the dense and the sparse one, on both splits."""
    pairs = [("soft", REFERENCE), ("soft", "sparse")]
    return _ratios(sharpness_tables.curvature(records.sharp), pairs, [measure], ABOVE, 0.0)


def similarity(records: Records) -> list[Evidence]:
    """Ratios sparse / dense of the largest eigenvalue and of the trace, on both splits."""
    curvature, measures = sharpness_tables.curvature(records.sharp), ["lambda_max", "trace"]
    return _ratios(curvature, [("sparse", REFERENCE)], measures, WITHIN, math.log(SIMILAR))


def separation(records: Records) -> list[Evidence]:
    """Ratios of the rise of the loss at the largest step along the top eigenvector."""
    sweeps = of_split(surface_tables.sweeps(records.surfaces), "train")
    if sweeps.empty:
        return []
    ends = surface_tables.farthest(sweeps)
    pairs = [(head, REFERENCE) for head in records.heads]
    return _ratios(ends[ends["kind"] == EIGENVECTOR], pairs, ["rise"], ABOVE, 0.0)


def on_one_side(parts: list[Evidence]) -> tuple[float, float]:
    """For: both ratios are above 1, or both are below. Against: one is above, the other below."""
    if len(parts) < 2 or not all(part.decidable for part in parts):
        return math.nan, math.nan
    above, below = ([getattr(part, side) for part in parts] for side in ("p_for", "p_against"))
    together = min(max(above), max(below))
    apart = min(max(above[0], below[1]), max(below[0], above[1]))
    return min(1.0, 2 * together), min(1.0, 2 * apart)


def order(records: Records) -> list[Evidence]:
    """Kendall's tau of largest eigenvalue and best validation accuracy, over runs."""
    curvature = sharpness_tables.curvature(records.sharp)
    finals = accuracy_tables.finals(records.trained)
    if curvature.empty or finals.empty:
        return []
    accuracy = "best_validation_accuracy"
    both = curvature.merge(finals[[*RUN, accuracy]], on=RUN)[["split", "lambda_max", accuracy]]
    return [
        _weak_order(f"tau on {split} images", pairs["lambda_max"], pairs[accuracy])
        for split, pairs in both.dropna().groupby("split", sort=False)
    ]


def _weak_order(name: str, x: ArrayLike, y: ArrayLike) -> Evidence:
    """Whether two measures put runs in no clear order, by resampling the runs."""
    x, y, seeds = np.asarray(x), np.asarray(y), len(x)
    unknown = Evidence(name, math.nan, math.nan, math.nan, seeds, *[math.nan] * 3)
    if seeds < FEWEST_RUNS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return unknown
    tau, low, high, _ = kendall(x, y)
    if math.isnan(low):  # orders that agree in full have no spread
        return unknown._replace(estimate=tau)
    taus = resampled_taus(x, y)
    taus = taus[~np.isnan(taus)]

    def share(beyond: np.ndarray) -> float:  # a bootstrap p-value is never 0
        return float((1 + beyond.sum()) / (1 + len(taus)))

    p_for = max(share(taus >= WEAK), share(taus <= -WEAK))
    p_against = min(1.0, 2 * min(share(taus <= WEAK), share(taus >= -WEAK)))
    return Evidence(name, tau, low, high, seeds, p_for, p_against, TAU_DEVIATION)


def speed(records: Records) -> list[Evidence]:
    """Time of the whole model, times that of the dense one, and its control."""
    if not {record.head for record in records.efficient} >= {*records.heads}:
        return []
    table = efficiency_tables.whole_models(records.efficient)
    times = {row.head: np.asarray(row.ratios) for row in table.itertuples()}
    control = times.pop(REFERENCE, None)
    parts = [_sign_test(head, times[head]) for head in records.heads]
    # What tells two like heads apart by the margin cannot be trusted with unlike ones.
    like = None if control is None else median_interval(control)
    if like is None or not (FASTER <= like.low and like.high <= 2 - FASTER):
        failed = {"p_for": math.nan, "p_against": math.nan}
        parts = [part._replace(name=f"no valid control; {part.name}", **failed) for part in parts]
    return parts


def _sign_test(head: str, ratios: np.ndarray) -> Evidence:
    """Whether a median ratio of times is above the margin, by the signs of the repeats."""
    middle = median_interval(ratios)
    slower, n = int((ratios > FASTER).sum()), len(ratios)
    p_for = stats.binomtest(slower, n, alternative="greater").pvalue
    p_against = stats.binomtest(n - slower, n, alternative="greater").pvalue
    return Evidence(f"{head} / dense", *middle, n, float(p_for), float(p_against), math.nan)


def budgets(records: Records) -> list[Evidence]:
    """Difference of the parameters of the whole model, relative to dense; of the paper's net."""
    totals = accuracy_tables.finals(_of_paper_net(records.trained))
    if not {*totals.get("head", ())} >= {REFERENCE, *records.heads}:
        return []
    total = totals.groupby("head")["total_parameters"].first()
    dense = total[REFERENCE]
    off = {head: total[head] / dense - 1 for head in records.heads}
    return [certain(f"{head} relative to dense", x, abs(x) < MATCHED) for head, x in off.items()]


def _of_paper_net(records: Trained) -> list[Record[TrainNumbers]]:
    """Records of the paper's net: by design a narrower one fits less, and its gate weighs more."""
    return [record for record in records if record.study.backbone.kind == BACKBONE]


def _ratios(
    frame: pd.DataFrame,
    pairs: list[tuple[str, str]],
    measures: list[str],
    kind: str,
    threshold: float,
) -> list[Evidence]:
    """Ratios of heads on each split, paired by seed; none unless every one of them is there."""
    parts = []
    for measure, (head, reference) in product(measures, pairs) if len(frame) else ():
        both = frame[frame["head"].isin([head, reference])]
        by_seed = ratios(both, measure, reference).set_index("split")["by_seed"]
        for split in frame["split"].unique():
            if split not in by_seed:
                return []
            name = f"{measure} {head} / {reference}, {split}"
            parts.append(over_seeds(name, by_seed[split], kind, threshold, ratio=True))
    return parts


def _by_head(
    frame: pd.DataFrame,
    measure: str,
    kind: str,
    threshold: float,
    heads: tuple[str, ...],
    name: str = "{}",
) -> list[Evidence]:
    """The evidence on a column of runs, or a sum of columns, by head; none if a head is missing."""
    if frame.empty:
        return []
    values = frame.eval(measure).groupby(frame["head"], sort=False)
    parts = [over_seeds(name.format(h), runs, kind, threshold) for h, runs in values if h in heads]
    return parts if len(parts) == len(heads) else []
