"""Head latency: stacked experts against a loop over expert modules, the straightforward way.

Same weights, same outputs (asserted), one thread, float32. Both ways are timed in alternation, so
that the machine's other load falls on both; a repeat gives one ratio, and medians and quartiles
are over repeats. The aim is to be never slower in inference, and three times faster where batches
are small.
"""

from itertools import product

import torch
from torch import Tensor, nn

from moelib.analyses.benchmark import run_benchmark
from moelib.analyses.timing import interleave, milliseconds
from moelib.heads.head import Mixture, build_head
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.study.heads import Soft, Sparse
from moelib.study.protocol import PROTOCOLS

FEATURES, CLASSES = 512, 10
HEADS = (Soft(kind="soft"), Sparse(kind="sparse"))  # E = 8, hidden 64, k = 2
BATCHES = (1, 8, 32, 128, 256, 512, 2048)
# Larger experts, half of which are chosen: where least is spared, in inference alone.
LARGER = tuple(Sparse(kind="sparse", experts=e, k=e // 2, hidden=512) for e in (4, 8))
LARGER_BATCHES = (1, 32, 256, 2048)
TARGETED = {Soft: 32, Sparse: 256}  # largest batch for which 3 times was aimed at
CALLS = {1: 40, 8: 40, 32: 40, 128: 20, 256: 10, 512: 5, 2048: 2}  # forwards in one timing


class LoopedExperts(nn.Module):
    """The weights of a `Mixture`, as a list of modules."""

    def __init__(self, head: Mixture):
        super().__init__()
        self.gate = head.gate
        stacked = head.experts
        self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(FEATURES, w_in.shape[1]),
                nn.ReLU(),
                nn.Dropout(stacked.dropout),
                nn.Linear(w_in.shape[1], CLASSES),
            )
            for w_in in stacked.w_in.unbind(1)
        )
        with torch.no_grad():
            for e, expert in enumerate(self.experts):
                expert[0].weight.copy_(stacked.w_in[:, e].T)
                expert[0].bias.copy_(stacked.b_in[e])
                expert[3].weight.copy_(stacked.w_out[e].T)
                expert[3].bias.copy_(stacked.b_out[e])


class LoopedSoft(LoopedExperts):
    """All experts one by one, stacked, weighted, summed."""

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, c) from features (n, d)."""
        gates = self.gate(features).gates  # (n, e)
        outputs = torch.stack([expert(features) for expert in self.experts], dim=1)  # (n, e, c)
        return (outputs * gates[:, :, None]).sum(dim=1)


class LoopedSparse(LoopedExperts):
    """Each expert on the images that chose it, found by a boolean mask."""

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, c) from features (n, d)."""
        gates = self.gate(features).gates  # (n, e)
        logits = features.new_zeros(len(features), CLASSES)
        for e, expert in enumerate(self.experts):
            chosen = gates[:, e] > 0  # (n,)
            if chosen.any():
                rows = chosen.nonzero().flatten()
                outputs = expert(features[rows]) * gates[rows, e, None]
                logits = logits.index_add(0, rows, outputs)
        return logits


LOOPED = {Soft: LoopedSoft, Sparse: LoopedSparse}


def measure(repeats: int) -> BenchmarkNumbers:
    """Time per batch of each head, in inference and in training, for batches of 1 to 2048."""
    torch.manual_seed(0)
    cases = []
    for settings in (*HEADS, *LARGER):
        stacked = build_head(settings, FEATURES, CLASSES, PROTOCOLS["corrected"])
        looped = LOOPED[type(settings)](stacked)
        small = settings in HEADS
        modes = ("inference", "training") if small else ("inference",)
        cases += [
            compare(settings, stacked, looped, n, mode, repeats)
            for mode, n in product(modes, BATCHES if small else LARGER_BATCHES)
        ]
    return BenchmarkNumbers(
        name="heads",
        question="How much faster are stacked experts than a loop over expert modules?",
        baseline="a loop over expert modules; sparse: over boolean masks",
        candidate="stacked experts",
        unit="ms per batch",
        cases=tuple(cases),
    )


def compare(
    settings: Soft | Sparse,
    stacked: nn.Module,
    looped: nn.Module,
    n: int,
    mode: str,
    repeats: int,
) -> Case:
    """Both ways on the same images, after their outputs were seen to agree."""
    features = torch.randn(n, FEATURES)
    for head in (stacked, looped):
        head.train(mode == "training")
    if mode == "inference":
        with torch.inference_mode():
            torch.testing.assert_close(stacked(features), looped(features))
    step = {"inference": forward, "training": forward_backward}[mode]
    baseline, candidate = interleave(
        lambda: milliseconds(lambda: step(looped, features), CALLS[n]),
        lambda: milliseconds(lambda: step(stacked, features), CALLS[n]),
        repeats=repeats,
    )
    threefold = settings in HEADS and n <= TARGETED[type(settings)]
    size = settings.model_dump(include={"experts", "k", "hidden"})
    return Case(
        setting={"head": settings.kind, **size, "mode": mode, "batch": n},
        baseline=baseline,
        candidate=candidate,
        target_ratio=(3.0 if threefold else 1.0) if mode == "inference" else None,
    )


def forward(head: nn.Module, features: Tensor) -> None:
    """What is timed in inference."""
    with torch.inference_mode():
        head(features)


def forward_backward(head: nn.Module, features: Tensor) -> None:
    """What is timed in training."""
    head.zero_grad()
    head(features).square().mean().backward()


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=21)
