"""Which edits of the code make a result stale: those that compute, and no others."""

import json
import shutil
from pathlib import Path

import pytest
from prose import refusal

from moelib.records import code
from moelib.records.freshness import analysis_code, training_code, training_values
from moelib.study.base import PROJECT
from moelib.study.reader import load_study

pytestmark = pytest.mark.slow

TRAINING = ("dense", "soft", "sparse", "switch")
ANALYSES = ("utilization", "sharpness", "surface", "efficiency", "robustness", "gallery")
ALL = {"train", *ANALYSES}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of moelib that the digests are taken of, to be edited."""
    copy = tmp_path / "moelib"
    shutil.copytree(PROJECT / "moelib", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", copy)
    return copy


def digests() -> dict[tuple[str, str], str]:
    """The code of each training and each analysis of the default study."""
    study = load_study("quick")
    codes = {("train", head): training_code(study, head) for head in TRAINING}
    for analysis in ANALYSES:
        codes |= {(analysis, head): analysis_code(study, head, analysis) for head in TRAINING}
    return codes


SILENT = {
    "a comment": ("training/schedule.py", "def learning_rate", "# Why.\ndef learning_rate"),
    "a docstring": ("heads/usage.py", '"""', '"""Other words. '),
    "a declaration": (
        "study/base.py",
        "class Frozen(",
        "class Unused(Frozen):\n    ...\n\n\nclass Frozen(",
    ),
    "a colour": ("report/style.py", "import seaborn", "COLOUR = 'red'\nimport seaborn"),
    "a record's field": (
        "records/kinds.py",
        "class Metrics(Frozen):",
        "class Metrics(Frozen):\n    x: int = 0",
    ),
    "a sentence": ("training/checkpoint.py", "is damaged", "is broken"),
    "a sentence that another raises": ("training/loop.py", "may help", "might help"),
    "a refusal": ("training/model.py", "_refuse_small(dataset)", "refuse_unlucky(dataset)"),
    "a folder": ("study/run.py", 'f"seed-{self.seed}"', "str(self.seed)"),
}


def write(package: Path, module: str, old: str, new: str) -> None:
    path = package / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("edit", SILENT.values(), ids=SILENT)
def test_words_colours_and_declarations_make_nothing_stale(package, edit):
    before = digests()
    write(package, *edit)
    assert digests() == before


def test_a_new_analysis_makes_nothing_stale(package):
    before = digests()
    (package / "analyses" / "novelty.py").write_text("def measure(trained, sizes):\n    return 1\n")
    assert digests() == before


HEAD = """
from moelib.heads.head import build_head
from moelib.study import heads as config


@build_head.register
def _novel(head: config.Novel, features, classes, protocol):
    return None
