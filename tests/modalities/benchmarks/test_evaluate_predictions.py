"""The command, the examples by hand, and files damaged anywhere."""

import hashlib
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prose import lacking, refusal

from moelib.modalities.benchmarks.__main__ import main
from moelib.modalities.benchmarks.evaluate import BENCHMARKS, EXAMPLES, evaluate, example
from moelib.modalities.benchmarks.files import FileError
from moelib.study.base import PROJECT

MODULE = "moelib.modalities.benchmarks"
GQA_CHOICES = EXAMPLES / "gqa" / "choices.json"
EXPECTED = {  # of the examples, by hand: the first scores
    "mmbench": {"CircularEval": 1 / 2, "vanilla accuracy": 1},  # A for 1000002 is "night"
    "seed-bench": {"accuracy": 1 / 3},  # a2 ties, a3 is A and not D
    "gqa": {
        "accuracy": 1 / 2,
        "binary": 1 / 2,
        "open": 1 / 2,
        "distribution, lower is better": 0.02,
    },
    "nlvr2": {"accuracy": 3 / 5, "consistency": 1 / 3},  # wrong: 7-0-1 and 9-3-0
    "nlvr": {"accuracy": 4 / 6, "consistency": 1 / 3},  # wrong: 2-0 and 3-0
}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_the_examples_by_hand(benchmark):
    scores = evaluate(benchmark, *example(benchmark))
    for name, value in EXPECTED[benchmark].items():
        assert scores[name].value == pytest.approx(value), name


def test_the_example_of_gqa_with_all_scores():
    """1 entails 2 (wrong) and 3 (right); valid 1, 3, 4; plausible 1, 3."""
    scores = evaluate("gqa", *example("gqa"), GQA_CHOICES, consistency=True)
    values = [scores[name].value for name in ("consistency", "validity", "plausibility")]
    assert values == [1 / 2, 3 / 4, 1 / 2]


def test_every_benchmark_has_an_example():
    assert {path.name for path in EXAMPLES.iterdir()} == {*BENCHMARKS}


def test_the_page_names_every_benchmark_with_its_id():
    page = (PROJECT / "book" / "benchmarks-adapters.md").read_text()
    for name, module in BENCHMARKS.items():
        assert re.search(rf"\| `{name}` .*`{module.KEY}`", page), name


def test_the_command_prints_a_table_or_json(capsys):
    questions, predictions = map(str, example("nlvr2"))
    command = ["score", "nlvr2", "--questions", questions, "--predictions", predictions]
    main(command)
    assert re.search(r"^accuracy +all +60\.00 ", capsys.readouterr().out, re.MULTILINE)
    main([*command, "--json"])
    output = json.loads(capsys.readouterr().out)
    files = output.pop("files")
    assert output == json.loads(json.dumps(evaluate("nlvr2", questions, predictions).plain()))
    for name, path in (("questions", questions), ("predictions", predictions)):
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        assert files[name] == {Path(path).name: digest}
    assert output["scores"][0]["value"] == 0.6


def test_the_command_of_gqa_has_its_options(capsys):
    questions, predictions = map(str, example("gqa"))
    command = ["score", "gqa", "--questions", questions, "--predictions", predictions]
    main([*command, "--consistency", "--choices", str(GQA_CHOICES)])
    assert {"consistency", "validity"} <= set(capsys.readouterr().out.split())


def test_the_command_ends_with_the_sentence(tmp_path):
    questions, _ = example("nlvr")
    predictions = tmp_path / "p.csv"
    predictions.write_text("1-0,true\n1-0,false\n")
    command = ["score", "nlvr", "--questions", str(questions), "--predictions", str(predictions)]
    process = subprocess.run(
        [sys.executable, "-m", MODULE, *command], cwd=PROJECT, capture_output=True, text=True
    )
    assert (process.returncode, process.stdout) == (1, "")
    assert not lacking(process.stderr, (f"{predictions}, line 2", "'1-0'", "line 1"))
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_help_says_the_formats(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["score", name, "--help"])
    assert stop.value.code == 0
    assert "Questions:" in capsys.readouterr().out


