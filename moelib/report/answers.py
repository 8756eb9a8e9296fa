"""How a chapter answers its question: what the words of several chapters share.

Each chapter has a function `words.answer`. It takes names of studies and yields the answer and then
the figures, so that the published studies and a reader's own are told by the same code, and who
asks for the answer alone draws no figure. Words are chosen by the numbers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd
from IPython.display import Markdown

from moelib.records.record import Record
from moelib.report import effects
from moelib.report.comparisons import FEWEST, REFERENCE
from moelib.report.forest import chart
from moelib.report.loading import SEEDS_TO_LEAD, planned_seeds
from moelib.report.wording import clauses, listed, plain, seed_count, span
from moelib.study.heads import CONTROLS, family

NOTHING = "No study here has such records yet. `make book` runs one in minutes."
MIXTURES = ("soft", "sparse", "switch")  # the paper's, and that of Fedus (2021)


def comparison(
    frame: pd.DataFrame,
    verbs: Mapping[str, str],
    number: Callable[[float], str],
    sentence: str,
    null: float = 0,
    condition: str = "",
    log: bool = False,
) -> str:
    """Which mixtures differ from dense in the first study, and one of them in numbers.

    Args:
        frame: of effects; its first study is the one of most evidence.
        verbs: what a head is that lies above and below dense.
        number: writes a value.
        sentence: the sentence on one head, with places for `head` and `number`.
        null: the value of no effect.
        condition: what qualifies the comparison.
        log: whether logarithms are tested, as of ratios.
    """
    sure = _mixtures(frame, frame["study"].iloc[0])
    if sure.empty:
        return f"No mixture stands beside dense in `{frame['study'].iloc[0]}`."
    if sure["seeds"].max() < 2:
        return f"With one seed per head, this compares trained nets{condition}, not kinds of head."
    claim = sides_of_dense(sure, verbs, null, condition, log)
    told = sure[_enough(sure)]
    one = told.iloc[0]
    value = sentence.format(head=one["head"], number=number(one["value"]))
    sides = effects.corrected_verdicts(sure, null, log)
    corrected = (
        "uncorrected"
        if sides[one.name] == effects.verdicts(told, null)[one.name]
        else f"not significant once corrected for {len(sure)} heads"
    )
    return (
        f"**{claim[0].upper()}{claim[1:]}**: {value} (95% interval {span(one, number)}, "
        f"{corrected}; {seeds_in(told.head(1))})."
    )


def sides_of_dense(
    frame: pd.DataFrame,
    verbs: Mapping[str, str],
    null: float = 0,
    condition: str = "",
    log: bool = False,
) -> str:
    """Which heads lie above dense, below it, or neither, after Holm's correction for all of them.

    Heads of fewer seeds than `FEWEST` are left to the chart, unless all have as few.
    """
    sides = effects.corrected_verdicts(frame, null, log)
    told = _enough(frame)
    first, *others = clauses(frame["head"][told], sides[told], verbs)
    return "; ".join([f"{first} dense{condition}", *(f"{part} dense" for part in others)])


def elsewhere(
    frame: pd.DataFrame,
    records: Mapping[str, list[Record]],
    verbs: Mapping[str, str],
    null: float = 0,
    condition: str = "",
    log: bool = False,
) -> str:
    """Which mixtures lie above and below dense in the other corrected studies of enough seeds."""
    told = []
    for study in frame["study"].unique()[1:]:
        rows = _mixtures(frame, study)
        corrected = records[study][0].study.protocol.base == "corrected"
        if corrected and rows["seeds"].max() >= SEEDS_TO_LEAD:
            told.append(f"In `{study}`, {sides_of_dense(rows, verbs, null, condition, log)}.")
    return " ".join(told)


def too_few(frame: pd.DataFrame) -> str:
    """Which mixtures of the first study have too few seeds to judge, as a sentence."""
    rows = _mixtures(frame, frame["study"].iloc[0])
    few = [f"{row.head} has {row.seeds}" for row in rows[~_enough(rows)].itertuples()]
    return (
        f"Too few seeds to judge, though counted in the correction: {listed(few)}." if few else ""
    )


def headline(answer: str, study: str = "") -> str:
    """What of an answer is in bold: a caption repeats no more, and names the study it is true of.

    >>> headline("**Soft is better than dense**: by 2.", "paper")
    '**In `paper`, soft is better than dense.**'
    """
    bold = answer.split("**")
    if len(bold) == 1:
        return answer
    told = bold[1].removesuffix(".")
    return f"**In `{study}`, {told[0].lower()}{told[1:]}.**" if study else f"**{told}.**"


def _mixtures(frame: pd.DataFrame, study: str) -> pd.DataFrame:
    """All but controls, in a study's last panel: of test images, where both splits are shown."""
    rows = frame[frame["study"] == study]
    rows = rows[rows["panel"] == rows["panel"].iloc[-1]]
    return rows[~rows["head"].map(family).isin((REFERENCE, *CONTROLS))]


def _enough(frame: pd.DataFrame) -> pd.Series:
    return frame["seeds"] >= min(FEWEST, frame["seeds"].max())


def seeds_in(frame: pd.DataFrame) -> str:
    """How many seeds of their study the effects are of, and of how many planned."""
    study = frame["study"].iloc[0]
    count = seed_count(frame["seeds"].min(), frame["seeds"].max(), planned_seeds(study))
    return f"{count} seeds of `{study}`"


class Ratio(NamedTuple):
    """A measure of each head, times that of dense: what is told and drawn of it."""

    name: str  # of the chart
    effects: pd.DataFrame
    sentence: str  # on one head, with places for `head` and `number`
    caption: str  # after the answer
    label: str
    condition: str = ""  # what qualifies the comparison


def times_dense(
    records: Mapping[str, list[Record]], ratios: Iterable[Ratio], above: str, below: str
) -> Iterator[Markdown]:
    """The answers on all measures that are known, and then their charts."""
    ratios = [part._replace(effects=part.effects.dropna(subset="value")) for part in ratios]
    ratios = [part for part in ratios if len(part.effects)]
    verbs = {"higher": f"{above} than", "lower": f"{below} than"}
    answers = [
        comparison(part.effects, verbs, plain, part.sentence, 1, part.condition, log=True)
        for part in ratios
    ]
    others = (
        elsewhere(part.effects, records, verbs, 1, part.condition, log=True) for part in ratios
    )
    few = dict.fromkeys(too_few(part.effects) for part in ratios)
    told = [text for pair in zip(answers, others, strict=True) for text in pair]
    yield Markdown("\n\n".join(filter(None, [*told, *few])) or NOTHING)
    for part, answer in zip(ratios, answers, strict=True):
        caption = f"{headline(answer, part.effects['study'].iloc[0])} {part.caption}"
        yield chart(part.name, part.effects, records, caption, part.label, line=1, log=True)
