"""The paper's thirteen claims as data, and their verdicts.

Each claim says what is measured, what is compared with what, from which threshold on it holds, and
the smallest effect that matters. All of it was written down before the runs that it judges. The
claims are one family: a verdict is called at 5 % after Holm's correction for all thirteen, whether
a study can test them all or not. One seed decides no claim about training.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from moelib.report import comparisons, costs, frames
from moelib.report.costs import Efficient
from moelib.report.frames import EIGENVECTOR, Analysed, Sharp, Surfaces, Trained
from moelib.report.hypotheses import (
    ABOVE,
    BELOW,
    WITHIN,
    Evidence,
    all_of,
    certain,
    detectable,
    over_seeds,
    seeds_for,
)
from moelib.report.power import holm
from moelib.report.statistics import (
    CONFIDENCE,
    FEWEST_RUNS,
    RESAMPLES,
    median_interval,
    tau_b,
)
from moelib.report.wording import in_points

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
LEVEL = 1 - CONFIDENCE  # of the family of claims
CLAIMED = ("soft", "sparse")  # the heads that the paper's claims are about
SPLITS = ("train", "test")
TOLD = ("points", "nats")  # units that are written after a number

FITTED = 0.999  # training accuracy from which on a head fits the training images
COMPARABLE = 0.01  # accuracy difference below which two heads count as comparable
SIMILAR = 1.5  # ratio up to which two curvatures, or two rises of the loss, count as alike
WEAK = 0.3  # Kendall's tau up to which, in either direction, two measures count as not ordered
FASTER = 0.98  # times the dense model's time, below which a model counts as faster
BALANCED = 0.2  # coefficient of variation of gate mass below which experts count as balanced
ALIVE = 0.1  # multiple of the uniform share of gate mass below which an expert is dead
SPECIALISED = 0.1  # nats that class and expert share beyond what shuffled labels do
MATCHED = 0.01  # difference of parameters, of all of a model, below which budgets are matched


class Records(NamedTuple):
    """All records of one study that claims are about, each kind of the claimed heads alone."""

    trained: Trained
    analysed: Analysed
    sharp: Sharp
    surfaces: Surfaces
    efficient: Efficient


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and the rule that judges it."""

    number: int  # among the paper's claims
    words: str  # the claim in short
    metric: str  # what is measured, and on which scale
    holds: str  # when it holds; its thresholds are filled in from the constants above
    smallest: float  # the smallest effect that matters, on the scale of the test
    test: str
    unit: str  # in which the evidence is told: points, %, ratio, or none
    chapter: str  # of the book, that shows the evidence
    evidence: Callable[[Records], list[Evidence]]
    decide: Callable[[list[Evidence]], tuple[float, float]] = all_of  # p-values for and against


class Judgement(NamedTuple):
    """What one study says of one claim."""

    claim: Claim
    verdict: str
    evidence: tuple[Evidence, ...]
    p_value: float  # of the claim, two-sided; NaN where the study cannot decide it
    adjusted: float  # by Holm's correction for the family

    @property
    def seeds(self) -> int:
        """The fewest seeds behind a number."""
        return min(part.seeds for part in self.evidence)

    @property
    def weakest(self) -> Evidence:
        """The number that the verdict hangs on: it speaks least for the claim, or most against."""
        if self.verdict == CONTRADICTED:
            return min(self.evidence, key=lambda part: part.p_against)
        return max(self.evidence, key=lambda part: -1 if math.isnan(part.p_for) else part.p_for)

    @property
    def numbers(self) -> str:
        """The evidence in words: every number with its interval."""
        return "; ".join(in_words(part, self.claim.unit) for part in self.evidence)

    @property
    def detectable(self) -> float:
        """The smallest effect that the number it hangs on would have shown with power 0.8."""
        return detectable(self.weakest, LEVEL / len(CLAIMS))

    @property
    def needed(self) -> int | None:
        """Seeds that the smallest effect that matters needs, by the spread of the seeds here."""
        needs = [
            seeds_for(part, self.claim.smallest, LEVEL / len(CLAIMS)) for part in self.evidence
        ]
        return max((seeds for seeds in needs if seeds is not None), default=None)


