"""Whether this machine can run a study, asked before anything starts and without torch."""

from collections.abc import Iterable

import psutil

from moelib.study.base import ConfigError
from moelib.study.gpu import has_gpu
from moelib.study.study import Study

ELSEWHERE = "`make study` with a cluster's profile in ARGS runs it elsewhere"


def refuse_machine(study: Study, heads: Iterable[str] | None = None) -> None:
    """Refuse a study that wants a GPU that is not here, or a net that cannot fit into memory.

    Args:
        study: that is to run on this machine.
        heads: those of its heads that are to run; default: all.

    Raises:
        ConfigError: it does.
    """
    if study.training.device == "cuda" and not has_gpu():
        raise ConfigError(
            f"The study '{study.name}' wants a CUDA device, and this machine has none: "
            f"training.device: cpu or auto runs it here, {ELSEWHERE}."
        )
    memory = psutil.virtual_memory().total
    for name, count in least_weights(study, heads).items():
        least = 3 * 4 * count  # bytes of weights, gradients and momentum
        if least > memory:
            fewer = "narrower widths" if name == "backbone" else "fewer experts or hidden units"
            raise ConfigError(
                f"{name} of the study '{study.name}' needs {least / 2**30:,.0f} GiB at the least, "
                f"and this machine has {memory / 2**30:,.0f}: {fewer} run here, {ELSEWHERE}."
            )


def least_weights(study: Study, heads: Iterable[str] | None = None) -> dict[str, int]:
    """How many weights each part has at the least: hidden units on features, one convolution."""
    features = getattr(study.backbone, "features", 1)
    counts = {
        f"heads.{name}": features
        * max(head.chosen and head.experts, 1)
        * getattr(head, "hidden", 1)
        for name, head in study.heads.items()
        if heads is None or name in heads
    }
    counts["backbone"] = 9 * max(getattr(study.backbone, "widths", [1])) ** 2
    return counts
