"""Shapes of published language models: all that decides what they cost, and not what they know."""

from typing import Annotated

from pydantic import Field

from moelib.study.base import Frozen, rule

Positive = Annotated[int, Field(ge=1)]


class Shape(Frozen):
    """A decoder of `layers` blocks: attention, then a SwiGLU perceptron or experts of that kind.

    Parameters count as in the published configurations: matrices alone, input and output embedding
    apart. `experts = 1` is a dense model.
    """

    name: str
    layers: Positive
    width: Positive  # d
    hidden: Positive  # h of the perceptron, or of one expert
    heads: Positive
    cached_heads: Positive  # heads of keys and values
    head_width: Positive
    vocabulary: Positive
    experts: Positive = 1  # e
    k: Positive = 1
    shared: Annotated[int, Field(ge=0)] = 0  # experts that every token meets, beside the k
    dense_layers: Annotated[int, Field(ge=0)] = 0  # the first ones, with
    dense_hidden: Annotated[int, Field(ge=0)] = 0  # hidden units each

    @rule
    def _possible(self) -> None:
        if self.k > self.experts:
            raise ValueError(f"k = {self.k} must be at most the {self.experts} experts")
        if self.heads % self.cached_heads:
            raise ValueError(
                f"{self.heads} heads cannot share {self.cached_heads} heads of keys evenly"
            )
        if (self.dense_layers > 0) != (self.dense_hidden > 0):
            raise ValueError("dense_layers and dense_hidden must both be 0 or both be positive")
        if self.dense_layers > self.layers:
            raise ValueError(f"only {self.layers} layers can be dense, not {self.dense_layers}")

    @property
    def attention(self) -> int:
        """Parameters of one layer's attention."""
        return 2 * self.width * self.head_width * (self.heads + self.cached_heads)

    @property
    def expert(self) -> int:
        """Parameters of one expert: 3 d h."""
        return 3 * self.width * self.hidden

    @property
    def router(self) -> int:
        """Parameters of one layer's router."""
        return self.width * self.experts if self.experts > 1 else 0

    def mlp(self, experts: float) -> float:
        """Parameters of one layer's experts and router, if `experts` of the routed ones count."""
        return (experts + self.shared) * self.expert + self.router

    def body(self, experts: float) -> float:
        """Parameters of all layers, if `experts` of the routed ones count."""
        sparse = (self.layers - self.dense_layers) * self.mlp(experts)
        dense = self.dense_layers * 3 * self.width * self.dense_hidden
        return self.layers * self.attention + sparse + dense

    @property
    def parameters(self) -> int:
        """All parameters."""
        return int(self.body(self.experts)) + 2 * self.width * self.vocabulary

    @property
    def active_parameters(self) -> int:
        """Those that one token meets, both embeddings counted."""
        return int(self.body(self.k)) + 2 * self.width * self.vocabulary

    @property
    def cached(self) -> int:
        """Numbers that the cache of keys and values holds for one token."""
        return 2 * self.layers * self.cached_heads * self.head_width


def _shape(name: str, layers: int, width: int, hidden: int, heads: int, **others: int) -> Shape:
    """Heads of width d / heads, each with keys and values of its own, unless others say more."""
    usual = {"cached_heads": heads, "head_width": width // heads}
    values = {"layers": layers, "width": width, "hidden": hidden, "heads": heads}
    return Shape(name=name, **values, **usual | others)


# From the models' public configuration files. Moonlight is not here: its latent attention is
# another mechanism.
TINYLLAMA = _shape("TinyLlama-1.1B", 22, 2048, 5632, 32, cached_heads=4, vocabulary=32000)
VICUNA_7B = _shape("Vicuna-7B", 32, 4096, 11008, 32, vocabulary=32000)
VICUNA_13B = _shape("Vicuna-13B", 40, 5120, 13824, 40, vocabulary=32000)
OLMOE = _shape("OLMoE-1B-7B", 16, 2048, 1024, 16, vocabulary=50304, experts=64, k=8)
DEEPSEEK = _shape(
    *("DeepSeekMoE-16B", 28, 2048, 1408, 16),
    **{"vocabulary": 102400, "experts": 64, "k": 6, "shared": 2},
    **{"dense_layers": 1, "dense_hidden": 10944},
)
QWEN3 = _shape(
    *("Qwen3-30B-A3B", 48, 2048, 768, 32),
    **{"cached_heads": 4, "head_width": 128, "vocabulary": 151936, "experts": 128, "k": 8},
)
# MoE-LLaVA (arXiv 2401.15947): 4 experts, top-2, in every other layer of StableLM-2 1.6B, Qwen 1.8B
# and Phi-2. Which layers are dense does not matter to the cost. Phi-2's perceptron has two matrices
# of 10,240 units: here three of two thirds of that, in whole lines of memory.
MOE_LLAVA = tuple(
    _shape(
        *(name, layers, width, hidden, heads),
        **{"vocabulary": vocabulary, "experts": 4, "k": 2},
        **{"dense_layers": layers // 2, "dense_hidden": hidden},
    )
    for name, layers, width, hidden, heads, vocabulary in (
        ("MoE-LLaVA-1.6Bx4", 24, 2048, 5632, 32, 100352),
        ("MoE-LLaVA-1.8Bx4", 24, 2048, 5504, 16, 151936),
        ("MoE-LLaVA-2.7Bx4", 32, 2560, 6824, 32, 51200),
    )
)
# The vision encoder of LLaVA-1.5: two matrices of 4,096 units as three of two thirds, and no
# vocabulary to speak of. It is timed as a decoder, whose attention does half the work.
VISION = _shape("ViT-L/14-336", 24, 1024, 2728, 16, vocabulary=8)
SHAPES = {
    shape.name: shape
    for shape in (TINYLLAMA, VICUNA_7B, VICUNA_13B, OLMOE, DEEPSEEK, QWEN3, *MOE_LLAVA, VISION)
}
