"""What the studies expected, beside what was seen: hypotheses as tables, and what is counted.

What is counted, and not measured, is judged by the count: it speaks of these seeds alone.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy import stats

from moelib.records.kinds import SharpnessNumbers, TrainNumbers, UtilizationNumbers
from moelib.records.reliability import RobustnessNumbers
from moelib.report import loading, pages, wording
from moelib.report.ablations import contrasts
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.headings import headings
from moelib.report.robustness import tables as robustness_tables
from moelib.report.statistics.hypotheses import (
    CONTRADICTED,
    INCONCLUSIVE,
    LEVEL,
    SUPPORTED,
    WITHIN,
)
from moelib.report.thresholds import WEAK
from moelib.report.utilization import tables as utilization_tables
from moelib.report.wording import in_points, listed, plain, signed, with_interval

JUDGED = headings(
    "question", "what", "effect", "hypothesis", "verdict", "seeds", "adjusted", "detectable"
) | {"what": ("Compared", ""), "effect": ("Difference (95% interval)", "")}
COUNTED = headings("expected", "seen", "verdict")


def _factor(logarithm: float) -> str:
    return plain(np.exp(logarithm))


MEASURES = {  # how a difference is written, and its unit
    "test_accuracy": (in_points, "points"),
    "lost_accuracy": (in_points, "points"),
    "information": (signed, "nats of information"),
    "log_lambda_max": (_factor, "times the largest eigenvalue"),
    "log_trace": (_factor, "times the trace"),
}


def missing(needed: Iterable[contrasts.Contrast]) -> Markdown:
    """Say plainly that nothing is here yet, and what makes it."""
    commands = listed(f"`{pages.command(study)}`" for study in contrasts.studies(needed))
    return Markdown(
        f"There are no records yet that could answer this. To make them, run {commands}."
    )


def tally(judged: pd.DataFrame, topic: str = "") -> str:
    """How many hypotheses came to which verdict, and on what, if not on all that is expected."""
    counts = judged["verdict"].value_counts()
    words = (SUPPORTED, CONTRADICTED, INCONCLUSIVE)
    counted = listed(f"{counts.get(word, 0)} {word}" for word in words)
    return f"**Expectations{topic}: {counted}.**"


def table(judged: pd.DataFrame, longest: int | None = None) -> Markdown:
    """Hypotheses that `contrasts.judge` judged; folded if more than `longest`."""
    effects = []
    for row in judged.itertuples():
        number, unit = MEASURES[row.measure]
        effects.append(f"{with_interval(row.difference, row, number)} {unit}")
    in_accuracy = judged["measure"].str.endswith("accuracy")
    equivalent = judged["hypothesis"].str.startswith(WITHIN)  # which has no such power
    rows = judged.assign(
        what=judged["head"] + " against " + judged["against"],
        effect=effects,
        hypothesis=judged["hypothesis"].replace({"above 0": "rises", "below 0": "falls"}),
        detectable=100 * judged["detectable"].where(in_accuracy & ~equivalent),
        verdict=judged["verdict"].map(pages.verdict),
    )
    return pages.table(rows, JUDGED, len(rows) if longest is None else longest)


def of_parts() -> list[Markdown]:
    """Were losses, gates and a hidden layer worth as little as expected? Do experts die?"""
    expected = [contrast for family in contrasts.PARTS.values() for contrast in family]
    records = contrasts.load(expected, TrainNumbers)
    judged = contrasts.judge(expected, accuracy_tables.finals(records))
    if judged.empty:
        return [missing(expected)]
    apart = wording.across_devices(contrasts.pairs(expected, records))
    words = " ".join(filter(None, (tally(judged, " on accuracy"), apart)))
    return [Markdown(words), table(judged), *_dead_without_losses()]


def of_departures() -> list[Markdown]:
    """What was expected of the departures of the authors' code beside their family of tests."""
    return _counted([*_dead_of_load(), *_alike()])


