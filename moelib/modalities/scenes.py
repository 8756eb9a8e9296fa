"""Scenes: two pictures of objects on a grid each, drawn at random and rendered to pixels.

An object is a bit field with one bit set for its value of each attribute, so that "is it a small
square" is one comparison for all objects of all scenes at once.

Axes: `n` scene, `i` picture of a scene (left, right), `o` object.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from moelib.study import modalities as config
from moelib.study.modalities import ATTRIBUTES

PICTURES = 2
GRID, CELL = 3, 8  # cells along a side, pixels along a cell
SIDE = GRID * CELL  # pixels along a picture
SPRITE = {"small": 5, "large": 7}  # pixels along a side
COLOURS = {"black": (0, 0, 0), "yellow": (255, 210, 0), "blue": (0, 153, 255), "red": (230, 30, 30)}
BACKGROUND = 211  # grey
BOX = max(SPRITE.values())
VALUES = [(name, value) for name, values in ATTRIBUTES.items() for value in values]
BIT = {value: 1 << bit for bit, (_, value) in enumerate(VALUES)}  # of each value of an attribute
MASK = {name: sum(BIT[value] for value in values) for name, values in ATTRIBUTES.items()}
KINDS = [sum(BIT[v] for v in values) for values in product(*ATTRIBUTES.values())]  # all 32 objects
ARRANGEMENTS = 2**16  # random orders of the cells, of which each picture takes one


class Scenes(NamedTuple):
    """Symbolic pictures; position is that of an object's box, in pixels from the top left."""

    objects: np.ndarray  # (n, i, o) uint16 bit fields; 0: no object
    cells: np.ndarray  # (n, i, o) uint8, row by row; all different within a picture
    positions: np.ndarray  # (n, i, o, 2) uint8: y, x

    def take(self, rows: np.ndarray) -> "Scenes":
        """These scenes alone."""
        return Scenes(*(part[rows] for part in self))


def held_pairs(held_out: config.HeldOut) -> list[int]:
    """Bit fields of the pairs of shape and colour that training never shows."""
    return [BIT[shape] | BIT[colour] for shape, colour in held_out.pairs]


def named(fields: np.ndarray) -> np.ndarray:
    """Bits of all values of the attributes that bit fields name: what a description fixes."""
    return _fixed()[fields]


def draw(
    rng: np.random.Generator,
    described: np.ndarray,
    scenes: config.Scenes,
    *,
    objects: tuple[int, int],
    avoid: list[int],
) -> Scenes:
    """Random scenes, in which objects that fit given descriptions are frequent.

    Attributes are uniform and independent; then each picture draws a rate, uniform from 0 to 1, at
    which its objects are made to fit one of the descriptions. Where that makes a pair to `avoid`,
    the shape moves on if the description fixes the colour, else the colour.

    Args:
        rng: random numbers.
        described: (n, d) bit fields of descriptions; 0 describes nothing.
        scenes: with the jitter.
        objects: fewest and most in a picture.
        avoid: bit fields of pairs of shape and colour that must not appear.
    """
    count, most = len(described), objects[1]
    shape = (count, PICTURES, most)
    fields = np.array(KINDS, np.uint16)[rng.integers(0, len(KINDS), shape, np.uint8)]
    rate = rng.random((count, PICTURES, 1), np.float32)
    which = rng.integers(0, described.shape[1], shape, np.uint8)
    description = described[np.arange(count)[:, None, None], which]
    description = np.where(rng.random(shape, np.float32) < rate, description, 0).astype(np.uint16)
    fields = (fields & ~named(description)) | description
    if avoid:
        fixes_colour = (description & MASK["colour"]) > 0
        fields = np.where(fixes_colour, *(_moved(name, tuple(avoid))[fields] for name in MOVED))
    number = rng.integers(objects[0], most + 1, (count, PICTURES, 1), np.uint8)
    fields = np.where(np.arange(most) < number, fields, 0).astype(np.uint16)
    order = rng.integers(0, ARRANGEMENTS, shape[:2], np.uint16)
    cells = _arrangements()[order][..., :most]  # (n, i, o)
    offset = rng.integers(0, scenes.jitter + 1, (*shape, 2), np.uint8)
    grid = np.stack([cells // GRID, cells % GRID], axis=-1) * CELL
    return Scenes(fields, cells, (grid + offset).astype(np.uint8))


def render(scenes: Scenes) -> np.ndarray:
    """Pictures (n, i, y, x, 3) of uint8 from symbolic scenes."""
    count = len(scenes.objects)
    canvas = np.full((count * PICTURES * SIDE * SIDE, 3), BACKGROUND, np.uint8)
    n, i, o = scenes.objects.nonzero()
    y, x = scenes.positions[n, i, o].astype(np.int64).T
    corner = ((n * PICTURES + i) * SIDE + y) * SIDE + x
    box = (np.arange(BOX)[:, None] * SIDE + np.arange(BOX)).ravel()
    canvas[corner[:, None] + box] = _sprites()[_kind()[scenes.objects[n, i, o]]]
    return canvas.reshape(count, PICTURES, SIDE, SIDE, 3)


# -- tables ----------------------------------------------------------------------------------------

MOVED = ("shape", "colour")


@cache
def _fixed() -> np.ndarray:
    fields = np.arange(1 << len(VALUES))
    parts = (np.where(fields & mask, mask, 0) for mask in MASK.values())
    return sum(parts).astype(np.uint16)


@cache
def _moved(name: str, avoid: tuple[int, ...]) -> np.ndarray:
    """Bit fields in which the value of an attribute moved on by one, where a pair is avoided."""
    fields = np.arange(1 << len(VALUES), dtype=np.uint16)
    values = ATTRIBUTES[name]
    following = dict(zip(values, (*values[1:], values[0]), strict=True))
    moved = fields.copy()
    for pair in avoid:
        hit = (fields & pair) == pair
        value = next(v for v in values if pair & BIT[v])
        moved[hit] = (fields[hit] & ~np.uint16(BIT[value])) | np.uint16(BIT[following[value]])
    return moved


@cache
def _arrangements() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((ARRANGEMENTS, GRID * GRID)).argsort(axis=1).astype(np.uint8)


@cache
def _kind() -> np.ndarray:
    """The number of an object by its bit field."""
    table = np.zeros(1 << len(VALUES), np.uint8)
    table[KINDS] = np.arange(len(KINDS))
    return table


@cache
def _sprites() -> np.ndarray:
    """Pixels (kind, BOX * BOX, 3) of every object on the background, row by row."""
    sprites = np.full((len(KINDS), BOX, BOX, 3), BACKGROUND, np.uint8)
    for sprite, (size, colour, shape) in zip(sprites, product(*ATTRIBUTES.values()), strict=True):
        inked = _outline(shape, SPRITE[size])
        sprite[: len(inked), : len(inked)][inked] = COLOURS[colour]
    return sprites.reshape(len(KINDS), BOX * BOX, 3)


def _outline(shape: str, pixels: int) -> np.ndarray:
    y, x = np.mgrid[:pixels, :pixels] - (pixels - 1) / 2
    half = pixels / 2
    return {
        "square": np.ones((pixels, pixels), bool),
        "circle": y**2 + x**2 <= half**2 - 0.5,
        "triangle": np.abs(x) <= (y + half) / 2 + 0.01,
        "cross": (np.abs(y) < 1) | (np.abs(x) < 1),
    }[shape]
