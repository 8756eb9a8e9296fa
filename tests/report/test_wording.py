"""Numbers in words: the examples of the docstrings, and what they leave out."""

import doctest

import pytest
import synthetic

from moelib.report import wording
from moelib.study.run import Run


def test_the_examples_of_the_docstrings_are_true():
    outcome = doctest.testmod(wording)
    assert outcome.attempted >= 3 and outcome.failed == 0


@pytest.mark.parametrize(
    ("seeds", "words"), [((), "0 seeds"), ((7,), "1 seed"), ((7, 7), "1 seed"), ((7, 0), "2 seeds")]
)
def test_seeds_are_counted_once(seeds, words):
    study = synthetic.study(seeds=(0, 7))
    assert wording.seeds_of(synthetic.trained(Run(study, "dense", seed)) for seed in seeds) == words


def on_machine(record, **provenance):
    return record.model_copy(update={"provenance": record.provenance.model_copy(update=provenance)})


def test_devices_are_named_once_each_with_threads_and_precision():
    run = Run(synthetic.study(), "dense", 0)
    timing, trained = synthetic.efficient(run), synthetic.trained(run)
    fp32 = on_machine(timing, device="A CPU", threads=2)
    half = timing.numbers.model_copy(update={"precision": "bf16"})
    bf16 = on_machine(timing.model_copy(update={"numbers": half}), device="A CPU", threads=2)
    gpu = on_machine(trained, device="A GPU", threads=1)  # whose record has no precision of its own
    assert wording.devices_of([fp32]) == "A CPU, threads: 2, fp32"
    assert wording.devices_of([gpu]) == "A GPU, threads: 1"
    expected = "A CPU, threads: 2, bf16; A CPU, threads: 2, fp32; A GPU, threads: 1"
    assert wording.devices_of([gpu, fp32, bf16, fp32]) == expected


def test_numbers_have_a_true_minus_sign():
    assert wording.in_points(-0.0123) == "\N{MINUS SIGN}1.23"
    assert wording.rounded(-1234.5) == "\N{MINUS SIGN}1,234"
    assert wording.listed(["a", "b"]) == "a, b"
