"""Functional programs over two pictures, their answers, and how they are composed.

A program is predicates of one picture, joined by links from left to right, said of a frame of
pictures; or a count of, or a query about, the objects of one picture that fit a description:

    exist(A)          some object fits A
    number(A, c)      exactly c objects fit A
    more(A, B)        more objects fit A than B
    relate(A, s, B)   some object that fits A lies to the side s of some object that fits B

    left, right       the predicates hold in that picture          (a question: yes, no)
    both, one, neither    in both pictures, exactly one, none      (a statement: true, false)

Many programs are one tuple of arrays: they are drawn, answered and worded all at once.
Axes: `n` program, `p` predicate, `i` picture, `o` object.
"""

from typing import NamedTuple

import numpy as np

from moelib.modalities.scenes import BIT, GRID, MASK, Scenes, named
from moelib.study.modalities import ATTRIBUTES, FRAMES, LINKS, PREDICATES

MOST = 3  # predicates
COUNTS = tuple(map(str, range(5)))  # that are asked for and said
SIDES = ("left", "right", "above", "below")
FORMS = ("truth", "count", "query")
ANSWERS = (
    *("yes", "no", "true", "false"),
    *COUNTS,
    *(value for values in ATTRIBUTES.values() for value in values),
)
UNANSWERABLE = -1  # a query whose object is not the only one, a count beyond the last


class Programs(NamedTuple):
    """Programs; descriptions are bit fields, and what a program does not use is 0."""

    form: np.ndarray  # (n,) of FORMS
    frame: np.ndarray  # (n,) of FRAMES
    links: np.ndarray  # (n, p - 1) of 0: none, or 1 + LINKS
    predicates: np.ndarray  # (n, p) of PREDICATES
    first: np.ndarray  # (n, p) uint16, descriptions A
    second: np.ndarray  # (n, p) uint16, descriptions B
    number: np.ndarray  # (n, p)
    side: np.ndarray  # (n, p) of SIDES
    attribute: np.ndarray  # (n,) of ATTRIBUTES that is asked for

    def take(self, rows: np.ndarray) -> "Programs":
        """These programs alone."""
        return Programs(*(part[rows] for part in self))

    @property
    def length(self) -> np.ndarray:
        """Number of predicates (n,)."""
        return 1 + (self.links > 0).sum(axis=1)

    @property
    def used(self) -> np.ndarray:
        """Whether a predicate is part of its program (n, p)."""
        return np.arange(MOST) < self.length[:, None]

    @property
    def described(self) -> np.ndarray:
        """All descriptions (n, 2 p), 0 where there is none."""
        return np.concatenate([self.first, self.second], axis=1)


def draw(
    rng: np.random.Generator,
    count: int,
    *,
    form: str,
    predicates: int = 1,
    avoid: list[int] = (),
    include: list[int] = (),
) -> Programs:
    """Random programs, uniform in all their parts.

    A description names one or two attributes. Every query asks for an attribute that its
    description does not name.

    Args:
        rng: random numbers.
        count: of programs.
        form: of FORMS.
        predicates: number of them.
        avoid: pairs of shape and colour that no description holds.
        include: pairs of which the first description of every program holds one.
    """

    def choose(options: int, *shape: int) -> np.ndarray:
        return rng.integers(0, options, shape, np.int8)

    links = np.zeros((count, MOST - 1), np.int8)
    links[:, : predicates - 1] = 1 + choose(len(LINKS), count, predicates - 1)
    used = np.arange(MOST) < predicates
    truth = form == "truth"
    kinds = choose(len(PREDICATES), count, MOST) * truth * used
    first, second = (_descriptions(rng, (count, MOST), avoid) for _ in range(2))
    attribute = choose(len(ATTRIBUTES), count)
    if include:
        first[:, 0] = rng.choice(np.array(include, np.uint16), count)
        attribute = np.full(count, list(ATTRIBUTES).index("size"), np.int8)  # the pair names others
    else:  # draw until the description leaves the attribute open
        clash = _names(first[:, 0], attribute)
        while form == "query" and clash.any():
            first[clash, 0] = _descriptions(rng, (int(clash.sum()),), avoid)
            clash = _names(first[:, 0], attribute)
    binary = (kinds >= PREDICATES.index("more")) & used
    counted = (kinds == PREDICATES.index("number")) & used
    related = (kinds == PREDICATES.index("relate")) & used
    return Programs(
        form=np.full(count, FORMS.index(form), np.int8),
        frame=choose(len(FRAMES) if truth else 2, count),
        links=links,
        predicates=kinds.astype(np.int8),
        first=np.where(used, first, 0).astype(np.uint16),
        second=np.where(binary, second, 0).astype(np.uint16),
        number=(choose(len(COUNTS) - 1, count, MOST) + 1) * counted,
        side=choose(len(SIDES), count, MOST) * related,
        attribute=attribute * (form == "query"),
    )


