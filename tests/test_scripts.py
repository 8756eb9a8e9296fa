"""What the benchmarks' scripts measure: their sizes, without a measurement."""

import runpy
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from moelib.config import PROJECT, ConfigError


@pytest.fixture
def script():
    """Loads a script of `benchmarks/` anew: its names, to be replaced at will."""

    def load(name):
        measure = runpy.run_path(str(PROJECT / "benchmarks" / f"{name}.py"))["measure"]
        return SimpleNamespace(measure=measure, names=measure.__globals__)

    return load


def test_heads_are_compared_at_every_size_of_the_grid_and_never_to_be_slower(script):
    heads = script("heads")
    heads.names["interleave"] = lambda *_, repeats: [(1.0,) * repeats] * 2
    cases = heads.measure(6).cases
    found = Counter((*list(case.setting.values())[:-2], case.setting["mode"]) for case in cases)
    assert found == {
        ("soft", 8, 64, "inference"): 7,
        ("soft", 8, 64, "training"): 7,
        ("sparse", 8, 64, 2, "inference"): 7,
        ("sparse", 8, 64, 2, "training"): 7,
        ("sparse", 4, 512, 2, "inference"): 4,
        ("sparse", 8, 512, 4, "inference"): 4,
    }
    aims = {
        (case.setting["head"], case.setting["hidden"], case.setting["batch"]): case.target_ratio
        for case in cases
        if case.setting["mode"] == "inference"
    }
    assert aims["soft", 64, 32] == aims["sparse", 64, 256] == 3
    assert aims["soft", 64, 128] == aims["sparse", 64, 512] == aims["sparse", 512, 1] == 1
    assert all(case.target_ratio is None for case in cases if case.setting["mode"] == "training")


def test_trained_heads_are_timed_with_the_threads_of_their_study_alone(script):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with pytest.raises(ConfigError) as error:
            script("tradeoff").measure(6)
    finally:
        torch.set_num_threads(before)
    assert str(error.value) == (
        "--threads is 3, but the models of 'cifar10-tradeoff' are timed with the threads of their "
        "study: leave --threads at 1."
    )
