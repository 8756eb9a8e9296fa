"""The small vision-language transformer: words and patches in one sequence, one answer.

Axes: `n` item, `t` token of a batch (padding left out), `s` place in an item's sequence, `d`
feature, `a` answer, `p` patch, `i` picture, `w` word.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moelib.modalities import routing
from moelib.modalities.blocks import Tokens, build_perceptron
from moelib.modalities.language import VOCABULARY
from moelib.modalities.programs import ANSWERS, MOST
from moelib.modalities.routing import TEXT, VISION, Plan
from moelib.modalities.scenes import BACKGROUND, CELL, GRID
from moelib.study import modalities as config
from moelib.study.modalities import ModalityStudy

LONGEST = 64  # words of a sentence
PLACES = 3  # of pictures: an item of two has any two of them, a picture cut in three has all
CHANNELS = 3
SCALE = 0.3  # of embeddings at first, words, places and patches alike: none drowns another
ROUND = 128  # tokens of a batch are filled up to a multiple of these: see `_Layout`


class Batch(NamedTuple):
    """Items as the model sees them."""

    words: Tensor  # (n, w) int64, 0: padding; the first one is where the answer is read
    pictures: Tensor  # (n, i, y, x, 3) uint8
    places: Tensor  # (n, i) int64, of PLACES, ascending
    fits: Tensor | None = None  # (n, i p, c) int8: which descriptions patches fit; -1: none there


class Routed(NamedTuple):
    """What a forward pass shows beside the logits."""

    logits: Tensor  # (n, a)
    plans: list[Plan | None]  # of each layer
    tokens: Tokens
    losses: dict[str, Tensor]  # weighted, sums over the layers; in training alone


class _Layout(NamedTuple):
    """Where tokens lie in sequences.

    Some padding follows the tokens, so that matrix products have few shapes: bf16 products on a CPU
    are compiled for each shape anew, which can take longer than the product. It is seen by nobody,
    and no expert is run on it.
    """

    rows: Tensor  # (r,) places in (n s,): of t tokens, then of padding up to a round number
    mask: Tensor  # (n, 1, 1, s) of bool: a token is there
    shape: tuple[int, int]  # n, s


class Attention(nn.Module):
    """Attention among all tokens of an item, to and fro."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.heads = heads

    def forward(
        self, features: Tensor, layout: _Layout, scores: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs (r, d) from features (r, d), and scores (t, m) mixed by the mean of the heads.

        Products and a softmax instead of torch's fused attention: for sequences as short as these
        its derivative takes ten times as long on a CPU, and curvature needs a second one.
        """
        q, k, v = self._heads(features, layout)  # (n, h, s, d / h) each
        weights = (q * q.shape[-1] ** -0.5) @ k.mT  # (n, h, s, s)
        weights = weights.masked_fill(~layout.mask, -torch.inf).softmax(dim=-1)
        mixed = None
        if scores is not None:
            with torch.no_grad():
                whole = _padded(scores, layout).view(*layout.shape, -1)  # (n, s, m)
                carried = weights.mean(dim=1).float() @ whole
                mixed = carried.flatten(0, 1).index_select(0, layout.rows[: len(scores)])
        values = (weights.to(v.dtype) @ v).transpose(1, 2).flatten(0, 1).flatten(1)  # (n s, d)
        return self.out(values.index_select(0, layout.rows)), mixed

    def _heads(self, features: Tensor, layout: _Layout) -> tuple[Tensor, Tensor, Tensor]:
        whole = _padded(self.qkv(features), layout)
        return whole.view(*layout.shape, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


class Block(nn.Module):
    """x + attention(norm x), then x + perceptron(norm x)."""

    def __init__(self, transformer: config.Transformer, arm: config.Arm):
        super().__init__()
        width = transformer.width
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, transformer.heads)
        self.perceptron = build_perceptron(arm, width)
        self.follows_attention = isinstance(arm, config.Guided) and arm.score == "attention"

    def forward(
        self, stream: Tensor, layout: _Layout, tokens: Tokens
    ) -> tuple[Tensor, Plan | None, Tokens]:
        """The stream (r, d) after the block, its plan, and its tokens with new scores."""
        features = self.norm_1(stream)
        follow = self.follows_attention and self.training
        moved, mixed = self.attention(features, layout, tokens.scores if follow else None)
        if mixed is not None:
            with torch.no_grad():
                count = len(mixed)
                scores = routing.accumulated_scores(
                    tokens.scores, mixed, moved[:count].float(), stream[:count].float()
                )
            tokens = tokens._replace(scores=scores)
        stream = stream + moved
        outputs, plan = self.perceptron(self.norm_2(stream), tokens)
        return stream + outputs, plan, tokens


class VisionLanguage(nn.Module):
    """Words and patches -> blocks -> the logits of an answer.

    Args:
        study: its transformer, and how much grounding counts.
        arm: the perceptrons of the blocks, and what the model sees.
    """

    def __init__(self, study: ModalityStudy, arm: config.Arm):
        super().__init__()
        width = study.transformer.width
        self.grounding = study.grounding
        self.sees = getattr(arm, "sees", "both")
        self.words = nn.Embedding(len(VOCABULARY), width)
        self.word_places = nn.Parameter(SCALE * torch.randn(LONGEST, width))
        self.patch = nn.Linear(CELL * CELL * CHANNELS, width)
        self.patch_places = nn.Parameter(SCALE * torch.randn(GRID * GRID, width))
        self.picture_places = nn.Parameter(SCALE * torch.randn(PLACES, width))
        nn.init.normal_(self.words.weight, std=SCALE)
        self.norm = nn.LayerNorm(width)
        self.answer = nn.Linear(width, len(ANSWERS))
        self.fit = nn.Linear(width, 2 * MOST)  # of a patch to each description
        self.blocks = nn.ModuleList(
            Block(study.transformer, arm) for _ in range(study.transformer.layers)
        )

    def forward(self, batch: Batch) -> Tensor:
        """Logits (n, a)."""
        return self.routed(batch).logits

    def routed(self, batch: Batch) -> Routed:
        """Logits (n, a), plans, and in training the losses that go with them."""
        stream, layout, tokens = self._embedded(batch)
        plans, parts = [], {}
        for block in self.blocks:
            if block is self.blocks[-1] and self.training and self._grounds(batch):
                parts["grounding"] = self.grounding * self._grounding(stream, tokens, batch.fits)
            stream, plan, tokens = block(stream, layout, tokens)
            plans.append(plan)
            if self.training:
                for name, loss in block.perceptron.losses(plan, tokens).items():
                    parts[name] = parts.get(name, 0) + loss
        starts = tokens.item.new_zeros(tokens.items)
        starts[1:] = tokens.item.bincount().cumsum(0)[:-1]  # the first token of each item
        logits = self.answer(self.norm(stream.index_select(0, starts)))
        return Routed(logits.float(), plans, tokens, parts)

    def _grounds(self, batch: Batch) -> bool:
        return self.grounding > 0 and self.sees == "both" and batch.fits is not None

    def _grounding(self, stream: Tensor, tokens: Tokens, fits: Tensor) -> Tensor:
        """Binary cross-entropy of which descriptions patches fit, mean over those there are."""
        patches = (tokens.modality == VISION).nonzero().squeeze(1)
        logits = self.fit(stream.index_select(0, patches)).float()  # (n i p, c)
        targets = fits.flatten(0, 1)
        mask = (targets >= 0).float()
        losses = F.binary_cross_entropy_with_logits(logits, targets.float(), reduction="none")
        return (losses * mask).sum() / mask.sum()

    def _embedded(self, batch: Batch) -> tuple[Tensor, _Layout, Tokens]:
        words = batch.words if self.sees != "images" else batch.words[:, :1]
        count, length = words.shape
        sequence = self.words(words) + self.word_places[:length]  # (n, w, d)
        present = words > 0  # (n, w)
        if self.sees != "words":
            patches = self.patch(_patches(batch.pictures).to(self.patch.weight.dtype))
            patches = patches + self.patch_places + self.picture_places[batch.places][:, :, None]
            patches = patches.flatten(1, 2)  # (n, i p, d)
            sequence = torch.cat([sequence, patches.to(sequence.dtype)], dim=1)
            present = torch.cat([present, present.new_ones(count, patches.shape[1])], dim=1)
        present = present.flatten()
        rows = present.nonzero().squeeze(1)  # (t,)
        filling = (~present).nonzero().squeeze(1)[: -len(rows) % ROUND]
        layout = _Layout(
            torch.cat([rows, filling]), present.view(count, 1, 1, -1), sequence.shape[:2]
        )
        steps = sequence.shape[1]
        modality = torch.where(rows % steps < length, TEXT, VISION)
        tokens = Tokens(modality, rows // steps, count, routing.one_hot_scores(modality))
        return sequence.flatten(0, 1).index_select(0, layout.rows), layout, tokens


def _patches(pictures: Tensor) -> Tensor:
    """Patches (n, i, p, 8 * 8 * 3) of pictures (n, i, y, x, 3), row by row; background is 0."""
    count, pictures_, height, width, channels = pictures.shape
    tiles = pictures.view(
        count, pictures_, height // CELL, CELL, width // CELL, CELL, channels
    ).transpose(3, 4)
    return tiles.reshape(count, pictures_, -1, CELL * CELL * channels).float().sub(BACKGROUND) / 128


def _padded(values: Tensor, layout: _Layout) -> Tensor:
    count, steps = layout.shape
    whole = values.new_zeros(count * steps, values.shape[1])
    return whole.index_copy(0, layout.rows[: len(values)], values)


def build(study: ModalityStudy, arm: config.Arm) -> VisionLanguage:
    """The model of an arm, freshly initialised from torch's default generator."""
    return VisionLanguage(study, arm)
