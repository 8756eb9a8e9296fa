"""The compiled forward pass, used only where it computes what the eager one does."""

import torch
import torch.nn.functional as F

from moelib.heads.gates import without_evaluation_noise
from moelib.study.training import Training
from moelib.training import device
from moelib.training.data import Dataset
from moelib.training.errors import TrainingError
from moelib.training.evaluate import network_input
from moelib.training.model import Classifier
from moelib.training.step import Forward

COMPARED = 128  # images
# Relative, of losses below 1 nat absolute: bf16 keeps 8 bits, and fused operations round otherwise.
LOSS_TOLERANCE = 0.02


def compiled_forward(model: Classifier, training: Training, dataset: Dataset) -> Forward:
    """The model's forward pass, compiled.

    Both passes are compared by their loss on the first images, without gate noise: compiled code
    draws other random numbers.

    Raises:
        TrainingError: the losses differ.
    """
    compiled = torch.compile(model.routed)
    images = network_input(dataset.train.images[:COMPARED], dataset, training.channels_last)
    labels = dataset.train.labels[:COMPARED]
    model.eval()
    with without_evaluation_noise(model), torch.no_grad(), device.autocast(training):
        eager, fused = (
            F.cross_entropy(forward(images)[0], labels).item()
            for forward in (model.routed, compiled)
        )
    allowed = LOSS_TOLERANCE * max(1.0, eager)
    if not abs(fused - eager) <= allowed:  # also refuses NaN
        raise TrainingError(
            f"The compiled model's loss on the first batch is {fused:.4g}, the eager model's "
            f"{eager:.4g}; set training.compile to false on this machine."
        )
    return compiled
