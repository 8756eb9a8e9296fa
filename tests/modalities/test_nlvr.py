"""NLVR's files, written here as its authors write theirs."""

import json

import numpy as np
import pytest
from PIL import Image
from prose import refusal
from small import small_run

from moelib.modalities import nlvr
from moelib.records import freshness
from moelib.study.base import ConfigError


@pytest.fixture
def root(tmp_path):
    images = tmp_path / "dev" / "images" / "3"
    images.mkdir(parents=True)
    lines = []
    for n, m, label in (("7", "0", "true"), ("7", "1", "false"), ("9", "0", "true")):
        lines.append(
            {
                "sentence": "There is a yellow block.",
                "label": label,
                "identifier": f"{n}-{m}",
                "directory": "3",
            }
        )
        for order in range(6):
            pixels = np.full((100, 400, 3), 211, np.uint8)
            pixels[40:60, 160:180] = (255, 210, 0)  # in the second box
            Image.fromarray(pixels).save(images / f"dev-{n}-{m}-{order}.png")
    (tmp_path / "dev" / "dev.json").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def test_reading(root):
    examples = nlvr.read(root, "dev")
    assert [(e.group, e.label) for e in examples] == [("7", True), ("7", False), ("9", True)]
    assert all(path.is_file() for example in examples for path in example.pictures)


def test_boxes_are_cut_out_and_made_small(root):
    first, second, third = nlvr.pictures(nlvr.read(root, "dev")[0].pictures[0])
    assert (first == 211).all() and (third == 211).all()
    assert (second != 211).any(axis=-1).sum() >= 16


def test_scores_by_hand(results, root, monkeypatch):
    run = small_run("dense")
    monkeypatch.setattr(nlvr, "_answers", lambda run, model, rows: np.ones(len(rows), bool))
    numbers = nlvr.analyse_nlvr(run, "dev", root).numbers
    assert numbers.accuracy == numbers.majority == pytest.approx(2 / 3)
    assert numbers.consistency == 0.5  # sentence 9 is right, sentence 7 for one of two
    assert numbers.unknown_words == 0


def test_answers_stand_until_something_changes_that_they_were_made_from(
    results, root, monkeypatch, capsys
):
    answers = iter([np.ones, np.zeros, np.ones, np.zeros, np.ones])
    monkeypatch.setattr(nlvr, "_answers", lambda run, model, rows: next(answers)(len(rows), bool))

    def share_of_yes(**options):
        return nlvr.analyse_nlvr(small_run("dense"), "dev", root, **options).numbers.said_true

    assert share_of_yes() == share_of_yes() == 1  # of the record
    assert "not answered again" in capsys.readouterr().out
    assert share_of_yes(again=True) == share_of_yes() == 0
    picture = root / "dev" / "images" / "3" / "dev-7-0-0.png"
    Image.fromarray(np.zeros((100, 400, 3), np.uint8)).save(picture)
    assert share_of_yes() == share_of_yes() == 1
    path = root / "dev" / "dev.json"
    path.write_text(path.read_text().replace("yellow", "blue"))
    assert share_of_yes() == share_of_yes() == 0
    monkeypatch.setattr(freshness, "code_digest", lambda *_, **__: "other")
    assert share_of_yes() == share_of_yes() == 1


def test_a_picture_that_is_gone_is_told(results, root):
    (root / "dev" / "images" / "3" / "dev-9-0-5.png").unlink()
    with refusal(ConfigError, root / "dev/images/3/dev-9-0-5.png"):
        nlvr.analyse_nlvr(small_run("dense"), "dev", root)


def test_a_model_answers(results, root):
    numbers = nlvr.analyse_nlvr(small_run("top-2"), "dev", root).numbers
    assert numbers.pictures == 18 and 0 <= numbers.said_true <= 1


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "NLVR"),
        ('{"sentence": "a"}', "NLVR"),
        (
            '{"sentence": "a", "label": "yes", "identifier": "1-0", "directory": "3"}',
            "'true' or 'false'",
        ),
    ],
)
def test_a_damaged_line_is_told(root, line, rule):
    path = root / "dev" / "dev.json"
    path.write_text(path.read_text() + "\n" + line)
    with refusal(ConfigError, path, "line 4", rule):
        nlvr.read(root, "dev")


def test_missing_files_are_told(tmp_path, monkeypatch):
    monkeypatch.delenv("MOELIB_DATA", raising=False)
    with refusal(ConfigError, "MOELIB_DATA"):
        nlvr.folder()
    with refusal(ConfigError, f"no folder {tmp_path / 'nothing'}"):
        nlvr.folder(tmp_path / "nothing")
    with refusal(ConfigError, "no file", tmp_path / "test/test.json"):
        nlvr.read(tmp_path, "test")
    with refusal(ConfigError, "'train'"):
        nlvr.read(tmp_path, "train")
    with refusal(ConfigError, tmp_path / "no.png"):
        nlvr.pictures(tmp_path / "no.png")
