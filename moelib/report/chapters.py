"""The results chapters: for each question the answer in words, and figures that compare studies.

Each function takes names of studies and returns the answer and then the figures, so that the
published studies and a reader's own are told by the same code. Words are chosen by the numbers.
"""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import (
    EfficiencyNumbers,
    SharpnessNumbers,
    SurfaceNumbers,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.records.record import Record
from moelib.report import claims, effects, frames, loading, pages
from moelib.report.forest import panels
from moelib.report.frames import EIGENVECTOR, RANDOM
from moelib.report.statistics import Interval, has_width
from moelib.report.wording import listed, signed

BARS = (
    "Symbols are means, filled with their 95% t-interval over seeds, and hollow where there is "
    "one seed; faint symbols are single seeds."
)
STAR = "A star is the paper's number (ResNet-18, one seed)."
NOTHING = "No study with such records is here yet. `make book` runs one in minutes."


def accuracy(studies: Iterable[str], name: str = "accuracy") -> list[Markdown]:
    """Does a mixture of experts classify better than a dense head of its size?"""
    records = effects.few_heads(_load(studies, TrainNumbers))
    frame = effects.accuracy(records)
    if frame.empty:
        return [Markdown(NOTHING)]
    said = {"higher": "more accurate than", "lower": "less accurate than"}
    answer = _against(frame, said, signed, " points")
    return [
        Markdown(answer),
        _chart(name, frame, records, f"{answer} Test accuracy minus that of dense in the same "
               f"seed. {BARS} {STAR}", "minus dense, percentage points", line=0),
    ]  # fmt: skip


def utilization(studies: Iterable[str], name: str = "utilization") -> list[Markdown]:
    """Are all experts used, and does the choice of an expert follow the class?"""
    records = effects.few_heads(_load(studies, UtilizationNumbers))
    if not records:
        return [Markdown(NOTHING)]
    balance, information = effects.balance(records), effects.information(records)
    even = balance[balance["value"] < claims.BALANCED]
    rest = balance.drop(even.index)
    most = balance.loc[balance["value"].idxmax()]
    answer = (
        f"**{len(even)} of {len(balance)} heads share their images evenly over experts** "
        f"(variation of gate mass below {claims.BALANCED:g}). "
        + (f"The most uneven is {_of(most)} with {most['value']:.2f}." if len(rest) else "")
    )
    knowing = information.loc[information["value"].idxmin()]
    tests = pd.concat(frames.usage_summary(r).query("split == 'test'") for r in records.values())
    above = int((tests["information"] > tests["null_95"]).sum())
    knows = (
        f"**In {above} of {len(tests)} runs the expert that gets an image tells more of its class "
        f"than chance does**, least in {_of(knowing)}: {knowing['value']:.2f} nats."
    )
    return [
        Markdown(f"{answer}\n\n{knows}"),
        _chart(f"{name}-balance", balance, records, f"{answer} Coefficient of variation of gate "
               f"mass over experts, test images; 0 is even use, the dashed line the threshold. "
               f"{BARS} {STAR}", "variation of gate mass", line=claims.BALANCED),
        _chart(f"{name}-information", information, records, f"{knows} Mutual information of class "
               f"and expert, test images; a `frozen` gate was never trained. {BARS} {STAR}",
               "class-expert information, nats", line=0),
    ]  # fmt: skip


def sharpness(studies: Iterable[str], name: str = "sharpness") -> list[Markdown]:
    """Is the minimum of one head sharper than that of another?"""
    records = effects.few_heads(_load(studies, SharpnessNumbers))
    if not records:
        return [Markdown(NOTHING)]
    drawn, answers = [], []
    for measure, called in (("lambda_max", "largest eigenvalue"), ("matched_trace", "trace")):
        frame = effects.sharpness(records, measure).dropna(subset="value")
        if frame.empty:
            continue
        said = {"higher": "sharper than", "lower": "flatter than"}
        at = " at matched loss" if measure == "matched_trace" else ""
        answer = _against(
            frame, said, _times, " times dense", null=1, by=f", by the {called} of the Hessian{at}"
        )
        answers.append(answer)
        drawn.append(
            _chart(f"{name}-{measure.replace('_', '-')}", frame, records,
                   f"{answer} The {called}{at}, times that of dense in the same seed. {BARS} "
                   + ("" if at else STAR), f"{called}{at}, times dense", line=1, log=True)
        )  # fmt: skip
    return [Markdown("\n\n".join(answers)), *drawn]


def surface(studies: Iterable[str], name: str = "surface") -> list[Markdown]:
    """Does the loss rise faster around one head than around another, at finite steps?"""
    records = effects.few_heads(_load(studies, SurfaceNumbers))
    if not records:
        return [Markdown(NOTHING)]
    drawn, answers = [], []
    for kind, short in ((EIGENVECTOR, "eigenvector"), (RANDOM, "random")):
        frame = effects.surface(records, kind).dropna(subset="value")
        if frame.empty:
            continue
        said = {"higher": "steeper than", "lower": "shallower than"}
        along = "the top eigenvector" if kind == EIGENVECTOR else "random directions"
        answer = _against(frame, said, _times, " times dense", null=1, by=f" along {along}")
        answers.append(answer)
        drawn.append(
            _chart(f"{name}-{short}", frame, records,
                   f"{answer} Rise of the loss at the farthest step along {along}, times that of "
                   f"dense in the same seed. {BARS} {STAR if kind == EIGENVECTOR else ''}",
                   "rise of the loss, times dense", line=1, log=True)
        )  # fmt: skip
    return [Markdown("\n\n".join(answers)), *drawn]


def efficiency(studies: Iterable[str], name: str = "efficiency") -> list[Markdown]:
    """Is inference with few experts faster than with a dense head?"""
    records = effects.few_heads(_load(studies, EfficiencyNumbers))
    frame = effects.latency(records).dropna(subset="value")
    whole = frame[frame["panel"].str.contains("whole") & (frame["head"] != "dense")]
    if whole.empty:
        return [Markdown(NOTHING)]
    fast = whole[whole["high"] < claims.FASTER]
    best = whole.loc[whole["value"].idxmin()]
    answer = (
        f"**{len(fast) or 'Not one'} of {len(whole)} models with experts can be shown to be faster "
        f"than the one with a dense head.** The fastest, {_of(best)}, takes "
        f"{_times(best['value'])} times as long{_interval(best, _times)}."
    )
    return [
        Markdown(answer),
        _chart(name, frame, records, f"{answer} Time of one call by that of a dense head of as "
               "many hidden units beside it; the bar is the 95% interval of the median over pairs "
               "of calls. One device, named in the tables.", "time, times dense", line=1, log=True),
    ]  # fmt: skip


ALL = {
    "Accuracy": accuracy,
    "Use of the experts": utilization,
    "Sharpness": sharpness,
    "Loss surface": surface,
    "Cost of inference": efficiency,
}


def verdicts(studies: Iterable[str]) -> Markdown:
    """The paper's claims by study, each verdict as a coloured word."""
    judged = {}
    for study in studies:
        kinds = (UtilizationNumbers, SharpnessNumbers, SurfaceNumbers, EfficiencyNumbers)
        analysed = [loading.load(study, kind) for kind in kinds]
        judged[study] = claims.judge(loading.load(study, TrainNumbers), *analysed)
    table = claims.overview(judged)
    badges = {
        claims.SUPPORTED: "success",
        claims.CONTRADICTED: "danger",
        claims.INCONCLUSIVE: "secondary",
    }
    for study in judged:
        table[study] = [
            f"{{bdg-{badges[verdict]}}}`{verdict}`" if isinstance(verdict, str) else None
            for verdict in table[study]
        ]
    columns = {name: (name.capitalize() if name == "claim" else name, "") for name in table}
    return pages.table(table, columns)


def _load(studies: Iterable[str], kind: type) -> dict[str, list[Record]]:
    """Records by study, those of most seeds first."""
    records = {study: loading.load(study, kind) for study in studies}
    return dict(sorted(records.items(), key=lambda item: -len({r.seed for r in item[1]})))


def _chart(
    name: str,
    frame: pd.DataFrame,
    records: Mapping[str, list[Record]],
    caption: str,
    label: str,
    line: float,
    log: bool = False,
) -> Markdown:
    shown = {study: records[study] for study in dict.fromkeys(frame["study"])}
    return pages.chart(name, panels(frame, label, line, log), caption, caption, frame, shown)


def _against(
    frame: pd.DataFrame,
    said: Mapping[str, str],
    number: Callable[[float], str],
    unit: str,
    null: float = 0,
    by: str = "",
) -> str:
    """Which heads differ from dense in the study of most seeds, and the most one does."""
    sure = frame[frame["seeds"] == frame["seeds"].max()]
    sure = sure[sure["panel"] == sure["panel"].iloc[-1]]  # test images, where both are shown
    if sure["seeds"].iloc[0] < 2:
        return f"With one seed of each head this compares trained nets, and no kinds of heads{by}."
    words = sure.apply(lambda row: _verdict(row, null), axis="columns")
    parts = [
        f"{_and(sure['head'][words == word])} {'is' if (words == word).sum() == 1 else 'are'} {how}"
        for word, how in {**said, "alike": "not told apart from"}.items()
        if (words == word).any()
    ]
    claim = "; ".join([f"{parts[0]} dense{by}", *(f"{part} it" for part in parts[1:])])
    most = sure.loc[(sure["value"] - null).abs().idxmax()]
    return (
        f"**{claim[0].upper()}{claim[1:]}.** The largest difference is that of {_of(most)}: "
        f"{number(most['value'])}{unit}{_interval(most, number)}, {most['seeds']} seeds."
    )


def _verdict(row: pd.Series, null: float) -> str:
    found = Interval(row["value"], row["low"], row["high"])
    if not has_width(found.low, found.high) or found.low <= null <= found.high:
        return "alike"
    return "higher" if found.low > null else "lower"


def _interval(row: pd.Series, number: Callable[[float], str]) -> str:
    if pd.isna(row["low"]):
        return ""
    return f" (95% interval {number(row['low'])} to {number(row['high'])})"


def _of(row: pd.Series) -> str:
    return f"{row['head']} in `{row['study']}`"


def _and(heads: Iterable[str]) -> str:
    *first, last = heads
    return f"{listed(first)} and {last}" if first else last


def _times(value: float) -> str:
    return f"{value:.2f}"
