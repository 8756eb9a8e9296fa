"""Filters of a network: the weights into one output unit each."""

import torch
from torch import nn

from moelib.heads.experts import Experts
from moelib.heads.head import build_head
from moelib.study.base import ConfigError
from moelib.study.run import Run
from moelib.training.backbones import build_backbone
from moelib.training.data import Dataset
from moelib.training.model import Classifier


def filter_axes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """For each parameter of a model, by name, the axes along which one of its filters extends.

    Of a convolution (out, in, height, width) a filter is an output channel, of a linear layer
    (out, in) a row, of stacked experts a unit of one expert. Biases, normalisations and other
    parameters of at most one axis have no filters, and so no axes.

    >>> filter_axes(nn.Linear(3, 2))
    {'weight': (1,), 'bias': ()}

    Raises:
        ConfigError: it is not known which axes of a parameter are its layer's inputs.
    """
    axes = {}
    for name, parameter in model.named_parameters():
        path, _, attribute = name.rpartition(".")
        layer = model.get_submodule(path)
        if isinstance(layer, Experts):
            axes[name] = layer.INPUT_AXES.get(attribute, ())
        elif parameter.ndim < 2 or isinstance(layer, nn.Linear | nn.Conv2d):
            axes[name] = tuple(range(1, parameter.ndim))
        else:
            raise ConfigError(
                f"'{name}' of shape {tuple(parameter.shape)} belongs to a {type(layer).__name__}, "
                "of which it is not known what a filter is: it must be of nn.Linear, nn.Conv2d or "
                "Experts."
            )
    return axes


def refuse_unknown_filters(run: Run, dataset: Dataset) -> None:
    """Refuse a network without known filters where the study asks for the surface of its loss.

    The random directions of a surface are as long as the network's filters.

    Raises:
        ConfigError: the study has `analyses.surface`, and the filters of a layer are not known.
    """
    study = run.study
    if study.analyses.surface is None:
        return
    with torch.device("meta"):  # shapes alone
        backbone = build_backbone(study.backbone, dataset.train.images.shape[-1])
        head = build_head(
            study.heads[run.head], backbone.features, len(dataset.classes), study.protocol
        )
    try:
        filter_axes(Classifier(backbone, head))
    except ConfigError as error:
        raise ConfigError(
            f"analyses.surface must be null for this network: {str(error)[:-1]}."
        ) from None
