"""What chapters show: frames as MyST tables, figures as vectors, and where each comes from."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from moelib.records.benchmarks import BenchmarkNumbers
from moelib.records.freshness import script_code
from moelib.records.record import Record
from moelib.report import style
from moelib.report.headings import headings
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from moelib.report.wording import MINUS, devices_of, listed, rounded, seeds_of

MISSING = "\N{EN DASH}"
WIDE = 300  # points, above which a figure takes the width of the page
MARKS = {
    SUPPORTED: ("\N{CHECK MARK}", "success"),
    CONTRADICTED: ("\N{BALLOT X}", "danger"),
    INCONCLUSIVE: ("?", "secondary"),
}
LONGEST = 20  # rows of a table that is shown as it is
RESULTS = "../results"  # from a page of the book, in the checkout as in the folder that is built


def chart(
    name: str, panels: Sequence[Figure], caption: str, frame: pd.DataFrame, evidence: str
) -> Markdown:
    """A numbered figure of panels, with what it shows, and links to what is behind it.

    Args:
        name: what other pages refer to; unique in the book.
        panels: drawn side by side where there is room.
        caption: in Markdown; says first what is to be seen, also to those who cannot see it.
        frame: the numbers that are drawn, offered as CSV.
        evidence: where its records are and what makes them, such as `evidence` says.
    """
    images = [_themed(style.svg(panel)) for panel in panels]
    return _directive(images, _captioned(name, caption, frame, evidence), name, caption)


def fragment(name: str, html: str, caption: str, frame: pd.DataFrame, evidence: str) -> Markdown:
    """A numbered figure of HTML that can be read and operated by itself; the rest as of `chart`."""
    return _directive([html], _captioned(name, caption, frame, evidence), name)


def show(figure: Figure) -> None:
    """Display a figure of a table's page; its caption is what the function that drew it says."""
    caption = figure.get_label()
    display(_directive([_themed(style.svg(figure))], caption, alt=caption))


def command(study: str) -> str:
    """What a reader types to make a study's records."""
    return "make book" if study == "quick" else f"make study STUDY={study}"


def evidence(records: Mapping[str, list[Record]]) -> str:
    """Where the records of studies are, which notebooks measured them, and what makes them."""
    kinds = dict.fromkeys(record.kind for runs in records.values() for record in runs)
    notebooks = listed(f"`notebooks/{kind}.ipynb`" for kind in kinds)
    commands = listed(f"`{command(study)}`" for study in records)
    return (
        f"[Records](reproducibility.ipynb#studies-and-their-records) from {notebooks} · "
        f"made by {commands}"
    )


def _captioned(name: str, caption: str, frame: pd.DataFrame, evidence: str) -> str:
    """The caption of a figure, and the line under it: the evidence, and the data."""
    csv = base64.b64encode(frame.to_csv(index=False).encode()).decode()
    data = f'<a download="{name}.csv" href="data:text/csv;base64,{csv}">data as CSV</a>'
    return f"{caption}\n\n{evidence} · {data}"


def _directive(panels: Sequence[str], text: str, name: str = "", alt: str = "") -> Markdown:
    packed = base64.b64encode(json.dumps(panels).encode()).decode()
    plain = re.sub(r"[*`_$]", "", alt)
    options = [f":{key}: {value}" for key, value in (("name", name), ("alt", plain)) if value]
    return Markdown("\n".join([f":::{{chart}} {packed}", *options, "", text, ":::"]))


def _themed(svg: str) -> str:
    """Text and grid in the page's colours, no id twice on a page, and wide ones marked as such."""
    width = re.search(r'width="([\d.]+)pt"', svg)[1]
    if float(width) > WIDE:
        svg = svg.replace("<svg", f'<svg class="wide" style="--width: {width}pt"', 1)
    for colour, variable in ((style.INK, "--chart-ink"), (style.GRID, "--chart-grid")):
        svg = svg.replace(colour, f"var({variable}, {colour})")
    mark = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'\bid="', f'id="{mark}-', svg)
    svg = re.sub(r'href="#', f'href="#{mark}-', svg)
    return re.sub(r"url\(#", f"url(#{mark}-", svg)


