"""The answer on routing: fragments of a run as numbered figures."""

from collections.abc import Iterable, Iterator

import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import GalleryNumbers, TrainNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.answers import NOTHING
from moelib.report.gallery import fragments, tables
from moelib.report.gallery.tables import Gallery
from moelib.study.heads import FrozenGate, Soft, Sparse, Switch

# Kinds of heads: the gallery shows images of a run of the first that there is.
KINDS = (Sparse, Switch, Soft, FrozenGate)
DATA = {"cifar10": "CIFAR-10", "digits": "Handwritten digits"}


def answer(studies: Iterable[str]) -> Iterator[Markdown]:
    """Which images does each expert get? One run of each data set, CIFAR-10 first."""
    galleries = loading.by_evidence(studies, GalleryNumbers)
    sources: dict[str, str] = {}
    for study, records in galleries.items():
        sources.setdefault(records[0].study.data.source, study)
    if not sources:
        yield Markdown(NOTHING)
    for number, (source, study) in enumerate(sources.items()):
        record = min(galleries[study], key=_rank)
        run = (record.head, record.seed)
        (trained,) = (r for r in loading.load(study, TrainNumbers) if (r.head, r.seed) == run)
        yield Markdown(f"## {DATA.get(source, source)}")
        yield from charts(record, trained, f"gallery-{source}", brief=number > 0)


def charts(
    record: Gallery, trained: Record[TrainNumbers], name: str, brief: bool
) -> Iterator[Markdown]:
    """The fragments of one run as numbered figures, each with what is to be seen in it first.

    With `brief` without the matrix and the choices.
    """
    run = f"`{record.head}` in `{record.study.name}`, seed {record.seed}"
    numbers, pictures, pairs = record.numbers, tables.pictures(record), tables.pairings(record)

    def figure(end: str, html: str, caption: str, frame: pd.DataFrame) -> Markdown:
        evidence = pages.evidence({record.study.name: [record]})
        return pages.fragment(f"{name}{end}", html, f"{caption} {run}.", frame, evidence)

    yield _raw(fragments.sprite(record))
    caption = (
        f"{_surest(record)} Test images by first choice, with each expert's share of all "
        f"{numbers.images:,}. A red frame marks an image that the net gets wrong."
    )
    yield figure("", fragments.experts(record), caption, pictures)
    if not brief:
        own = int((pairs["share"] > 0.5).sum())
        caption = (
            f"**{own} of {len(pairs)} classes send more than half of their images to one "
            f"expert.** Share of each class by first choice, in percent; {numbers.images:,} test "
            "images,"
        )
        yield figure("-matrix", fragments.matrix(record), caption, pairs)
    if numbers.watched:
        first = tables.first_choices(trained)
        stayed = int((first[0] == first[-1]).sum())
        caption = (
            f"**After one epoch {stayed} of {first.shape[1]} images are with the expert that they "
            "end with.** First choices of the same validation images, epoch by epoch; an epoch can "
            "be picked where scripts run."
        )
        watched = pd.DataFrame(first, index=pd.RangeIndex(1, len(first) + 1, name="epoch"))
        forming = fragments.forming(record, trained)
        yield figure("-forming", forming, caption, watched.reset_index())
    if not brief:
        moved = numbers.moved_by_noise
        noise = (
            "This gate has no noise."
            if moved is None
            else f"With the noise of training {moved:.0%} of all test images would change their "
            "first choice."
        )
        caption = (
            f"{_shares(record)} For each expert the image of which it is least certain and the one "
            f"that it is surest of, with the gate as trained and without noise. {noise} Where "
            "scripts run, $k$, temperature and noise can be changed."
        )
        yield figure("-choices", fragments.choices(record), caption, pictures)


def _surest(record: Gallery) -> str:
    """Whether the images that experts are surest of are of one class, and an expert's whose are."""
    surest = tables.surest(record)
    pure = surest.dropna()
    if pure.empty:
        return "**No expert's surest images are all of one class.**"
    first = pure.iloc[0]
    return (
        f"**{len(pure)} of {len(surest)} experts are surest of images of one class alone: expert "
        f"{first['expert']} of “{first['class']}”.**"
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


def _rank(record: Record[GalleryNumbers]) -> tuple[int, str]:
    kind = type(record.study.heads[record.head])
    return KINDS.index(kind) if kind in KINDS else len(KINDS), record.head


def _raw(html: str) -> Markdown:
    return Markdown(f"```{{raw}} html\n{html}\n```")
