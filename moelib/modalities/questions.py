"""Questions with balanced answers: each sentence stands with four scenes whose answers differ.

Every sentence has four scenes. A truth is yes (or true) of two of them and no (false) of two; a
count has four different answers; a query has four or three different ones, or two of each where its
attribute has two values. So words alone tell next to nothing: only
that a held-out pair is no answer.

A count is asked only if every number it may be was seen among the sentence's candidate scenes.
"""

from typing import NamedTuple

import numpy as np

from moelib.modalities import programs as programs_
from moelib.modalities import scenes as scenes_
from moelib.modalities.language import sentences
from moelib.modalities.programs import ANSWERS, COUNTS, FORMS, UNANSWERABLE, Programs
from moelib.modalities.scenes import Scenes
from moelib.study.modalities import ATTRIBUTES, ModalityStudy

SCENES = 4  # of a sentence
CANDIDATES = 16  # scenes drawn for a sentence, of which four are kept
ROUNDS = 400  # of drawing until there are enough sentences


class Items(NamedTuple):
    """Questions about scenes, four rows to a sentence, one after the other."""

    words: np.ndarray  # (n, w) uint8
    scenes: Scenes
    answers: np.ndarray  # (n,) int8, numbers in ANSWERS
    programs: Programs

    def __len__(self) -> int:
        return len(self.answers)

    def take(self, rows: np.ndarray) -> "Items":
        """These items alone."""
        return Items(
            self.words[rows], self.scenes.take(rows), self.answers[rows], self.programs.take(rows)
        )


class Kind(NamedTuple):
    """What questions of a split are drawn from."""

    objects: tuple[int, int]  # in a picture
    avoid: list[int]  # pairs of shape and colour that neither scenes nor descriptions hold
    include: list[int]  # pairs of which each program names one
    predicates: dict[str, int]  # of each stratum of truths
    composed: bool | None  # held-out compositions: in all programs, in none, or as they come


def draw(rng: np.random.Generator, count: int, kind: Kind, study: ModalityStudy) -> Items:
    """`count` items, in random order of their sentences.

    Raises:
        RuntimeError: almost no sentence of this kind can be balanced.
    """
    shares = dict(study.questions)
    shares = {name: share for name, share in shares.items() if share and _possible(name, kind)}
    total, parts, left = sum(shares.values()), [], count // SCENES
    for position, (name, share) in enumerate(shares.items(), 1):
        quota = left if position == len(shares) else round(share / total * count / SCENES)
        left -= quota
        if quota > 0:
            parts.append(_stratum(rng, quota, name, kind, study))
    programs = Programs(*(np.concatenate(a) for a in zip(*(p for p, *_ in parts), strict=True)))
    scenes = Scenes(*(np.concatenate(a) for a in zip(*(s for _, s, _ in parts), strict=True)))
    answers = np.concatenate([a for *_, a in parts])
    words = sentences(programs)
    order = rng.permutation(len(programs.form))
    rows = (order[:, None] * SCENES + np.arange(SCENES)).ravel()
    every = np.repeat(order, SCENES)
    return Items(words[every], scenes.take(rows), answers[rows], programs.take(every))


def entailed(items: Items) -> tuple[Items, np.ndarray]:
    """Questions whose answers follow from an item's answer, and the row (n,) of that item.

    "How many A" with answer c entails "is there a A": yes if c > 0. "What colour is the A" with
    answer red entails "is there a red A": yes.
    """
    rows = (items.programs.form != FORMS.index("truth")).nonzero()[0]
    base = items.take(rows)
    query = base.programs.form == FORMS.index("query")
    bits = np.zeros(len(ANSWERS), np.uint16)
    bits[ANSWERS.index("small") :] = list(scenes_.BIT.values())
    first = base.programs.first.copy()
    first[query, 0] |= bits[base.answers[query]]
    programs = base.programs._replace(
        form=np.zeros_like(base.programs.form),
        first=first,
        attribute=np.zeros_like(base.programs.attribute),
    )
    answers = programs_.answer(programs, base.scenes)
    return Items(sentences(programs), base.scenes, answers, programs), rows


def _possible(stratum: str, kind: Kind) -> bool:
    if stratum in ("count", "query"):
        return kind.composed is not True and "statement" in kind.predicates
    return stratum in kind.predicates


