"""Memory of a forward pass: what must be there, and what a failing process says."""

import pytest
import torch
from prose import refusal
from tiny import tiny_study

from moelib.analyses.footprint import MIB, footprint, measure
from moelib.heads.head import build_head
from moelib.study.backbones import SmallResNet
from moelib.training.model import Classifier, parameter_count

pytestmark = pytest.mark.slow

WIDTH, SHAPE, CLASSES, BATCH = 16, (32, 32, 3), 4, 256


def study():
    """The tiny study on a net whose first feature map of 256 images takes 16 MiB."""
    backbone = SmallResNet(kind="small_resnet", widths=(WIDTH,))
    return tiny_study().model_copy(update={"backbone": backbone})


def backbone_parameters():
    """Three 3x3 convolutions without bias, and a scale and a shift for each of three norms."""
    return 9 * WIDTH * (3 + WIDTH + WIDTH) + 3 * 2 * WIDTH


@pytest.mark.parametrize("head", ["linear", "dense", "sparse", "frozen"])
def test_weights_are_four_bytes_for_each_parameter(head):
    """Those that are trained: buffers, such as a frozen gate or a norm's averages, are none."""
    settings = study()
    module = build_head(settings.heads[head], WIDTH, CLASSES, settings.protocol)
    footprint = measure(settings, head, 1, (8, 8, 3), CLASSES)
    assert footprint.weights_mib == 4 * (backbone_parameters() + parameter_count(module)) / MIB
    assert footprint.batch == 1


def test_more_images_take_more_memory_and_at_least_two_feature_maps_of_them():
    settings = study()
    small, large = (footprint(settings, "sparse", batch, SHAPE, CLASSES) for batch in (1, BATCH))
    assert (small.batch, large.batch) == (1, BATCH)
    assert small.weights_mib == large.weights_mib
    # A convolution of the block holds its input while it writes its output: two maps of 32 x 32 x
    # 16 float32.
    for memory in (small, large):
        assert memory.peak_mib >= 2 * memory.batch * WIDTH * 32 * 32 * 4 / MIB
    assert large.peak_mib > small.peak_mib


def test_a_process_that_fails_is_an_error_that_says_why():
    with refusal(RuntimeError, "memory", "Traceback", "KeyError: 'nobody'"):
        footprint(study(), "nobody", 1, SHAPE, CLASSES)


def test_the_pass_has_the_threads_and_the_format_that_the_training_asks_for(monkeypatch):
    """A fresh process starts with all cores and in float32."""
    log = []

    def look(self, images):
        first_map = self.backbone.stem[0](images)
        log.append((len(images), torch.get_num_threads(), first_map.dtype, self.training))
        log.append(images.is_contiguous(memory_format=torch.channels_last))
        assert torch.is_inference_mode_enabled()

    settings = study()
    training = settings.training.model_copy(update={"threads": 2, "precision": "bf16"})
    monkeypatch.setattr(Classifier, "forward", look)
    try:
        changed = settings.model_copy(update={"training": training})
        measure(changed, "soft", 2, (8, 8, 3), CLASSES)
    finally:
        torch.set_num_threads(1)
    assert log == [(2, 2, torch.bfloat16, False), True]  # no pass before: it would leave memory
