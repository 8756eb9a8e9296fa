"""The paper's thirteen claims as data, and their verdicts.

Each claim says what is measured, what is compared with what, from which threshold on it holds, and
the smallest effect that matters. All of it was written down before any run of the main study; what
ran before that study is judged by rules made afterwards. Claims 2 and 13 are about the paper's own
net: that other nets say nothing of them was added when verdicts of smaller ones were known, which
their size alone had decided. The claims are one family: a verdict is called at 5 % after Holm's
correction for all thirteen, whether a study can test them all or not. One seed decides no claim
about training.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from moelib.report import thresholds
from moelib.report.claims import evidence
from moelib.report.claims.evidence import HEADS, Records
from moelib.report.comparisons import REFERENCE
from moelib.report.statistics import hypotheses
from moelib.report.statistics.hypotheses import ABOVE, BELOW, CONTRADICTED, LEVEL, WITHIN, Evidence
from moelib.report.wording import MINUS, bound, in_points, rounded

T_TEST = "one-sided t tests over seeds, for both heads (intersection-union) or against either"
TOST = "two one-sided t tests over seeds for equivalence (Schuirmann 1987)"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, of the paper or of one's own (`own.py`), and the rule that judges it."""

    number: int  # in its family
    words: str  # the claim in short
    metric: str  # what is measured, and on which scale
    holds: str  # when it holds; its thresholds are those of `thresholds`
    smallest: float  # the smallest effect that matters, on the scale of the test
    test: str = T_TEST
    unit: str = ""  # of the evidence: points, %, nats, ratio (tested as a logarithm), or times
    shown: str  # the figure of the book that shows the evidence, or else the page of tables
    heads: tuple[str, ...] = HEADS  # that it is about, beside dense
    evidence: Callable[[Records], list[Evidence]]
    # p-values for and against
    decide: Callable[[list[Evidence]], tuple[float, float]] = hypotheses.all_of

    @property
    def chapter(self) -> str:
        """Of the book, that shows the evidence."""
        return self.shown.partition("-")[0]

    @property
    def matters(self) -> str:
        """The smallest effect that matters, in words."""
        size = self.smallest
        points = f"{100 * size:g} point{'' if size == 0.01 else 's'}"
        sizes = {
            "points": points,
            "%": points,
            "ratio": f"a factor of {math.exp(size):g}",
            "times": f"{size:.0%} of the time",
        }
        return sizes.get(self.unit, f"{size:g} {self.unit}".strip())

    def in_words(self, part: Evidence) -> str:
        """A number of its evidence with the interval, in the unit of the claim."""
        if math.isnan(part.estimate):
            return f"{part.name}: unknown"
        show = {"points": in_points, "%": _in_percent}.get(self.unit, rounded)
        known = part.high > part.low  # not of one seed, nor of what no seed changes
        ends = f" ({show(part.low)} to {show(part.high)})" if known else ""
        unit = f" {self.unit}" if self.unit in ("points", "nats") else ""
        return f"{part.name}: {show(part.estimate)}{ends}{unit}"


class Judgement(NamedTuple):
    """What one study says of one claim."""

    claim: Claim
    evidence: tuple[Evidence, ...]
    verdict: str
    p_value: float  # of the claim, two-sided; NaN where the study cannot decide it
    adjusted: float  # by Holm's correction for the family
    family: int  # how many claims are corrected together

    @property
    def weakest(self) -> Evidence:
        """The number that the verdict rests on: it speaks least for the claim, or most against.

        One that cannot be tested, for want of a second seed, speaks for nothing at all.
        """
        if self.verdict == CONTRADICTED:
            return min(self.evidence, key=lambda part: part.p_against)
        return max(self.evidence, key=lambda part: part.p_for if part.decidable else math.inf)

    @property
    def needed(self) -> int | None:
        """Seeds with which every part would show the smallest effect that matters.

        By the spread of the seeds that there are; None where it is unknown, and where there are as
        many: then a mean lies too close to the threshold.
        """
        sides = 2 if self.claim.decide is evidence.on_one_side else 1  # each is tested
        effect, level = self.claim.smallest, LEVEL / self.family / sides
        tests = len(self.evidence) * (2 if "equivalence" in self.claim.test else 1)
        seeds = [hypotheses.seeds_for(part, effect, level, tests) for part in self.evidence]
        if None in seeds or max(seeds) <= self.weakest.seeds:
            return None
        return max(seeds)


def _in_percent(share: float) -> str:
    return f"{min(share, 1):.2%}".replace("-", MINUS)  # an interval may go on beyond 1


def _sharpest(number: int, name: str, names: str, measure: str, shown: str) -> Claim:
    """That by a measure of the Hessian the soft head is the sharpest."""
    return Claim(
        number=number,
        words=f"The soft head has the largest Hessian {name}, on training and test images.",
        metric=f"Ratio of the {names}, paired by seed",
        holds="soft / dense and soft / sparse are above 1 on both splits",
        smallest=math.log(1.25),
        test="one-sided t tests of log ratios over seeds, for all four or against any",
        unit="ratio",
        shown=shown,
        evidence=partial(evidence.sharpness, measure),
    )


