"""Parameters are refused by name, type and value, whichever way a notebook is started."""

from collections.abc import Iterator
from pathlib import Path

import papermill
import pytest
from IPython.core.interactiveshell import InteractiveShell
from prose import lacking, refusal
from tiny import write_notebook

from moelib.study import notebook
from moelib.study.base import ConfigError

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

DECLARED = 'head: str = "soft"  # which\nseed: int = 0\nrate: float = 0.1\nfast: bool = False'
CHECK = "from moelib.study.notebook import parameters\nvalues = parameters()"


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """IPython without a kernel: it keeps cells and names as a kernel does."""
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, *cells: str) -> dict:
    for cell in cells:
        shell.run_cell(cell, store_history=True).raise_error()
    return shell.user_ns["values"]


def test_defaults_without_papermill(shell: InteractiveShell) -> None:
    values = run(shell, DECLARED, CHECK)
    assert values == {"head": "soft", "seed": 0, "rate": 0.1, "fast": False}


@pytest.mark.parametrize("interactive", [True, False])
def test_edited_modules_are_read_again_where_a_person_works(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, interactive: bool
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if interactive:
        monkeypatch.setenv("JPY_SESSION_NAME", "train.ipynb")
    run(shell, DECLARED, CHECK)
    loaded = "IPython.extensions.autoreload" in shell.extension_manager.loaded
    assert loaded == interactive


def test_injected_values_replace_defaults(shell: InteractiveShell) -> None:
    values = run(shell, DECLARED, '# Parameters\nhead = "dense"\nseed = 3\n', CHECK)
    assert (values["head"], values["seed"]) == ("dense", 3)


def test_cells_that_run_again_count_from_the_last_declaration(shell: InteractiveShell) -> None:
    with pytest.raises(ConfigError):
        run(shell, DECLARED, "# Parameters\nsed = 1\n", CHECK)
    assert run(shell, "x = 1", DECLARED, CHECK)["seed"] == 0
    assert run(shell, DECLARED.replace("0\n", "5\n"), CHECK, CHECK)["seed"] == 5


@pytest.mark.parametrize(
    "injected, names",
    [
        ("sede = 1", ["'sede'", "head, seed, rate, fast", "Did you mean 'seed'"]),
        ('seed = "1"', ["'seed' = '1'", "int", "not str"]),
        ("seed = True", ["'seed' = True", "int", "not bool"]),
        ("head = 3", ["'head' = 3", "str", "not int"]),
        ("fast = 1", ["'fast' = 1", "bool", "not int"]),
    ],
)
def test_wrong_injected_parameter_is_refused(
    shell: InteractiveShell, injected: str, names: list[str]
) -> None:
    with refusal(ConfigError, *names):
        run(shell, DECLARED, f"# Parameters\n{injected}\n", CHECK)


def test_texts_of_the_command_line_become_declared_types() -> None:
    declared = notebook.declaration(DECLARED)
    texts = {"head": "3", "seed": "3", "rate": "1", "fast": "True"}
    assert notebook.parse(texts, declared) == {"head": "3", "seed": 3, "rate": 1.0, "fast": True}
    for name, text, kind in ("seed", "3.5", "int"), ("rate", "x", "float"), ("fast", "yes", "bool"):
        with refusal(ConfigError, f"'{name}' = '{text}'", kind):
            notebook.parse({name: text}, declared)


@pytest.mark.parametrize("line", ["seed = 0", "seed: int", "seed: list = []", "print(1)"])
def test_declaration_is_types_and_defaults_alone(line: str) -> None:
    with refusal(ConfigError, "parameters cell"):
        notebook.declaration(line)


def test_papermill_by_hand_stops_at_a_wrong_name(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "in.ipynb", DECLARED, CHECK, "open('ran', 'w')")
    with refusal(papermill.PapermillExecutionError) as error:
        papermill.execute_notebook(
            str(source),
            str(tmp_path / "out.ipynb"),
            {"typo": 1},
            cwd=str(tmp_path),
            progress_bar=False,
        )
    sentence = str(error.value).rstrip().splitlines()[-1]
    assert not lacking(sentence, ("ConfigError", "'typo'", "head, seed, rate, fast"))
    assert not (tmp_path / "ran").exists()


def test_a_refusal_in_any_cell_ends_papermill_with_its_sentence(tmp_path: Path) -> None:
    refuse = "from moelib.study.run import open_run\nopen_run('quick', head, 7)"
    source = write_notebook(
        tmp_path / "in.ipynb", DECLARED.replace('"soft"', '"sparse"'), CHECK, refuse
    )
    with pytest.raises(papermill.PapermillExecutionError) as error:
        papermill.execute_notebook(str(source), str(tmp_path / "out.ipynb"), progress_bar=False)
    _, rule, where, sentence = str(error.value).rstrip().splitlines()
    assert rule == "-" * len(rule) and where.startswith("Exception encountered at")
    assert not lacking(sentence, ("ConfigError", "'quick'", "seed 7"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_describes_each_parameter(path: Path) -> None:
    described = papermill.inspect_notebook(str(path))
    declared = notebook.declared_in(path)
    assert {name: kind.__name__ for name, kind in declared.items()} == {
        name: parameter["inferred_type_name"] for name, parameter in described.items()
    }
    assert declared and all(parameter["help"] for parameter in described.values())