def of_main_study() -> list[Markdown]:
    """What was expected of the main study beside the claims; nothing without its records."""
    accuracy = accuracy_tables.finals(loading.load(contrasts.MAIN_STUDY, TrainNumbers))
    robust = loading.load(contrasts.MAIN_STUDY, RobustnessNumbers)
    untrained = contrasts.judge(contrasts.UNTRAINED_GATE, accuracy)
    if untrained.empty:
        return []
    corrupted = contrasts.judge(contrasts.CORRUPTED, robustness_tables.summary(robust))
    sharp = loading.load(contrasts.MAIN_STUDY, SharpnessNumbers)
    ordered = _ordered(robustness_tables.associations(robust, sharp))
    return [table(pd.concat([untrained, corrupted])), *_counted([ordered])]


def _ordered(associations: pd.DataFrame) -> tuple[str, str, str]:
    """Whether a measure of sharpness orders the runs of one head by their corrupted accuracy.

    It is contradicted where one does. That none does is not shown: of tau within heads no interval
    is known.
    """
    text = f"no measure of sharpness orders the runs of a head (tau within {WEAK:g})"
    rows = associations[associations["outcome"] == "corruption_error"]
    if rows.empty:
        return text, "not measured", INCONCLUSIVE
    ordered = ((rows["holm"] < LEVEL) & (rows["tau"].abs() > WEAK)).any()
    seen = (
        f"within heads, tau is {signed(rows['tau'].min())} to {signed(rows['tau'].max())}, "
        f"by measure; {rows['runs'].max()} runs are too few to show that all are small"
    )
    return text, seen, CONTRADICTED if ordered else INCONCLUSIVE


def _dead_without_losses() -> list[Markdown]:
    """Do experts die without balance losses, as the file of the study expected?"""
    heads = ("switch-free", "sparse-free", "soft-free")
    switch, sparse, soft = (_dead("ablations", head) for head in heads)
    if not (switch and sparse and soft):
        return []
    most = np.count_nonzero(switch) > len(switch) / 2
    fewer = np.mean(sparse) < np.mean(switch)
    rows = [
        ("switch without losses: some are dead in most seeds", _by_seed(switch), _judged(most)),
        ("sparse without losses: fewer are dead", _by_seed(sparse), _judged(fewer)),
        ("soft without losses: none is dead", _by_seed(soft), _judged(not any(soft))),
    ]
    return _counted(rows)


def _dead_of_load():
    before, after = (_dead(study, "sparse") for study in ("ablations", "protocol-load"))
    if before and after:
        seen = f"{_by_seed(after)}; without it: {_by_seed(before)}"
        verdict = _judged(np.mean(after) <= np.mean(before))
        yield "importance as load, sparse: no additional dead experts", seen, verdict


def _alike():
    """Friedman's test over the seeds: whether the heads lose alike without augmentation."""
    heads = [c for c in contrasts.DEPARTURES if c.arm.study == contrasts.SHARPER[0].arm.study]
    accuracy = accuracy_tables.finals(contrasts.load(heads, TrainNumbers))
    lost = {c.arm.head: contrasts.paired_differences(c, accuracy) for c in heads}
    lost = pd.DataFrame(lost).dropna(axis=1, how="all").dropna()
    if min(lost.shape) < 3:  # heads, for the test, and seeds
        return
    p = stats.friedmanchisquare(*lost.to_numpy().T).pvalue
    seen = listed(f"{head} {in_points(change)}" for head, change in lost.mean().items())
    verdict = CONTRADICTED if p < LEVEL else INCONCLUSIVE
    yield "no augmentation: all four lose alike", f"{seen} points; Friedman, p = {p:.2g}", verdict


def _dead(study: str, head: str) -> list[int]:
    """Dead experts on test images of a head of a study, by seed."""
    usage = utilization_tables.on_test(loading.load(study, UtilizationNumbers))
    return usage[usage["head"] == head]["dead_experts"].tolist() if len(usage) else []


def _counted(rows: Sequence[tuple[str, str, str]]) -> list[Markdown]:
    cells = [(text, seen, pages.verdict(verdict)) for text, seen, verdict in rows]
    return [pages.table(pd.DataFrame(cells, columns=[*COUNTED]), COUNTED)] if rows else []


def _by_seed(counts: Sequence[int]) -> str:
    return f"{listed(map(str, counts))} dead experts, by seed"


def _judged(met: bool) -> str:
    return SUPPORTED if met else CONTRADICTED
