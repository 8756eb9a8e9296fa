"""The verdicts on claims: a matrix of marks, and claim by claim."""

from collections.abc import Iterable, Sequence

import pandas as pd
from IPython.display import Markdown

from moelib.report import pages
from moelib.report.answers import NOTHING
from moelib.report.claims import tables
from moelib.report.claims.claims import CLAIMS, Claim
from moelib.report.claims.own import OWN
from moelib.report.headings import headings
from moelib.report.wording import enumeration


def matrix(rows: pd.DataFrame) -> Markdown:
    """Claims by study, each verdict as a coloured mark."""
    if rows.empty:
        return Markdown(NOTHING)
    studies = list(dict.fromkeys(rows["study"]))
    marks = rows.assign(mark=[pages.verdict(verdict, short=True) for verdict in rows["verdict"]])
    marks["claim"] = marks["number"].astype(str) + ". " + marks["claim"]
    frame = marks.pivot(index=["number", "claim"], columns="study", values="mark").fillna("")
    columns = headings("claim") | {study: (study, "") for study in studies}
    marked = (f"{pages.verdict(word, short=True)} {word}" for word in pages.MARKS)
    legend = " \N{MIDDLE DOT} ".join(marked)
    body = pages.table(frame.reset_index(), columns).data
    key = f"{legend}; blank: not tested"
    return Markdown(f":::{{div}} verdicts\n{body}\n:::\n\n{key}")


def by_claim(rows: pd.DataFrame, family: Sequence[Claim] = CLAIMS) -> Markdown:
    """Every row, claim by claim; a script adds a choice of study and verdict above them."""
    if rows.empty:
        return Markdown(NOTHING)
    columns = headings("study", "verdict", "effect", "n", "adjusted", "needed", "figure")
    cells = rows.assign(
        study=[f"`{study}`" for study in rows["study"]], verdict=rows["verdict"].map(pages.verdict)
    )
    parts = (
        f"**{claim.number}. {claim.words}**\n\n{claim.metric}. Holds if {claim.holds}. "
        f"Relevant from {claim.matters}.\n\n"
        f"{pages.table(cells[rows['number'] == claim.number], columns, longest=len(cells)).data}"
        for claim in family
        if claim.number in {*rows["number"]}
    )
    body = "\n\n".join(parts)
    return Markdown(f"::::{{div}} filtered\n{body}\n::::")


def beyond_the_paper(studies: Iterable[str]) -> list[Markdown]:
    """The hypotheses of `own.py`, each with its verdicts, and which no study tests; or nothing."""
    if not OWN:
        return []
    rows = tables.verdicts(studies, OWN)
    tested = {*rows["number"]} if len(rows) else {}
    untested = enumeration(f"*{claim.words}*" for claim in OWN if claim.number not in tested)
    lead = f"**Beyond the paper’s claims**, corrected as a family of {len(OWN)}."
    if untested:
        lead += f" No study here tests {untested}."
    return [Markdown(lead), *([by_claim(rows, OWN)] if len(rows) else [])]


def tests() -> Markdown:
    """Which test decides each claim of the paper, folded."""
    rows = pd.DataFrame({"claim": claim.words, "test": claim.test} for claim in CLAIMS)
    return pages.table(rows, headings("claim", "test"), longest=0)