def judge(
    trained: Trained,
    analysed: Analysed = (),
    sharp: Sharp = (),
    surfaces: Surfaces = (),
    efficient: Efficient = (),
    *_: Analysed,  # of kinds that no claim is about
) -> list[Judgement]:
    """A judgement of each claim that the records of a study say something about."""
    heads = {comparisons.REFERENCE, *CLAIMED}
    records = Records(
        *(
            [record for record in kind if record.head in heads]
            for kind in (trained, analysed, sharp, surfaces, efficient)
        )
    )
    evidence = {claim.number: tuple(claim.evidence(records)) for claim in CLAIMS}
    p_values = {}
    for claim in CLAIMS:
        p_for, p_against = claim.decide(list(evidence[claim.number]))
        two_sided = math.nan if math.isnan(p_for) else min(1.0, 2 * min(p_for, p_against))
        p_values[claim.number] = (p_for, p_against, two_sided)
    # A claim that the study cannot test counts in the family as one that nothing speaks for.
    adjusted = holm([1.0 if math.isnan(p) else p for *_, p in p_values.values()])
    judgements = []
    for claim, adjusted_p in zip(CLAIMS, adjusted, strict=True):
        p_for, p_against, p = p_values[claim.number]
        verdict = INCONCLUSIVE
        if not math.isnan(p) and adjusted_p <= LEVEL:
            verdict = SUPPORTED if p_for < p_against else CONTRADICTED
        if evidence[claim.number]:
            judgements.append(Judgement(claim, verdict, evidence[claim.number], p, adjusted_p))
    return judgements


def overview(judged: Mapping[str, Iterable[Judgement]]) -> pd.DataFrame:
    """One row a claim, one column a study: the verdict, missing where a study cannot test it."""
    verdicts = {
        study: {found.claim.words: found.verdict for found in judgements}
        for study, judgements in judged.items()
    }
    words = [claim.words for claim in CLAIMS if any(claim.words in v for v in verdicts.values())]
    return pd.DataFrame(verdicts, index=words).rename_axis("claim").reset_index()


def rules() -> pd.DataFrame:
    """One row a claim: what is measured, when it holds, the smallest effect, the test."""
    rows = [(c.number, c.words, c.metric, c.holds, c.smallest, c.test, c.chapter) for c in CLAIMS]
    columns = ["number", "claim", "metric", "holds", "smallest", "test", "chapter"]
    return pd.DataFrame(rows, columns=columns)


def in_words(part: Evidence, unit: str) -> str:
    """A number with its interval, in the unit of its claim.

    >>> in_words(Evidence("soft - dense", 0.011, 0.002, 0.02, 5, 0.01, 0.9, 0.01), "points")
    'soft - dense +1.10 (+0.20 to +2.00) points'
    """
    show = {"points": in_points, "%": "{:.2%}".format}.get(unit, "{:.3g}".format)
    if math.isnan(part.estimate):
        return f"{part.name} unknown"
    ends = "" if math.isnan(part.low) else f" ({show(part.low)} to {show(part.high)})"
    return f"{part.name} {show(part.estimate)}{ends}" + (f" {unit}" if unit in TOLD else "")


# -- evidence -------------------------------------------------------------------------------------


def _accuracy(kind: str, threshold: float) -> Callable[[Records], list[Evidence]]:
    def evidence(records: Records) -> list[Evidence]:
        paired = comparisons.seed_differences(records.trained)
        if paired.empty:
            return []
        return _both(
            over_seeds(f"{head} - {comparisons.REFERENCE}", runs["difference"], kind, threshold)
            for head, runs in paired.groupby("head", sort=False)
        )

    return evidence


