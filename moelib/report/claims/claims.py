"""The paper's thirteen claims as data, and their verdicts.

Each claim says what is measured, what is compared with what, from which threshold on it holds, and
the smallest effect that matters. All of it was written down before any run of the main study; what
ran before that study is judged by rules made afterwards. Claims 2 and 13 are about the paper's own
net: that other nets say nothing of them was added when verdicts of smaller ones were known, which
their size alone had decided. The claims are one family: a verdict is
called at 5 % after Holm's correction for all thirteen, whether a study can test them all or not.
One seed decides no claim about training.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from moelib.report import comparisons, thresholds
from moelib.report.claims import evidence
from moelib.report.claims.evidence import HEADS, Records
from moelib.report.frames import Analysed, Efficient, Sharp, Surfaces, Trained
from moelib.report.statistics.hypotheses import (
    ABOVE,
    BELOW,
    CONTRADICTED,
    LEVEL,
    WITHIN,
    Evidence,
    all_of,
    decisions,
    seeds_for,
)
from moelib.report.wording import MINUS, in_points

UNITS = ("points", "nats")  # units that are written after a number


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and the rule that judges it."""

    number: int  # among the paper's claims
    words: str  # the claim in short
    metric: str  # what is measured, and on which scale
    holds: str  # when it holds; its thresholds are those of `thresholds`
    smallest: float  # the smallest effect that matters, on the scale of the test
    test: str
    unit: str  # of the evidence: points, %, nats, ratio (tested as a logarithm), times, or none
    chapter: str  # of the book, that shows the evidence
    evidence: Callable[[Records], list[Evidence]]
    decide: Callable[[list[Evidence]], tuple[float, float]] = all_of  # p-values for and against

    @property
    def matters(self) -> str:
        """The smallest effect that matters, in words."""
        sizes = {
            "points": _percentage_points(self.smallest),
            "%": _percentage_points(self.smallest),
            "ratio": f"a factor of {math.exp(self.smallest):g}",
            "times": f"{self.smallest:.0%} of the time",
        }
        return sizes.get(self.unit, f"{self.smallest:g} {self.unit}".strip())


class Judgement(NamedTuple):
    """What one study says of one claim."""

    claim: Claim
    evidence: tuple[Evidence, ...]
    verdict: str
    p_value: float  # of the claim, two-sided; NaN where the study cannot decide it
    adjusted: float  # by Holm's correction for the family

    @property
    def weakest(self) -> Evidence:
        """The number that the verdict hangs on: it speaks least for the claim, or most against.

        One that cannot be tested, for want of a second seed, speaks for nothing at all.
        """
        if self.verdict == CONTRADICTED:
            return min(self.evidence, key=lambda part: part.p_against)
        return max(self.evidence, key=lambda part: part.p_for if part.decidable else math.inf)

    @property
    def needed(self) -> int | None:
        """Seeds with which this number would show the smallest effect that matters.

        By the spread of the seeds that there are; None where it is unknown, and where there are as
        many: then the mean lies too close to the threshold.
        """
        part = self.weakest
        seeds = seeds_for(part, self.claim.smallest, LEVEL / len(CLAIMS))
        return seeds if seeds is not None and seeds > part.seeds else None


def judge(
    trained: Trained,
    analysed: Analysed = (),
    sharp: Sharp = (),
    surfaces: Surfaces = (),
    efficient: Efficient = (),
    *_: Analysed,  # of kinds that no claim is about
) -> list[Judgement]:
    """A judgement of each claim that the records of a study say something about."""
    heads = {comparisons.REFERENCE, *HEADS}
    records = Records(
        *(
            [record for record in kind if record.head in heads]
            for kind in (trained, analysed, sharp, surfaces, efficient)
        )
    )
    family = [(claim, tuple(claim.evidence(records))) for claim in CLAIMS]
    p_values = [claim.decide(list(parts)) for claim, parts in family]
    return [
        Judgement(claim, parts, *decision)
        for (claim, parts), decision in zip(family, decisions(p_values), strict=True)
        if parts
    ]


def rules() -> pd.DataFrame:
    """One row a claim: what is measured, when it holds, the smallest effect, the test."""
    rows = pd.DataFrame(map(vars, CLAIMS)).rename(columns={"words": "claim"})
    rows["smallest"] = [claim.matters for claim in CLAIMS]
    return rows.drop(columns=["unit", "evidence", "decide"])