def table(
    frame: pd.DataFrame, columns: Mapping[str, tuple[str, str]], longest: int = LONGEST
) -> Markdown:
    """Show columns of a frame, each with its heading and the format of its values.

    A format is Python's, "" for text and for what is true or not, "points" for a share in signed
    percentage points, or "rounded" for `wording.rounded`; it applies to each value of a
    tuple. A table of more than `longest` rows is folded: its heading opens it.
    """
    headings = [heading for heading, _ in columns.values()]
    rule = [":---" if spec == "" else "---:" for _, spec in columns.values()]
    rows = [
        [_cell(row[name], spec) for name, (_, spec) in columns.items()]
        for row in frame.to_dict("records")
    ]
    text = "\n".join(f"| {' | '.join(row)} |" for row in [headings, rule, *rows])
    if len(rows) > longest:
        text = f":::{{dropdown}} {len(rows)} rows: {' · '.join(headings)}\n{text}\n:::"
    return Markdown(text)


def orders(correlations: pd.DataFrame, measures: Mapping[str, str]) -> list[Markdown]:
    """A table of what `comparisons.orders` found, with measures by name; none without a row."""
    columns = headings("measure", "split", "runs", "tau", "low", "high", "p_value", "without")
    rows = correlations.assign(measure=correlations["measure"].map(measures))
    return [table(rows, columns)] if len(correlations) else []


def heading(study: str) -> Markdown:
    """The line above what is shown of one study."""
    return Markdown(f"**Study `{study}`**")


def source(records: Iterable[Record], note: str = "") -> Markdown:
    """Say which study and seeds a figure or table shows, link its records, name the command."""
    records = list(records)
    study, kind = records[0].study.name, records[0].kind
    seeds = sorted({record.seed for record in records})
    links = seed_links(records, study, kind)
    return _small(
        f"{note} Study `{study}`, {seeds_of(records)} ({listed(map(str, seeds))}). Records "
        f"`{kind}.json` by seed: {links}. Made by `{command(study)}`."
    )


def seed_links(records: Sequence[Record], folder: str, file: str) -> str:
    """Of each head links to its records of one kind, by seed; `file` is without suffix."""
    return "; ".join(
        f"{head} "
        + ", ".join(
            f"[{record.seed}]({RESULTS}/{folder}/{head}/seed-{record.seed}/{file}.json)"
            for record in records
            if record.head == head
        )
        for head in dict.fromkeys(record.head for record in records)
    )


def badge(text: str, colour: str) -> str:
    """A coloured word: `success`, `danger`, `warning` or `secondary`."""
    return f"{{bdg-{colour}}}`{text}`"


def verdict(word: str, short: bool = False) -> str:
    """A verdict as a coloured word, with its mark or, if `short`, as its mark alone."""
    mark, colour = MARKS[word]
    return badge(mark if short else f"{mark} {word}", colour)


def script_source(
    script: str, records: Iterable[Record], where: str, links: str, code: str = ""
) -> Markdown:
    """Say where a script of benchmarks/ ran, link what it recorded, name the command.

    And whether it has changed since: `code` is its digest of today, by default that of all of it.
    """
    code = code or script_code(script)
    changed = any(record.inputs.get("code") != code for record in records)
    since = " Its code has changed since." if changed else ""
    made = f"Made by `.venv/bin/python benchmarks/{script}.py`."
    return _small(f"{where}. {links}. {made}{since}")


def benchmark_source(file: str, record: Record[BenchmarkNumbers]) -> Markdown:
    """Say on which device a benchmark ran, link its record, name the command."""
    link = record_link("benchmarks", file)
    return script_source(record.numbers.name, [record], devices_of([record]), link)


def record_link(folder: str, file: str, text: str = "Record") -> str:
    """A link to a record that a script has made."""
    return f"[{text}]({RESULTS}/{folder}/{file})"


def quotation(lead: str, texts: Iterable[str]) -> Markdown:
    """A lead, and texts after it word for word."""
    return Markdown(f"{lead} {', '.join(map(_code, sorted(texts)))}.")


def _code(text: str) -> str:
    runs = re.findall("`+", text)
    if not runs:
        return f"`{text}`"
    fence = "`" * (max(map(len, runs)) + 1)  # a run of another length ends no code
    return f"{fence} {text} {fence}"


def _small(text: str) -> Markdown:
    return Markdown(f":::{{div}} source\n{text.strip()}\n:::")


def _cell(value: object, spec: str) -> str:
    if isinstance(value, tuple):
        return ", ".join(_cell(part, spec) for part in value)
    if pd.isna(value):
        return MISSING
    if spec == "points":
        return _cell(100 * value, "+.2f")
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if spec == "rounded":
        return rounded(value)
    return format(value, spec).replace("-", MINUS) if spec else str(value).replace("|", "\\|")
