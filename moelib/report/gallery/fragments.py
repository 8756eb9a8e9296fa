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
    numbers = record.numbers
    height, width = numbers.size
    return (
        f"<style>.{_name(record)}{{background-image:"
        f"url(data:image/jpeg;base64,{numbers.sprite});--ratio:{width / height:.3f}}}</style>"
    )


def thumbnail(record: Gallery, place: int) -> str:
    """One image, with its class, and what it is taken for where that is another."""
    numbers = record.numbers
    picture = numbers.pictures[place]
    label, prediction = numbers.classes[picture.label], numbers.classes[picture.predicted]
    text = label if label == prediction else f"{label}, taken for {prediction}"
    wrong = "" if label == prediction else " wrong"
    return (
        f'<i class="thumb {_name(record)}{wrong}" style="--n:{place}" role="img" '
        f'aria-label="{escape(text)}" title="{escape(text)}"></i>'
    )


def experts(record: Gallery) -> str:
    """Each expert's test images: the most and least certain, and the misclassified ones."""
    numbers = record.numbers
    counts = np.array(numbers.class_expert).sum(axis=0)  # (e,)
    rows = {
        f"{badge(expert, len(counts))} {count / numbers.images:.0%}": [
            "".join(thumbnail(record, n) for n in getattr(numbers, group)[expert])
            for group in GROUPS
        ]
        for expert, count in enumerate(counts)
    }
    return _table("experts", ["expert", *GROUPS.values()], rows)


def matrix(record: Gallery) -> str:
    """How the test images of each class are divided among first choices: rows sum to 100 %."""
    shares = tables.class_shares(record)
    count = shares.shape[1]
    rows = {
        escape(name): [
            f'<td style="--share:{share:.2f}">{f"{100 * share:.0f}" if share >= 0.005 else ""}</td>'
            for share in row
        ]
        for name, row in zip(record.numbers.classes, shares, strict=True)
    }
    return _table("matrix", ["class, %", *(badge(e, count) for e in range(count))], rows)


def forming(record: Gallery, trained: Record[TrainNumbers]) -> str:
    """Where the same validation images go, epoch by epoch: a table, and a slider over it."""
    first, count = tables.first_choices(trained), len(record.numbers.pictures[0].logits)
    epochs = np.unique(np.linspace(0, len(first) - 1, EPOCHS).round().astype(int))
    images = [thumbnail(record, place) for place in record.numbers.watched]
    rows = {
        image: [badge(int(first[epoch, n]), count) for epoch in epochs]
        for n, image in enumerate(images)
    }
    boxes = "".join(
        f'<div class="box" data-expert="{e}">{badge(e, count)}</div>' for e in range(count)
    )
    return (
        f'<div class="forming" data-first="{escape(json.dumps(first.tolist()))}">'
        '<div class="live" hidden><label>Epoch <input type="range" min="1" '
        f'max="{len(first)}" value="1"> <output>1</output></label>'
        f'<div class="boxes">{boxes}</div><div hidden class="pool">{"".join(images)}</div></div>'
        f"{_table('epochs', ['epoch', *(str(epoch + 1) for epoch in epochs)], rows)}</div>"
    )


def choices(record: Gallery) -> str:
    """The gates of a few images, as trained; a script lets k, temperature and noise be changed."""
    numbers = record.numbers
    count = len(numbers.pictures[0].logits)
    places = gated(record)
    noisy = numbers.moved_by_noise is not None
    data = {
        "k": numbers.k,
        "bias": numbers.bias or [0] * count,
        "logits": [numbers.pictures[place].logits for place in places],
        "noise": [numbers.pictures[place].noise for place in places] if noisy else None,
    }
    rows = {
        thumbnail(record, place): [
            "<div class=shares>"
            + "".join(
                f'<b style="{_colours(e, count)};flex-grow:{gate:.4f}"{"" if gate else " hidden"}>'
                f"{e}</b>"
                for e, gate in enumerate(tables.gate(record, place))
            )
            + "</div>"
        ]
        for place in places
    }
    controls = (
        f'<label>k <input type=range data-set=k min=1 max={count} step=1 value="{numbers.k}">'
        f"<output>{numbers.k}</output></label>"
        "<label>temperature <input type=range data-set=temperature min=-2 max=2 step=0.25 value=0>"
        "<output>×1</output></label>"
        + (
            "<label>noise <input type=range data-set=noise min=0 max=2 step=0.25 value=0>"
            "<output>×0</output></label><button type=button>draw again</button>"
            if noisy
            else ""
        )
    )
    return (
        f'<div class="choices" data-gates="{escape(json.dumps(data))}"><div class="live" hidden>'
        f"{controls}</div>"
        f"{_table('', ['image', 'share of each chosen expert'], rows)}</div>"
    )


def gated(record: Gallery) -> list[int]:
    """For each expert the image of which it is the least certain, and the one it is surest of."""
    numbers = record.numbers
    groups = (numbers.uncertain, numbers.certain)
    return [*dict.fromkeys(places[0] for group in groups for places in group if places)]


def badge(expert: int, count: int) -> str:
    """The number of an expert, in its colour."""
    return f'<b class="expert" style="{_colours(expert, count)}">{expert}</b>'


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
