"""The answer on routing: fragments of a run as numbered figures."""

from collections.abc import Iterable, Iterator
from itertools import islice

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import GalleryNumbers, TrainNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.answers import NOTHING
from moelib.report.gallery import fragments, tables
from moelib.report.gallery.tables import Gallery
from moelib.study.heads import Sparse

WHO_GETS_WHICH = 2  # first parts of `charts`: the images, and the figure of experts


def answer(studies: Iterable[str]) -> Iterator[Markdown]:
    """Which images does each expert get? A sparse head of the study of most evidence, if it has.

    Of every other set of images that studies are of, such as digits, who gets which alone.
    """
    galleries = loading.by_evidence(studies, GalleryNumbers)
    if not galleries:
        yield Markdown(NOTHING)
    shown: set[str] = set()  # sets of images
    for study, records in galleries.items():
        source = records[0].study.data.source
        if source in shown:
            continue
        record = min(records, key=lambda r: not isinstance(r.study.heads[r.head], Sparse))
        run = (record.head, record.seed)
        (trained,) = (r for r in loading.load(study, TrainNumbers) if (r.head, r.seed) == run)
        if shown:
            yield Markdown(f"## Other images: {source}")
        yield from islice(charts(record, trained), WHO_GETS_WHICH if shown else None)
        shown.add(source)


def charts(record: Gallery, trained: Record[TrainNumbers]) -> Iterator[Markdown]:
    """The fragments of one run as numbered figures, each with what is to be seen in it first."""
    numbers, pictures, pairs = record.numbers, tables.pictures(record), tables.pairings(record)
    evidence = pages.evidence({record.study.name: [record]})

    def figure(end: str, html: str, caption: str, frame: pd.DataFrame) -> Markdown:
        name = f"gallery-{record.study.data.source}{end}"
        return pages.fragment(name, html, caption, frame, evidence)

    yield _raw(fragments.sprite(record))
    caption = (
        f"{_surest(record)} Test images by first choice, with each expert's share of all "
        f"{numbers.images:,}. A red frame marks an image that the net gets wrong. All figures show "
        f"`{record.head}` in `{record.study.name}`, seed {record.seed}."
    )
    yield figure("", fragments.experts(record), caption, pictures)
    own = int((pairs["share"] > 0.5).sum())
    caption = (
        f"**{own} of {len(pairs)} classes send more than half of their images to one expert.** "
        "First choices for the test images of each class, in percent."
    )
    yield figure("-matrix", fragments.matrix(record), caption, pairs)
    first = tables.first_choices(trained)
    stayed = int((first.iloc[0] == first.iloc[-1]).sum())
    caption = (
        f"**After one epoch, {stayed} of {first.shape[1]} images have the first choice that they "
        "end with.** First choices for the same validation images, epoch by epoch. Where scripts "
        "run, you can pick an epoch."
    )
    yield figure("-forming", fragments.forming(record, trained), caption, first.reset_index())
    noise = (
        ""
        if numbers.moved_by_noise is None
        else " Training noise would change the first choice of "
        f"{numbers.moved_by_noise:.0%} of all test images."
    )
    caption = (
        f"{_shares(record)} For each expert, the least and the most certain of its images, with "
        f"the gate as trained and without noise.{noise} Where scripts run, you can change $k$, "
        "temperature and noise."
    )
    yield figure("-choices", fragments.choices(record), caption, pictures)


def _surest(record: Gallery) -> str:
    """Of how many experts the most certain images are of one class, and one such expert."""
    surest = tables.surest(record)
    pure = surest.dropna()
    example = f" (expert {pure.index[0]}: “{pure.iloc[0]}”)" if len(pure) else ""
    return (
        f"**For {len(pure)} of {len(surest)} experts, the most certain images are all of one class"
        f"{example}.**"
    )


def _shares(record: Gallery) -> str:
    """How much of the gate the first choice of the images gets that are shown with their gates."""
    if record.numbers.k == 1:
        return "**Each image goes to one expert.**"
    first = [tables.gate(record, place).max() for place in fragments.gated(record)]
    return f"**The first choice gets between {min(first):.0%} and {max(first):.0%} of the gate.**"


def listing(record: Gallery) -> list[Markdown]:
    """Images and classes of each expert, for the page of all heads: no figure of its own."""
    return [_raw(part(record)) for part in (fragments.sprite, fragments.experts, fragments.matrix)]


def _raw(html: str) -> Markdown:
    return Markdown(f"```{{raw}} html\n{html}\n```")
