"""Head latency: stacked experts against a loop over expert modules, the straightforward way.

Same weights, same outputs (asserted), one thread, float32. Both ways are timed in alternation, so
that the machine's other load falls on both; a repeat gives one ratio, and medians and quartiles
are over repeats.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from moelib.config import PROTOCOLS, Soft, Sparse
from moelib.heads import Mixture, build_head

FEATURES, CLASSES = 512, 10
HEADS = {"soft": Soft(kind="soft"), "sparse": Sparse(kind="sparse")}  # E = 8, hidden 64, k = 2
BATCHES = (1, 8, 32, 128, 256, 2048)
CALLS = {1: 40, 8: 40, 32: 40, 128: 20, 256: 10, 2048: 2}  # forwards in one timing


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
                nn.Dropout(stacked.dropout.p),
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


LOOPED = {"soft": LoopedSoft, "sparse": LoopedSparse}


def measure(repeats: int) -> dict:
    """Milliseconds per batch for each head, mode and batch size, and the ratio looped / stacked."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    results = {}
    for name, config in HEADS.items():
        stacked = build_head(config, FEATURES, CLASSES, PROTOCOLS["corrected"])
        looped = LOOPED[name](stacked)
        results[name] = {
            mode: {n: _compare(stacked, looped, n, mode, repeats) for n in BATCHES}
            for mode in ("inference", "training")
        }
    return results


def _compare(stacked: nn.Module, looped: nn.Module, n: int, mode: str, repeats: int) -> dict:
    features = torch.randn(n, FEATURES)
    for head in (stacked, looped):
        head.train(mode == "training")
    if mode == "inference":
        with torch.inference_mode():
            torch.testing.assert_close(stacked(features), looped(features))
    step = {"inference": _forward, "training": _forward_backward}[mode]
    runs = {"stacked": lambda: step(stacked, features), "looped": lambda: step(looped, features)}
    for run in runs.values():  # warm-up
        _milliseconds(run, CALLS[n])
    times = {way: [] for way in runs}
    for _ in range(repeats):
        for way, run in runs.items():
            times[way].append(_milliseconds(run, CALLS[n]))
    ratios = [a / b for a, b in zip(times["looped"], times["stacked"], strict=True)]
    return {way: _summary(values) for way, values in times.items()} | {"ratio": _summary(ratios)}


def _forward(head: nn.Module, features: Tensor) -> None:
    with torch.inference_mode():
        head(features)


def _forward_backward(head: nn.Module, features: Tensor) -> None:
    head.zero_grad()
    head(features).square().mean().backward()


def _milliseconds(run: Callable[[], None], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls * 1e3


def _summary(values: list[float]) -> dict[str, float | list[float]]:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "quartiles": [low, high], "values": values}


def main() -> None:
    """Measure and print; `--json` keeps every repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = measure(arguments.repeats)
    if arguments.json:
        print(json.dumps(results))
        return
    print("head    mode        batch  looped ms  stacked ms  ratio (quartiles)")
    for name, modes in results.items():
        for mode, sizes in modes.items():
            for n, row in sizes.items():
                low, high = row["ratio"]["quartiles"]
                print(
                    f"{name:7} {mode:10} {n:6} {row['looped']['median']:10.3f}"
                    f" {row['stacked']['median']:11.3f}  {row['ratio']['median']:.2f}"
                    f" ({low:.2f} to {high:.2f})"
                )


if __name__ == "__main__":
    main()
