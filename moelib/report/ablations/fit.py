"""Whether heads that are behind on test images fit their training images worse, too."""

from collections.abc import Iterator

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import TrainNumbers
from moelib.report import effects, loading, pages
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.comparisons import REFERENCE, beyond_reference
from moelib.report.headings import headings
from moelib.report.wording import enumeration, listed

MEASURES = {"last_train_accuracy": "Training images", "test_accuracy": "Test images"}
TABLE = headings("head", "seeds") | {
    **{measure: (title, ".1%") for measure, title in MEASURES.items()},
    "gap": ("Difference, points", "points"),
}


def answer(study: str) -> Iterator[Markdown]:
    """Do the heads that are behind dense on test images fit worse? Nothing without records."""
    accuracy = accuracy_tables.finals(loading.load(study, TrainNumbers))
    if accuracy.empty:
        return
    behind, unfit = ({*_behind(accuracy, measure)} for measure in reversed(MEASURES))
    words = _fitted(behind, unfit, accuracy["head"])
    if words:
        yield Markdown(words)
    groups = accuracy.groupby("head", sort=False)
    means = groups[[*MEASURES]].mean().assign(seeds=groups.size())
    means["gap"] = means["test_accuracy"] - means["last_train_accuracy"]
    yield pages.table(means.reset_index(), TABLE)


def _behind(accuracy: pd.DataFrame, measure: str) -> pd.Series:
    """The heads that are less accurate than dense, after correction for all of them."""
    differences = effects.by_head(beyond_reference(accuracy, measure), "difference")
    return differences["head"][effects.corrected_verdicts(differences) == "lower"]


def _fitted(behind: set[str], unfit: set[str], heads: pd.Series) -> str:
    """Of the heads that are behind on test images those that are on training images, in words."""
    both, only = (
        [h for h in heads.unique() if h in names] for names in (behind & unfit, behind - unfit)
    )
    count = heads.nunique() - 1
    if not behind:
        return ""
    if not both:
        return (
            f"None of {listed(only)}, which are behind {REFERENCE} on test images, is seen to be "
            "behind on training images."
        )
    rest = f" Of {enumeration(only)} that is not seen." if only else ""
    return (
        f"**What is behind {REFERENCE} on test images fits its training images worse, too**: "
        f"{enumeration(both)} (after correction for {count} heads).{rest}"
    )
