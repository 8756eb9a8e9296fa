"""The answer on the loss surface, and its charts."""

from collections.abc import Iterable, Iterator

from IPython.display import Markdown

from moelib.records.kinds import SurfaceNumbers
from moelib.report.answers import BARS, STAR, Ratio, times_dense
from moelib.report.surface import tables
from moelib.report.surface.tables import EIGENVECTOR, RANDOM


def answer(studies: Iterable[str], name: str = "surface") -> Iterator[Markdown]:
    """Does the loss rise faster around one head than around another, at finite steps?"""

    def ratio(records, kind, short, direction, star) -> Ratio:
        return Ratio(
            f"{name}-{short}",
            tables.effects(records, kind),
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
    return times_dense(studies, SurfaceNumbers, ratio, directions, "steeper", "shallower")