def compositions(programs: Programs) -> np.ndarray:
    """Which pairs of a frame or link with a predicate a program holds: (n, outer, inner) of bool.

    Outer are the frames, then the links. Counts and queries hold none.
    """
    count = len(programs.form)
    held = np.zeros((count, len(FRAMES) + len(LINKS), len(PREDICATES)), bool)
    n, p = (programs.used & (programs.form == FORMS.index("truth"))[:, None]).nonzero()
    inner = programs.predicates[n, p]
    held[n, programs.frame[n], inner] = True
    for link in range(MOST - 1):  # every predicate is an argument of every link of its program
        outer = programs.links[n, link]
        linked = outer > 0
        held[n[linked], len(FRAMES) + outer[linked] - 1, inner[linked]] = True
    return held


def holds(programs: Programs, pairs: tuple[tuple[str, str], ...]) -> np.ndarray:
    """Whether a program holds one of these compositions (n,) of bool."""
    outers = (*FRAMES, *LINKS)
    every = compositions(programs)
    chosen = [every[:, outers.index(outer), PREDICATES.index(inner)] for outer, inner in pairs]
    return np.any(chosen, axis=0)


def answer(programs: Programs, scenes: Scenes) -> np.ndarray:
    """The answers (n,) of programs over as many scenes, as numbers in ANSWERS.

    A count above the last of COUNTS, and a query that does not fit exactly one object, are
    `UNANSWERABLE`.
    """
    answers = np.full(len(programs.form), UNANSWERABLE, np.int8)
    for form, function in zip(FORMS, (_truth, _count, _query), strict=True):
        rows = (programs.form == FORMS.index(form)).nonzero()[0]
        if len(rows):
            answers[rows] = function(programs.take(rows), scenes.take(rows))
    return answers


def fitting(programs: Programs, scenes: Scenes) -> np.ndarray:
    """Which descriptions of its program each cell's object fits: (n, i, cell, 2 p) of int8.

    1 if it does, 0 if it does not or the cell is empty, -1 where the program has no description.
    """
    described = programs.described[:, None, None]  # (n, 1, 1, 2 p)
    fits = (scenes.objects[..., None] & described) == described
    fits = (fits & (scenes.objects[..., None] > 0)).astype(np.int8)  # (n, i, o, 2 p)
    count, pictures, _, parts = fits.shape
    cells = np.zeros((count, pictures, GRID * GRID, parts), np.int8)
    np.put_along_axis(cells, scenes.cells[..., None].astype(np.int64), fits, axis=2)
    return np.where(described > 0, cells, -1).astype(np.int8)


def _truth(programs: Programs, scenes: Scenes) -> np.ndarray:
    value = _predicate(programs, scenes, 0)  # (n, i)
    for p in range(1, MOST):
        link = programs.links[:, p - 1]
        rows = (link > 0).nonzero()[0]
        if len(rows):
            other = _predicate(programs.take(rows), scenes.take(rows), p)
            is_and = (link[rows] == 1 + LINKS.index("and"))[:, None]
            value[rows] = np.where(is_and, value[rows] & other, value[rows] | other)
    left, right = value.T
    truth = np.choose(programs.frame, [left, right, left & right, left ^ right, ~(left | right)])
    statement = programs.frame >= FRAMES.index("both")
    return np.where(truth, 0, 1) + 2 * statement


