"""Tensors on disk: safetensors with a digest, written atomically. No pickle is ever read."""

import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from moelib.records.atomic import write_atomically
from moelib.records.provenance import digest


class CheckpointError(ValueError):
    """A checkpoint that is missing or damaged."""


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict | None = None) -> str:
    """Write tensors and a JSON-able description; returns the SHA-256 of the tensors."""
    # A contiguous copy on the CPU: safetensors stores neither strides nor devices.
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    sha256, text = tensors_digest(tensors), json.dumps(about or {})
    metadata = {"sha256": sha256, "about": text, "about_sha256": digest([text.encode()])}
    write_atomically(path, safetensors.torch.save(tensors, metadata))
    return sha256


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict, str]:
    """Read tensors, their description and their SHA-256.

    Raises:
        CheckpointError: the file is not there, cannot be parsed, or its digest does not match.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies: what is digested here stays so, whatever becomes of the mapped file.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"The checkpoint {path} is damaged: {error}.") from None
    about = metadata.get("about", "")
    sha256, about_sha256 = tensors_digest(tensors), digest([about.encode()])
    # The weights of the first published runs have no digest of their description.
    expected = metadata.get("sha256"), metadata.get("about_sha256", about_sha256)
    if (sha256, about_sha256) != expected:
        raise CheckpointError(
            f"The checkpoint {path} is damaged: its digest does not match its content."
        )
    return tensors, json.loads(about), sha256


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    return digest(
        part
        for name, tensor in sorted(tensors.items())
        for part in (
            f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(),
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes(),
        )
    )