def in_words(part: Evidence, unit: str) -> str:
    """A number with its interval, in the unit of its claim.

    >>> in_words(Evidence("soft / dense", 1.1, 0.9, 1.35, 5, 0.01, 0.9, 0.01), "ratio")
    'soft / dense: 1.1 (0.9 to 1.35)'
    """
    show = {"points": in_points, "%": _in_percent}.get(unit, _three_digits)
    if math.isnan(part.estimate):
        return f"{part.name}: unknown"
    known = part.high > part.low  # not of one seed, nor of what no seed changes
    ends = f" ({show(part.low)} to {show(part.high)})" if known else ""
    return f"{part.name}: {show(part.estimate)}{ends}" + (f" {unit}" if unit in UNITS else "")


def _in_percent(share: float) -> str:
    return f"{min(share, 1):.2%}".replace("-", MINUS)  # an interval may go on beyond 1


def _percentage_points(share: float) -> str:
    return f"{100 * share:g} percentage point{'' if share == 0.01 else 's'}"


def _three_digits(value: float) -> str:
    return f"{value:.3g}".replace("-", MINUS)


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
        evidence.accuracy(ABOVE, 0.0),
    ),
    Claim(
        2,
        "All heads fit the training images.",
        "training accuracy after the last epoch",
        f"the mean of every head is above {thresholds.FITTED:.1%}",
        0.001,
        "one-sided t tests over seeds, for each head",
        "%",
        "accuracy",
        evidence.fit,
    ),
    Claim(
        3,
        "The heads generalise comparably.",
        "test accuracy minus that of the dense run of the seed",
        f"both mean differences are within {100 * thresholds.COMPARABLE:g} point of 0",
        thresholds.COMPARABLE,
        TOST,
        "points",
        "accuracy",
        evidence.accuracy(WITHIN, thresholds.COMPARABLE),
    ),
    Claim(
        4,
        "With balance losses, the experts end balanced.",
        "coefficient of variation of gate mass over experts, test images",
        f"both means are below {thresholds.BALANCED:g}",
        0.1,
        T_TEST,
        "",
        "utilization",
        evidence.usage(lambda test: test["gate_mass_variation"], BELOW, thresholds.BALANCED),
    ),
    Claim(
        5,
        "Expert collapse is avoided.",
        "gate mass of the least used expert, as a multiple of its uniform share, test images",
        f"both means are above {thresholds.ALIVE:g}",
        0.1,
        T_TEST,
        "",
        "utilization",
        evidence.least_usage,
    ),
    Claim(
        6,
        "Experts specialise by class.",
        "mutual information of class and expert beyond that of 95 % of shuffled labels, nats",
        f"both means are above {thresholds.SPECIALISED:g} nats",
        0.1,
        T_TEST,
        "nats",
        "utilization",
        evidence.usage(
            lambda test: test["information"] - test["null_95"], ABOVE, thresholds.SPECIALISED
        ),
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
        evidence.sharpness("lambda_max"),
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
        evidence.sharpness("trace"),
    ),
    Claim(
        9,
        "Dense and sparse lie in a similar curvature regime.",
        "ratio sparse / dense of the largest eigenvalue and of the trace, paired by seed",
        f"all four are within a factor of {thresholds.SIMILAR:g} of 1",
        math.log(thresholds.SIMILAR),
        TOST + ", of log ratios",
        "ratio",
        "sharpness",
        evidence.similarity,
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
        evidence.separation,
        evidence.on_one_side,
    ),
    Claim(
        11,
        "Sharpness does not order validation accuracy.",
        "Kendall's tau of largest eigenvalue and best validation accuracy, over runs",
        f"tau is within {thresholds.WEAK:g} of 0 on both splits",
        thresholds.WEAK,
        "percentile bootstrap over runs; heads are not exchangeable",
        "",
        "sharpness",
        evidence.order,
    ),
    Claim(
        12,
        "Soft and sparse heads bring no faster inference than a dense one.",
        "time of the whole model, times that of the dense one, largest batch up to 256",
        f"both medians are above {thresholds.FASTER:g}, and two dense heads differ by less than "
        "the margin",
        1 - thresholds.FASTER,
        "sign tests over repeats in one process; seeds do not enter",
        "times",
        "efficiency",
        evidence.speed,
    ),
    Claim(
        13,
        "Parameter budgets are matched.",
        "parameters of the whole model, relative to the dense one",
        f"both differ by less than {thresholds.MATCHED:.0%}",
        thresholds.MATCHED,
        "a count: no test",
        "%",
        "accuracy",
        evidence.budgets,
    ),
)
