"""What the benchmarks' scripts measure: their sizes; those of curvature run, on a tiny net."""

import runpy
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from prose import refusal
from tiny import tiny_run

from moelib.records.kinds import CrosscheckNumbers
from moelib.records.record import read_record
from moelib.study.base import PROJECT, ConfigError


def script(name):
    """What a script of `benchmarks/` defines, anew; `names` can be replaced at will."""
    defined = runpy.run_path(str(PROJECT / "benchmarks" / f"{name}.py"))
    return SimpleNamespace(**defined, names=defined["measure"].__globals__)


def test_heads_are_compared_at_every_size_of_the_grid_and_never_to_be_slower():
    heads = script("heads")
    heads.names["interleave"] = lambda *_, repeats: [(1.0,) * repeats] * 2
    cases = heads.measure(6).cases
    counts = Counter((*list(case.setting.values())[:-2], case.setting["mode"]) for case in cases)
    assert counts == {
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


def test_trained_heads_are_timed_with_the_threads_of_their_study_alone():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with refusal(ConfigError, "--threads is 3", "'cifar10-tradeoff'", "--threads at 1"):
            script("tradeoff").measure(6)
    finally:
        torch.set_num_threads(before)


def test_a_gpu_has_the_size_with_an_aim_at_every_batch_in_bfloat16():
    scale = script("scale")
    on_cpu, on_gpu = ([size[:4] + size[5:] for size in scale.sizes(x)] for x in ("cpu", "cuda"))
    aim, bf16 = (64, 1024, 2048), torch.bfloat16
    curve = [(*aim, 2**i, bf16) for i in range(12)]
    assert [size for size in on_gpu if size[-1] == bf16] == curve
    assert [size for size in on_cpu if size[-1] == bf16] == curve[-1:]
    assert set(on_gpu) - set(on_cpu) == set(curve[:-1]) and set(on_cpu) < set(on_gpu)
    assert (*aim, 2048, torch.float32) in on_cpu  # though the grid holds nothing as large
    largest = max(e * d * h * n for e, d, h, n, _ in on_cpu if (e, d, h, n) != (*aim, 2048))
    assert largest <= scale.LARGEST < 64 * 1024 * 2048 * 2048


@pytest.fixture
def scaled_down(results, dataset):
    """A script whose trained run is a tiny one, of which it takes few images."""

    def load(name, **sizes):
        defined = script(name)
        defined.names.update(
            open_run=lambda _, head, seed: tiny_run(head, seed),
            load_data=lambda _: dataset,
            **sizes,
        )
        return defined

    return load


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:Using backward\(\) with create_graph")
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("trace", {"IMAGES": 8, "PROBES": 4}), ("curvature", {"IMAGES": 8, "BATCH": 4})],
)
def test_curvature_is_compared_on_a_run_that_the_script_trains(scaled_down, name, sizes):
    cases = scaled_down(name, **sizes).measure(1).cases
    assert cases and all(case.candidate for case in cases)


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:Using backward\(\) with create_graph")
def test_the_cross_check_trains_the_run_and_writes_its_record(scaled_down, results):
    scaled_down("crosscheck", IMAGES=8, SEEDS=1).compare("dense")
    (path,) = (results / "crosscheck").glob("dense.*.json")
    assert read_record(path, CrosscheckNumbers).numbers.images == 8
