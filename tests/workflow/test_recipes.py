"""The README's recipes under "Change it", each followed to the letter with a toy, and run.

All toys are added to one copy of the checkout. One study of one tiny run uses the toy data set,
backbone, head, balance loss and analysis at once, so that it is trained a single time.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic
from tiny import write_notebook

from moelib.study.base import PROJECT

STUDY = """
extends: quick
description: Everything in it is a toy.
data: {source: stripes, crop_padding: 0}
backbone: {kind: flat}
heads: {dense: null, soft: null, sparse: null, switch: null,
        even: {experts: 2, hidden: 2, balance: {square: 0.5}}}
seeds: [0]
training: {epochs: 1, batch_size: 50}
analyses:
  {utilization: null, sharpness: null, surface: null, efficiency: null, gallery: null,
   robustness: null, norm: {power: 2.0}}
"""

# For each recipe: file -> what stands there (nothing: a new file), and what takes its place.
DATA = {
    "moelib/study/data.py": [('"digits", "folder"', '"digits", "folder", "stripes"')],
    "moelib/training/data.py": [
        (
            "# Each gives all images",
            """def _read_stripes(_: Path) -> tuple[Split, tuple[str, ...]]:
    labels = np.arange(200) % 2
    images = np.zeros((200, 4, 4, 1), dtype=np.uint8)
    images[labels == 0, ::2], images[labels == 1, :, ::2] = 250, 250
    return _as_split(images, labels), ("rows", "columns")


# Each gives all images""",
        ),
        ('"folder": _read_folder', '"folder": _read_folder, "stripes": _read_stripes'),
    ],
}
BACKBONE = {
    "moelib/study/backbones.py": [
        (
            "Backbone = Annotated[",
            '''class Flat(Frozen):
    """One convolution."""

    kind: Literal["flat"]


Backbone = Annotated[''',
        ),
        ("    ResNet18 | SmallResNet", "    Flat | ResNet18 | SmallResNet"),
    ],
    "moelib/training/backbones.py": [
        (
            "def cifar_resnet18",
            """@build_backbone.register
def _flat(backbone: config.Flat, channels: int) -> nn.Module:
    net = nn.Sequential(nn.Conv2d(channels, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.features = 3
    return net


def cifar_resnet18""",
        )
    ],
}
HEAD = {
    "moelib/study/heads.py": [
        (
            "def has_experts",
            '''class Even(Mixture):
    """Half of a softmax gate, half of each expert alike."""

    kind: Literal["even"]
    balance: Balance = Balance()


def has_experts''',
        ),
        ("    Linear | Dense |", "    Even | Linear | Dense |"),
    ],
    "moelib/heads/gates.py": [
        (
            "class UniformGate",
            '''class EvenGate(SoftGate):
    """softmax of twice the logits."""

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        return soft_routing(2 * self.score(features), every=self.every)


class UniformGate''',
        )
    ],
    "moelib/heads/head.py": [
        ("import FrozenGate,", "import EvenGate, FrozenGate,"),
        (
            "def _experts(",
            """@build_head.register
def _even(head: config.Even, features: int, classes: int, protocol: Protocol) -> nn.Module:
    experts = _experts(head, features, classes)
    return Mixture(EvenGate(features, head.experts), experts)


def _experts(""",
        ),
    ],
}
BALANCE = {
    "moelib/study/heads.py": [
        (
            "    z: NonNegativeFloat = 0.0",
            "    square: NonNegativeFloat = 0.0\n    z: NonNegativeFloat = 0.0",
        )
    ],
    "moelib/heads/balance.py": [
        (
            "def balance_losses",
            '''def square_loss(routing: Routing) -> Tensor:
    """Sum of the squared mean gates."""
    return _mean_gate(routing).square().sum()


def balance_losses''',
        ),
        ('"z": router_z_loss,', '"z": router_z_loss,\n        "square": square_loss,'),
    ],
}
ANALYSIS = {
    "moelib/study/analyses.py": [
        (
            "class Analyses(Frozen)",
            '''class Norm(Frozen):
    """The norm of the weights."""

    power: PositiveFloat = 2.0


class Analyses(Frozen)''',
        ),
        (
            "    efficiency: Efficiency | None = Efficiency()",
            "    efficiency: Efficiency | None = Efficiency()\n    norm: Norm | None = None",
        ),
    ],
    "moelib/records/kinds.py": [
        (
            "ANALYSES = (",
            '''class NormNumbers(Numbers):
    """The norm of the weights."""

    kind: ClassVar[str] = "norm"

    norm: float


ANALYSES = (NormNumbers, ''',
        )
    ],
    "moelib/analyses/norm.py": [
        (
            "",
            '''"""The norm of the weights."""

from moelib.analyses.analysis import analyse
from moelib.records.kinds import NormNumbers


def analyse_norm(run, dataset=None, *, again=False):
    """Analyse the weights of a finished run."""
    return analyse(run, NormNumbers, measure, dataset=dataset, again=again)


def measure(trained, sizes):
    """sum |w|^p."""
    return NormNumbers(norm=sum(
        w.detach().abs().pow(sizes.power).sum().item() for w in trained.model.parameters()
    ))
''',
        )
    ],
    "notebooks/norm.ipynb": [],  # written below
}
CELLS = (
    'study: str = "toy"\nhead: str = "even"\nseed: int = 0\nagain: bool = False',
    "from moelib.study.notebook import parameters\nfrom moelib.study.run import open_run\n"
    "parameters()\nrun = open_run(study, head, seed)",
    "from moelib.analyses.norm import analyse_norm\nrecord = analyse_norm(run, again=again)",
)
BENCHMARK = {
    "benchmarks/sums.py": [
        (
            "",
            '''"""Sums of a list by a loop and by the builtin."""

from moelib.analyses.benchmark import run_benchmark
from moelib.records.benchmarks import BenchmarkNumbers, Case


def measure(repeats):
    """Times that are made up."""
    case = Case(setting={"length": 1}, baseline=(2.0,) * repeats, candidate=(1.0,) * repeats)
    return BenchmarkNumbers(
        name="sums", question="?", baseline="loop", candidate="builtin", unit="ms", cases=(case,)
    )


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=6)
''',
        )
    ]
}
CLAIM = {
    "moelib/report/claims/evidence.py": [
        (
            "def fit(",
            """def some(records: Records) -> list[Evidence]:
    return [over_seeds("runs", [float(len(records.trained))] * 9, ABOVE, 0.0)]


def fit(""",
        )
    ],
    "moelib/report/claims/own.py": [
        (
            "claims import Claim",
            """claims import Claim
from moelib.report.claims import evidence""",
        ),
        (
            "OWN: tuple[Claim, ...] = ()",
            """OWN = (
    Claim(
        number=1,
        words="Something is trained.",
        metric="runs",
        holds="there is more than none",
        smallest=1.0,
        test="sign test",
        shown="accuracy",
        evidence=evidence.some,
    ),
)""",
        ),
    ],
}
RECIPES = {
    "study": {"studies/toy.yaml": [("", STUDY)]},
    "data set": DATA,
    "backbone": BACKBONE,
    "head": HEAD,
    "balance loss": BALANCE,
    "analysis": ANALYSIS,
    "benchmark": BENCHMARK,
    "claim": CLAIM,
}


