"""The paper's studies in miniature: each head and protocol on ResNet-18, two steps of 8 images.

Only what a GPU is needed for is changed: sizes, device, precision, compilation.
"""

import math
import shutil

import pytest
from tiny import tiny_dataset

from moelib.report.efficiency.tables import PAPER_BATCH
from moelib.study.analyses import Analyses
from moelib.study.heads import has_experts
from moelib.study.reader import load_study
from moelib.study.run import Run
from moelib.study.training import MultiStep
from moelib.training.data import Dataset
from moelib.training.state import State
from moelib.training.train import train

pytestmark = pytest.mark.slow

SMALL = {"epochs": 1, "batch_size": 8, "curve_images": 4, "device": "cpu", "threads": 1}
PLAIN = {"precision": "fp32", "channels_last": True, "compile": False}
CONSTANT = {"schedule": MultiStep(kind="multistep", milestones=())}  # one epoch has no milestone
TOTAL = {"dense": 11_436_618, "soft": 11_440_792, "sparse": 11_444_896, "switch": 11_440_792}


@pytest.fixture(scope="module")
def images() -> Dataset:
    """16 / 4 / 4 images of 32 x 32 pixels in ten classes."""
    return tiny_dataset(train=16, held_out=4, size=32, classes=tuple("0123456789"))


@pytest.mark.parametrize("head", TOTAL)
@pytest.mark.parametrize("name", ["paper", "paper-as-run"])
def test_the_papers_study_in_miniature(results, images, monkeypatch, name, head):
    # 135 MB that nothing here resumes from; the state is tested with small nets.
    monkeypatch.setattr(State, "save", lambda state: None)
    study = load_study(name)
    training = study.training.model_copy(update=SMALL | PLAIN | CONSTANT)
    analyses = Analyses(sharpness=None, surface=None)  # which want more images than there are
    update = {"training": training, "analyses": analyses}
    run = Run(study.model_copy(update=update), head, study.seeds[0])
    numbers = train(run, images).numbers
    shutil.rmtree(run.folder)  # 90 MB of weights

    assert numbers.total_parameters == TOTAL[head]
    assert numbers.images == {"train": 16, "validation": 4, "test": 4}
    (epoch,) = numbers.epochs
    assert epoch.learning_rate == 0.1
    switch = "importance" if name == "paper-as-run" else "switch"
    losses = {"dense": set(), "soft": {"kl"}, "sparse": {"importance", "load"}, "switch": {switch}}
    assert epoch.balance.keys() == losses[head]
    for metrics in (epoch.train, epoch.validation, numbers.test):
        # Numbers that are not finite cannot be recorded; two steps of noise stay in reason.
        assert 0 < metrics.loss < 100 and 0 <= metrics.accuracy <= 1
        assert (metrics.gate_mass is not None) == has_experts(study.heads[head])
        if metrics.gate_mass is None:
            continue
        executed = {"soft": 8, "sparse": 2, "switch": 1}[head]
        assert sum(metrics.load) == pytest.approx(executed, rel=1e-5)
        whole = sum(metrics.gate_mass)
        if (name, head) == ("paper", "switch"):
            assert 1 / 8 < whole < 1  # probabilities of the chosen experts
        else:
            assert whole == pytest.approx(1, rel=1e-5)
        assert -1e-9 <= metrics.entropy <= math.log(8)


@pytest.mark.parametrize("name", ["paper", "paper-as-run"])
def test_the_papers_batch_is_timed_both_eager_and_compiled(name):
    sizes = load_study(name).analyses.efficiency
    assert PAPER_BATCH in sizes.batches and sizes.compiled_batches == (PAPER_BATCH,)
