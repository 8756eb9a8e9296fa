"""The answers on parts of a mixture and on departures of the authors' code, and their charts."""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from moelib.records.kinds import TrainNumbers, UtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading, pages, paper
from moelib.report.ablations import tables
from moelib.report.ablations.contrasts import DEPARTURES, changes, judge
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.answers import NOTHING, headline
from moelib.report.effects import corrected_verdicts
from moelib.report.forest import chart, key, panels
from moelib.report.frames import flat
from moelib.report.statistics.hypotheses import LEVEL
from moelib.report.statistics.intervals import ALIKE
from moelib.report.thresholds import BALANCED
from moelib.report.utilization import tables as utilization_tables
from moelib.report.wording import enumeration, plain, signed, span

SMALL, LARGE = "ablations", "paper"  # studies: that of most departures, and of the paper's net
NAMES = {"losses": "balance losses", "gate": "gate", "layer": "hidden layer"}
TRAINS = {"soft": "dropout and losses", "sparse": "noise, dropout and losses"}  # a gate
NOT_SWITCHED = (
    "**Not measured yet.** The studies `protocol-*` switch one key at a time; what each of them "
    "does to accuracy appears here once they have been run."
)


def answer(studies: Iterable[str]) -> Iterator[Markdown]:
    """What do balance losses, gates and a hidden layer bring?"""
    records, parts = _parts(studies)
    if parts.empty:
        yield Markdown(NOTHING)
        return
    sure = parts[corrected_verdicts(parts) != ALIKE]
    if len(sure):
        gains = "; in ".join(
            f"`{study}` {enumeration(map(_gain, rows.itertuples()))}"
            for study, rows in sure.groupby("study", sort=False)
        )
        rest = "; no other part can be told from chance" if len(sure) < len(parts) else ""
        corrected = f"verdicts are corrected for {len(parts)} parts, intervals are not"
        claim = f"**In {gains}**{rest} ({corrected})."
        seen = f"**{len(sure)} of {len(parts)} parts are seen to change accuracy.**"
    else:
        claim = seen = (
            "**Not one part of a mixture can be shown to change accuracy**, with "
            f"{parts['seeds'].max()} seeds at most so far."
        )
    yield Markdown(claim)
    yield pages.chart(
        "ablations", _panels_of_parts(parts), f"{seen} Test accuracy with a part minus without it, "
        "paired by seed: balance losses; a gate and what trains it, over a uniform or a frozen "
        f"one; the dense head’s hidden layer. Each study has its own axis. {key(parts, 0)}", parts,
        pages.evidence(records),
    )  # fmt: skip
    heads = accuracy_tables.effects(records)
    sides = corrected_verdicts(heads)
    better = heads[sides == "higher"].itertuples()
    named = enumeration(f"{row.head} in `{row.study}`" for row in better) or "no head"
    yield chart(
        "ablations-heads", heads, records, f"**More accurate than dense: {named}; less: "
        f"{(sides == 'lower').sum()} of {len(heads)} heads** (after correction for all of them). "
        f"Test accuracy minus that of dense, paired by seed.",
        "minus dense, percentage points", line=0,
    )  # fmt: skip
    used = _balance(records)
    if len(used):
        worst = used.loc[used["value"].idxmax()]
        yield chart(
            "ablations-balance", used, records, f"**{worst['head']} uses its experts least evenly: "
            f"variation {worst['value']:.2f}.** Coefficient of variation of gate mass over "
            f"experts, test images; dashed: what counts as even.",
            "variation of gate mass", line=BALANCED,
        )  # fmt: skip


def price_of_balance(studies: Iterable[str]) -> Markdown:
    """What balance losses buy and cost: evenness and accuracy of each head with them and without.

    Of the first study that has such heads.
    """
    records, parts = _parts(studies)
    variation = _balance(records).set_index(["study", "head"])["value"].to_dict()
    parts = parts.assign(side=corrected_verdicts(parts))
    losses = parts[parts["head"].str.endswith("-losses")]
    for study, rows in losses.groupby("study", sort=False):
        lines = []
        for row in rows.itertuples():
            head = row.head.removesuffix("-losses")
            even, uneven = (variation.get((study, name)) for name in (head, f"{head}-free"))
            if even is None or uneven is None:
                continue
            verb = "gains" if row.value < 0 else "loses"
            sure = " (not told from chance)" if row.side == ALIKE else ""
            lines.append(
                f"{head} shares images out with a variation of {uneven:.2f} in place of "
                f"{even:.2f}, and {verb} {plain(abs(row.value))} points{sure}"
            )
        if lines:
            paid = (rows["side"] == "higher").any()
            bought = "" if paid else " No head is seen to be more accurate with its losses."
            return Markdown(f"Without its losses, in `{study}`, {'; '.join(lines)}.{bought}")
    return Markdown("No study here has heads with balance losses and without them.")


def _panels_of_parts(parts: pd.DataFrame) -> list[Figure]:
    """The parts of each study on an axis of its own, in words: they differ by a factor of ten."""
    drawn = []
    for _, rows in parts.groupby("study", sort=False):
        (figure,) = panels(rows, "points of accuracy added", line=0)
        (axes,) = figure.axes
        names = [label.get_text().partition("-") for label in axes.get_yticklabels()]
        axes.set_yticks(axes.get_yticks(), [f"{head}: {NAMES[part]}" for head, _, part in names])
        drawn.append(figure)
    return drawn


