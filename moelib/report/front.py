"""The title page: what was found, ours beside the paper, and how its claims fared."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import SharpnessNumbers, TrainNumbers, UtilizationNumbers
from moelib.records.record import Record
from moelib.report import effects, loading, pages, paper
from moelib.report.ablations import weak_backbone
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.accuracy import words as accuracy_words
from moelib.report.answers import NOTHING, headline
from moelib.report.claims import tables as claims_tables
from moelib.report.claims.claims import CLAIMS
from moelib.report.efficiency import words as efficiency_words
from moelib.report.forest import STAR, panels
from moelib.report.sharpness import tables as sharpness_tables
from moelib.report.sharpness import words as sharpness_words
from moelib.report.statistics.hypotheses import CONTRADICTED
from moelib.report.surface import words as surface_words
from moelib.report.utilization import tables as utilization_tables
from moelib.report.utilization import words as utilization_words
from moelib.report.wording import listed

CHAPTERS = {  # title and answer of the main ones, by page
    "accuracy": ("Accuracy", accuracy_words.answer),
    "utilization": ("Use of the experts", utilization_words.answer),
    "sharpness": ("Sharpness", sharpness_words.answer),
    "surface": ("Loss surface", surface_words.answer),
    "efficiency": ("Cost of inference", efficiency_words.answer),
}
TOLD = {  # on the title page: the claims of an answer, the first in full
    "accuracy": [0, 1],  # also where another net says something else
    "utilization": [0, 1],  # a gate that learns, with its balance losses and without
    "sharpness": [1, 0],  # the trace at matched loss, and the largest eigenvalue
    "efficiency": [0],
}


def findings(studies: Iterable[str]) -> Markdown:
    """What chapters answer, each in a sentence or two, below what the numbers are of.

    On accuracy also where nothing but the head is trained.
    """
    firsts = [(page, _told(next(CHAPTERS[page][1](studies)), TOLD[page])) for page in TOLD]
    if weak_backbone.STUDY in studies:
        alone = _told(next(weak_backbone.answer()), [0])
        firsts.insert(1, ("weak-backbone", f"When only the head is trained: {alone}"))
    rows = (f"1. {first} [More]({page}.ipynb)" for page, first in firsts if first != NOTHING)
    trained = loading.by_evidence(studies, TrainNumbers)
    told = list(rows)
    return Markdown("\n".join([*_scope(trained, " ".join(told)), *told]))


def _told(answer: Markdown, places: Sequence[int]) -> str:
    """Of the paragraphs of an answer that claim something those at some places."""
    first, *others = answer.data.split("\n\n")
    claims = [first, *(text for text in others if text.startswith("**"))]
    told = [claims[place] for place in places if place < len(claims)]
    return " ".join([told[0], *map(headline, told[1:])])


def _scope(trained: Mapping[str, list[Record[TrainNumbers]]], told: str) -> list[str]:
    """What net and training the numbers of the study of most evidence are of, and others told."""
    few = effects.few_heads(trained)
    if not few:
        return []
    row, *others = accuracy_tables.studies(few).itertuples()
    right = f" Its dense head classifies {row.accuracy:.1%} of test images correctly"
    theirs = f"; the authors’, trained without augmentation, {paper.TEST_ACCURACY['dense']}%"
    right += f"{theirs if row.backbone == paper.BACKBONE else ''}."
    also = listed(
        f"`{other.study}` trains a net of {other.total:.2g} million for {other.epochs} epochs"
        for other in others
        if f"`{other.study}`" in told
    )
    return [
        f"Unless stated otherwise, numbers come from the study `{row.study}`, which trains a net "
        f"of {row.total:.2g} million parameters (`{row.backbone}`) for {row.epochs} epochs."
        f"{'' if pd.isna(row.accuracy) else right}{f' {also}.' if also else ''}",
        "",
    ]


def at_a_glance(studies: Iterable[str], name: str = "at-a-glance") -> Markdown:
    """The study of most evidence beside the paper's numbers, measure by measure."""
    measures = {
        "Accuracy": (TrainNumbers, accuracy_tables.effects, "difference from dense, points", 0),
        "Balance": (UtilizationNumbers, utilization_tables.balance, "variation of gate mass", 0),
        "Specialisation": (
            UtilizationNumbers,
            utilization_tables.information,
            "class-expert information, nats",
            0,
        ),
        "Sharpness": (SharpnessNumbers, sharpness_tables.effects, "eigenvalue, × dense (log)", 1),
    }
    charts, frames, records = [], [], defaultdict(list)
    for title, (kind, effect, label, line) in measures.items():
        few = effects.few_heads(loading.by_evidence(studies, kind))
        if not few:
            continue
        study, runs = next(iter(few.items()))
        frame = effect({study: runs})
        frame = effects.beside_paper(frame, {study: runs})
        frame = frame[frame["panel"] == frame["panel"].iloc[-1]]  # of two splits the test images
        frame = frame.assign(panel=f"{title}, {study}")
        charts += panels(frame, label, line, log=line == 1)
        frames.append(frame)
        records[study] += runs
    if not charts:
        return Markdown(NOTHING)
    drawn = pd.concat(frames)
    star = f" {STAR}" if drawn["paper"].notna().any() else ""
    caption = (
        "**Accuracy and sharpness beside dense; how evenly experts are used, and how much they "
        "tell about the class.** Test images of CIFAR-10; mean and 95% t-interval over seeds "
        f"(faint: each seed), not corrected for the number of heads.{star} Dashed lines: no "
        "difference from dense, or between experts."
    )
    return pages.chart(name, charts, caption, drawn, pages.evidence(records))


def tally(studies: Iterable[str]) -> Markdown:
    """How many of the paper's claims are judged how, in the two studies of most evidence."""
    rows = claims_tables.verdicts(studies)
    if rows.empty:
        return Markdown(NOTHING)
    told = "; ".join(_counts(rows, study) for study in rows["study"].unique()[:2])
    return Markdown(
        f"Of the paper’s {len(CLAIMS)} claims, {told}. "
        "[Each claim, its rule and its numbers](claims.ipynb)."
    )


def _counts(rows: pd.DataFrame, study: str) -> str:
    own = rows[rows["study"] == study]
    against = listed(f"{number}" for number in own[own["verdict"] == CONTRADICTED]["number"])
    words = listed(
        f"{count} {verdict}{f' (claim {against})' if verdict == CONTRADICTED else ''}"
        for verdict, count in own["verdict"].value_counts().items()
    )
    return f"`{study}` tests {len(own)}: **{words}**"
