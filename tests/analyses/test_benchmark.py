"""The command line of the benchmarks' scripts, and the records that they leave behind."""

import re

import pytest
import synthetic
import torch
from prose import lacking, refusal

from moelib.analyses import benchmark
from moelib.records.benchmarks import BenchmarkNumbers, ScaleNumbers
from moelib.records.code import script_digest
from moelib.records.provenance import observe
from moelib.records.record import read_record
from moelib.study.analyses import FEWEST_REPEATS
from moelib.study.base import ConfigError
from moelib.study.run import Run


@pytest.fixture(autouse=True)
def threads():
    """Torch's number of threads, which the command line sets, as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def call(monkeypatch):
    """`benchmark.command_line` of what a user types."""

    def read(*arguments, repeats=9, devices=("cpu", "cuda")):
        monkeypatch.setattr("sys.argv", ["script.py", *arguments])
        return benchmark.command_line("What is measured.", repeats, devices)

    return read


def refused(capsys, read, *arguments, **options):
    """The sentence with which the program ends."""
    with pytest.raises(SystemExit) as stopped:
        read(*arguments, **options)
    assert stopped.value.code == 2
    return capsys.readouterr().err


# -- command line ---------------------------------------------------------------------------------


def test_without_options_the_script_decides(call):
    arguments = call()
    assert (arguments.repeats, arguments.threads, arguments.device) == (9, 1, "cpu")
    assert torch.get_num_threads() == 1


def test_options_are_taken(call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    arguments = call("--repeats", "12", "--threads", "2", "--device", "cuda")
    assert (arguments.repeats, arguments.threads, arguments.device) == (12, 2, "cuda")
    assert torch.get_num_threads() == 2


def test_help_says_what_is_measured(call, capsys):
    with pytest.raises(SystemExit) as stopped:
        call("--help")
    assert stopped.value.code == 0
    assert "What is measured." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("usual", "fewest"), [(9, FEWEST_REPEATS), (FEWEST_REPEATS, FEWEST_REPEATS), (3, 3)]
)
def test_too_few_repeats_for_a_spread_are_refused(call, capsys, usual, fewest):
    """A script that is content with fewer than the rule asks for may be so, and with no less."""
    assert call("--repeats", str(fewest), repeats=usual).repeats == fewest
    message = refused(capsys, call, "--repeats", str(fewest - 1), repeats=usual)
    assert not lacking(message, ("--repeats", f"at least {fewest}"))


def test_a_cuda_device_that_is_not_there_is_refused(call, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = refused(capsys, call, "--device", "cuda")
    assert not lacking(message, ("--device is cuda", "no CUDA device"))
    message = refused(capsys, call, devices=("cuda",))  # the only one of the script
    assert "no CUDA device" in message


@pytest.mark.parametrize("words", [("--device", "cuda"), ("--device", "tpu"), ("--repeats", "x")])
def test_what_a_script_does_not_offer_is_refused(call, capsys, monkeypatch, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    message = refused(capsys, call, *words, devices=("cpu",))
    assert re.search(f"argument {words[0]}: invalid .*'{words[1]}'", message)


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_no_thread_is_refused(call, capsys, threads):
    message = refused(capsys, call, "--threads", threads)
    assert not lacking(message, ("--threads", "at least 1"))


def test_a_refused_command_line_sets_no_threads(call, capsys):
    before = torch.get_num_threads()
    refused(capsys, call, "--threads", str(before + 1), "--repeats", "1")
    assert torch.get_num_threads() == before


# -- record ---------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("print('measured')\n")
    return path


def machine(device):
    return observe().model_copy(update={"device": device})


@pytest.mark.parametrize(
    ("device", "slug"),
    [
        ("Intel(R) Xeon(R) Processor @ 2.50GHz", "intel-r-xeon-r-processor-2.50ghz"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
        ("A/B\\..", "a-b-.."),  # no folder of its own
    ],
)
def test_the_records_path_carries_the_device(results, script, device, slug):
    numbers = synthetic.benchmark().numbers
    path = benchmark.write_benchmark(str(script), "benchmarks/step", numbers, machine(device))
    assert path == results / "benchmarks" / f"step.{slug}.json"
    record = read_record(path, BenchmarkNumbers)
    assert (record.kind, record.numbers) == ("benchmark", numbers)
    assert record.provenance.device == device
    assert (record.study, record.head, record.seed) == (None, None, None)
    assert record.inputs == {"code": script_digest(script)}


def test_devices_are_never_mixed(results, script):
    numbers = synthetic.benchmark().numbers
    paths = {
        benchmark.write_benchmark(str(script), "benchmarks/step", numbers, machine(device))
        for device in ("A CPU", "A GPU")
    }
    assert set((results / "benchmarks").iterdir()) == paths and len(paths) == 2


def test_a_record_of_another_number_of_threads_is_not_overwritten(results, script):
    """It is replaced by one of as many, and a damaged one by any."""
    numbers = synthetic.benchmark().numbers
    first, second = (machine("A CPU").model_copy(update={"threads": n}) for n in (1, 2))

    def write(provenance):
        return benchmark.write_benchmark(str(script), "benchmarks/step", numbers, provenance)

    path = write(first)
    with refusal(ConfigError, path, "--threads 1", "of 2"):
        write(second)
    assert read_record(path, BenchmarkNumbers).provenance.threads == 1
    assert write(first) == path
    path.write_text("{")
    assert read_record(write(second), BenchmarkNumbers).provenance.threads == 2


def test_a_script_that_has_changed_is_another_input(results, script):
    numbers, digests = synthetic.benchmark().numbers, []
    for text in ("one = 1", "one = 2"):
        script.write_text(text)
        path = benchmark.write_benchmark(str(script), "benchmarks/step", numbers, machine("A CPU"))
        digests.append(read_record(path, BenchmarkNumbers).inputs["code"])
    assert digests[0] != digests[1]


def test_inputs_are_merged_and_the_run_is_named(results, script):
    run = Run(synthetic.study(), "soft", 1)
    path = benchmark.write_benchmark(
        str(script),
        "scale/scale",
        synthetic.scaled().numbers,
        machine("A CPU"),
        study=run.study,
        head=run.head,
        seed=run.seed,
        inputs={"weights": "0" * 64},
    )
    assert path.parent == results / "scale"
    record = read_record(path, ScaleNumbers)
    assert record.inputs == {"code": script_digest(script), "weights": "0" * 64}
    assert (record.study, record.head, record.seed) == (run.study, "soft", 1)


# -- a whole benchmark ----------------------------------------------------------------------------


def test_a_benchmark_measures_prints_and_writes(results, script, capsys, monkeypatch):
    calls = []

    def measure(repeats):
        """What is measured."""
        calls.append((repeats, torch.get_num_threads()))
        return synthetic.benchmark().numbers

    monkeypatch.setattr("sys.argv", ["script.py", "--repeats", "7", "--threads", "2"])
    path = benchmark.run_benchmark(str(script), measure, repeats=9)
    assert calls == [(7, 2)]
    # Pairs 2, 3 and 4: 3 times, and quartiles half-way.
    assert capsys.readouterr().out.splitlines() == [
        "step batch=8: 3.00 times (2.50 to 3.50)",
        "step batch=1: 1.00 times (1.00 to 1.00)",
    ]
    record = read_record(path, BenchmarkNumbers)
    assert path.parent == results / "benchmarks" and path.name.startswith("step.")
    assert record.numbers == synthetic.benchmark().numbers
    assert (record.provenance.threads, record.provenance.wall_time_s >= 0) == (2, True)
    assert record.inputs == {"code": script_digest(script)}


def test_a_benchmark_of_a_gpu_is_recorded_as_one(results, script, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr("sys.argv", ["script.py"])
    numbers = synthetic.benchmark().numbers
    path = benchmark.run_benchmark(str(script), lambda _: numbers, repeats=9, device="cuda")
    assert path.name == "step.some-gpu.json"
    assert read_record(path, BenchmarkNumbers).provenance.device == "Some GPU"


def test_a_benchmark_that_is_refused_measures_nothing(results, script, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["script.py", "--device", "cuda"])
    calls = []
    message = refused(capsys, lambda: benchmark.run_benchmark(str(script), calls.append, repeats=9))
    assert "invalid choice: 'cuda'" in message
    assert calls == [] and not results.exists()


def test_a_benchmark_that_would_overwrite_other_threads_measures_nothing(
    results, tmp_path, monkeypatch
):
    numbers, calls = synthetic.benchmark().numbers, []
    script = tmp_path / "step.py"
    script.write_text("")
    monkeypatch.setattr("sys.argv", ["step.py", "--threads", "1"])
    benchmark.run_benchmark(str(script), lambda _: numbers, repeats=9)
    monkeypatch.setattr("sys.argv", ["step.py", "--threads", "2"])
    with refusal(ConfigError, "--threads 1", "of 2"):
        benchmark.run_benchmark(str(script), calls.append, repeats=9)
    assert calls == []
