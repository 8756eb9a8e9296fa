"""A study, data and runs so small that an epoch takes an instant; and notebooks of some cells."""

import json
from pathlib import Path
from typing import Any

import torch

from moelib.study.reader import parse_study
from moelib.study.run import Run
from moelib.study.study import Study
from moelib.training.data import Dataset, Split

CLASSES = ("a", "b", "c", "d")
SMALL = {"experts": 4, "hidden": 4}


def tiny_study(protocol: str | dict = "corrected", **training: Any) -> Study:
    """All seven heads on a net of one block; `protocol` and `training` override its keys."""
    if isinstance(protocol, dict):
        protocol = {"base": "corrected", **protocol}
    schedule = {"kind": "multistep", "milestones": [2] if training.get("epochs", 3) > 2 else []}
    return parse_study(
        {
            "name": "tiny",
            "description": "Images that are made up.",
            "data": {"source": "digits", "test_share": 0.25, "crop_padding": 1},
            "backbone": {"kind": "small_resnet", "widths": [4]},
            "heads": {
                "linear": {},
                "dense": {"hidden": 8},
                "soft": {**SMALL, "balance": {"kl": 0.2}},
                "sparse": {**SMALL, "balance": {"importance": 0.1, "load": 0.1, "z": 0.01}},
                "switch": {**SMALL, "balance": {"switch": 0.05, "bias_rate": 0.01}},
                "uniform": SMALL,
                "frozen": SMALL,
            },
            "seeds": [0, 1],
            "protocol": protocol,
            "training": {
                "epochs": 3,
                "batch_size": 32,
                "schedule": schedule,
                "precision": "fp32",
                "channels_last": True,
                "compile": False,
                **training,
            },
            "analyses": {
                "utilization": {"permutations": 20},
                "sharpness": {"images": 4},
                "surface": {"images": 4},
            },
        }
    )


def tiny_run(head: str = "sparse", seed: int = 0, **changes: Any) -> Run:
    """One run of the tiny study."""
    return Run(tiny_study(**changes), head, seed)


def tiny_dataset(train: int = 112, held_out: int = 40, size: int = 8, classes=CLASSES) -> Dataset:
    """Each class has its colour and pattern, under noise; 112 images make a last batch of 16."""
    generator = torch.Generator().manual_seed(0)

    def random(least: int, bound: int, *shape: int) -> torch.Tensor:
        return torch.randint(least, bound, (*shape, 3), generator=generator)

    patterns = random(80, 176, len(classes), 1, 1) + random(-30, 30, len(classes), size, size)

    def split(n: int) -> Split:
        labels = torch.arange(n) % len(classes)
        return Split((patterns[labels] + random(-50, 50, n, size, size)).to(torch.uint8), labels)

    mean, std = torch.full((3,), 128.0), torch.full((3,), 64.0)
    splits = split(train), split(held_out), split(held_out)
    return Dataset(*splits, classes, mean, std, f"{train} {held_out} {size}")


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook whose first cell declares the parameters."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell-{number}",
                "metadata": {"tags": [] if number else ["parameters"]},
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content))
    return path