def _parts(studies: Iterable[str]) -> tuple[dict[str, list[Record]], pd.DataFrame]:
    """The records of training of the studies with controls, and what parts of heads add there."""
    records = tables.with_controls(loading.by_evidence(studies, TrainNumbers))
    return records, tables.parts(records)


def _balance(studies: Iterable[str]) -> pd.DataFrame:
    """How evenly heads of the studies use their experts."""
    return utilization_tables.balance(loading.by_evidence(studies, UtilizationNumbers))


def hidden_layer(studies: Iterable[str]) -> Markdown:
    """What the dense head's hidden layer adds, study by study: how much there is to do at all."""
    _, parts = _parts(studies)
    gains = [
        f"{signed(row.value)} points in `{row.study}`"
        + ("" if pd.isna(row.low) else f" ({span(row)})")
        for row in parts[parts["head"] == "dense-layer"].itertuples()
    ]
    told = f"A hidden layer adds {enumeration(gains)}, with 95% intervals, uncorrected."
    return Markdown(told if gains else NOTHING)


def _gain(row) -> str:
    head, _, part = row.head.partition("-")
    verb, sign = ("bring", 1) if row.value > 0 else ("cost", -1)
    low, high = sorted((sign * row.low, sign * row.high))
    verb += "" if part == "losses" else "s"
    interval = f"95% interval {plain(low)} to {plain(high)}"
    training = f", with its {TRAINS[head]}," if part == "gate" else ""
    name = f"{NAMES[part]} of {head}{training}"
    return f"the {name} {verb} {sign * row.value:.2f} points ({interval})"


def departures(studies: Iterable[str]) -> Iterator[Markdown]:
    """What does each departure of the authors' code do to accuracy, one at a time?"""
    studies = list(studies)
    records = loading.by_evidence(studies, TrainNumbers)
    frame = tables.switches(records)
    if frame.empty:
        yield Markdown(NOT_SWITCHED)
        return
    sure = frame[corrected_verdicts(frame) != ALIKE]
    most = frame.loc[frame["value"].abs().idxmax()]
    interval = "" if pd.isna(most["low"]) else f" (95% interval {span(most)})"
    claim = (
        f"**Of {len(frame)} pairs of a departure and a head, {len(sure) or 'not one'} "
        f"{'is' if len(sure) < 2 else 'are'} seen to move accuracy** (after correction for their "
        f"number). The largest change is that of *{most['panel']}* for {most['head']}: "
        f"{signed(most['value'])} points{interval}.{_unseen(records)}"
    )
    yield Markdown(
        "\n\n".join(filter(None, (claim, _on_large_nets(records), _used_otherwise(studies))))
    )
    yield chart(
        "departures", frame, records, f"{headline(claim)} Test accuracy with one departure, minus "
        f"the same run without, paired by seed.", "points of accuracy", line=0,
    )  # fmt: skip


def _on_large_nets(records: Mapping[str, list[Record]]) -> str:
    """What kind of net the changes are of, and that augmentation is worth more to the paper's."""
    nets = {study: records[study] for study in (SMALL, LARGE) if study in records}
    if len(nets) < 2:
        return ""
    sizes = accuracy_tables.studies(nets).set_index("study")
    small, large, theirs = sizes.loc[SMALL], sizes.loc[LARGE], paper.TEST_ACCURACY["dense"]
    return (
        f"These are changes of a net of {small['total']:.2g} million parameters after "
        f"{small['epochs']} epochs. The paper’s, of {large['total']:.2g} million, can learn by "
        "heart what is never cropped or flipped (H1): its dense head is right on "
        f"{large['accuracy']:.1%} with augmentation here (`{LARGE}`), and on {theirs}% without in "
        "the authors’ saved run, which departs in more than that."
    )


def _unseen(records: Mapping[str, list[Record]]) -> str:
    """How large a change of accuracy could have gone unseen, from the best to the worst case."""
    accuracy = accuracy_tables.finals(flat(records))
    detectable = 100 * judge(DEPARTURES, accuracy)["detectable"].dropna()
    if detectable.empty:
        return " One seed decides nothing."
    return (
        f" Changes below {detectable.min():.1f} points could go unseen in the best case, and below "
        f"{detectable.max():.1f} in the worst."
    )


def _used_otherwise(studies: Iterable[str]) -> str:
    """Which departures are seen to change what the choice of an expert tells of the class."""
    records = loading.by_evidence(studies, UtilizationNumbers)
    table = changes(DEPARTURES, utilization_tables.on_test(flat(records)), "information")
    parts = enumeration(
        f"{plain(abs(row.change))} nats {'more' if row.change > 0 else 'less'} with "
        f"*{row.question}* ({row.head}, {span(row)})"
        for row in table[table["adjusted"] < LEVEL].itertuples()
    )
    if not parts:
        return ""
    return (
        f"**What experts are used for does change**: class and expert share {parts} (corrected for "
        f"their number, {len(table)})."
    )