class Copy:
    """A copy of the checkout, without its results, in which the toys are."""

    def __init__(self, root: Path):
        self.root = root
        for name in ("moelib", "notebooks", "studies", "benchmarks", "book", "workflow"):
            shutil.copytree(
                PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(PROJECT / ".gitignore", root)  # which says what is published
        (root / "results").mkdir()

    def follow(self, recipe: dict[str, list[tuple[str, str]]]) -> None:
        for name, edits in recipe.items():
            path = self.root / name
            assert path.exists() != any(old == "" for old, _ in edits) or not edits, name
            for old, new in edits:
                text = path.read_text() if old else ""
                assert text.count(old) == 1 or not old, f"{name} holds {old!r} not once"
                path.write_text(text.replace(old, new) if old else new)

    def python(self, *arguments: str) -> str:
        environment = {k: v for k, v in os.environ.items() if k != "MOELIB_RESULTS"}
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment
            | {"PYTHONPATH": f"{self.root}:{PROJECT / 'tests'}", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr[-3000:]
        return process.stdout

    def record(self, name: str) -> dict:
        return json.loads((self.root / "results/toy/even/seed-0" / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """With all toys, after the study of them was run as the graph runs it."""
    copy = Copy(tmp_path_factory.mktemp("recipes"))
    for recipe in RECIPES.values():
        copy.follow(recipe)
    write_notebook(copy.root / "notebooks/norm.ipynb", *CELLS)
    copy.python("-m", "moelib.records.kinds")
    copy.python(
        *("-m", "moelib.study.execution", "notebooks/train.ipynb", "notebooks/norm.ipynb"),
        *("--into", "results/toy/even/seed-0", "-p", "study", "toy"),
        *("-p", "head", "even", "-p", "seed", "0"),
    )
    return copy


def bullets() -> dict[str, str]:
    """The recipes of the README by the name of what they add."""
    section = (PROJECT / "README.md").read_text().split("\n## Change it\n")[1].split("\n## ")[0]
    recipes = re.findall(r"(?ms)^- \*\*An? (.+?)\*\*: (.*?)(?=\n- |\n\n|\Z)", section)
    return dict(recipes)


def test_each_recipe_of_the_readme_has_its_toy() -> None:
    assert {*bullets()} == {*RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_the_files_that_change(name: str) -> None:
    paths = re.findall(r"`((?:moelib|studies|notebooks|benchmarks|book)/[^` ]*)`", bullets()[name])
    files = {path.replace("NAME", stem) for path in paths for stem in ("toy", "norm", "sums")}
    touched = {*RECIPES[name]}
    assert touched <= files  # nothing is to be edited that the recipe does not name
    assert len(paths) == len(touched)


def test_the_schema_is_made_anew_by_the_command_that_is_named(copy: Copy) -> None:
    section = (PROJECT / "README.md").read_text().split("\n## Change it\n")[1]
    assert section.index("python -m moelib.records.kinds") < section.index("\n- **")
    after = json.loads((copy.root / "results/record.schema.json").read_text())
    assert after == json.loads(copy.python("-c", SHOW_SCHEMA))
    before = json.loads((PROJECT / "results/record.schema.json").read_text())
    added = {*after["$defs"]} - {*before["$defs"]}
    assert {"Even", "Flat", "Norm", "NormNumbers"} <= added
    changed = {name for name, model in before["$defs"].items() if after["$defs"][name] != model}
    assert changed >= {"Analyses", "Balance", "Data", "Study"}


SHOW_SCHEMA = """
import json
from moelib.records.kinds import schema
print(json.dumps(schema()))
"""


def test_a_study_and_a_data_set_are_run(copy: Copy) -> None:
    record = copy.record("train")
    assert record["study"]["description"] == "Everything in it is a toy."
    assert record["numbers"]["classes"] == ["rows", "columns"]
    assert record["numbers"]["images"] == {"train": 135, "validation": 15, "test": 50}


def test_a_head_on_a_backbone_is_trained(copy: Copy) -> None:
    numbers = copy.record("train")["numbers"]
    gate, experts = 3 * 2 + 2, 2 * (3 * 2 + 2 + 2 * 2 + 2)
    assert numbers["head_parameters"] == gate + experts
    assert numbers["total_parameters"] == gate + experts + 3 * 2 * 2 + 3


def test_a_balance_loss_is_part_of_the_training(copy: Copy) -> None:
    balance = copy.record("train")["numbers"]["epochs"]["balance"]
    assert [*balance] == ["square"]
    (square,) = balance["square"]  # of one epoch
    assert 0.25 <= square <= 0.5  # half of 1/2 to 1


def test_an_analysis_writes_its_record_and_the_graph_knows_it(copy: Copy) -> None:
    assert copy.record("norm")["numbers"]["norm"] > 0
    listed = copy.python("workflow/run", "study", "toy", "--dry-run")
    assert "results/toy" not in listed  # nothing was made
    assert "norm" in copy.python("-c", SHOW_ANALYSES).split()


SHOW_ANALYSES = """
from moelib.study.reader import load_study
print(*load_study("toy").analyses_of("even", 0))
"""


def test_a_benchmark_writes_its_record_for_the_book(copy: Copy) -> None:
    output = copy.python("benchmarks/sums.py", "--repeats", "6")
    assert output == "sums length=1: 2.00 times (2.00 to 2.00)\n"
    assert len([*(copy.root / "results/benchmarks").glob("sums.*.json")]) == 1


JUDGE = """
import synthetic
from moelib.report.claims.claims import CLAIMS
from moelib.report.claims.words import beyond_the_paper
synthetic.write_all(synthetic.study("tiny"))
print(*[shown.data for shown in beyond_the_paper(["tiny"])], len(CLAIMS))
"""


def test_a_claim_is_judged(copy: Copy) -> None:
    shown = copy.python("-c", JUDGE)
    assert "corrected as a family of 1." in shown and "**1. Something is trained.**" in shown
    runs = len(synthetic.study("tiny").seeds) * 3  # of dense, soft and sparse
    assert f"| `tiny` | {{bdg-success}}`✓ supported` | runs: {runs}" in shown
    assert shown.split()[-1] == "13"  # the paper's claims stay a family of their own
