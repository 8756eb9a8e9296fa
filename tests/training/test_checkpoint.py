"""Tensors on disk: the same bits come back, and no damage goes unnoticed."""

import json

import pytest
import safetensors.torch
import torch
from prose import lacking, refusal

from moelib.training.checkpoint import CheckpointError, load_tensors, save_tensors, tensors_digest

pytestmark = pytest.mark.slow


def some_tensors():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 4, 5, generator=generator)
    return {
        "plain": torch.randn(3, 2, generator=generator),
        "channels last": images.to(memory_format=torch.channels_last),
        "transposed": torch.randn(4, 3, generator=generator).T,
        "every other": torch.arange(10)[::2],
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "half": torch.randn(5, generator=generator).bfloat16(),
        "double": torch.tensor([1 / 3, -0.0, torch.inf, torch.nan], dtype=torch.float64),
        "flags": torch.tensor([True, False]),
        "bytes": torch.arange(256, dtype=torch.uint8),
        "trained": torch.ones(2, requires_grad=True),
    }


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "state.safetensors"
    save_tensors(path, {"a": torch.arange(3.0), "b": torch.tensor(1)}, {"epochs": [0.25]})
    return path


def test_values_types_and_shapes_come_back_bit_by_bit(tmp_path):
    tensors = some_tensors()
    path = tmp_path / "folder" / "weights.safetensors"
    metadata = {"epochs": [1.0, 0.1], "inputs": {"data": "é"}}
    sha256 = save_tensors(path, tensors, metadata)
    loaded, loaded_about, loaded_sha256 = load_tensors(path)
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype and loaded[name].shape == tensor.shape
        bits = [t.detach().contiguous().flatten().view(torch.uint8) for t in (loaded[name], tensor)]
        assert torch.equal(*bits)
    assert (loaded_about, loaded_sha256) == (metadata, sha256)
    assert tensors_digest(loaded) == sha256


def test_weights_go_back_into_parameters_of_another_memory_format(tmp_path):
    conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    save_tensors(tmp_path / "w", conv.state_dict())
    for memory in (torch.channels_last, torch.contiguous_format):
        other = torch.nn.Conv2d(3, 4, 3).to(memory_format=memory)
        other.load_state_dict(load_tensors(tmp_path / "w")[0])
        assert torch.equal(other.weight, conv.weight)
        assert other.weight.is_contiguous(memory_format=memory)


def test_what_was_read_does_not_change_with_the_file(saved):
    tensors = load_tensors(saved)[0]
    with open(saved, "r+b") as file:
        file.write(bytes(saved.stat().st_size))
    assert tensors["a"].tolist() == [0, 1, 2]


def test_digest_knows_names_types_shapes_and_values_and_not_strides_or_order():
    base = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}
    assert tensors_digest(dict(reversed(base.items()))) == tensors_digest(base)
    strided = {**base, "a": base["a"].T.contiguous().T}
    assert tensors_digest(strided) == tensors_digest(base)
    others = [
        {"c": base["a"], "b": base["b"]},
        {**base, "a": base["a"].view(3, 2)},
        {**base, "a": base["a"].view(torch.int32)},
        {**base, "b": torch.tensor([1.0, 1.0 + 2**-23])},
        {"a": base["a"]},
    ]
    assert len({tensors_digest(tensors) for tensors in [base, *others]}) == 6


def test_a_file_that_is_not_there(tmp_path):
    with refusal(CheckpointError, f"no checkpoint {tmp_path / 'weights.safetensors'}"):
        load_tensors(tmp_path / "weights.safetensors")


def test_a_truncated_file_is_refused_wherever_it_ends(saved):
    whole = saved.read_bytes()
    for length in range(len(whole)):
        saved.write_bytes(whole[:length])
        with refusal(CheckpointError, saved, "damaged"):
            load_tensors(saved)


@pytest.mark.parametrize("change", [1, 0x10, 0x80], ids=["1", "16", "128"])
def test_one_changed_byte_is_noticed_wherever_it_is(saved, change):
    whole = saved.read_bytes()
    tensors, metadata, sha256 = load_tensors(saved)
    unnoticed = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= change
        saved.write_bytes(damaged)
        try:
            loaded, loaded_about, loaded_sha256 = load_tensors(saved)
        except CheckpointError as error:
            assert not lacking(str(error), (saved, "damaged"))
        else:  # only where nothing depends on it: the name of the description's digest
            assert (loaded_about, loaded_sha256) == (metadata, sha256)
            assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
            unnoticed += 1
    assert unnoticed <= len("about_sha256") + 8  # and spaces that fill the header up


def test_weights_without_a_digest_of_their_description_are_read(tmp_path):
    # Those of the first published runs.
    tensors = {"a": torch.ones(2)}
    metadata = {"sha256": tensors_digest(tensors), "about": '{"epoch": 3}'}
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    assert load_tensors(path)[1:] == ({"epoch": 3}, metadata["sha256"])


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.ones(1)}))  # without a digest
    with refusal(CheckpointError, path, "digest", "content"):
        load_tensors(path)
    path.write_text(json.dumps({"a": 1}))
    with refusal(CheckpointError, path, "damaged"):
        load_tensors(path)
