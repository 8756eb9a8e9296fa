"""What a machine is refused for, on machines of any size."""

from types import SimpleNamespace

import pytest
import synthetic
from prose import refusal

from moelib.study import gpu, machine
from moelib.study.backbones import RandomFeatures, ResNet18, SmallResNet
from moelib.study.base import ConfigError
from moelib.study.machine import least_weights, refuse_machine
from moelib.study.training import Training


@pytest.fixture
def study():
    return synthetic.study()


def with_memory(monkeypatch, total):
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(total=total))


@pytest.mark.parametrize(
    "backbone, features",
    [
        (ResNet18(kind="resnet18"), 512),
        (SmallResNet(kind="small_resnet", widths=(4, 24)), 24),
        (RandomFeatures(kind="random_features", filters=3), 24),
    ],
)
def test_weights_are_of_all_experts_on_all_features(study, backbone, features):
    study = study.model_copy(update={"backbone": backbone})
    soft, dense = study.heads["soft"], study.heads["dense"]
    counts = least_weights(study)
    assert counts["heads.soft"] == features * soft.experts * soft.hidden
    assert counts["heads.dense"] == features * dense.hidden


def test_memory_of_the_largest_part_decides(study, monkeypatch):
    counts = least_weights(study)
    largest = max(counts, key=counts.get)
    with_memory(monkeypatch, 12 * counts[largest])
    refuse_machine(study)
    with_memory(monkeypatch, 12 * counts[largest] - 1)
    with refusal(ConfigError, largest):
        refuse_machine(study)


def test_a_head_that_is_not_to_run_is_not_asked_for(study, monkeypatch):
    counts = least_weights(study)
    with_memory(monkeypatch, 12 * max(counts["heads.dense"], counts["backbone"]))
    refuse_machine(study, ["dense"])
    with refusal(ConfigError, "heads.soft"):
        refuse_machine(study)


@pytest.mark.parametrize("driver", [None, "file", "program"])
def test_a_gpu_is_seen_by_its_driver(study, monkeypatch, tmp_path, driver):
    (tmp_path / "file").touch()
    monkeypatch.setattr(gpu, "DRIVERS", (str(tmp_path / (driver or "none")),))
    monkeypatch.setattr(gpu.shutil, "which", lambda _: "found" if driver == "program" else None)
    training = study.training.model_copy(update={"device": "cuda"})
    study = study.model_copy(update={"training": training})
    if driver is None:
        with refusal(ConfigError, "CUDA device"):
            refuse_machine(study)
    else:
        refuse_machine(study)
    assert Training(epochs=50, device="auto").device == ("cuda" if driver else "cpu")


def test_a_device_that_is_named_is_not_replaced(monkeypatch):
    monkeypatch.setattr("moelib.study.training.has_gpu", lambda: True)
    assert [Training(epochs=50, device=name).device for name in ("cpu", "cuda")] == ["cpu", "cuda"]
