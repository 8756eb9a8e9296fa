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
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.frames import of_split
from moelib.report.headings import headings
from moelib.report.robustness import tables as robustness_tables
from moelib.report.sharpness import tables as sharpness_tables
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, LEVEL, SUPPORTED
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


def of_departures() -> list[Markdown]:
    """What was expected of the departures of the authors' code beside accuracy."""
    accuracy = accuracy_tables.finals(contrasts.load(contrasts.COSTLY, TrainNumbers))
    text = "{0.question}, {0.head}: costs accuracy"
    costly = _accuracies(contrasts.COSTLY, accuracy, "test_accuracy", text)
    return _table([*costly, *_information(), *_dead_of_load(), *_alike(), *_sharper()])


def of_main_study() -> list[Markdown]:
    """What was expected of the main study beside the claims; nothing without its records."""
    accuracy = accuracy_tables.finals(loading.load(contrasts.MAIN_STUDY, TrainNumbers))
    robust = robustness_tables.summary(loading.load(contrasts.MAIN_STUDY, RobustnessNumbers))
    rows = _accuracies(
        *(contrasts.UNTRAINED_GATE, accuracy, "test_accuracy"),
        "frozen is half a point less accurate than sparse at most",
    )
    if not rows:
        return []
    rows += _accuracies(
        *(contrasts.CORRUPTED, robust, "lost_accuracy"),
        "{0.head} loses as much to corruption as dense, give or take a point",
    )
    text = "no measure of sharpness orders runs of one head (tau within 0.3)"
    return _table([*rows, (text, "not tested", INCONCLUSIVE)])


def _accuracies(
    family: Sequence[contrasts.Contrast], values: pd.DataFrame, measure: str, text: str
) -> list[tuple[str, str, str]]:
    """What was expected of each contrast with runs, what is seen in points, and the verdict."""
    return [
        (
            text.format(row),
            f"{with_interval(row.difference, row, in_points)} points, {seeds_in_words(row.seeds)}",
            row.verdict,
        )
        for row in contrasts.judge(family, values, measure).itertuples()
    ]


def _information():
    usage = utilization_tables.on_test(contrasts.load(contrasts.INFORMATION, UtilizationNumbers))
    for row in contrasts.judge(contrasts.INFORMATION, usage, "information").itertuples():
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
    accuracy = accuracy_tables.finals(contrasts.load(contrasts.SHARPER, TrainNumbers))
    lost = {
        c.arm.head: contrasts.paired_differences(c, accuracy, "test_accuracy")
        for c in contrasts.SHARPER
    }
    lost = pd.DataFrame(lost).dropna(axis=1, how="all").dropna()
    if min(lost.shape) < 3:  # heads, for the test, and seeds
        return
    p = stats.friedmanchisquare(*lost.to_numpy().T).pvalue
    seen = listed(f"{head} {signed(100 * change)}" for head, change in lost.mean().items())
    verdict = CONTRADICTED if p < LEVEL else INCONCLUSIVE
    yield "no augmentation: all four lose alike", f"{seen} points; Friedman, p = {p:.2g}", verdict


def _sharper():
    curvature = of_split(
        sharpness_tables.curvature(contrasts.load(contrasts.SHARPER, SharpnessNumbers)), "test"
    )
    if len(curvature):
        curvature = curvature.assign(eigenvalue=np.log(curvature["lambda_max"]))
    text = "no augmentation, {}: the loss on test images is sharper"
    rows = contrasts.judge(contrasts.SHARPER, curvature, "eigenvalue")
    if rows.empty:
        yield text.format("all"), "not measured", INCONCLUSIVE
    for row in rows.itertuples():
        ratio = with_interval(row.difference, row, lambda logarithm: plain(np.exp(logarithm)))
        seen = f"{ratio} times the largest eigenvalue, {seeds_in_words(row.seeds)}"
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
