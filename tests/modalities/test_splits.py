"""Answers against an interpreter of single objects, balance, and that no split leaks."""

import numpy as np
import pytest
from small import small_study

from moelib.modalities import programs as programs_
from moelib.modalities import questions, splits
from moelib.modalities import scenes as scenes_
from moelib.modalities.language import NUMBER, VOCABULARY, encode
from moelib.modalities.programs import ANSWERS, FORMS, SIDES
from moelib.modalities.scenes import BIT, GRID, MASK
from moelib.study.modalities import ATTRIBUTES, FRAMES, LINKS, PREDICATES

STUDY = small_study(sizes={"train": 2000, "validation": 2000, "test": 2000})
HELD_PAIRS = {tuple(pair) for pair in STUDY.held_out.pairs}
HELD_COMPOSITIONS = {tuple(pair) for pair in STUDY.held_out.compositions}


@pytest.fixture(scope="module")
def items():
    return {name: splits.held_out(STUDY, name) for name in ("validation", *splits.TESTS)}


# -- a naive interpreter: one program, one scene, objects as dictionaries -------------------------


def values(field: int) -> dict[str, str]:
    return {
        name: value
        for name, options in ATTRIBUTES.items()
        for value in options
        if field & BIT[value]
    }


def objects(scenes, row: int, picture: int) -> list[tuple[dict, int, int]]:
    return [
        (values(int(field)), int(cell) // GRID, int(cell) % GRID)
        for field, cell in zip(
            scenes.objects[row, picture], scenes.cells[row, picture], strict=True
        )
        if field
    ]


def fitting(scene, field: int):
    attributes = values(int(field)).items()
    return [item for item in scene if all(item[0][k] == v for k, v in attributes)]


def holds(programs, row: int, p: int, scene) -> bool:
    a, b = (fitting(scene, d[row, p]) for d in (programs.first, programs.second))
    match PREDICATES[programs.predicates[row, p]]:
        case "exist":
            return len(a) > 0
        case "number":
            return len(a) == programs.number[row, p]
        case "more":
            return len(a) > len(b)
    nearer = {
        "left": lambda x, y: x[2] < y[2],
        "right": lambda x, y: x[2] > y[2],
        "above": lambda x, y: x[1] < y[1],
        "below": lambda x, y: x[1] > y[1],
    }[SIDES[programs.side[row, p]]]
    return any(nearer(x, y) for x in a for y in b)


def interpreted(programs, scenes, row: int) -> str:
    pictures = [objects(scenes, row, picture) for picture in (0, 1)]
    frame = FRAMES[programs.frame[row]]
    form = FORMS[programs.form[row]]
    if form != "truth":
        fits = fitting(pictures[programs.frame[row]], programs.first[row, 0])
        if form == "count":
            return str(len(fits))
        (item,) = fits
        return item[0][list(ATTRIBUTES)[programs.attribute[row]]]
    truths = []
    for scene in pictures:
        value = holds(programs, row, 0, scene)
        for p, link in enumerate(programs.links[row], start=1):
            if link:
                other = holds(programs, row, p, scene)
                value = value and other if LINKS[link - 1] == "and" else value or other
        truths.append(value)
    number = sum(truths)
    answer = {
        "left": truths[0],
        "right": truths[1],
        "both": number == 2,
        "one": number == 1,
        "neither": number == 0,
    }[frame]
    return {True: "yes", False: "no"}[answer] if frame in FRAMES[:2] else str(answer).lower()


@pytest.mark.parametrize("name", ["validation", *splits.TESTS])
def test_answers_are_those_of_a_naive_interpreter(items, name):
    split = items[name]
    for row in range(0, len(split), 3):
        assert ANSWERS[split.answers[row]] == interpreted(split.programs, split.scenes, row)


def test_cells_fit_the_descriptions_that_their_objects_fit(items):
    split = items["iid"]
    fits = programs_.fitting(split.programs, split.scenes)
    described = split.programs.described
    for row in range(0, len(split), 7):
        for picture in (0, 1):
            occupants = {y * GRID + x: item for item, y, x in objects(split.scenes, row, picture)}
            for cell in range(GRID * GRID):
                for part, field in enumerate(described[row]):
                    expected = -1
                    if field:
                        scene = [(occupants.get(cell, {}), 0, 0)] if cell in occupants else []
                        expected = len(fitting(scene, field))
                    assert fits[row, picture, cell, part] == expected


# -- balance --------------------------------------------------------------------------------------


def test_answers_are_balanced_in_every_sentence(items):
    for split in items.values():
        answers = split.answers.reshape(-1, questions.SCENES)
        assert (split.words.reshape(len(answers), questions.SCENES, -1).std(axis=1) == 0).all()
        form = split.programs.form.reshape(-1, questions.SCENES)[:, 0]
        for row, kind in zip(answers, form, strict=True):
            counts = sorted(np.unique(row, return_counts=True)[1])
            if FORMS[kind] == "truth":
                assert counts == [2, 2]
            elif FORMS[kind] == "count":
                assert counts == [1, 1, 1, 1]
            else:
                assert counts in ([2, 2], [1, 1, 2], [1, 1, 1, 1])


def test_the_best_guess_from_words_alone_is_chance(items):
    """Over the group of a form and attribute: half of truths, about a fifth of counts."""
    split = items["validation"]
    form = split.programs.form
    counts = split.answers[form == FORMS.index("count")]
    assert np.bincount(counts).max() / len(counts) < 0.26
    for attribute, options in enumerate(ATTRIBUTES.values()):
        rows = (form == FORMS.index("query")) & (split.programs.attribute == attribute)
        share = np.bincount(split.answers[rows]).max() / rows.sum()
        assert share < 1 / len(options) + 0.15


# -- nothing leaks --------------------------------------------------------------------------------


def pairs_of_scenes(scenes) -> set[tuple[str, str]]:
    return {(v["shape"], v["colour"]) for v in map(values, np.unique(scenes.objects).tolist()) if v}


def pairs_of_words(split) -> list[set[tuple[str, str]]]:
    pairs_by_row = [
        {(v.get("shape"), v.get("colour")) for v in map(values, row.tolist())}
        for row in split.programs.described
    ]
    return [pairs & HELD_PAIRS for pairs in pairs_by_row]


def composed(programs, row: int) -> set[tuple[str, str]]:
    if FORMS[programs.form[row]] != "truth":
        return set()
    count = 1 + sum(link > 0 for link in programs.links[row])
    kinds = [PREDICATES[k] for k in programs.predicates[row, :count]]
    outers = [FRAMES[programs.frame[row]], *(LINKS[k - 1] for k in programs.links[row] if k)]
    return {(outer, kind) for outer in outers for kind in kinds}


def training_items():
    return [splits.training(STUDY, seed, epoch) for seed in (0, 1) for epoch in (1, 2)]


def test_training_holds_nothing_that_is_held_out():
    for split in [*training_items(), splits.held_out(STUDY, "validation")]:
        assert not pairs_of_scenes(split.scenes) & HELD_PAIRS
        assert not any(pairs_of_words(split))
        assert max(split.programs.length) == 2
        number = (split.scenes.objects > 0).sum(axis=2)
        assert number.min() >= 2 and number.max() <= 5
        for row in range(len(split)):
            assert not composed(split.programs, row) & HELD_COMPOSITIONS


def test_each_split_differs_in_its_one_thing(items):
    assert all(pairs_of_words(items["pairs"]))
    for name in set(splits.TESTS) - {"pairs"}:
        assert not any(pairs_of_words(items[name]))
        assert not pairs_of_scenes(items[name].scenes) & HELD_PAIRS
    for name in splits.TESTS:
        programs = items[name].programs
        flags = [bool(composed(programs, r) & HELD_COMPOSITIONS) for r in range(len(items[name]))]
        assert set(flags) == {name == "compositions"}
        assert (programs.length.max() == 3) == (name == "depth")
        largest = (items[name].scenes.objects > 0).sum(axis=2).max()
        assert (largest > 5) == (name == "objects")


def test_every_part_of_what_is_held_out_is_seen_in_training():
    training = training_items()
    pairs = set().union(*(pairs_of_scenes(part.scenes) for part in training))
    assert {shape for shape, _ in pairs} == set(ATTRIBUTES["shape"])
    assert {colour for _, colour in pairs} == set(ATTRIBUTES["colour"])
    composed_ = set().union(*(composed(p.programs, r) for p in training for r in range(len(p))))
    assert {outer for outer, _ in composed_} == {*FRAMES, *LINKS}
    assert {inner for _, inner in composed_} == set(PREDICATES)


def test_test_items_are_not_among_training_items(items):
    def keys(split):
        parts = (split.scenes.objects, split.scenes.cells)
        flat = np.concatenate([p.reshape(len(split), -1) for p in parts], axis=1)
        return {
            (w.tobytes().rstrip(b"\0"), s.tobytes()) for w, s in zip(split.words, flat, strict=True)
        }

    training = set().union(*map(keys, training_items()))
    assert not training & keys(items["iid"]) and not training & keys(items["validation"])


def test_items_are_determined_by_their_seed():
    first, repeated = (splits.training(STUDY, 0, 1) for _ in range(2))
    other = splits.training(STUDY, 1, 1)
    assert (first.words == repeated.words).all()
    assert (first.scenes.positions == repeated.scenes.positions).all()
    assert first.words.shape != other.words.shape or (first.words != other.words).any()


# -- entailment, words, pictures ------------------------------------------------------------------


def test_entailed_answers_follow(items):
    base = items["iid"]
    split, rows = questions.entailed(base)
    for row in range(len(split)):
        origin = base.programs.form[rows[row]]
        answer = ANSWERS[base.answers[rows[row]]]
        expected = "no" if FORMS[origin] == "count" and answer == "0" else "yes"
        assert ANSWERS[split.answers[row]] == expected
        assert ANSWERS[split.answers[row]] == interpreted(split.programs, split.scenes, row)


def test_sentences_read_as_english():
    programs = programs_.draw(np.random.default_rng(0), 1, form="truth", predicates=2)
    programs = programs._replace(
        frame=np.array([1]),
        links=np.array([[1, 0]]),
        predicates=np.array([[3, 1, 0]]),
        first=np.array([[BIT["red"], BIT["small"] | BIT["cross"], 0]], np.uint16),
        second=np.array([[BIT["circle"], 0, 0]], np.uint16),
        number=np.array([[0, 2, 0]]),
        side=np.array([[0, 0, 0]]),
    )
    from moelib.modalities.language import sentences

    words = [VOCABULARY[number] for number in sentences(programs)[0]]
    text = (
        "<answer> is there a red object left of a circle and exactly two small cross "
        "in the right box"
    )
    assert " ".join(words) == text
    assert encode("Is there a wug?")[-1] == NUMBER["<unknown>"]


def test_every_object_looks_different_and_lies_in_its_cell():
    scenes = items_of_one_object()
    pictures = scenes_.render(scenes)
    assert len({picture.tobytes() for picture in pictures}) == 32
    inked = (pictures[:, 0] != scenes_.BACKGROUND).any(axis=-1)
    assert inked[:, :8, 8:16].any(axis=(1, 2)).all()
    inked[:, :8, 8:16] = False
    assert not inked.any()


def items_of_one_object():
    shape = (32, 2, 2)
    objects_ = np.zeros(shape, np.uint16)
    objects_[:, 0, 0] = scenes_.KINDS
    positions = np.zeros((*shape, 2), np.uint8)
    positions[..., 1] = 8
    return scenes_.Scenes(objects_, np.ones(shape, np.uint8), positions)


def test_masks_part_the_bits():
    assert sum(MASK.values()) == (1 << len(BIT)) - 1
