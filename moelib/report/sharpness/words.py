"""The answer on sharpness, its charts, and where the comparison with PyHessian is from."""

from collections.abc import Iterable, Iterator, Mapping

from IPython.display import Markdown

from moelib.records.kinds import CrosscheckNumbers, SharpnessNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.answers import BARS, STAR, Ratio, times_dense
from moelib.report.effects import few_heads
from moelib.report.sharpness import tables
from moelib.report.wording import listed


def answer(studies: Iterable[str], name: str = "sharpness") -> Iterator[Markdown]:
    """Is the minimum of one head sharper than that of another?"""
    records = few_heads(loading.by_evidence(studies, SharpnessNumbers))
    ratios = [
        Ratio(
            f"{name}-{measure.replace('_', '-')}",
            tables.effects(records, measure),
            f"on test images {{head}} has {{number}} times the {quantity} of dense{condition}",
            f"The {quantity}{condition}, times that of dense in the same seed. {BARS} {star}",
            f"{quantity}{condition}, times dense",
            f" by the {quantity}{condition}",
        )
        for measure, quantity, condition, star in (
            ("lambda_max", "largest eigenvalue", "", STAR),
            ("trace", "trace", "", STAR),
            ("matched_trace", "trace", " at matched loss", ""),
        )
    ]
    return times_dense(records, ratios, "sharper", "flatter")


def crosscheck_source(records: Mapping[str, Record[CrosscheckNumbers]]) -> Markdown:
    """Say where the comparison with PyHessian ran, link its records, name the command."""
    first = next(iter(records.values()))
    links = (pages.record_link("crosscheck", file, record.head) for file, record in records.items())
    return pages.script_source(
        "crosscheck",
        records.values(),
        f"Study `{first.study.name}`, seed {first.seed}, {first.numbers.images} training images. "
        f"{first.provenance.device}",
        f"Records: {listed(links)}",
    )
