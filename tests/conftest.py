"""What the tests share: one thread, results in a temporary folder, tiny data."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
from tiny import tiny_dataset

from moelib.training.data import Dataset


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all records, empty."""
    folder = tmp_path / "results"
    monkeypatch.setenv("MOELIB_RESULTS", str(folder))
    return folder


@pytest.fixture
def closed() -> Iterator[None]:
    """Figures without a screen, closed after the test."""
    matplotlib.use("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return tiny_dataset()
