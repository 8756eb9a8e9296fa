"""The departures of the authors' code, one at a time: what each did, and what was expected of it.

The hypotheses are those of `studies/protocol-augment.yaml`; that on the device is of
`studies/protocol-corrected.yaml`. Both were written before any of their runs.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import SharpnessNumbers, TrainNumbers, UtilizationNumbers
from moelib.report import loading, pages, wording
from moelib.report.ablations import contrasts, expectations, figures
from moelib.report.ablations.contrasts import DEPARTURES, EXPECTED, HEADS, MATTERS, UNPAIRED
from moelib.report.ablations.tables import of_judged
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.answers import headline
from moelib.report.effects import corrected_verdicts
from moelib.report.frames import RUN, of_split
from moelib.report.headings import headings
from moelib.report.sharpness import tables as sharpness_tables
from moelib.report.statistics import hypotheses
from moelib.report.statistics.hypotheses import LEVEL, WITHIN, Evidence
from moelib.report.statistics.intervals import ALIKE
from moelib.report.utilization import tables as utilization_tables
from moelib.report.wording import enumeration, in_points, plain, span, with_interval

SWITCHED = (*DEPARTURES, *UNPAIRED)
DEVICE_MATTERS = 0.0025  # of accuracy, half of what matters of a departure
USE = {
    "information": "Information shared by class and expert, nats",
    "gate_mass_variation": "Variation of gate mass over experts",
    "log_lambda_max": "Logarithm of the largest eigenvalue",
    "log_trace": "Logarithm of the trace",
}
CHANGES = headings("question", "head", "split", "seeds", "change", "low", "high", "adjusted") | {
    "question": ("Departure", ""),
    "low": ("95% from", "rounded"),
    "high": ("to", "rounded"),
}


def answer(name: str = "departures") -> Iterator[Markdown]:
    """What does each departure do to accuracy, and to what experts are used for?"""
    records = contrasts.load(SWITCHED, TrainNumbers)
    accuracy = accuracy_tables.finals(records)
    judged = contrasts.judge(SWITCHED, accuracy)
    if judged.empty:
        yield expectations.missing(DEPARTURES)
        return
    moved = (corrected_verdicts(of_judged(judged, judged["question"])) != ALIKE).sum()
    most = judged.loc[judged["difference"].abs().idxmax()]
    claim = (
        f"**Of {len(judged)} pairs of a departure and a head, {moved or 'not one'} "
        f"{'is' if moved < 2 else 'are'} seen to change accuracy** (after correction for their "
        f"number{_unseen(judged)}). The largest change, with its 95% interval, comes from "
        f"*{most['question']}* for {most['head']}: "
        f"{with_interval(most['difference'], most, in_points)} points."
    )
    yield Markdown("\n\n".join(filter(None, (claim, _used_otherwise()))))
    yield figures.chart(
        name,
        judged.assign(against=""),
        f"{headline(claim)} Test accuracy with one departure minus that of the same run without it",
        contrasts.studies(SWITCHED),
    )


def expected() -> list[Markdown]:
    """What was expected of each departure, judged as one family, and what else bears on it."""
    judged = judge_expected()
    if judged.empty:
        return [expectations.missing(DEPARTURES)]
    records = contrasts.load(SWITCHED, TrainNumbers)
    notes = (
        _noise_floor(judged),
        wording.across_devices(contrasts.pairs(SWITCHED, records)),
        _device(accuracy_tables.finals(records)),
        _checkpoints(),
    )
    lacking = len(EXPECTED) - len(judged)
    more = f" {lacking} contrasts have no records yet." if lacking else ""
    return [
        Markdown(f"{expectations.tally(judged)}{more}"),
        expectations.table(judged),
        *expectations.of_departures(),
        Markdown(" ".join(filter(None, notes))),
    ]


def in_use() -> list[Markdown]:
    """What each departure did to the use of the experts and to curvature; none without records."""
    use = use_and_curvature()
    changes = {title: contrasts.changes(DEPARTURES, use, measure) for measure, title in USE.items()}
    return [
        part
        for title, table in changes.items()
        if len(table)
        for part in (Markdown(f"**{title}**, change:"), pages.table(table, CHANGES))
    ]


def judge_expected() -> pd.DataFrame:
    """The verdicts on all that was expected, as `contrasts.judge` has them for one family."""
    use = of_split(use_and_curvature(), "test").drop(columns="device")
    return contrasts.judge(EXPECTED, _accuracies().merge(use, on=RUN, how="outer"), MATTERS)


def use_and_curvature() -> pd.DataFrame:
    """One row per run and split: device of the training, and the measures of `USE` or NaN."""
    keys = [*RUN, "split"]
    usage = utilization_tables.summary(contrasts.load(EXPECTED, UtilizationNumbers))
    usage = usage.reindex(columns=[*keys, "information", "gate_mass_variation"])
    sharp = sharpness_tables.curvature(contrasts.load(EXPECTED, SharpnessNumbers))
    sharp = sharp.reindex(columns=[*keys, "lambda_max", "trace"])
    for measure in ("lambda_max", "trace"):
        positive = sharp[measure].where(sharp[measure] > 0).astype(float)
        sharp[f"log_{measure}"] = np.log(positive)
    devices = _accuracies()[[*RUN, "device"]]
    return usage.merge(sharp, on=keys, how="outer").merge(devices, on=RUN, how="left")


def _accuracies() -> pd.DataFrame:
    """One row per run: its accuracy, and the device of its training."""
    accuracy = accuracy_tables.finals(contrasts.load(EXPECTED, TrainNumbers))
    return accuracy.reindex(columns=[*RUN, "test_accuracy", "device"])


def device_effect(accuracy: pd.DataFrame) -> Evidence:
    """Whether another kind of device moves accuracy, where nothing else is changed.

    Differences are means over the heads of a seed, one number for each seed.

    Args:
        accuracy: one row per run, with columns study, head, seed and test_accuracy.
    """
    ((own, repeat),) = contrasts.REPEATED.items()
    runs = accuracy.pivot_table("test_accuracy", ["study", "seed"], "head")
    runs = runs.reindex(columns=HEADS).dropna().mean(axis=1).unstack("study")
    runs = runs.reindex(columns=[own, repeat])
    differences = (runs[repeat] - runs[own]).dropna()
    return hypotheses.over_seeds("device", differences, WITHIN, DEVICE_MATTERS)


def _unseen(judged: pd.DataFrame) -> str:
    """How large a change of accuracy could have gone unseen, from the best to the worst case."""
    detectable = 100 * judged["detectable"].dropna()
    if detectable.empty:
        return ""
    return (
        f"; changes below {detectable.min():.1f} points could go undetected in the best case, and "
        f"below {detectable.max():.1f} in the worst"
    )


def _used_otherwise() -> str:
    """Which departures are seen to change what the choice of an expert reveals about the class."""
    use = of_split(use_and_curvature(), "test")
    table = contrasts.changes(DEPARTURES, use, "information")
    parts = enumeration(
        f"{plain(abs(row.change))} nats {'more' if row.change > 0 else 'less'} information with "
        f"*{row.question}* ({row.head}, {span(row)})"
        for row in table[table["adjusted"] < LEVEL].itertuples()
    )
    if not parts:
        return ""
    return (
        f"**What experts are used for does change**: class and expert share {parts} (after "
        f"correction for {len(table)} tests)."
    )


def _noise_floor(judged: pd.DataFrame) -> str:
    by_seed = judged["by_seed"][judged["question"] == UNPAIRED[0].question]
    variances = [np.var(differences, ddof=1) for differences in by_seed if len(differences) > 1]
    if not variances:
        return ""
    return (
        "With another order of batches and another augmentation, a run’s accuracy changes by a "
        f"standard deviation of {100 * np.mean(variances) ** 0.5:.2f} points."
    )


def _device(accuracy: pd.DataFrame) -> str:
    """What the kind of device alone did to accuracy; nothing where it is not measured."""
    effect = device_effect(accuracy)
    if not effect.seeds:
        return ""
    (decision,) = hypotheses.decisions([(effect.p_for, effect.p_against)])
    return (
        "Trained again on another kind of processor with nothing else changed, the four heads "
        f"differ by {with_interval(effect.estimate, effect, in_points)} points (mean over heads, "
        f"{wording.seeds_in_words(effect.seeds)}). The expectation that this is "
        f"{wording.bound(WITHIN, DEVICE_MATTERS)} is {decision.verdict}."
    )


def _checkpoints() -> str:
    """In how many runs the best epoch on validation was the last: there the key does nothing."""
    here, large = (
        f"{sum(run.numbers.best_validation_epoch == len(run.numbers.epochs) for run in runs)} of "
        f"{len(runs)}"
        for runs in (contrasts.load(SWITCHED, TrainNumbers), loading.load("paper", TrainNumbers))
    )
    return (
        "The key `checkpoint` has no study of its own. Both protocols test the same weights when "
        f"the last epoch is the best on validation images, as in {here} runs here and in {large} "
        "runs of the paper’s net."
    )