def _predicate(programs: Programs, scenes: Scenes, p: int) -> np.ndarray:
    """Truth (n, i) of each program's predicate p in each picture."""
    kind = programs.predicates[:, p]
    a = _fits(scenes, programs.first[:, p])  # (n, i, o)
    counts = a.sum(axis=2)  # (n, i)
    value = np.where((kind == 0)[:, None], counts > 0, counts == programs.number[:, p, None])
    rows = (kind >= PREDICATES.index("more")).nonzero()[0]
    b = _fits(scenes.take(rows), programs.second[rows, p])
    more = counts[rows] > b.sum(axis=2)
    related = _related(a[rows], b, scenes.cells[rows], programs.side[rows, p])
    is_more = (kind[rows] == PREDICATES.index("more"))[:, None]
    value[rows] = np.where(is_more, more, related)
    return value


def _related(a: np.ndarray, b: np.ndarray, cells: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Whether some object of a (n, i, o) lies strictly to a side of some object of b: (n, i)."""
    vertical = (side >= SIDES.index("above"))[:, None, None]
    place = np.where(vertical, cells // GRID, cells % GRID).astype(np.int8)
    far = (side % 2 == 1)[:, None, None]  # right of, below: the same with places turned round
    place = np.where(far, GRID - 1 - place, place)
    nearest = np.where(a, place, GRID).min(axis=2)
    return nearest < np.where(b, place, -1).max(axis=2)


def _count(programs: Programs, scenes: Scenes) -> np.ndarray:
    counts = _fits_in_frame(programs, scenes).sum(axis=1)
    return np.where(counts < len(COUNTS), ANSWERS.index("0") + counts, UNANSWERABLE)


def _query(programs: Programs, scenes: Scenes) -> np.ndarray:
    fits = _fits_in_frame(programs, scenes)  # (n, o)
    rows = np.arange(len(fits))
    fields = scenes.objects[rows, programs.frame][rows, fits.argmax(axis=1)]  # (n,)
    masks = np.array([MASK[name] for name in ATTRIBUTES], np.uint16)
    value = np.zeros(len(fits), np.int64)
    for number, name in enumerate(BIT):
        value[(fields & masks[programs.attribute] & BIT[name]) > 0] = number
    return np.where(fits.sum(axis=1) == 1, ANSWERS.index("small") + value, UNANSWERABLE)


def _fits_in_frame(programs: Programs, scenes: Scenes) -> np.ndarray:
    rows = np.arange(len(programs.frame))
    return _fits(scenes, programs.first[:, 0])[rows, programs.frame]


def _fits(scenes: Scenes, described: np.ndarray) -> np.ndarray:
    """Whether objects fit descriptions (n,): (n, i, o) of bool."""
    described = described[:, None, None]
    return (scenes.objects & described) == described


def _names(described: np.ndarray, attribute: np.ndarray) -> np.ndarray:
    masks = np.array([MASK[name] for name in ATTRIBUTES], np.uint16)
    return (named(described) & masks[attribute]) > 0


def _descriptions(rng: np.random.Generator, shape: tuple[int, ...], avoid: list[int]) -> np.ndarray:
    """Bit fields that fix one or two attributes, none of them a pair to avoid; uniform."""
    values = [(name, BIT[value]) for name, options in ATTRIBUTES.items() for value in options]
    pairs = [
        bit | other
        for index, (name, bit) in enumerate(values)
        for later, other in values[index + 1 :]
        if later != name and all((bit | other) & p != p for p in avoid)
    ]
    singles = rng.choice(np.array([bit for _, bit in values], np.uint16), shape)
    doubles = rng.choice(np.array(pairs, np.uint16), shape)
    return np.where(rng.random(shape) < 0.5, singles, doubles).astype(np.uint16)
