"""What a family of comparisons came to: the answer in a sentence, and the verdicts."""

import pandas as pd
from IPython.display import Markdown

from moelib.modalities.report import tables
from moelib.modalities.report.tables import MEASURES
from moelib.report import pages
from moelib.report.headings import headings
from moelib.report.statistics.hypotheses import (
    CONTRADICTED,
    INCONCLUSIVE,
    LEVEL,
    SUPPORTED,
    detectable,
    seeds_for,
)
from moelib.report.statistics.power import MOST_SEEDS
from moelib.report.wording import in_points, plain, seeds_in_words, span, with_interval
from moelib.study.modalities import load_modality_study

FATES = {SUPPORTED: "as expected", CONTRADICTED: "contrary to expectation"}


def verdicts(judged: pd.DataFrame) -> Markdown:
    """The comparisons of a family: difference, what was expected, and the verdict."""
    rows = [*judged.itertuples()]
    table = judged.assign(
        what=[f"{MEASURES[row.measure]}: `{row.arm}` minus `{row.baseline}`" for row in rows],
        points=[with_interval(row.estimate, row, in_points) for row in rows],
        verdict=judged["verdict"].map(pages.verdict),
    )
    columns = headings("name", "what", "seeds") | {"apart": ("on two machines", "d")}
    columns |= headings("points", "expected", "verdict", "adjusted")
    return pages.table(table, columns)


def answer(judged: pd.DataFrame) -> str:
    """What the decided comparisons of a family came to, in words, and how many are not decided."""
    decided = judged[judged["verdict"] != INCONCLUSIVE]
    left = len(judged) - len(decided)
    if decided.empty:
        return f"**These seeds decide none of the {left} comparisons.**"
    sentences = [_told(row) for row in decided.itertuples()]
    if left:
        sentences.append(f"These seeds leave {left} of {len(judged)} comparisons undecided.")
    return " ".join(sentences)


def _told(row) -> str:
    """A decided comparison in a sentence."""
    return (
        f"**With {row.subject} rather than {row.against}, the difference in "
        f"{MEASURES[row.measure]} is {in_points(row.estimate)} points** (95% interval "
        f"{span(row, in_points)}, uncorrected; {row.seeds} seeds), {FATES[row.verdict]} "
        f"({row.name}: {row.expected})."
    )


def allocation(judged: pd.DataFrame) -> str:
    """The answer to whether dynamic allocation helps composition, in the words of the numbers."""
    both = judged[judged["name"].isin(["H1", "H2"])]
    if len(both) < 2:
        return "*Too few runs are finished to say.*"
    top_2, shuffled = (
        f"{plain(100 * abs(value))} points {'smaller' if value < 0 else 'larger'}"
        for value in both["estimate"]
    )
    facts = (
        f"With learned slots the gap on held-out compositions is {top_2} than with top-2, "
        f"and {shuffled} than with shuffled importance"
    )
    if INCONCLUSIVE in {*both["verdict"]}:
        seeds, planned = both["seeds"].min(), load_modality_study("main").seeds
        whole = ", all that were planned," if seeds == len(planned) else ""
        return f"**{seeds_in_words(seeds)}{whole} cannot decide it.** {facts}.{_resolution(both)}"
    # By more than a point.
    helps = ((both["verdict"] == CONTRADICTED) & (both["estimate"] < 0)).all()
    return f"**Here it {'does' if helps else 'does not'}.** {facts}."


def _resolution(judged: pd.DataFrame) -> str:
    """Which difference these seeds could have seen, and how many would show that there is none."""
    widest = judged.sort_values("deviation", na_position="first").iloc[-1]
    if not widest["deviation"] > 0:
        return ""
    level = LEVEL / len(tables.MAIN)
    # To lie beyond a point on either side is tested twice, each at half of the level.
    beyond = tables.POINT + detectable(widest, level / 2)  # with power 0.8
    seeds = seeds_for(widest, tables.POINT, level, tests=2) or f"more than {MOST_SEEDS:,}"
    return (
        f" At this scatter, {widest['seeds']} seeds would reliably see only a difference of about "
        f"{100 * beyond:.0f} points, corrected for {len(tables.MAIN)} comparisons (in four of five "
        f"cases), and {seeds} seeds would be needed to show that there is none of a point."
    )