def _fitted(records: Records) -> list[Evidence]:
    accuracies = frames.finals(records.trained)
    if accuracies.empty:
        return []
    groups = accuracies.groupby("head", sort=False)["last_train_accuracy"]
    return [over_seeds(head, values, ABOVE, FITTED) for head, values in groups]


def _used(column: Callable[[pd.DataFrame], pd.Series], kind: str, threshold: float):
    def evidence(records: Records) -> list[Evidence]:
        usage = frames.usage_summary(r for r in records.analysed if r.head in CLAIMED)
        if usage.empty:
            return []
        test = usage[usage["split"] == "test"]
        values = test.assign(value=column(test)).groupby("head", sort=False)["value"]
        return _both(over_seeds(head, found, kind, threshold) for head, found in values)

    return evidence


def _least_used(records: Records) -> list[Evidence]:
    shares = frames.expert_usage(r for r in records.analysed if r.head in CLAIMED)
    if shares.empty:
        return []
    test = shares[shares["split"] == "test"]
    # The mass of the least used expert, as a multiple of its uniform share.
    runs = test.groupby(["head", "seed"], sort=False)["gate_mass"]
    least = (runs.min() * runs.size()).groupby("head", sort=False)
    return _both(over_seeds(head, values, ABOVE, ALIVE) for head, values in least)


def _sharpest(measure: str) -> Callable[[Records], list[Evidence]]:
    def evidence(records: Records) -> list[Evidence]:
        return _ratios(
            frames.curvature(records.sharp),
            [("soft", comparisons.REFERENCE), ("soft", "sparse")],
            [measure],
            ABOVE,
            0.0,
        )

    return evidence


def _alike(records: Records) -> list[Evidence]:
    pairs = [("sparse", comparisons.REFERENCE)]
    measures = ["lambda_max", "trace"]
    curvature = frames.curvature(records.sharp)
    return _ratios(curvature, pairs, measures, WITHIN, math.log(SIMILAR))


def _separated(records: Records) -> list[Evidence]:
    sweeps = frames.sweeps(records.surfaces)
    if sweeps.empty:
        return []
    ends = frames.farthest(sweeps)
    ends = ends[(ends["kind"] == EIGENVECTOR) & (ends["split"] == "train")]
    return _ratios(
        ends, [(head, comparisons.REFERENCE) for head in CLAIMED], ["rise"], ABOVE, 0.0, ["train"]
    )


def _on_one_side(parts: list[Evidence]) -> tuple[float, float]:
    """For: both ratios are above 1, or both are below. Against: one is above, the other below."""
    if len(parts) < len(CLAIMED) or not all(part.decidable for part in parts):
        return math.nan, math.nan
    above, below = ([getattr(part, side) for part in parts] for side in ("p_for", "p_against"))
    together = min(max(above), max(below))
    apart = min(max(above[0], below[1]), max(below[0], above[1]))
    return min(1.0, 2 * together), min(1.0, 2 * apart)


def _unordered(records: Records) -> list[Evidence]:
    curvature, finals = frames.curvature(records.sharp), frames.finals(records.trained)
    if curvature.empty or finals.empty:
        return []
    accuracy = "best_validation_accuracy"
    runs = ["study", "head", "seed"]
    known = curvature.merge(finals[[*runs, accuracy]], on=runs)
    parts = []
    for split in SPLITS:
        pairs = known[known["split"] == split][["lambda_max", accuracy]].dropna().to_numpy().T
        parts.append(_weak_order(f"tau on {split}", *pairs))
    return parts


def _weak_order(name: str, x: np.ndarray, y: np.ndarray) -> Evidence:
    """Whether two measures put runs in no clear order, by resampling the runs."""
    seeds = len(x)
    unknown = Evidence(name, math.nan, math.nan, math.nan, seeds, *[math.nan] * 3)
    if seeds < FEWEST_RUNS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return unknown
    draws = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    taus = tau_b(x[draws], y[draws])
    taus = taus[~np.isnan(taus)]
    low, high = np.quantile(taus, [LEVEL / 2, 1 - LEVEL / 2])
    if low == high:  # orders that agree in full have no spread
        return unknown._replace(estimate=float(taus[0]))

    def share(beyond: np.ndarray) -> float:  # a bootstrap p-value is never 0
        return float((1 + beyond.sum()) / (1 + len(taus)))

    p_for = max(share(taus >= WEAK), share(taus <= -WEAK))
    p_against = min(1.0, 2 * min(share(taus <= WEAK), share(taus >= -WEAK)))
    tau = float(stats.kendalltau(x, y).statistic)
    return Evidence(name, tau, float(low), float(high), seeds, p_for, p_against, math.nan)


