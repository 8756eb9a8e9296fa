"""The verdicts on the paper's claims: as rows, as a matrix of marks, and claim by claim."""

from collections.abc import Iterable

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import (
    EfficiencyNumbers,
    SharpnessNumbers,
    SurfaceNumbers,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.report import claims, effects, hypotheses, loading, pages
from moelib.report.chapters import NOTHING

MARKS = {
    hypotheses.SUPPORTED: ("\N{CHECK MARK}", "success"),
    hypotheses.CONTRADICTED: ("\N{BALLOT X}", "danger"),
    hypotheses.INCONCLUSIVE: ("?", "secondary"),
}
FIGURES = {  # of claims, by number: each is drawn where there are such records
    **dict.fromkeys((1, 3), ("accuracy", TrainNumbers)),
    **dict.fromkeys((4, 5), ("utilization-balance", UtilizationNumbers)),
    6: ("utilization-information", UtilizationNumbers),
    **dict.fromkeys((7, 8, 9), ("sharpness-lambda-max", SharpnessNumbers)),
    10: ("surface-eigenvector", SurfaceNumbers),
    12: ("efficiency", EfficiencyNumbers),
}


def rows(studies: Iterable[str]) -> pd.DataFrame:
    """One row per claim and study that can test it, the study of most evidence first.

    `effect` is the number on which the verdict hangs, with its interval; `figure` a link to what
    shows it.
    """
    trained = loading.by_evidence(studies, TrainNumbers)
    kinds = (UtilizationNumbers, SharpnessNumbers, SurfaceNumbers, EfficiencyNumbers)
    figures = {
        kind: effects.few_heads(loading.by_evidence(loading.published(), kind))
        for kind in (TrainNumbers, *kinds)
    }
    table = []
    for study, records in trained.items():
        if study.startswith(effects.SWITCHED):  # these repeat another study but for one key
            continue
        for judgement in claims.judge(records, *(loading.load(study, kind) for kind in kinds)):
            figure, kind = FIGURES.get(judgement.claim.number, ("", None))
            undecided = judgement.verdict == hypotheses.INCONCLUSIVE
            drawn = study in figures.get(kind, {})
            tables = f"[tables]({judgement.claim.chapter}-tables.ipynb)"
            table.append(
                {
                    "number": judgement.claim.number,
                    "claim": judgement.claim.words,
                    "study": study,
                    "verdict": judgement.verdict,
                    "effect": claims.in_words(judgement.weakest, judgement.claim.unit).replace(
                        "lambda_max", "eigenvalue"
                    ),
                    "n": judgement.weakest.seeds,
                    "needed": judgement.needed if undecided else None,
                    "figure": f"{{numref}}`{figure}`" if drawn else tables,
                }
            )
    return pd.DataFrame(table)


def matrix(rows: pd.DataFrame) -> Markdown:
    """Claims by study, each verdict as a coloured mark."""
    if rows.empty:
        return Markdown(NOTHING)
    studies = list(dict.fromkeys(rows["study"]))
    marks = rows.assign(mark=[_badge(verdict, short=True) for verdict in rows["verdict"]])
    frame = marks.pivot(index=["number", "claim"], columns="study", values="mark").fillna("")
    columns = {"claim": ("Claim", ""), **{study: (study, "") for study in studies}}
    legend = " \N{MIDDLE DOT} ".join(f"{_badge(word, short=True)} {word}" for word in MARKS)
    body = pages.table(frame.reset_index(), columns).data
    key = f"{legend}; blank: it cannot be tested there"
    return Markdown(f":::{{div}} verdicts\n{body}\n:::\n\n{key}")


def table(rows: pd.DataFrame) -> Markdown:
    """Every row, claim by claim; a script adds a choice of study and verdict above them."""
    if rows.empty:
        return Markdown(NOTHING)
    columns = {
        "study": ("Study", ""),
        "verdict": ("Verdict", ""),
        "effect": ("Effect", ""),
        "n": ("n", "d"),
        "needed": ("Seeds needed", ".0f"),
        "figure": ("Shown in", ""),
    }
    cells = rows.assign(
        study=[f"`{study}`" for study in rows["study"]], verdict=rows["verdict"].map(_badge)
    )
    parts = (
        f"**{claim.words}**\n\n{_rule(claim)}\n\n"
        f"{pages.table(cells[rows['number'] == claim.number], columns, longest=len(cells)).data}"
        for claim in claims.CLAIMS
        if claim.number in set(rows["number"])
    )
    body = "\n\n".join(parts)
    return Markdown(f"::::{{div}} filtered\n{body}\n::::")


def tests() -> Markdown:
    """Which test decides each claim, folded."""
    columns = {"claim": ("Claim", ""), "test": ("Test", "")}
    return pages.table(claims.rules(), columns, longest=0)


def _rule(claim: claims.Claim) -> str:
    """What is measured for a claim, and when it holds."""
    return f"Holds if {claim.holds}: {claim.metric}. Smallest effect that matters: {claim.matters}."


def _badge(verdict: str, short: bool = False) -> str:
    mark, colour = MARKS[verdict]
    return f"{{bdg-{colour}}}`{mark if short else f'{mark} {verdict}'}`"
