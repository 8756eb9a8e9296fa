"""Words: programs in English, and English of others in the same vocabulary.

A sentence is a row of word numbers that begins with the word whose place the answer is read from,
and ends in padding.
"""

import re
from typing import NamedTuple

import numpy as np

from moelib.modalities.programs import COUNTS, FORMS, MOST, SIDES, Programs
from moelib.modalities.scenes import BIT, MASK
from moelib.study.modalities import ATTRIBUTES, FRAMES, LINKS, PREDICATES

PADDING, ANSWER, UNKNOWN = "", "<answer>", "<unknown>"
NUMERALS = ("zero", "one", "two", "three", "four")
# What a word does in a sentence: routing is told by these types, and by the patches' (`scenes`).
TYPES = {
    "answer": (ANSWER,),
    "frame": ("in", "the", "box", "both", "boxes", "exactly", "no"),
    "form": ("is", "there", "how", "many", "what", "a"),
    "operator": (*LINKS, "more", "than", *SIDES, "of"),
    "number": NUMERALS,
    "attribute": tuple(ATTRIBUTES),
    "value": (*BIT, "object"),
}
VOCABULARY = (PADDING, UNKNOWN, *(word for words in TYPES.values() for word in words))
NUMBER = {word: number for number, word in enumerate(VOCABULARY)}
SYNONYMS = {  # in the sentences of others
    **{plural: "object" for plural in ("item", "items", "objects", "block", "blocks")},
    **{f"{shape}s": shape for shape in ATTRIBUTES["shape"]},
    **{"color": "colour", "boxes": "boxes", "an": "a", "are": "is", "big": "large"},
    **dict(zip(COUNTS, NUMERALS, strict=True)),
}


class _Lookup(NamedTuple):
    """Words by what programs hold, as numbers."""

    value: np.ndarray  # of the bit field of one value
    attribute: np.ndarray
    number: np.ndarray
    side: np.ndarray
    link: np.ndarray  # 0: none


def _numbers(*words: str) -> np.ndarray:
    return np.array([NUMBER[word] for word in words], np.uint8)


def _by_field() -> np.ndarray:
    table = np.zeros(1 << len(BIT), np.uint8)
    for value, bit in BIT.items():
        table[bit] = NUMBER[value]
    return table


WORDS = _Lookup(
    value=_by_field(),
    attribute=_numbers(*ATTRIBUTES),
    number=_numbers(*NUMERALS),
    side=_numbers(*SIDES),
    link=_numbers(PADDING, *LINKS),
)
ENDS = {  # of a sentence, by frame
    "left": ("the", "left", "box"),
    "right": ("the", "right", "box"),
    "both": ("both", "boxes", PADDING),
    "one": ("exactly", "one", "box"),
    "neither": ("no", "box", PADDING),
}


def sentences(programs: Programs) -> np.ndarray:
    """Word numbers (n, w) of programs; w is the length of the longest.

    is there a small square and more red object than circle in the left box
    there is exactly two large object in both boxes
    how many red cross in the right box
    what size is the blue object in the left box
    """
    form, frame = programs.form, programs.frame
    columns = [_constant(ANSWER, len(form)), *_opening(programs)]
    for p in range(MOST):
        if p:
            columns.append(WORDS.link[programs.links[:, p - 1]])
        columns += _predicate(programs, p, truth=form == FORMS.index("truth"))
    ends = np.stack([_numbers(*ENDS[name]) for name in FRAMES])
    columns += [_constant("in", len(form)), *ends[frame].T]
    words = np.stack(columns, axis=1)
    order = (words == 0).argsort(axis=1, kind="stable")
    words = np.take_along_axis(words, order, axis=1)
    return words[:, : (words > 0).sum(axis=1).max()]


def encode(text: str) -> list[int]:
    """Word numbers of an English sentence, with what is not in the vocabulary as one unknown word.

    >>> [VOCABULARY[number] for number in encode("There are 2 yellow blocks.")]
    ['<answer>', 'there', 'is', 'two', 'yellow', 'object']
    """
    words = (SYNONYMS.get(word, word) for word in re.findall(r"[a-z0-9]+", text.lower()))
    return [NUMBER[ANSWER], *(NUMBER.get(word, NUMBER[UNKNOWN]) for word in words)]


def word_types() -> np.ndarray:
    """For each word of the vocabulary the number of its type in TYPES; -1 for the other two."""
    kinds = {word: kind for kind, words in enumerate(TYPES.values()) for word in words}
    return np.array([kinds.get(word, -1) for word in VOCABULARY], np.int8)


def _opening(programs: Programs) -> list[np.ndarray]:
    form = programs.form
    statement = programs.frame >= FRAMES.index("both")
    question, claim, count, query = (
        ("is", "there", PADDING, PADDING),
        ("there", "is", PADDING, PADDING),
        ("how", "many", PADDING, PADDING),
        ("what", PADDING, "is", "the"),
    )
    kinds = np.stack([_numbers(*words) for words in (question, count, query, claim)])
    opening = kinds[np.where(statement, 3, form)]  # (n, 4)
    opening[:, 1] += WORDS.attribute[programs.attribute] * (form == FORMS.index("query"))
    return list(opening.T)


def _predicate(programs: Programs, p: int, truth: np.ndarray) -> list[np.ndarray]:
    """Columns of one predicate; all padding where a program has fewer."""
    used, kind = programs.used[:, p], programs.predicates[:, p]
    number = kind == PREDICATES.index("number")
    more = kind == PREDICATES.index("more")
    related = kind == PREDICATES.index("relate")
    heads = _numbers("a", "exactly", "more", "a")[kind] * (truth & used)
    side = programs.side[:, p]
    between = np.where(more, NUMBER["than"], np.where(related, WORDS.side[side], 0))
    beside = related & (side < SIDES.index("above"))
    return [
        heads,
        WORDS.number[programs.number[:, p]] * number,
        *_description(programs.first[:, p]),
        between.astype(np.uint8),
        (NUMBER["of"] * beside).astype(np.uint8),
        (NUMBER["a"] * related).astype(np.uint8),
        *_description(programs.second[:, p]),
    ]


def _description(fields: np.ndarray) -> list[np.ndarray]:
    """Values in the order of the attributes; what has no shape is an object."""
    columns = [WORDS.value[fields & mask] for mask in MASK.values()]
    shapeless = (columns[-1] == 0) & (fields > 0)
    columns[-1] = np.where(shapeless, NUMBER["object"], columns[-1]).astype(np.uint8)
    return columns


def _constant(word: str, count: int) -> np.ndarray:
    return np.full(count, NUMBER[word], np.uint8)
