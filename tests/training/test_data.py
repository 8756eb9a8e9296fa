"""Reading, checking, splitting and describing images; no network and no official files needed."""

import hashlib
import pickle
import shutil
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from prose import refusal
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from moelib.study import base as config
from moelib.study.base import ConfigError
from moelib.study.data import Data
from moelib.training import data
from moelib.training.augment import random_crop_flip

FOLDER = CIFAR10.base_folder


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A CIFAR-10 of 60 images with sums of its own, and its archive on a local web server."""
    folder = tmp_path / "published" / FOLDER
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name in names:
        planes = rng.integers(0, 256, (10, 3072), dtype=np.uint8)
        labels = rng.permutation(10).tolist()
        (folder / name).write_bytes(pickle.dumps({"data": planes, "labels": labels}))
    classes = [f"class {i}" for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": classes}))
    archive = folder.parent / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, FOLDER)
    sums = [[name, md5(folder / name)] for name in names]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(folder / "batches.meta")})
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=archive.parent)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
        monkeypatch.setattr(CIFAR10, "url", url)
        yield folder.parent
        server.shutdown()


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "file:///nowhere/cifar-10-python.tar.gz")


def cifar10(root: Path, **keys) -> Data:
    return Data(source="cifar10", root=str(root), **keys)


def digits(**keys) -> Data:
    return Data(source="digits", test_share=0.2, **keys)


def save_images(root: Path, counts: dict[str, int], size=(6, 5), mode="RGB") -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            shape = (size[1], size[0]) + ((3,) if mode == "RGB" else ())
            paths.append(root / name / f"{i}.png")
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return paths


def folder(root: Path, **keys) -> Data:
    return Data(source="folder", root=str(root), **{"test_share": 0.25, **keys})


def splits(dataset: data.Dataset) -> list[data.Split]:
    return [dataset.train, dataset.validation, dataset.test]


# -- CIFAR-10 -----------------------------------------------------------------------------------


def test_cifar10_is_what_torchvision_reads_split_as_torch_splits(published):
    dataset = data.load_data(cifar10(published))
    train, test = CIFAR10(published), CIFAR10(published, train=False)
    parts = torch.utils.data.random_split(
        range(50), [45, 5], generator=torch.Generator().manual_seed(42)
    )
    for split, part in zip(splits(dataset)[:2], parts, strict=True):
        index = list(part)
        assert np.array_equal(split.images, train.data[index])
        assert split.labels.tolist() == [train.targets[i] for i in index]
    assert np.array_equal(dataset.test.images, test.data)
    assert dataset.test.labels.tolist() == test.targets
    assert dataset.classes == tuple(f"class {i}" for i in range(10))
    for split in splits(dataset):
        assert split.images.dtype == torch.uint8 and split.labels.dtype == torch.int64
        assert split.images.is_contiguous()


def test_cifar10_order_is_that_of_random_split_at_full_size():
    pool = data.Split(torch.zeros(50_000, 1, 1, 1, dtype=torch.uint8), torch.arange(50_000))
    training, validation = data.hold_out(pool, 0.1, torch.Generator().manual_seed(42))
    parts = torch.utils.data.random_split(
        range(50_000), [45_000, 5_000], generator=torch.Generator().manual_seed(42)
    )
    assert training.labels.tolist() == list(parts[0])
    assert validation.labels.tolist() == list(parts[1])


def test_cifar10_keeps_the_papers_constants(published):
    dataset = data.load_data(cifar10(published))
    expected = [[0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]]
    for constant, value in zip([dataset.mean, dataset.std], expected, strict=True):
        torch.testing.assert_close(constant / 255, torch.tensor(value))


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_damaged_cifar10_file_is_named_and_kept(published, name, damage):
    path = published / FOLDER / name
    content = path.read_bytes()
    bad = content[:-7] if damage == "truncated" else content[:-7] + b"\0" + content[-6:]
    path.write_bytes(bad)
    with refusal(ConfigError, path, "damaged", "MD5", "Delete"):
        data.load_data(cifar10(published))
    assert path.read_bytes() == bad


def test_cifar10_is_downloaded_once(published, tmp_path, monkeypatch):
    root = tmp_path / "new" / "root"
    first = data.load_data(cifar10(root))
    assert [path.name for path in root.iterdir()] == [FOLDER]
    monkeypatch.setattr(CIFAR10, "url", "file:///nowhere")
    assert data.load_data(cifar10(root)).digest == first.digest


def test_missing_cifar10_file_is_fetched_again(published, tmp_path):
    root = tmp_path / "root"
    first = data.load_data(cifar10(root))
    (root / FOLDER / "data_batch_3").unlink()
    assert data.load_data(cifar10(root)).digest == first.digest


def test_cifar10_archive_in_the_root_is_enough(published, tmp_path, offline):
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(published / CIFAR10.filename, root)
    assert len(data.load_data(cifar10(root)).train) == 45


def test_no_data_and_no_network(tmp_path, offline):
    with refusal(ConfigError, "downloaded", "MOELIB_DATA"):
        data.load_data(cifar10(tmp_path / "root"))
    assert list((tmp_path / "root").iterdir()) == []


def test_data_root_that_is_a_file(tmp_path, offline):
    (tmp_path / "file").write_text("")
    with refusal(ConfigError, tmp_path / "file", "data.root", "MOELIB_DATA", "folder"):
        data.load_data(cifar10(tmp_path / "file"))


def test_data_root_that_cannot_be_made(tmp_path, offline):
    (tmp_path / "file").write_text("")
    with refusal(ConfigError, "downloaded", "Not a directory"):
        data.load_data(cifar10(tmp_path / "file" / "below"))


@pytest.mark.parametrize("keep", [0, 1000])
def test_damaged_archive_without_a_network_is_named_and_kept(published, tmp_path, offline, keep):
    root = tmp_path / "root"
    root.mkdir()
    part = (published / CIFAR10.filename).read_bytes()[:keep]
    (root / CIFAR10.filename).write_bytes(part)
    with refusal(ConfigError, root / CIFAR10.filename, "damaged", "MD5", "Put"):
        data.load_data(cifar10(root))
    assert [path.read_bytes() for path in root.iterdir()] == [part]


def test_truncated_download_leaves_nothing(published, tmp_path):
    archive = published / CIFAR10.filename
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="corrupted"):
        data.load_data(cifar10(tmp_path / "root"))
    assert list((tmp_path / "root").iterdir()) == []


def test_remains_of_a_killed_download_are_not_data(published, tmp_path):
    """Neither a part of an archive, as torchvision leaves it, nor a scratch folder is read."""
    whole = (published / CIFAR10.filename).read_bytes()
    root = tmp_path / "root"
    (root / ".download-killed" / FOLDER).mkdir(parents=True)
    (root / ".download-killed" / FOLDER / "data_batch_1").write_bytes(b"half")
    (root / CIFAR10.filename).write_bytes(whole[: len(whole) // 2])
    assert data.load_data(cifar10(root)).digest == data.load_data(cifar10(published)).digest


# -- digits -------------------------------------------------------------------------------------


def test_digits_are_scaled_to_the_full_range():
    dataset = data.load_data(digits())
    levels = torch.cat([split.images.flatten() for split in splits(dataset)]).unique()
    # 255/16 = 15.9375 per level; level 8 is 127.5, which rounds to the even 128.
    expected = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    assert levels.tolist() == expected
    assert dataset.train.images.shape[1:] == (8, 8, 1)
    assert dataset.classes == tuple("0123456789")


def test_digits_splits_are_disjoint_and_complete():
    dataset = data.load_data(digits())
    # 1,797 images: a fifth is 359.4, a tenth of the other 1,438 is 143.8.
    assert [len(split) for split in splits(dataset)] == [1294, 144, 359]
    rows = [
        bytes(image.numpy()) + bytes([label])
        for split in splits(dataset)
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    source = load_digits()
    images = (source.images * 255 / 16).round().astype(np.uint8)
    expected = [
        image.tobytes() + bytes([t]) for image, t in zip(images, source.target, strict=True)
    ]
    assert sorted(rows) == sorted(expected)


def test_constants_are_those_of_the_training_images():
    dataset = data.load_data(digits())
    pixels = dataset.train.images.double()
    torch.testing.assert_close(dataset.mean.double(), pixels.mean((0, 1, 2)), rtol=1e-6, atol=0)
    std = pixels.std((0, 1, 2), correction=0)
    torch.testing.assert_close(
        dataset.std.double(), std, rtol=1e-6, atol=0
    )  # float32 rounds at 6e-8


# -- folders of images --------------------------------------------------------------------------


def test_folder_of_colour_images(tmp_path):
    paths = save_images(tmp_path, {"cat": 12, "dog": 8})
    dataset = data.load_data(folder(tmp_path, validation_share=0.2))
    assert dataset.classes == ("cat", "dog")
    assert [len(split) for split in splits(dataset)] == [12, 3, 5]
    stored = torch.cat([split.images for split in splits(dataset)])
    labels = torch.cat([split.labels for split in splits(dataset)])
    for path in paths:
        same = (stored == torch.from_numpy(np.array(Image.open(path)))).flatten(1).all(1)
        assert same.sum() == 1
        assert dataset.classes[labels[same]] == path.parent.name
    for channel in range(3):
        pixels = dataset.train.images[..., channel].double()
        assert dataset.mean[channel] == pytest.approx(pixels.mean().item())
        assert dataset.std[channel] == pytest.approx(pixels.std(correction=0).item())


def test_folder_stays_grey_only_if_all_images_are(tmp_path):
    save_images(tmp_path, {"a": 6, "b": 6}, mode="L")
    assert data.load_data(folder(tmp_path)).train.images.shape[1:] == (5, 6, 1)
    save_images(tmp_path, {"c": 1}, mode="RGB")
    images = data.load_data(folder(tmp_path)).train.images
    assert images.shape[1:] == (5, 6, 3)
    assert (images == images[..., :1]).all(-1).all(-1).all(-1).sum() >= len(images) - 1


def test_folder_that_is_not_there(tmp_path):
    with refusal(ConfigError, f"no folder {tmp_path / 'nowhere'}"):
        data.load_data(folder(tmp_path / "nowhere"))


def test_folder_without_classes(tmp_path):
    with refusal(ConfigError, tmp_path, "folder", "class"):
        data.load_data(folder(tmp_path))


def test_folder_with_an_empty_class(tmp_path):
    save_images(tmp_path, {"a": 3, "b": 0})
    with refusal(ConfigError, "classes b"):
        data.load_data(folder(tmp_path))


def test_folder_with_one_class(tmp_path):
    save_images(tmp_path, {"cat": 5})
    with refusal(ConfigError, "one class", "cat"):
        data.load_data(folder(tmp_path))


@pytest.mark.parametrize("keep", [0, 20, 90])  # no header, a header alone, a part of the pixels
def test_unreadable_image_is_named(tmp_path, keep):
    path = save_images(tmp_path, {"a": 6, "b": 6})[7]
    path.write_bytes(path.read_bytes()[:keep])
    with refusal(ConfigError, path.name, "image"):
        data.load_data(folder(tmp_path))


def test_first_image_of_another_size_is_named(tmp_path):
    save_images(tmp_path, {"a": 6}, size=(6, 5))
    save_images(tmp_path, {"b": 6}, size=(7, 5))
    with refusal(ConfigError, "b/0.png is 7 x 5", "a/0.png is 6 x 5"):
        data.load_data(folder(tmp_path))


def test_sixteen_bit_image_is_refused(tmp_path):
    save_images(tmp_path, {"a": 6, "b": 6})
    Image.fromarray(np.zeros((5, 6), dtype=np.uint16)).save(tmp_path / "b" / "3.png")
    with refusal(ConfigError, "b/3.png", "8 bits"):
        data.load_data(folder(tmp_path))


def test_constant_images_are_refused(tmp_path):
    for path in save_images(tmp_path, {"a": 6, "b": 6}):
        Image.new("RGB", (6, 5), (9, 9, 9)).save(path)
    with pytest.raises(ConfigError, match="constant"):
        data.load_data(folder(tmp_path))


# -- any source ---------------------------------------------------------------------------------


def test_split_neither_reads_nor_moves_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = data.load_data(digits())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert data.load_data(digits()).digest == first.digest
    assert data.load_data(digits(split_seed=43)).digest != first.digest


def test_empty_split_is_refused_with_the_sizes(tmp_path):
    save_images(tmp_path, {"a": 2, "b": 2})
    with refusal(ConfigError, "3 training", "0 validation", "1 test"):
        data.load_data(folder(tmp_path, validation_share=0.1))


def test_digest_is_of_all_bytes():
    dataset = data.load_data(digits())
    content = b"".join(
        split.images.numpy().tobytes() + split.labels.numpy().tobytes() for split in splits(dataset)
    )
    assert dataset.digest == hashlib.sha256(content).hexdigest()


def test_augmenting_training_batches_leaves_every_split_alone():
    """The authors' validation set shared its transform with the training set (erratum H1)."""
    dataset = data.load_data(digits())
    before = [split.images.clone() for split in splits(dataset)]
    storages = {split.images.untyped_storage().data_ptr() for split in splits(dataset)}
    assert len(storages) == 3
    augmented = random_crop_flip(dataset.train.images, 1, True, torch.Generator().manual_seed(0))
    assert not torch.equal(augmented, before[0])
    for split, images in zip(splits(dataset), before, strict=True):
        assert torch.equal(split.images, images)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_by_hand(channels):
    generator = torch.Generator().manual_seed(0)
    shape = (4, 5, 6, channels)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    before = images.clone()
    mean, std = torch.tensor([100.0, 120.0, 140.0]), torch.tensor([50.0, 60.0, 70.0])
    result = data.normalise(images, mean[:channels], std[:channels])
    expected = torch.stack(
        [(images[..., c].float() - mean[c]) / std[c] for c in range(channels)], dim=1
    )
    assert torch.equal(result, expected)  # the same two operations on each pixel: to the bit
    assert result.dtype == torch.float32 and torch.equal(images, before)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_to_moves_all_tensors():
    dataset = data.load_data(digits()).to("meta")
    tensors = [t for split in splits(dataset) for t in (split.images, split.labels)]
    assert all(t.is_meta for t in [*tensors, dataset.mean, dataset.std])


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.delenv("MOELIB_DATA", raising=False)
    assert data.data_root(Data(source="cifar10")) == config.PROJECT / "data"
    monkeypatch.setenv("MOELIB_DATA", str(tmp_path))
    assert data.data_root(Data(source="cifar10")) == tmp_path
    assert data.data_root(cifar10(tmp_path / "own")) == tmp_path / "own"
    assert data.data_root(Data(source="cifar10", root="images")) == config.PROJECT / "images"
