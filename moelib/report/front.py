"""The title page: what was found, ours beside the paper, and how its claims fared."""

from collections.abc import Iterable

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import SharpnessNumbers, TrainNumbers, UtilizationNumbers
from moelib.report import chapters, claims, effects, hypotheses, loading, pages, verdicts
from moelib.report.forest import panels
from moelib.report.wording import listed

SCALE = "paper"  # the study at the paper's own size
TOLD = (chapters.accuracy, chapters.utilization, chapters.sharpness, chapters.efficiency)


def findings(studies: Iterable[str]) -> Markdown:
    """What main chapters answer first, as a list; on accuracy also at the paper's own size."""
    firsts = [
        (chapter.__name__, next(chapter(studies)).data.partition("\n")[0]) for chapter in TOLD
    ]
    if SCALE in studies:
        own = next(chapters.accuracy([SCALE])).data
        firsts.insert(1, ("accuracy", f"At the paper’s own size, ResNet-18 and 50 epochs: {own}"))
    return Markdown(
        "\n".join(
            f"1. {first} [More]({page}.ipynb)"
            for page, first in firsts
            if first != chapters.NOTHING
        )
    )


def at_a_glance(studies: Iterable[str], name: str = "at-a-glance") -> Markdown:
    """The study of most evidence beside the paper's numbers, measure by measure."""
    measures = {
        "Accuracy": (TrainNumbers, effects.accuracy, "minus dense, points", 0, False),
        "Balance": (UtilizationNumbers, effects.balance, "variation of gate mass", 0, False),
        "Specialisation": (UtilizationNumbers, effects.information, "class-expert nats", 0, False),
        "Sharpness": (SharpnessNumbers, effects.sharpness, "largest eigenvalue, × dense", 1, True),
    }
    charts, frames, records = [], [], {}
    for title, (kind, effect, label, line, log) in measures.items():
        few = effects.few_heads(loading.by_evidence(studies, kind))
        if not few:
            continue
        study, runs = next(iter(few.items()))
        frame = effect({study: runs})
        frame = frame[frame["panel"] == frame["panel"].iloc[-1]]  # of two splits the test images
        frame = frame.assign(panel=f"{title}, {study}")
        charts += panels(frame, label, line, log)
        frames.append(frame)
        records.setdefault(study, runs)
    if not charts:
        return Markdown(chapters.NOTHING)
    caption = (
        f"**Ours beside the paper's (star).** Test images of CIFAR-10. {chapters.BARS} "
        f"{chapters.STAR} Dashed: no difference from dense, or none between experts."
    )
    return pages.chart(name, charts, caption, caption, pd.concat(frames), records)


def tally(studies: Iterable[str]) -> Markdown:
    """How many of the paper's claims are judged how, in the study that decides most of them."""
    rows = verdicts.rows(studies)
    if rows.empty:
        return Markdown(chapters.NOTHING)
    decided = rows[rows["verdict"] != hypotheses.INCONCLUSIVE].groupby("study").size()
    study = decided.idxmax() if len(decided) else rows["study"].iloc[0]
    counts = rows[rows["study"] == study]["verdict"].value_counts()
    words = listed(f"{count} {verdict}" for verdict, count in counts.items())
    return Markdown(
        f"Of {len(claims.CLAIMS)} claims of the paper `{study}` can test {counts.sum()}: "
        f"**{words}**. [Each claim, its rule and its numbers](claims.ipynb)."
    )
