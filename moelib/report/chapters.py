"""The results chapters: for each question the answer in words, and figures that compare studies.

Each function takes names of studies and yields the answer and then the figures, so that the
published studies and a reader's own are told by the same code, and who asks for the answer alone
draws no figure. Words are chosen by the numbers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import (
    EfficiencyNumbers,
    GalleryNumbers,
    SharpnessNumbers,
    SurfaceNumbers,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.records.record import Record
from moelib.report import claims, comparisons, effects, frames, gallery, loading
from moelib.report.forest import chart
from moelib.report.frames import EIGENVECTOR, RANDOM
from moelib.report.statistics import ALIKE
from moelib.report.wording import clauses, enumeration, plain, signed, span
from moelib.study.heads import family

BARS = (
    "Symbols are means, filled with their 95% t-interval over seeds, and hollow where there is "
    "one seed; faint symbols are single seeds. A bar that touches the edge goes on beyond it."
)
STAR = "A star is the paper's number (ResNet-18, one seed)."
# Kinds of heads: the gallery shows images of a run of the first that there is.
GALLERY = ("sparse", "switch", "soft", "frozen")
DATA = {"cifar10": "CIFAR-10", "digits": "Handwritten digits"}
MIXTURES = ("soft", "sparse", "switch")  # the others are controls
NOT_SWITCHED = (
    "**Not measured yet.** The studies `protocol-*` switch one key at a time; what each of them "
    "does to accuracy appears here once they have been run."
)
NOTHING = "No study with such records is here yet. `make book` runs one in minutes."


def accuracy(studies: Iterable[str], name: str = "accuracy") -> Iterator[Markdown]:
    """Does a mixture of experts classify better than a dense head of its size?"""
    records = effects.few_heads(loading.by_evidence(studies, TrainNumbers))
    frame = effects.accuracy(records)
    if frame.empty:
        yield Markdown(NOTHING)
        return
    verbs = {"higher": "more accurate than", "lower": "less accurate than"}
    answer = comparison(frame, verbs, signed, "{head} minus dense is {number} points")
    yield Markdown(answer)
    yield chart(name, frame, records, f"{answer} Test accuracy minus that of dense in the same "
                f"seed. {BARS} {STAR}", "minus dense, percentage points", line=0)  # fmt: skip


def utilization(studies: Iterable[str], name: str = "utilization") -> Iterator[Markdown]:
    """Are all experts used, and does the choice of an expert follow the class?"""
    records = effects.few_heads(loading.by_evidence(studies, UtilizationNumbers))
    if not records:
        yield Markdown(NOTHING)
        return
    balance, information = effects.balance(records), effects.information(records)
    even = balance[balance["value"] < claims.BALANCED]
    most = balance.loc[balance["value"].idxmax()]
    evenly = (
        f"**{len(even)} of {len(balance)} heads share their images evenly over experts** "
        f"(variation of gate mass below {claims.BALANCED:g}); {_run_of(most)} is the most uneven, "
        f"with {most['value']:.2f}."
    )
    knowing = information.loc[information["value"].idxmin()]
    tests = pd.concat(frames.usage_summary(r).query("split == 'test'") for r in records.values())
    above = int((tests["information"] > tests["null_95"]).sum())
    knows = (
        f"**In {above} of {len(tests)} runs the expert that gets an image tells more of its class "
        f"than chance does**, least in {_run_of(knowing)}: {knowing['value']:.2f} nats."
    )
    learned = _beyond_frozen(loading.by_evidence(studies, UtilizationNumbers))
    yield Markdown("\n\n".join(filter(None, (learned, evenly, knows))))
    yield chart(
        f"{name}-balance", balance, records, f"{evenly} Coefficient of variation of gate mass over "
        f"experts, test images; 0 is even use, the dashed line the threshold. {BARS} {STAR}",
        "variation of gate mass", line=claims.BALANCED,
    )  # fmt: skip
    yield chart(
        f"{name}-information", information, records, f"{learned or knows} Mutual information of "
        f"class and expert, test images; a `frozen` gate was never trained. {BARS} {STAR}",
        "class-expert information, nats", line=0,
    )  # fmt: skip


def _beyond_frozen(records: Mapping[str, list[Record]]) -> str:
    """What a gate that learns adds to a random one, in the first study that has one; else nothing.

    Where the same head without its balance losses was trained too, also what is left without them.
    """
    verbs = {"higher": "tells more of the class than", "lower": "tells less of the class than"}
    for study, runs in records.items():
        gains = {row.head: row for row in comparisons.information_beyond_frozen(runs).itertuples()}
        if not gains:
            continue
        head, row = next(iter(gains.items()))
        verb = verbs.get(row.verdict, "tells no more of the class, as far as can be seen, than")
        answer = (
            f"**The choice of the {head} head {verb} that of a gate that never learned**: "
            f"{signed(row.difference)} nats (95% interval {span(row)}; {row.seeds} seeds of "
            f"`{study}`)"
        )
        free = gains.get(f"{head}-free")
        if free is not None:
            answer += f", and {signed(free.difference)} ({span(free)}) without its balance losses"
        return f"{answer}."
    return ""


class Ratio(NamedTuple):
    """A measure of each head, times that of dense: what is told and drawn of it."""

    name: str  # of the chart
    effects: pd.DataFrame
    sentence: str  # on one head, with places for `head` and `number`
    caption: str  # after the answer
    label: str
    condition: str = ""  # what qualifies the comparison


def sharpness(studies: Iterable[str], name: str = "sharpness") -> Iterator[Markdown]:
    """Is the minimum of one head sharper than that of another?"""

    def ratio(records, measure, quantity, condition, star) -> Ratio:
        return Ratio(
            f"{name}-{measure.replace('_', '-')}",
            effects.sharpness(records, measure),
            f"on test images {{head}} has {{number}} times the {quantity} of dense{condition}",
            f"The {quantity}{condition}, times that of dense in the same seed. {BARS} {star}",
            f"{quantity}{condition}, times dense",
        )

    measures = (
        ("lambda_max", "largest eigenvalue", "", STAR),
        ("matched_trace", "trace", " at matched loss", ""),
    )
    return _times_dense(studies, SharpnessNumbers, ratio, measures, "sharper", "flatter")


def surface(studies: Iterable[str], name: str = "surface") -> Iterator[Markdown]:
    """Does the loss rise faster around one head than around another, at finite steps?"""

    def ratio(records, kind, short, direction, star) -> Ratio:
        return Ratio(
            f"{name}-{short}",
            effects.surface(records, kind),
            "around {head} the loss of test images rises {number} times as far",
            f"Rise of the loss at the farthest step along {direction}, times that of dense in the "
            f"same seed. {BARS} {star}",
            "rise of the loss, times dense",
            f" along {direction}",
        )

    directions = (
        (RANDOM, "random", "random directions", ""),
        (EIGENVECTOR, "eigenvector", "the top eigenvector", STAR),
    )
    return _times_dense(studies, SurfaceNumbers, ratio, directions, "steeper", "shallower")


def _times_dense(
    studies: Iterable[str],
    kind: type,
    ratio: Callable[..., Ratio],
    measures: Iterable[tuple],
    above: str,
    below: str,
) -> Iterator[Markdown]:
    """The answers on all measures that are known, and then their charts."""
    records = effects.few_heads(loading.by_evidence(studies, kind))
    ratios = [ratio(records, *measure) for measure in measures] if records else []
    ratios = [part._replace(effects=part.effects.dropna(subset="value")) for part in ratios]
    ratios = [part for part in ratios if len(part.effects)]
    verbs = {"higher": f"{above} than", "lower": f"{below} than"}
    answers = [
        comparison(part.effects, verbs, plain, part.sentence, 1, part.condition) for part in ratios
    ]
    yield Markdown("\n\n".join(answers) or NOTHING)
    for part, answer in zip(ratios, answers, strict=True):
        caption = f"{answer} {part.caption}"
        yield chart(part.name, part.effects, records, caption, part.label, line=1, log=True)


def efficiency(studies: Iterable[str], name: str = "efficiency") -> Iterator[Markdown]:
    """Is inference with few experts faster than with a dense head?"""
    records = effects.few_heads(loading.by_evidence(studies, EfficiencyNumbers))
    frame = effects.latency(records).dropna(subset="value")
    whole = frame[frame["panel"].str.contains("whole") & (frame["head"] != "dense")]
    if whole.empty:
        yield Markdown(NOTHING)
        return
    fast = whole[whole["high"] < claims.FASTER]
    best = whole.loc[whole["value"].idxmin()]
    answer = (
        f"**{len(fast) or 'Not one'} of {len(whole)} models with experts can be shown to be faster "
        f"than the one with a dense head.** The fastest, {_run_of(best)}, takes "
        f"{plain(best['value'])} times as long (95% interval {span(best, plain)}; "
        f"batches of {best['panel'].rpartition(' ')[2]}).{_alone(frame)}"
    )
    yield Markdown(answer)
    yield chart(
        name, frame, records, f"{answer} Time of one call divided by that of a dense head of as "
        "many hidden units beside it; the bar is the 95% interval of the median over pairs of "
        "calls. One device, named in the tables.", "time, times dense", line=1, log=True,
    )  # fmt: skip


def _alone(frame: pd.DataFrame) -> str:
    """What mixtures cost beside a dense head when nothing else is timed."""
    heads = frame[frame["panel"].str.contains("alone") & frame["head"].map(family).isin(MIXTURES)]
    if heads.empty:
        return ""
    slower = int((heads["low"] > 1).sum())
    return (
        f" Without the backbone {slower} of {len(heads)} heads with experts are slower than a "
        f"dense one, by factors of {plain(heads['value'].min())} to {plain(heads['value'].max())}."
    )


def ablations(studies: Iterable[str], name: str = "ablations") -> Iterator[Markdown]:
    """What do balance losses, gates and a hidden layer bring?"""
    records = effects.with_controls(loading.by_evidence(studies, TrainNumbers))
    parts = effects.parts(records)
    if parts.empty:
        yield Markdown(NOTHING)
        return
    sure = parts[effects.verdicts(parts) != ALIKE]
    if len(sure):
        gains = enumeration(map(_part, sure.itertuples()))
        rest = "; no other part can be told from chance" if len(sure) < len(parts) else ""
        answer = f"**{gains[0].upper()}{gains[1:]}**{rest} (not corrected for their number)."
    else:
        most = parts["seeds"].max()
        answer = (
            f"**Not one part of a mixture can be shown to change accuracy**, with {most} seeds at "
            "most so far."
        )
    yield Markdown(answer)
    yield chart(
        name, parts, records, f"{answer} Test accuracy with a part minus without it, paired by "
        "seed: balance losses; a gate, over a uniform or a frozen one; the dense head’s hidden "
        f"layer. {BARS}", "points of accuracy added", line=0,
    )  # fmt: skip
    yield chart(
        f"{name}-heads", effects.accuracy(records), records, "All heads of these studies beside "
        f"dense. Test accuracy minus that of dense, paired by seed. {BARS}",
        "minus dense, percentage points", line=0,
    )  # fmt: skip
    used = effects.balance(effects.with_controls(loading.by_evidence(studies, UtilizationNumbers)))
    if len(used):
        worst = used.loc[used["value"].idxmax()]
        yield chart(
            f"{name}-balance", used, records, f"**{worst['head']} uses its experts least evenly: "
            f"variation {worst['value']:.2f}.** Coefficient of variation of gate mass over "
            f"experts, test images. {BARS}", "variation of gate mass", line=claims.BALANCED,
        )  # fmt: skip


def layer(studies: Iterable[str]) -> Markdown:
    """What the dense head's hidden layer adds, study by study: how much there is to do at all."""
    parts = effects.parts(effects.with_controls(loading.by_evidence(studies, TrainNumbers)))
    rows = parts[parts["head"] == "dense-layer"].itertuples()
    gains = [
        f"{signed(row.value)} points in `{row.study}`"
        + ("" if pd.isna(row.low) else f" ({span(row)})")
        for row in rows
    ]
    return Markdown(f"A hidden layer adds {enumeration(gains)}." if gains else NOTHING)


