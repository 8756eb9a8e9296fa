"""The answer on the loss surface, and its charts."""

from collections.abc import Iterable, Iterator

from IPython.display import Markdown

from moelib.records.kinds import SurfaceNumbers
from moelib.report import loading
from moelib.report.answers import Ratio, times_dense
from moelib.report.effects import few_heads
from moelib.report.surface import tables


def answer(studies: Iterable[str], name: str = "surface") -> Iterator[Markdown]:
    """Does the loss rise faster around one head than around another, at finite steps?"""
    records = few_heads(loading.by_evidence(studies, SurfaceNumbers))
    ratios = [
        Ratio(
            f"{name}-{short}",
            tables.effects(records, kind),
            "around {head} the loss on test images rises {number} times as far",
            f"Rise of the loss at the farthest step along {direction}, relative to that of dense "
            "with the same seed.",
            "rise of the loss, relative to dense",
            f" along {direction}",
        )
        for kind, short, direction in (
            (tables.RANDOM, "random", "random directions"),
            (tables.EIGENVECTOR, "eigenvector", "the top eigenvector"),
        )
    ]
    return times_dense(records, ratios, "steeper", "shallower")
