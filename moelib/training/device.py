"""The device and its numerical format, chosen openly: never another one than was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from moelib.records.provenance import processor
from moelib.study.base import ConfigError
from moelib.study.training import Training

BF16_EXTENSIONS = {"amx_bf16", "avx512_bf16", "bf16"}


def resolve(training: Training) -> Training:
    """Replace each `auto` by the default that measurements chose for the device.

    CPU with bf16 matrix instructions (AMX, AVX512-BF16, Arm BF16): bf16, channels_last, eager;
    any other CPU: fp32, channels_last, eager (`benchmarks/step.py` measures the ratios).
    CUDA: bf16, channels_last, compiled.

    Raises:
        ConfigError: the device is not there.
    """
    if training.device == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(
                "training.device is 'cuda', but torch finds no CUDA device on this machine; "
                "set it to 'cpu' to run there."
            )
        fast = {"precision": "bf16", "channels_last": True, "compile": True}
    else:
        bf16 = BF16_EXTENSIONS & set(processor()[1])
        fast = {"precision": "bf16" if bf16 else "fp32", "channels_last": True, "compile": False}
    auto = {key: value for key, value in fast.items() if getattr(training, key) == "auto"}
    return training.model_copy(update=auto)


@contextmanager
def numerics(training: Training) -> Iterator[torch.device]:
    """Threads, tf32 and determinism as the resolved training says; restored on exit.

    cuDNN is kept to deterministic kernels, so that a run can be repeated bit by bit.
    """
    before = (
        torch.get_num_threads(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.deterministic,
    )
    tf32 = training.precision == "tf32"
    try:
        _set_numerics(training.threads, tf32, tf32, True)
        yield torch.device(training.device)
    finally:
        _set_numerics(*before)


def _set_numerics(threads: int, matmul_tf32: bool, conv_tf32: bool, deterministic: bool) -> None:
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
    torch.backends.cudnn.allow_tf32 = conv_tf32
    torch.backends.cudnn.deterministic = deterministic


def autocast(training: Training) -> torch.autocast:
    """The context of forward passes: bf16 where the resolved precision says so."""
    return torch.autocast(
        training.device, dtype=torch.bfloat16, enabled=training.precision == "bf16"
    )
