"""The device and its numerics: chosen openly, and put back whatever happens."""

import pytest
import torch
from prose import refusal

from moelib.study.base import ConfigError
from moelib.study.training import Training
from moelib.training import device

AUTO = {"precision": "auto", "channels_last": "auto", "compile": "auto"}


def processor_with(monkeypatch, *extensions):
    monkeypatch.setattr(device, "processor", lambda: ("A processor", extensions))


def state():
    return (
        torch.get_num_threads(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.deterministic,
    )


def choice(training):
    resolved = device.resolve(training)
    assert resolved.model_copy(update=AUTO) == training.model_copy(update=AUTO)  # nothing else
    return resolved.precision, resolved.channels_last, resolved.compile


@pytest.mark.parametrize("extension", ["amx_bf16", "avx512_bf16", "bf16"])
def test_a_cpu_with_bf16_instructions_uses_them(monkeypatch, extension):
    processor_with(monkeypatch, "avx2", extension)
    assert choice(Training(epochs=50)) == ("bf16", True, False)


def test_any_other_cpu_computes_in_fp32(monkeypatch):
    processor_with(monkeypatch, "avx2", "avx512f")
    assert choice(Training(epochs=50)) == ("fp32", True, False)


def test_a_gpu_computes_in_bf16_compiled(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choice(Training(epochs=50, device="cuda")) == ("bf16", True, True)


def test_what_is_not_auto_stays_as_it_is(monkeypatch):
    processor_with(monkeypatch, "amx_bf16")
    settings = {"precision": "fp32", "channels_last": False, "compile": True}
    training = Training(epochs=50, **settings)
    assert device.resolve(training) == training
    for key, value in settings.items():
        assert getattr(device.resolve(Training(epochs=50, **{key: value})), key) == value


def test_a_gpu_that_is_not_there_is_refused_and_not_replaced(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with refusal(ConfigError, "training.device is 'cuda'", "no CUDA device", "'cpu'"):
        device.resolve(Training(epochs=50, device="cuda", precision="fp32"))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_numerics_are_set_and_put_back(precision):
    before = state()
    training = Training(epochs=50, threads=3, device="cuda", precision=precision)
    with device.numerics(training) as choice:
        assert choice == torch.device("cuda")
        assert state() == (3, precision == "tf32", precision == "tf32", True)
    assert state() == before


def test_numerics_are_put_back_after_an_exception():
    before = state()
    with pytest.raises(KeyError), device.numerics(Training(epochs=50, threads=2)):
        raise KeyError
    assert state() == before


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_autocast_follows_the_precision(precision, dtype):
    with device.autocast(Training(epochs=50, precision=precision)):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