def test_options_and_names_that_do_not_exist_are_refused():
    files = example("nlvr")
    with refusal(FileError, "'vqa'", "mmbench, seed-bench"):
        evaluate("vqa", *files)
    with refusal(FileError, "'vqa'"):
        example("vqa")
    with refusal(FileError, "choices and consistency", "gqa", "not of nlvr"):
        evaluate("nlvr", *files, choices=files[0], consistency=True)
    with refusal(FileError, "file of predictions"):
        evaluate("nlvr", files[0], "")


@pytest.mark.parametrize("other", BENCHMARKS)
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_the_file_of_another_benchmark_is_refused(benchmark, other):
    if benchmark == other:
        return
    with pytest.raises(FileError) as error:
        evaluate(benchmark, example(other)[0], example(benchmark)[1])
    assert re.match(r", line [12]: ", str(error.value).removeprefix(str(example(other)[0])))
    with pytest.raises(FileError) as error:
        evaluate(benchmark, example(benchmark)[0], example(other)[1])
    assert str(error.value).startswith(f"{example(other)[1]}, line ")


def cut(draw, raw):
    return raw[: draw.randrange(len(raw))]


def drop(draw, raw):
    start = draw.randrange(len(raw))
    return raw[:start] + raw[start + draw.randint(1, 9) :]


def double(draw, raw):
    start = draw.randrange(len(raw))
    stop = start + draw.randint(1, 40)
    return raw[:stop] + raw[start:stop] + raw[stop:]


def swap(draw, raw):
    damaged = bytearray(raw)
    damaged[draw.randrange(len(raw))] = draw.choice(b'\x00\xff"\\{}[],:\t\n0x')
    return bytes(damaged)


def lose_lines(draw, raw):
    lines = raw.splitlines(keepends=True)
    del lines[draw.randrange(len(lines))]
    draw.shuffle(lines)
    return b"".join(lines)


@pytest.mark.parametrize("damage", [cut, drop, double, swap, lose_lines])
@pytest.mark.parametrize("part", ["questions", "predictions", "choices"])
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_damage_gives_scores_or_a_sentence(benchmark, part, damage, tmp_path):
    """Whatever is damaged where: never another exception, never a score that is no share."""
    files = dict(zip(("questions", "predictions"), example(benchmark), strict=True))
    if benchmark == "gqa":
        files |= {"choices": GQA_CHOICES, "consistency": True}
    if part not in files:
        return
    draw = random.Random(f"{benchmark} {part} {damage.__name__}")
    raw = files[part].read_bytes()
    damaged = tmp_path / files[part].name
    refused = 0
    for _ in range(25):
        damaged.write_bytes(damage(draw, raw))
        try:
            scores = evaluate(benchmark, **files | {part: damaged})
        except FileError as error:
            refused += 1
            assert_sentence(str(error), files | {part: damaged})
        else:
            assert all(0 <= s.value <= 1 for s in scores.scores if s.value is not None and s.share)
            assert str(scores)
    assert refused


def assert_sentence(text: str, files: dict[str, Path]):
    """One file, and its line unless the fault is what the file lacks as a whole."""
    assert "\n" not in text.strip() and text.endswith("."), text
    paths = [str(path) for path in files.values() if isinstance(path, Path)]
    path = next(path for path in paths if text.startswith(path))
    rest = text.removeprefix(path)
    lacks = (" has no prediction for ", " has no choices for ", " holds ", ": '")
    assert re.match(r", line \d+: ", rest) or rest.startswith(lacks), text
    if match := re.match(r", line (\d+)", rest):
        assert 1 <= int(match[1]) <= Path(path).read_bytes().count(b"\n") + 1, text