def _part(row) -> str:
    head, _, part = row.head.partition("-")
    verb, sign = ("bring", 1) if row.value > 0 else ("cost", -1)
    low, high = sorted((sign * row.low, sign * row.high))
    verb += "" if part == "losses" else "s"
    interval = f"95% interval {plain(low)} to {plain(high)}"
    return f"the {part} of {head} {verb} {sign * row.value:.2f} points ({interval})"


def departures(studies: Iterable[str], name: str = "departures") -> Iterator[Markdown]:
    """What does each departure of the authors' code do to accuracy, one at a time?"""
    records = loading.by_evidence(studies, TrainNumbers)
    frame = effects.switches(records)
    if frame.empty:
        yield Markdown(NOT_SWITCHED)
        return
    sure = frame[effects.verdicts(frame) != ALIKE]
    most = frame.loc[frame["value"].abs().idxmax()]
    interval = "" if pd.isna(most["low"]) else f" (95% interval {span(most)})"
    keys = f"{frame['panel'].nunique()} of the switches"
    claim = (
        f"One seed of {keys} is here, and one seed decides nothing"
        if frame["seeds"].max() < 2
        else f"Of {keys}, thrown alone for {len(frame)} heads, {len(sure)} can be seen in accuracy"
    )
    answer = (
        f"**{claim}.** The largest change is that of `{most['panel']}` for {most['head']}: "
        f"{signed(most['value'])} points{interval}."
    )
    yield Markdown(answer)
    yield chart(
        name, frame, records, f"{answer} Test accuracy with a key as the authors ran it, minus the "
        f"same run without, paired by seed. {BARS}", "points of accuracy", line=0,
    )  # fmt: skip