def _no_faster(records: Records) -> list[Evidence]:
    if not {record.head for record in records.efficient} >= set(CLAIMED):
        return []
    table = costs.whole_models(records.efficient)
    times = {row.head: np.asarray(row.ratios) for row in table.itertuples()}
    control = times.pop(comparisons.REFERENCE, None)
    parts = [_sign_test(head, times[head]) for head in CLAIMED]
    # What tells two like heads apart by the margin cannot be trusted with unlike ones.
    like = None if control is None else median_interval(control)
    if like is None or not (FASTER <= like.low and like.high <= 2 - FASTER):
        parts = [part._replace(p_for=math.nan, p_against=math.nan) for part in parts]
    return parts


def _sign_test(head: str, ratios: np.ndarray) -> Evidence:
    """Whether a median ratio of times is above the margin, by the signs of the repeats."""
    middle = median_interval(ratios)
    slower, n = int((ratios > FASTER).sum()), len(ratios)
    p_for = stats.binomtest(slower, n, alternative="greater").pvalue
    p_against = stats.binomtest(n - slower, n, alternative="greater").pvalue
    return Evidence(f"{head} / dense", *middle, n, float(p_for), float(p_against), math.nan)


def _matched(records: Records) -> list[Evidence]:
    totals = frames.finals(records.trained)
    if totals.empty or not set(totals["head"]) >= {comparisons.REFERENCE, *CLAIMED}:
        return []
    total = totals.groupby("head")["total_parameters"].first()
    dense = total[comparisons.REFERENCE]
    off = {head: total[head] / dense - 1 for head in CLAIMED}
    return [certain(f"{head} / dense - 1", x, abs(x) < MATCHED) for head, x in off.items()]


def _ratios(
    frame: pd.DataFrame,
    pairs: list[tuple[str, str]],
    measures: list[str],
    kind: str,
    threshold: float,
    splits: Iterable[str] = SPLITS,
) -> list[Evidence]:
    """Ratios of heads, paired by seed; none unless every one of them is there."""
    parts = []
    for measure in measures:
        for head, reference in pairs:
            two = frame[frame["head"].isin([head, reference])] if len(frame) else frame
            table = comparisons.ratios(two, measure, reference) if len(two) else two
            for split in splits:
                row = table[table["split"] == split] if len(table) else table
                if len(row) != 1:
                    return []
                name = f"{measure} {head} / {reference}, {split}"
                values = row["by_seed"].iloc[0]
                parts.append(over_seeds(name, values, kind, threshold, ratio=True))
    return parts


def _both(parts: Iterable[Evidence]) -> list[Evidence]:
    """The evidence on both of the claimed heads; none if one is missing."""
    parts = list(parts)
    return parts if len(parts) == len(CLAIMED) else []


T_TEST = "one-sided t tests over seeds, for both heads (intersection-union) or against one"
TOST = "two one-sided t tests over seeds for equivalence (Schuirmann 1987)"

