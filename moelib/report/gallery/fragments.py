"""Real images and where a gate sends them, as HTML that needs no server and no script to be read.

Each function takes the record of a gallery and returns a fragment; a page has `sprite(record)` of
it once. Where there are scripts, `book/_static/book.js` brings `forming` and `choices` to life.
"""

import json
from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
from matplotlib.colors import to_hex
from seaborn.utils import relative_luminance

from moelib.records.kinds import TrainNumbers
from moelib.records.record import Record
from moelib.report.gallery import tables
from moelib.report.gallery.tables import Gallery
from moelib.report.style import expert_colours
from moelib.study.base import PROJECT

EPOCHS = 12  # at most, of those that a table shows
GROUPS = {"certain": "most certain", "uncertain": "least certain", "wrong": "misclassified"}


def in_notebook(record: Gallery) -> str:
    """What a notebook shows once, before fragments: in the book it is there already."""
    style = (PROJECT / "book/_static/gallery.css").read_text()
    return f"<style>{style}</style>{sprite(record)}"


def sprite(record: Gallery) -> str:
    """The style sheet that holds a record's images; each is shown by its place in it."""
    height, width = record.numbers.size
    return (
        f"<style>.{_name(record)}{{background-image:url(data:image/jpeg;base64,"
        f"{record.numbers.sprite});--ratio:{width / height:.3f}}}</style>"
    )


def thumbnail(record: Gallery, place: int) -> str:
    """One image, with its class, and what it is taken for where that is another."""
    numbers = record.numbers
    picture = numbers.pictures[place]
    text, kind = numbers.classes[picture.label], f"thumb {_name(record)}"
    if picture.label != picture.predicted:
        text, kind = f"{text}, taken for {numbers.classes[picture.predicted]}", f"{kind} wrong"
    return (
        f'<i class="{kind}" style="--n:{place}" role="img" '
        f'aria-label="{escape(text)}" title="{escape(text)}"></i>'
    )


def experts(record: Gallery) -> str:
    """Each expert's test images: the most and least certain, and the misclassified ones."""
    numbers = record.numbers
    counts = np.sum(numbers.class_expert, axis=0)  # (e,)
    rows = {
        f"{badge(expert, len(counts))} {count / numbers.images:.0%}": [
            "".join(thumbnail(record, place) for place in getattr(numbers, group)[expert])
            for group in GROUPS
        ]
        for expert, count in enumerate(counts)
    }
    return _table("experts", ["expert", *GROUPS.values()], rows)


def matrix(record: Gallery) -> str:
    """How the test images of each class are divided among first choices: rows sum to 100 %."""
    shares = tables.class_shares(record)
    rows = {
        escape(name): [
            f'<td style="--share:{share:.2f}">{f"{100 * share:.0f}" if share >= 0.005 else ""}</td>'
            for share in row
        ]
        for name, row in zip(record.numbers.classes, shares, strict=True)
    }
    return _table("matrix", ["class, %", *_badges(shares.shape[1])], rows)


def forming(record: Gallery, trained: Record[TrainNumbers]) -> str:
    """Where the same validation images go, epoch by epoch: a table, and a slider over it."""
    first = tables.first_choices(trained)
    badges = _badges(_count(record))
    shown = first.iloc[np.unique(np.linspace(0, len(first) - 1, EPOCHS).round().astype(int))]
    images = [thumbnail(record, place) for place in record.numbers.watched]
    rows = {image: [badges[e] for e in shown[n]] for n, image in enumerate(images)}
    boxes = "".join(
        f'<div class="box" data-expert="{e}">{badge}</div>' for e, badge in enumerate(badges)
    )
    return (
        f'<div class="forming" data-first="{escape(json.dumps(first.to_numpy().tolist()))}">'
        f'<div class="live" hidden><label>Epoch <input type="range" min="1" max="{len(first)}" '
        f'value="1"> <output>1</output></label><div class="boxes">{boxes}</div>'
        f'<div hidden class="pool">{"".join(images)}</div></div>'
        f"{_table('epochs', ['epoch', *map(str, shown.index)], rows)}</div>"
    )


def choices(record: Gallery) -> str:
    """The gates of a few images, as trained; a script lets k, temperature and noise be changed."""
    numbers, count, places = record.numbers, _count(record), gated(record)
    noisy = numbers.moved_by_noise is not None
    data = {
        "k": numbers.k,
        "bias": numbers.bias or [0] * count,
        "logits": [numbers.pictures[place].logits for place in places],
        "noise": [numbers.pictures[place].noise for place in places] if noisy else None,
    }
    rows = {}
    for place in places:
        bars = (
            f'<b style="{_colours(e, count)};flex-grow:{gate:.4f}"{"" if gate else " hidden"}>{e}'
            "</b>"
            for e, gate in enumerate(tables.gate(record, place))
        )
        rows[thumbnail(record, place)] = [f"<div class=shares>{''.join(bars)}</div>"]
    controls = _slider("k", f"min=1 max={count} step=1 value={numbers.k}", str(numbers.k))
    controls += _slider("temperature", "min=-2 max=2 step=0.25 value=0", "×1")
    if noisy:
        controls += _slider("noise", "min=0 max=2 step=0.25 value=0", "×0")
        controls += "<button type=button>draw again</button>"
    return (
        f'<div class="choices" data-gates="{escape(json.dumps(data))}"><div class="live" hidden>'
        f"{controls}</div>{_table('', ['image', 'share of each chosen expert'], rows)}</div>"
    )


def gated(record: Gallery) -> list[int]:
    """For each expert the image of which it is the least certain, and the one it is surest of."""
    groups = (record.numbers.uncertain, record.numbers.certain)
    return [*dict.fromkeys(places[0] for group in groups for places in group if places)]


def badge(expert: int, count: int) -> str:
    """The number of an expert, in its colour."""
    return f'<b class="expert" style="{_colours(expert, count)}">{expert}</b>'


def _badges(count: int) -> list[str]:
    return [badge(expert, count) for expert in range(count)]


def _count(record: Gallery) -> int:
    return len(record.numbers.pictures[0].logits)


def _slider(name: str, range_: str, shown: str) -> str:
    return (
        f"<label>{name} <input type=range data-set={name} {range_}><output>{shown}</output></label>"
    )


def _table(kind: str, heads: Iterable[str], rows: Mapping[str, Iterable[str]]) -> str:
    """A table of cells by row; a cell that has a style of its own is a `td` already."""
    head = "".join(f"<th scope=col>{title}</th>" for title in heads)
    body = "".join(
        f"<tr><th scope=row>{name}</th>"
        + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for name, cells in rows.items()
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="gallery {kind}"><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _name(record: Gallery) -> str:
    return f"s-{record.digest[:8]}"


def _colours(expert: int, count: int) -> str:
    """The colour of an expert, and black or white on it, whichever can be read better.

    Contrasts are equal where (L + 0.05)^2 = 0.05 * 1.05.
    """
    colour = to_hex(expert_colours(count)[expert])
    dark = (relative_luminance(colour) + 0.05) ** 2 > 0.05 * 1.05
    return f"--e:{colour};--on:{'#000' if dark else '#fff'}"
