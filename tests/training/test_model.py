"""Models: the paper's sizes, shared beginnings, a head that computes in float32."""

from dataclasses import replace

import pytest
import torch
from prose import refusal
from tiny import tiny_dataset, tiny_run

from moelib.study.backbones import SpeedNet
from moelib.study.base import ConfigError
from moelib.study.reader import load_study
from moelib.study.run import Run
from moelib.training import backbones
from moelib.training.data import normalise
from moelib.training.model import build_model, parameter_count


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("study", ["paper", "paper-as-run"])
@pytest.mark.parametrize(
    ("head", "total"),
    [("dense", 11_436_618), ("soft", 11_440_792), ("sparse", 11_444_896), ("switch", 11_440_792)],
)
def test_the_papers_parameter_counts(study, head, total):
    dataset = tiny_dataset(train=1, held_out=1, size=32, classes=tuple("0123456789"))
    model = build_model(Run(load_study(study), head, 0), dataset)
    assert parameter_count(model) == total
    assert parameter_count(model.backbone) == 11_168_832
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("protocol", ["corrected", "as-run"])
def test_heads_of_a_seed_share_the_initial_backbone(dataset, protocol):
    heads = tiny_run().study.heads
    states = {h: build_model(tiny_run(h, protocol=protocol), dataset).state_dict() for h in heads}
    backbones = [
        {name: tensor for name, tensor in state.items() if name.startswith("backbone.")}
        for state in states.values()
    ]
    assert all(same(backbone, backbones[0]) for backbone in backbones)
    gates = [states[head]["head.gate.score.weight"] for head in ("soft", "sparse")]
    assert not torch.equal(*gates)  # a head's own stream


def test_seeds_begin_apart_and_a_seed_begins_alike(dataset):
    first, repeated, other = (
        build_model(tiny_run("soft", seed), dataset).state_dict() for seed in (0, 0, 1)
    )
    assert same(first, repeated)
    for name in ("backbone.stem.0.weight", "head.gate.score.weight", "head.experts.w_in"):
        assert not torch.equal(first[name], other[name])


def test_building_neither_reads_nor_moves_the_default_generator(dataset):
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        states.append(build_model(tiny_run("sparse"), dataset).state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    assert same(*states)


def test_speednet_is_whitened_by_training_images_alone(dataset):
    net = SpeedNet(kind="speednet", widths=(4, 4, 4))
    run = Run(tiny_run().study.model_copy(update={"backbone": net}), "soft", 0)
    images = tiny_dataset(size=9)
    whitening = build_model(run, images).backbone.whitening
    expected = backbones.SpeedNet(3, (4, 4, 4))
    expected.whiten(normalise(images.train.images, images.mean, images.std))
    assert torch.equal(whitening, expected.whitening)
    other = replace(images, validation=images.train, test=images.train)
    assert torch.equal(build_model(run, other).backbone.whitening, whitening)


def test_images_that_a_speednet_would_shrink_to_nothing_are_refused(dataset):
    study = tiny_run().study.model_copy(update={"backbone": SpeedNet(kind="speednet")})
    with refusal(ConfigError, "at least 9 x 9", "8 x 8", "small_resnet"):
        build_model(Run(study, "soft", 0), dataset)


@pytest.mark.parametrize("head", ["linear", "soft", "sparse"])
def test_the_head_computes_in_float32_under_bf16(dataset, head):
    model = build_model(tiny_run(head), dataset).eval()
    images = normalise(dataset.test.images, dataset.mean, dataset.std)
    types = {}
    model.backbone.register_forward_hook(lambda m, i, out: types.update(backbone=out.dtype))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits, routing = model.routed(images)
        features = model.backbone(images)
    assert types["backbone"] == torch.bfloat16
    assert logits.dtype == torch.float32
    if routing is not None:
        assert routing.gates.dtype == torch.float32
        # 8 bits of a bf16 product would differ in the third digit.
        expected = features.float() @ model.head.gate.score.weight.T + model.head.gate.score.bias
        if head == "soft":
            torch.testing.assert_close(routing.logits, expected)


def test_forward_is_the_first_part_of_routed(dataset):
    model = build_model(tiny_run("soft"), dataset).eval()
    images = normalise(dataset.test.images, dataset.mean, dataset.std)
    with torch.no_grad():
        assert torch.equal(model(images), model.routed(images)[0])