CLAIMS = (
    Claim(
        1,
        "Soft and sparse are slightly more accurate than dense.",
        "test accuracy minus that of the dense run of the seed",
        "both mean differences are above 0",
        0.005,
        T_TEST,
        "points",
        "accuracy",
        _accuracy(ABOVE, 0.0),
    ),
    Claim(
        2,
        "All heads fit the training images.",
        "training accuracy after the last epoch",
        f"the mean of every head is above {FITTED:.1%}",
        0.001,
        "one-sided t tests over seeds, for each head",
        "%",
        "accuracy",
        _fitted,
    ),
    Claim(
        3,
        "The heads generalise comparably.",
        "test accuracy minus that of the dense run of the seed",
        f"both mean differences are within {100 * COMPARABLE:g} point of 0",
        COMPARABLE,
        TOST,
        "points",
        "accuracy",
        _accuracy(WITHIN, COMPARABLE),
    ),
    Claim(
        4,
        "With balance losses, the experts end balanced.",
        "coefficient of variation of gate mass over experts, test images",
        f"both means are below {BALANCED:g}",
        0.1,
        T_TEST,
        "",
        "utilization",
        _used(lambda test: test["gate_mass_variation"], BELOW, BALANCED),
    ),
    Claim(
        5,
        "Expert collapse is avoided.",
        "gate mass of the least used expert, as a multiple of its uniform share, test images",
        f"both means are above {ALIVE:g}",
        0.1,
        T_TEST,
        "",
        "utilization",
        _least_used,
    ),
    Claim(
        6,
        "Experts specialise by class.",
        "mutual information of class and expert beyond that of 95 % of shuffled labels, nats",
        f"both means are above {SPECIALISED:g} nats",
        0.1,
        T_TEST,
        "nats",
        "utilization",
        _used(lambda test: test["information"] - test["null_95"], ABOVE, SPECIALISED),
    ),
    Claim(
        7,
        "The soft head has the largest Hessian eigenvalue, on training and on test images.",
        "ratio of the largest eigenvalues, paired by seed",
        "soft / dense and soft / sparse are above 1 on both splits",
        math.log(1.25),
        "one-sided t tests of log ratios over seeds, for all four or against one",
        "ratio",
        "sharpness",
        _sharpest("lambda_max"),
    ),
    Claim(
        8,
        "The soft head has the largest Hessian trace, on training and on test images.",
        "ratio of the traces, paired by seed",
        "soft / dense and soft / sparse are above 1 on both splits",
        math.log(1.25),
        "one-sided t tests of log ratios over seeds, for all four or against one",
        "ratio",
        "sharpness",
        _sharpest("trace"),
    ),
    Claim(
        9,
        "Dense and sparse lie in a similar curvature regime.",
        "ratio sparse / dense of the largest eigenvalue and of the trace, paired by seed",
        f"all four are within a factor of {SIMILAR:g} of 1",
        math.log(SIMILAR),
        TOST + ", of log ratios",
        "ratio",
        "sharpness",
        _alike,
    ),
    Claim(
        10,
        "Finite steps along the top eigenvector tell dense from soft and sparse.",
        "ratio of the rise of the loss at the largest radius, training images, paired by seed",
        "soft / dense and sparse / dense lie on the same side of 1",
        math.log(1.25),
        "one-sided t tests of log ratios over seeds, doubled for the two sides",
        "ratio",
        "surface",
        _separated,
        _on_one_side,
    ),
    Claim(
        11,
        "Sharpness does not order validation accuracy.",
        "Kendall's tau of largest eigenvalue and best validation accuracy, over runs",
        f"tau is within {WEAK:g} of 0 on both splits",
        WEAK,
        "percentile bootstrap over runs; heads are not exchangeable",
        "",
        "sharpness",
        _unordered,
    ),
    Claim(
        12,
        "Soft and sparse heads bring no faster inference than a dense one.",
        "time of the whole model, times that of the dense one, largest batch up to 256",
        f"both medians are above {FASTER:g}, and two dense heads differ by less than the margin",
        1 - FASTER,
        "sign tests over repeats in one process; seeds do not enter",
        "ratio",
        "efficiency",
        _no_faster,
    ),
    Claim(
        13,
        "Parameter budgets are matched.",
        "parameters of the whole model, relative to the dense one",
        f"both differ by less than {MATCHED:.0%}",
        MATCHED,
        "a count: no test",
        "%",
        "accuracy",
        _matched,
    ),
)