CLAIMS = (
    Claim(
        number=1,
        words="Soft and sparse are slightly more accurate than dense.",
        metric="Test accuracy (the paper’s: validation) minus that of dense, same seed",
        holds="both mean differences are above 0",
        smallest=0.005,
        unit="points",
        shown="accuracy",
        evidence=partial(evidence.accuracy, ABOVE, 0.0),
    ),
    Claim(
        number=2,
        words="All heads fit the training images.",
        metric="Accuracy after the last epoch, on the training images of the learning curves, "
        "unaugmented",
        holds=f"every head’s mean is above {thresholds.FITTED:.1%}",
        smallest=0.001,
        test="one-sided t tests over seeds, for each head",
        unit="%",
        shown="accuracy-tables",
        evidence=evidence.fit,
    ),
    Claim(
        number=3,
        words="The heads generalise comparably.",
        metric="Test accuracy minus that of dense, same seed",
        holds=f"both mean differences are {bound(WITHIN, thresholds.COMPARABLE)} of 0",
        smallest=thresholds.COMPARABLE,
        test=TOST,
        unit="points",
        shown="accuracy",
        evidence=partial(evidence.accuracy, WITHIN, thresholds.COMPARABLE),
    ),
    Claim(
        number=4,
        words="With balance losses, the experts end balanced.",
        metric="Coefficient of variation of gate mass over experts, on test images",
        holds=f"both means are below {thresholds.BALANCED:g}",
        smallest=0.1,
        shown="utilization-balance",
        evidence=partial(evidence.usage, "gate_mass_variation", BELOW, thresholds.BALANCED),
    ),
    Claim(
        number=5,
        words="Expert collapse is avoided.",
        metric="Gate mass of the least used expert after training, in even shares, on test images",
        holds=f"both means are above {thresholds.ALIVE:g}",
        smallest=0.1,
        shown="utilization-tables",
        evidence=evidence.least_usage,
    ),
    Claim(
        number=6,
        words="Experts specialise by class.",
        metric="Information shared by class and expert, minus its 95th percentile under shuffled "
        "labels",
        holds=f"both means are above {thresholds.SPECIALISED:g} nats",
        smallest=0.1,
        unit="nats",
        shown="utilization-information",
        evidence=partial(evidence.usage, "information - null_95", ABOVE, thresholds.SPECIALISED),
    ),
    _sharpest(7, "eigenvalue", "largest eigenvalues", "lambda_max", "sharpness-lambda-max"),
    _sharpest(8, "trace", "traces", "trace", "sharpness-tables"),
    Claim(
        number=9,
        words="Dense and sparse lie in a similar curvature regime.",
        metric="Ratio sparse / dense of largest eigenvalue and trace, paired by seed",
        holds=f"all four are within a factor of {thresholds.SIMILAR:g} of 1",
        smallest=math.log(thresholds.SIMILAR),
        test=TOST + ", of log ratios",
        unit="ratio",
        shown="sharpness-tables",
        evidence=evidence.similarity,
    ),
    Claim(
        number=10,
        words="Finite steps along the top eigenvector distinguish dense from soft and sparse.",
        metric="Ratio of the rises in loss at the largest radius, on training images, by seed",
        holds="soft / dense and sparse / dense lie on the same side of 1",
        smallest=math.log(1.25),
        test="one-sided t tests of log ratios over seeds, doubled for the two sides",
        unit="ratio",
        shown="surface-eigenvector",
        evidence=evidence.separation,
        decide=evidence.on_one_side,
    ),
    Claim(
        number=11,
        words="Sharpness does not track validation accuracy.",
        metric="Kendall's tau between largest eigenvalue and best validation accuracy, over runs",
        holds=f"tau is within {thresholds.WEAK:g} of 0 on both splits",
        smallest=thresholds.WEAK,
        test="percentile bootstrap over runs, for equivalence; heads are not exchangeable",
        shown="sharpness-tables",
        evidence=evidence.order,
    ),
    Claim(
        number=12,
        words="Soft and sparse heads give no faster inference than a dense one.",
        metric="Time of the whole model, executed as the rule chooses, divided by that of the "
        "dense model, at the largest batch up to 256",
        holds=f"both medians are above {thresholds.FASTER:g}, and two dense heads differ by less "
        "than the margin",
        smallest=1 - thresholds.FASTER,
        test="sign tests over repeats in one process; seeds play no part",
        unit="times",
        shown="efficiency",
        evidence=evidence.speed,
    ),
    Claim(
        number=13,
        words="Parameter budgets are matched.",
        metric="Parameters of the whole model, relative to dense",
        holds=f"both differ by less than {thresholds.MATCHED:.0%}",
        smallest=thresholds.MATCHED,
        test="a count, no test",
        unit="%",
        shown="accuracy-tables",
        evidence=evidence.budgets,
    ),
)


def judge(records: Records, family: Sequence[Claim] = CLAIMS) -> list[Judgement]:
    """A judgement of each claim of a family that the records of a study say something about."""
    records = Records(*map(list, records[:-1]))  # each claim reads them anew, for its own heads
    parts = [tuple(claim.evidence(_of_heads(records, claim.heads))) for claim in family]
    p_values = [claim.decide(list(own)) for claim, own in zip(family, parts, strict=True)]
    decisions = hypotheses.decisions(p_values)
    return [
        Judgement(claim, own, *decision, len(family))
        for claim, own, decision in zip(family, parts, decisions, strict=True)
        if own
    ]


def _of_heads(records: Records, heads: tuple[str, ...]) -> Records:
    """The records of these heads, and of the dense one beside them."""
    names = {REFERENCE, *heads}
    own = ([record for record in kind if record.head in names] for kind in records[:-1])
    return Records(*own, heads=heads)
