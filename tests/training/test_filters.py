"""Filters: which axes they extend along, and networks that are refused before their training."""

import math

import pytest
import torch
from prose import refusal
from tiny import tiny_dataset, tiny_run
from torch import nn

from moelib.study.analyses import Analyses
from moelib.study.base import ConfigError
from moelib.study.reader import parse_study
from moelib.study.run import Run
from moelib.training import filters
from moelib.training.filters import filter_axes, refuse_unknown_filters
from moelib.training.model import build_model
from moelib.training.train import train

HEADS = ("linear", "dense", "soft", "sparse", "switch", "uniform", "frozen")
BACKBONES = (
    {"kind": "resnet18"},
    {"kind": "small_resnet", "widths": [4]},
    {"kind": "speednet", "widths": [4, 4, 4]},
    {"kind": "random_features", "filters": 4},
)


class Rows(nn.Module):
    """A backbone that reads an image (channel, height, width) row by row."""

    def __init__(self):
        super().__init__()
        self.features = 3
        self.rows = nn.Conv1d(5, self.features, kernel_size=1)

    def forward(self, images):
        """Features (n, d)."""
        return self.rows(images[:, 0]).mean(dim=2)


class Scaled(nn.Module):
    """A backbone with a matrix of its own."""

    def __init__(self):
        super().__init__()
        self.features = 5
        self.scale = nn.Parameter(torch.ones(5, 5))

    def forward(self, images):
        """Features (n, d)."""
        return (images[:, 0] * self.scale).mean(dim=2)


@pytest.mark.parametrize("head", HEADS)
def test_axes_are_those_of_a_units_inputs(head, dataset):
    """A filter has as many weights as its unit has inputs."""
    model = build_model(tiny_run(head), dataset)
    for name, axes in filter_axes(model).items():
        parameter = model.get_parameter(name)
        layer = model.get_submodule(name.rpartition(".")[0])
        inputs = math.prod(parameter.shape[axis] for axis in axes)
        if isinstance(layer, nn.Conv2d) and parameter.ndim == 4:
            assert inputs == layer.in_channels * math.prod(layer.kernel_size)
        elif isinstance(layer, nn.Linear) and parameter.ndim == 2:
            assert inputs == layer.in_features
        elif name.endswith("w_in"):
            assert inputs == parameter.shape[0]  # (d, e, h)
        elif name.endswith("w_out"):
            assert inputs == parameter.shape[1]  # (e, h, c)
        else:
            assert axes == ()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Bilinear(2, 3, 4),
        nn.Conv1d(2, 3, 1),
        nn.ConvTranspose2d(2, 3, 1),
        nn.LayerNorm((2, 3)),
        nn.MultiheadAttention(4, 2),
        nn.Embedding(2, 3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_of_unknown_filters_is_refused_by_name(layer):
    with pytest.raises(ConfigError, match=rf"^'net\.\w+' of shape .* {type(layer).__name__}"):
        filter_axes(nn.ModuleDict({"net": layer}))


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone["kind"])
@pytest.mark.parametrize("head", HEADS)
def test_every_network_of_a_study_has_known_filters(head, backbone):
    run = tiny_run(head)
    described = {**run.study.model_dump(exclude_unset=True), "backbone": backbone}
    study = run.study.model_copy(update={"backbone": parse_study(described).backbone})
    state = torch.get_rng_state()
    refuse_unknown_filters(Run(study, head, 0), tiny_dataset(train=10, held_out=4, size=9))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("backbone", "kind"), [(Rows, "Conv1d"), (Scaled, "Scaled")])
def test_a_training_whose_surface_could_not_be_measured_does_not_start(
    backbone, kind, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(filters, "build_backbone", lambda *_: backbone())
    run, dataset = tiny_run("sparse"), tiny_dataset(train=30, held_out=8, size=5)
    with refusal(ConfigError, "analyses.surface", "null", kind):
        train(run, dataset)
    assert not run.folder.exists()


def test_a_study_without_the_surface_takes_any_network(monkeypatch):
    monkeypatch.setattr(filters, "build_backbone", lambda *_: Rows())
    run = tiny_run("sparse")
    study = run.study.model_copy(update={"analyses": Analyses(surface=None)})
    refuse_unknown_filters(Run(study, run.head, run.seed), tiny_dataset(train=30, held_out=8))
