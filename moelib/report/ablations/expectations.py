"""What the studies expected beside accuracy: of experts, of all heads together, of curvature.

What is counted, and not measured, is judged by the count: it speaks of these seeds alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy import stats

from moelib.records.kinds import SharpnessNumbers, TrainNumbers, UtilizationNumbers
from moelib.records.reliability import RobustnessNumbers
from moelib.report import loading, pages
from moelib.report.ablations import contrasts
from moelib.report.ablations.departures import part
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.headings import headings
from moelib.report.robustness import tables as robustness_tables
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, LEVEL, SUPPORTED
from moelib.report.thresholds import WEAK
from moelib.report.utilization import tables as utilization_tables
from moelib.report.wording import in_points, listed, plain, seeds_in_words, signed, with_interval

COLUMNS = headings("expected", "seen", "verdict")


def of_parts() -> list[Markdown]:
    """Do experts die without balance losses, as the file of the study expected?"""
    heads = ("switch-free", "sparse-free", "soft-free")
    switch, sparse, soft = (_dead("ablations", head) for head in heads)
    if not (switch and sparse and soft):
        return []
    most = np.count_nonzero(switch) > len(switch) / 2
    rows = [
        ("switch without losses: some are dead for most seeds", switch, most),
        ("sparse without losses: fewer are dead", sparse, np.mean(sparse) < np.mean(switch)),
        ("soft without losses: none is dead", soft, not any(soft)),
    ]
    return _table((text, _counted(counts), _judged(met)) for text, counts, met in rows)


def of_departures(judged: pd.DataFrame) -> list[Markdown]:
    """What was expected of the departures of the authors' code beside half points of accuracy.

    Args:
        judged: the whole family, as of `departures.judge_expected`.
    """
    costly = part(judged, contrasts.COSTLY)
    text = "{0.question}, {0.head}: costs accuracy"
    rows = [*_accuracies(costly, text), *_information(judged), *_dead_of_load(), *_alike()]
    return _table([*rows, *_sharper(judged)])


def of_main_study() -> list[Markdown]:
    """What was expected of the main study beside the claims; nothing without its records."""
    accuracy = accuracy_tables.finals(loading.load(contrasts.MAIN_STUDY, TrainNumbers))
    robust = loading.load(contrasts.MAIN_STUDY, RobustnessNumbers)
    rows = _accuracies(
        contrasts.judge(contrasts.UNTRAINED_GATE, accuracy),
        "frozen is half a point less accurate than sparse at most",
    )
    if not rows:
        return []
    rows += _accuracies(
        contrasts.judge(contrasts.CORRUPTED, robustness_tables.summary(robust)),
        "{0.head} loses as much to corruption as dense, give or take a point",
    )
    sharp = loading.load(contrasts.MAIN_STUDY, SharpnessNumbers)
    return _table([*rows, _ordered(robustness_tables.associations(robust, sharp))])


def _ordered(associations: pd.DataFrame) -> tuple[str, str, str]:
    """Whether a measure of sharpness orders the runs of one head by their corrupted accuracy.

    It is contradicted where one does. That none does is not shown: of the correlation within heads
    no interval is known.
    """
    text = "no measure of sharpness orders runs of one head (tau within 0.3)"
    rows = associations[associations["outcome"] == "corruption_error"]
    if rows.empty:
        return text, "not measured", INCONCLUSIVE
    ordered = ((rows["holm"] < LEVEL) & (rows["within"].abs() > WEAK)).any()
    seen = (
        f"{signed(rows['within'].min())} to {signed(rows['within'].max())} within heads, by "
        f"measure; {rows['runs'].max()} runs are too few to show that all are small"
    )
    return text, seen, CONTRADICTED if ordered else INCONCLUSIVE


def _accuracies(judged: pd.DataFrame, text: str) -> list[tuple[str, str, str]]:
    """What was expected of each contrast with runs, what is seen in points, and the verdict."""
    return [
        (
            text.format(row),
            f"{with_interval(row.difference, row, in_points)} points, {seeds_in_words(row.seeds)}",
            row.verdict,
        )
        for row in judged.itertuples()
    ]


def _information(judged: pd.DataFrame):
    for row in part(judged, contrasts.INFORMATION).itertuples():
        change = "more" if row.hypothesis.startswith("above") else "less"
        text = f"{row.question}, {row.head}: class and expert share {change} information"
        yield text, f"{with_interval(row.difference, row, signed)} nats", row.verdict


def _dead_of_load():
    before, after = (_dead(study, "sparse") for study in ("ablations", "protocol-load"))
    if before and after:
        seen = f"{_counted(after)}; before: {_counted(before)}"
        verdict = _judged(np.mean(after) <= np.mean(before))
        yield "importance as load, sparse: no dead experts more", seen, verdict


def _alike():
    """Friedman's test over the seeds: whether the heads lose alike without augmentation."""
    heads = [c for c in contrasts.DEPARTURES if c.arm.study == contrasts.SHARPER[0].arm.study]
    accuracy = accuracy_tables.finals(contrasts.load(heads, TrainNumbers))
    lost = {c.arm.head: contrasts.paired_differences(c, accuracy) for c in heads}
    lost = pd.DataFrame(lost).dropna(axis=1, how="all").dropna()
    if min(lost.shape) < 3:  # heads, for the test, and seeds
        return
    p = stats.friedmanchisquare(*lost.to_numpy().T).pvalue
    seen = listed(f"{head} {signed(100 * change)}" for head, change in lost.mean().items())
    verdict = CONTRADICTED if p < LEVEL else INCONCLUSIVE
    yield "no augmentation: all four lose alike", f"{seen} points; Friedman, p = {p:.2g}", verdict


def _sharper(judged: pd.DataFrame):
    text = "no augmentation, {}: the loss on test images is sharper"
    rows = part(judged, contrasts.SHARPER)
    if rows.empty:
        yield text.format("all"), "not measured", INCONCLUSIVE
    names = {"log_lambda_max": "largest eigenvalue", "log_trace": "trace"}
    for row in rows.itertuples():
        ratio = with_interval(row.difference, row, lambda logarithm: plain(np.exp(logarithm)))
        seen = f"{ratio} times the {names[row.measure]}, {seeds_in_words(row.seeds)}"
        yield text.format(row.head), seen, row.verdict


def _dead(study: str, head: str) -> list[int]:
    """Dead experts on test images of a head of a study, by seed."""
    usage = utilization_tables.on_test(loading.load(study, UtilizationNumbers))
    return usage[usage["head"] == head]["dead_experts"].tolist() if len(usage) else []


def _table(rows) -> list[Markdown]:
    cells = [(text, seen, pages.verdict(verdict)) for text, seen, verdict in rows]
    return [pages.table(pd.DataFrame(cells, columns=[*COLUMNS]), COLUMNS)]


def _counted(counts: Sequence[int]) -> str:
    return f"{listed(map(str, counts))} dead experts by seed"


def _judged(met: bool) -> str:
    return SUPPORTED if met else CONTRADICTED