def routing(studies: Iterable[str], name: str = "gallery") -> Iterator[Markdown]:
    """Which images does each expert get? One run of each data set, CIFAR-10 first."""
    galleries = loading.by_evidence(studies, GalleryNumbers)
    sources: dict[str, str] = {}
    for study, records in galleries.items():
        sources.setdefault(records[0].study.data.source, study)
    if not sources:
        yield Markdown(NOTHING)
    for number, (source, study) in enumerate(sources.items()):
        record = min(galleries[study], key=_gallery_rank)
        trained = next(
            r for r in loading.load(study, TrainNumbers)
            if (r.head, r.seed) == (record.head, record.seed)
        )  # fmt: skip
        yield Markdown(f"## {DATA.get(source, source)}")
        yield from gallery.figures(record, trained, f"{name}-{source}", brief=number > 0)


def _gallery_rank(record: Record[GalleryNumbers]) -> tuple[int, str]:
    kind = record.study.heads[record.head].kind
    return GALLERY.index(kind) if kind in GALLERY else len(GALLERY), record.head


ALL = {
    "Accuracy": accuracy,
    "Use of the experts": utilization,
    "Sharpness": sharpness,
    "Loss surface": surface,
    "Cost of inference": efficiency,
}


def comparison(
    frame: pd.DataFrame,
    verbs: Mapping[str, str],
    number: Callable[[float], str],
    sentence: str,
    null: float = 0,
    condition: str = "",
) -> str:
    """Which mixtures differ from dense in the first study, and one of them in numbers.

    Args:
        frame: of effects; its first study is the one of most evidence.
        verbs: what a head is that lies above and below dense.
        number: writes a value.
        sentence: the sentence on one head, with places for `head` and `number`.
        null: the value of no effect.
        condition: what qualifies the comparison.
    """
    sure = frame[
        (frame["study"] == frame["study"].iloc[0]) & frame["head"].map(family).isin(MIXTURES)
    ]
    if sure.empty or sure["seeds"].max() < 2:
        nets = "With one seed of each head this compares trained nets, and no kinds of heads"
        return f"{nets}{condition}."
    sure = sure[sure["panel"] == sure["panel"].iloc[-1]]  # test images, where both are shown
    parts = clauses(sure["head"], effects.verdicts(sure, null), verbs)
    claim = "; ".join([f"{parts[0]} dense{condition}", *(f"{part} it" for part in parts[1:])])
    one = sure.iloc[0]
    value = sentence.format(head=one["head"], number=number(one["value"]))
    return (
        f"**{claim[0].upper()}{claim[1:]}**: {value} (95% interval {span(one, number)}; "
        f"{one['seeds']} seeds of `{one['study']}`)."
    )


def _run_of(row: pd.Series) -> str:
    return f"{row['head']} in `{row['study']}`"