"""


def test_a_new_head_makes_nothing_stale(package):
    before = digests()
    (package / "heads" / "novel.py").write_text(HEAD)
    write(
        package,
        "study/heads.py",
        "class Linear(Plain)",
        "class Novel(Plain): ...\n\n\nclass Linear(Plain)",
    )
    assert digests() == before


FORMULAS = {
    "schedule": ("training/schedule.py", "return ", "return 2 * ", {"train"}, TRAINING),
    "entropy of the use": (
        "analyses/utilization.py",
        "null.mean()",
        "null.max()",
        {"utilization"},
        TRAINING,
    ),
    "trace": ("curvature/trace.py", "return ", "return 2 * ", {"sharpness"}, TRAINING),
    "filters": ("curvature/directions.py", "return ", "return 2 * ", {"surface"}, TRAINING),
    "work": ("analyses/work.py", "return ", "return 2 * ", {"efficiency"}, TRAINING),
    "experts that an image gets": (
        "study/heads.py",
        "return self.k",
        "return self.k + 1",
        {"efficiency"},
        ("sparse",),
    ),
    "random streams": (
        "study/run.py",
        "{self.seed}/{name}",
        "{name}/{self.seed}",
        ALL,
        TRAINING,
    ),
    "numerics": (
        "training/device.py",
        "cudnn.deterministic = d",
        "cudnn.deterministic = not d",
        ALL,
        TRAINING,
    ),
    "precision of curvature": (
        "analyses/trained.py",
        '"fp32"',
        '"bf16"',
        {*ANALYSES},
        TRAINING,
    ),
    "a library": (
        "curvature/trace.py",
        "import torch",
        "import cupy as torch",
        {"sharpness"},
        TRAINING,
    ),
}


@pytest.mark.parametrize("edit", FORMULAS.values(), ids=FORMULAS)
def test_a_changed_formula_makes_stale_what_depends_on_it(package, edit):
    module, old, new, kinds, heads = edit
    before = digests()
    write(package, module, old, new)
    after = digests()
    stale = {key for key in before if before[key] != after[key]}
    assert stale == {(kind, head) for kind in kinds for head in heads}


def test_the_forward_pass_of_one_head_is_no_part_of_another(package):
    before = digests()
    write(package, "heads/gates.py", "torch.randn_like(logits)", "2 * torch.randn_like(logits)")
    after = digests()
    stale = {key for key in before if before[key] != after[key]}
    assert stale == {(kind, "sparse") for kind in ALL}


def test_names_are_followed_through_modules_and_aliases(tmp_path, monkeypatch):
    package = tmp_path / "moelib"
    (package / "room").mkdir(parents=True)
    (package / "room" / "__init__.py").write_text("")
    (package / "room" / "a.py").write_text(
        "from moelib.room import b as other\nfrom moelib.room.b import g as h\n"
        "def one(): return other.f()\ndef two(): return h\ndef three(x: other.f): print(h)\n"
    )
    (package / "room" / "b.py").write_text("def f(): return LIMIT\ndef g(): return 2\nLIMIT = 1\n")
    monkeypatch.setattr(code, "PACKAGE", package)
    closure = {
        name: [str(d) for d in code.definitions(f"moelib.room.a.{name}")]
        for name in ("one", "two", "three")
    }
    assert closure == {
        "one": ["moelib.room.a.one", "moelib.room.b.LIMIT", "moelib.room.b.f"],
        "two": ["moelib.room.a.two", "moelib.room.b.g"],
        "three": ["moelib.room.a.three"],
    }
    with refusal(LookupError, "no moelib.room.a.four"):
        code.code_digest("moelib.room.a.four")


def test_a_page_depends_on_what_it_shows_in_words_and_colours_too(package, tmp_path):
    cell = {
        "cell_type": "code",
        "metadata": {},
        "source": "%matplotlib inline\n"
        "from moelib.report.accuracy import figures\nfigures.learning_curves",
    }
    page = tmp_path / "page.ipynb"
    page.write_text(json.dumps({"cells": [cell]}))
    before = code.page_digest(page)
    write(
        package, "report/accuracy/figures.py", "def learning_curves", "# Why.\ndef learning_curves"
    )
    write(package, "report/style.py", "import seaborn", "UNUSED = 'red'\nimport seaborn")
    write(package, "curvature/trace.py", "return ", "return 2 * ")
    assert code.page_digest(page) == before
    write(package, "report/style.py", "PALETTE = ", "PALETTE = 2 * ")  # which it reaches
    assert code.page_digest(page) != before


BODY = """
def f(x, *, k):
    first, second = x, k
    return first - g(second, k=first)
def g(*_): ...
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("first", "difference", True),
        ("(second, k", "(first, k", False),
        ("first, second =", "second, first =", False),
        ("x", "y", False),  # a parameter, by which a call may name it
        ("k=", "j=", False),
    ],
)
def test_the_name_of_a_local_variable_is_no_input(tmp_path, monkeypatch, old, new, same):
    digests = []
    for name, text in (("before", BODY), ("after", BODY.replace(old, new))):
        room = tmp_path / name / "moelib" / "room"
        room.mkdir(parents=True)
        (room / "a.py").write_text(text)
        monkeypatch.setattr(code, "PACKAGE", room.parent)
        digests.append(code.code_digest("moelib.room.a.f"))
    assert (digests[0] == digests[1]) == same


SCRIPT = """from moelib.training.schedule import learning_rate

REPEATS = 3


def measure():
    return [learning_rate] * REPEATS


print(measure())
"""


def test_a_benchmark_depends_on_its_script_and_on_what_that_computes_with(package, tmp_path):
    script = tmp_path / "schedule.py"

    def digest(old: str = "", new: str = "") -> str:
        script.write_text(SCRIPT.replace(old, new))
        return code.script_digest(script)

    before = digest()
    assert digest("def measure():", 'def measure():\n    """Words."""  # and why') == before
    assert digest("print(measure())", "print(measure(), 'twice')") == before
    assert digest("= 3", "= 4") != before
    write(package, "curvature/trace.py", "return ", "return 2 * ")
    assert digest() == before
    write(package, "training/schedule.py", "return ", "return 2 * ")
    assert digest() != before


def test_where_images_are_and_how_often_a_state_is_kept_are_no_inputs():
    study = load_study("quick")
    moved = study.model_copy(
        update={
            "data": study.data.model_copy(update={"root": "elsewhere"}),
            "training": study.training.model_copy(update={"checkpoint_every": 7}),
        }
    )
    assert training_values(moved, "soft", 0) == training_values(study, "soft", 0)
    assert training_values(study, "soft", 1) != training_values(study, "soft", 0)