def _stratum(
    rng: np.random.Generator, quota: int, name: str, kind: Kind, study: ModalityStudy
) -> tuple[Programs, Scenes, np.ndarray]:
    """Sentences of one form: programs (s,), and of each four scenes and answers (4 s,)."""
    parts: list[tuple[Programs, Scenes, np.ndarray]] = []
    count = 0
    for _ in range(ROUNDS):
        if count >= quota:
            break
        drawn = _candidates(rng, max(64, int(1.6 * (quota - count))), name, kind, study)
        parts.append(drawn)
        count += len(drawn[0].form)
    else:
        raise RuntimeError(f"Too few balanced sentences of the form '{name}' can be drawn.")
    programs, scenes, answers = (
        zip(*(part[position] for part in parts), strict=True) if position < 2 else ()
        for position in range(3)
    )
    programs = Programs(*(np.concatenate(part)[:quota] for part in programs))
    scenes = Scenes(*(np.concatenate(part)[: quota * SCENES] for part in scenes))
    answers = np.concatenate([part[2] for part in parts])[: quota * SCENES]
    return programs, scenes, answers


def _candidates(
    rng: np.random.Generator, count: int, name: str, kind: Kind, study: ModalityStudy
) -> tuple[Programs, Scenes, np.ndarray]:
    """Some balanced sentences: those that succeed of `count` programs with candidate scenes."""
    programs = programs_.draw(
        rng,
        count,
        form="truth" if name in kind.predicates else name,
        predicates=kind.predicates.get(name, 1),
        avoid=kind.avoid,
        include=kind.include,
    )
    if kind.composed is not None:
        held = programs_.holds(programs, study.held_out.compositions)
        programs = programs.take((held == kind.composed).nonzero()[0])
    every = programs.take(np.repeat(np.arange(len(programs.form)), CANDIDATES))
    scenes = scenes_.draw(
        rng,
        _described(every),
        study.scenes,
        objects=kind.objects,
        avoid=kind.avoid,
    )
    answers = programs_.answer(every, scenes).reshape(-1, CANDIDATES)
    chosen, balanced = _balanced(rng, answers, programs)
    rows = (np.arange(len(answers))[:, None] * CANDIDATES + chosen)[balanced].ravel()
    return programs.take(balanced.nonzero()[0]), scenes.take(rows), answers.ravel()[rows]


def _described(programs: Programs) -> np.ndarray:
    """Descriptions (n, d) that objects are made to fit: of all used predicates, and nothing."""
    described = programs.described
    return described[:, (described > 0).any(axis=0)]


def _balanced(
    rng: np.random.Generator, answers: np.ndarray, programs: Programs
) -> tuple[np.ndarray, np.ndarray]:
    """Four candidates (s, 4) of each sentence, and whether their answers are balanced (s,)."""
    seen = (answers[:, :, None] == np.arange(len(ANSWERS))).astype(np.int8)  # (s, c, a)
    earlier = (
        np.take_along_axis(
            seen.cumsum(axis=1, dtype=np.int8), answers[:, :, None].clip(0).astype(np.int64), axis=2
        )[..., 0]
        - 1
    ).astype(np.float32)  # how often the same answer came before
    earlier[answers == UNANSWERABLE] = CANDIDATES
    # First occurrences first, in random order; then second ones.
    chosen = (earlier + 0.5 * rng.random(earlier.shape, np.float32)).argsort(axis=1)[:, :SCENES]
    picked = np.take_along_axis(earlier, chosen, axis=1)
    distinct = (picked == 0).sum(axis=1)
    fine = picked.max(axis=1) <= 1
    options = np.array([len(values) for values in ATTRIBUTES.values()])[programs.attribute]
    counted = ((earlier == 0).sum(axis=1) == len(COUNTS)) & (distinct == SCENES)
    query = fine & (distinct >= np.where(options == 2, 2, 3))
    form = programs.form
    balanced = np.select([form == 0, form == 1], [fine & (distinct == 2), counted], query)
    order = rng.random(chosen.shape, np.float32).argsort(axis=1)
    return np.take_along_axis(chosen, order, axis=1), balanced
