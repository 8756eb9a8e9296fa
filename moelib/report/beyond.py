"""The chapter beyond the test split: corruptions, calibration, agreement, and their prediction."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import SharpnessNumbers, TrainNumbers
from moelib.records.record import Record
from moelib.records.reliability import RobustnessNumbers
from moelib.report import degradation, frames, loading, pages, prediction, reliability
from moelib.report.effects import COLUMNS
from moelib.report.forest import panels
from moelib.report.reliability import NEITHER, REFERENCE, SAME_HEAD, SAME_SEED
from moelib.report.statistics import CONFIDENCE, t_interval, verdict
from moelib.report.wording import listed, seeds_of, signed
from moelib.study.heads import family

NOTHING = (
    "No study with such records is here yet. A study asks for them with "
    "`analyses: {robustness: {}}`, and `make study STUDY=NAME` makes them."
)
MEASURES = {  # of sharpness, on training images
    "lambda_max": "Largest eigenvalue",
    "trace": "Trace",
    "matched_trace": "Trace at matched loss",
    "adaptive_max": "Largest eigenvalue, adaptive",
    "average_rise": "Average-case adaptive sharpness",
}
OUTCOMES = {
    "accuracy": "Accuracy",
    "corruption_error": "Error on corrupted images",
    "tempered_ece": "Calibration error at one temperature",
    "brier": "Brier score",
}
PREDICTION = {
    "study": ("Study", ""),
    "measure": ("Measure", ""),
    "outcome": ("Of", ""),
    "runs": ("Runs", "d"),
    "rho": ("Spearman, all runs", ".2f"),
    "low": ("95% from", ".2f"),
    "high": ("to", ".2f"),
    "tau": ("Kendall, all runs", ".2f"),
    "within": ("Spearman, within heads", ".2f"),
    "p_value": ("p within", ".2g"),
    "holm": ("corrected", ".2g"),
}
RELIABILITY = {
    "study": ("Study", ""),
    "head": ("Head", ""),
    "seeds": ("Seeds", "d"),
    "accuracy": ("Accuracy", ".4f"),
    "corruption_error": ("Error, corrupted", ".4f"),
    "ece": ("ECE", ".4f"),
    "tempered_ece": ("at one temperature", ".4f"),
    "corrupted_ece": ("corrupted", ".4f"),
    "brier": ("Brier", ".4f"),
    "temperature": ("Temperature", ".2f"),
}


def corruptions(studies: Iterable[str]) -> list[Markdown]:
    """Is one kind of head hurt less by corrupted images than another?"""
    records = _load(studies)
    if not records:
        return [Markdown(NOTHING)]
    charts = []
    for study, runs in [*records.items()][:1]:  # of most seeds: one figure is enough
        kinds = [r for r in runs if r.head == family(r.head)]  # a figure of kinds of heads
        frame = reliability.strengths(kinds or runs)
        words = _lost(study, runs)
        charts.append(
            pages.chart(f"corruptions-{study}", degradation.curves(frame), f"{words} Accuracy by "
                        "strength, mean over seeds and their range; 0 is the same images before.",
                        words, frame, {study: kinds or runs})
        )  # fmt: skip
    effects = _effects({s: reliability.relative_errors(f) for s, f in records.items()},
                       "relative_error")  # fmt: skip
    if effects.empty:
        return [Markdown(_lost(*next(iter(records.items())))), *charts]
    answer = _comparison(effects, 1, "more robust than", "less robust than", _times, "times dense")
    return [
        Markdown(answer),
        *charts,
        _forest("corruption-errors", effects, records, f"{answer} Mean over corruptions of the "
                "error, times that of dense in the same seed.", "error, times dense", 1),
    ]  # fmt: skip


def calibration(studies: Iterable[str]) -> list[Markdown]:
    """Can the probabilities of one kind of head be trusted more than those of another?"""
    records = _load(studies)
    if not records:
        return [Markdown(NOTHING)]
    tables = {study: reliability.summary(runs) for study, runs in records.items()}
    whole = pd.concat(tables.values())
    means = whole.groupby(["study", "head"], sort=False).mean(numeric_only=True)
    means["seeds"] = whole.groupby(["study", "head"], sort=False).size()
    table = pages.table(means.drop(columns="seed").reset_index(), RELIABILITY)
    effects = _effects({s: _beyond_dense(t) for s, t in tables.items()}, "difference")
    if effects.empty:
        return [table]
    effects[["value", "low", "high"]] *= 100
    effects["by_seed"] = [tuple(100 * v for v in values) for values in effects["by_seed"]]
    words = ("better calibrated than", "worse calibrated than")
    answer = _comparison(effects, 0, *words, signed, "points")
    return [
        Markdown(answer),
        _forest("calibration", effects, records, f"{answer} Expected calibration error at the "
                "temperature that suits validation images, minus that of dense in the same seed.",
                "ECE minus dense, points", 0),
        table,
    ]  # fmt: skip


def agreement(studies: Iterable[str]) -> list[Markdown]:
    """Do two runs of one head agree more than runs of two heads?"""
    records = _load(studies)
    pairs = [
        reliability.agreement(runs, loading.load(study, TrainNumbers))
        for study, runs in records.items()
    ]
    pairs = pd.concat(pairs) if pairs else pd.DataFrame()
    if pairs.empty:
        return [Markdown(NOTHING)]
    groups = pairs.groupby(["study", "shared"], sort=False)[["agreement", "equal_errors"]]
    table = groups.mean().assign(pairs=groups.size()).reset_index()
    columns = {
        "study": ("Study", ""),
        "shared": ("The two runs share", ""),
        "pairs": ("Pairs", "d"),
        "agreement": ("Same class, share of images", ".3f"),
        "equal_errors": ("Same wrong class, share of errors", ".3f"),
    }
    study = table["study"].iloc[0]
    means = table[table["study"] == study].set_index("shared")["agreement"]
    words = {SAME_HEAD: "two seeds of one head", SAME_SEED: "two heads of one seed",
             NEITHER: "two heads of two seeds"}  # fmt: skip
    shares = (f"{words[shared]} on {100 * share:.1f}%" for shared, share in means.items())
    answer = (
        f"**In `{study}` runs predict the same class of a test image as follows: "
        f"{listed(shares)}.** Pairs of runs are not independent of each other, so no interval is "
        "given."
    )
    return [Markdown(answer), pages.table(table, columns)]


def predictions(studies: Iterable[str]) -> list[Markdown]:
    """Does any measure of sharpness predict accuracy, robustness or calibration?"""
    tables = []
    for study, runs in _load(studies).items():
        sharp = frames.curvature(loading.load(study, SharpnessNumbers))
        if len(sharp):
            keys = ["study", "head", "seed"]
            train = sharp[sharp["split"] == "train"][[*keys, *MEASURES]]
            tables.append(reliability.summary(runs).merge(train, on=keys))
    table = prediction.associations(
        pd.concat(tables) if tables else pd.DataFrame(), MEASURES, OUTCOMES
    )
    if table.empty:
        return [
            Markdown("No study here has at least four runs with both sharpness and robustness.")
        ]
    pooled = (table["low"] > 0) | (table["high"] < 0)
    within = table["holm"] < 1 - CONFIDENCE
    answer = (
        f"**Of {len(table)} pairs of a measure of sharpness and an outcome, {pooled.sum()} go "
        f"together over all runs, and {within.sum()} among the seeds of one head** (after "
        "correction for their number)."
    )
    rows = table.assign(
        measure=table["measure"].map(MEASURES), outcome=table["outcome"].map(OUTCOMES)
    )
    return [Markdown(answer), pages.table(rows, PREDICTION, longest=12)]


def _load(studies: Iterable[str]) -> dict[str, list[Record[RobustnessNumbers]]]:
    """Records by study, those of most seeds first; studies without any are left out."""
    loaded = {study: loading.load(study, RobustnessNumbers) for study in studies}
    records = {study: runs for study, runs in loaded.items() if runs}
    return dict(sorted(records.items(), key=lambda item: -len({r.seed for r in item[1]})))


def _lost(study: str, records: list[Record[RobustnessNumbers]]) -> str:
    frame = reliability.summary(records)
    lost = 100 * frame["lost_accuracy"].mean()
    return (
        f"In `{study}` ({seeds_of(records)}) corruptions cost {lost:.1f} "
        f"points of accuracy on average, of {frame['images'].iloc[0]:,} test images."
    )


def _beyond_dense(table: pd.DataFrame) -> pd.DataFrame:
    """The calibration error of each run minus that of the dense run of its seed."""
    dense = table[table["head"] == REFERENCE].set_index("seed")["tempered_ece"]
    others = table[(table["head"] != REFERENCE) & table["seed"].isin(dense.index)]
    difference = others["tempered_ece"] - others["seed"].map(dense)
    return others[["study", "head", "seed"]].assign(difference=difference)


def _effects(tables: dict[str, pd.DataFrame], measure: str) -> pd.DataFrame:
    """One row per study and head, as in `effects`: mean over seeds and its t-interval."""
    rows = []
    for study, table in tables.items():
        for head, runs in table.groupby("head", sort=False) if len(table) else ():
            values = runs[measure].to_numpy(dtype=float)
            ends = t_interval(values) if len(values) > 1 else (values[0], np.nan, np.nan)
            rows.append((study, study, head, len(values), *ends, tuple(values), np.nan))
    return pd.DataFrame(rows, columns=COLUMNS)


def _comparison(effects: pd.DataFrame, null: float, low: str, high: str, number, unit: str) -> str:
    """Which heads differ from dense in the study of most seeds, and the most one does."""
    sure = effects[effects["seeds"] == effects["seeds"].max()]
    sure = sure[sure["study"] == sure["study"].iloc[0]]
    if sure["seeds"].iloc[0] < 2:
        return "With one seed of each head this compares trained nets, and no kinds of heads."
    words = {"lower": low, "higher": high, "not distinguishable": "not told apart from"}
    verdicts = sure.apply(
        lambda row: verdict(t_interval(np.array(row["by_seed"]) - null)), axis="columns"
    )
    parts = [
        f"{listed(sure['head'][verdicts == word])} "
        f"{'is' if (verdicts == word).sum() == 1 else 'are'} {verb}"
        for word, verb in words.items()
        if (verdicts == word).any()
    ]
    most = sure.loc[(sure["value"] - null).abs().idxmax()]
    return (
        f"**In `{most['study']}` {'; '.join(f'{part} dense' for part in parts)}.** The largest "
        f"difference is that of {most['head']}: {number(most['value'])} {unit} (95% interval "
        f"{number(most['low'])} to {number(most['high'])}), {most['seeds']} seeds."
    )


def _times(value: float) -> str:
    return f"{value:.2f}"


def _forest(
    name: str,
    effects: pd.DataFrame,
    records: dict[str, list[Record]],
    caption: str,
    label: str,
    line: float,
) -> Markdown:
    sources = {study: records[study] for study in dict.fromkeys(effects["study"])}
    return pages.chart(name, panels(effects, label, line), caption, caption, effects, sources)
