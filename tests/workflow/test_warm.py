"""A fork of the waiting process behaves as plain Python does, but for what is imported already."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

WARM = Path(__file__).resolve().parents[2] / "workflow" / "warm"

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="the launcher starts a waiting process on Linux alone"
)

PROBE = """
import atexit, json, os, sys
print(json.dumps({
    "arguments": sys.argv[1:], "name": __name__, "first": sys.path[0], "folder": os.getcwd(),
    "input": sys.stdin.read(), "word": os.environ.get("WORD"), "warm": "colorsys" in sys.modules,
}))
print("to errors", file=sys.stderr)
atexit.register(lambda: print("at the end"))
unclosed = open("unclosed.txt", "w")
unclosed.write("kept")
sys.exit(7)
"""


def preloading(*modules: str) -> str:
    """The script, with these modules in place of those that take seconds to import."""
    text, count = re.subn(
        r"PRELOAD = \(.*?\n\)", f"PRELOAD = {modules}", WARM.read_text(), flags=re.DOTALL
    )
    assert count == 1
    return text


class Folder:
    """A folder with the script and the modules that it runs."""

    def __init__(self, root: Path):
        self.root = root
        (root / ".snakemake").mkdir()
        self.script = root / "warm"
        self.script.write_text(preloading("colorsys", "numpy"))

    def start(self, module: str, *arguments: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, self.script, "-m", module, *arguments],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, module: str, *arguments: str, **options) -> tuple[int, str, str]:
        process = self.start(module, *arguments, **options)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors


@pytest.fixture
def cold(tmp_path: Path) -> Folder:
    """Nobody waits."""
    return Folder(tmp_path)


@pytest.fixture
def warm(cold: Folder) -> Iterator[Folder]:
    """A process waits."""
    waiting = subprocess.Popen([sys.executable, cold.script, "--wait"], cwd=cold.root)
    wait_until((cold.root / ".snakemake/warm.socket").exists)
    yield cold
    waiting.kill()
    waiting.wait()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


SLEEPER = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"


@contextmanager
def sleeper(folder: Folder) -> Iterator[tuple[subprocess.Popen, psutil.Process]]:
    """A process that asked for a fork which only sleeps, and that fork."""
    (folder.root / "sleeper.py").write_text(SLEEPER)
    with folder.start("sleeper") as asking:
        fork = psutil.Process(int(asking.stdout.readline()))
        assert fork.pid != asking.pid
        yield asking, fork
        asking.kill()


@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_module_runs_as_by_plain_python(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    (folder.root / "probe.py").write_text(PROBE)
    (folder.root / "input.txt").write_text("given")
    with open(folder.root / "input.txt") as given:
        status, output, errors = folder.run(
            "probe", "-p", "a b", env=os.environ | {"WORD": "ä"}, stdin=given
        )
    assert (status, errors) == (7, "to errors\n")
    output, end = output.splitlines()
    assert end == "at the end"
    assert (folder.root / "unclosed.txt").read_text() == "kept"
    told = json.loads(output)
    assert told.pop("warm") == (kind == "warm")
    assert told == {
        "arguments": ["-p", "a b"],
        "name": "__main__",
        "first": str(folder.root),
        "folder": str(folder.root),
        "input": "given",
        "word": "ä",
    }


def test_no_process_waits_where_no_socket_can_be(cold: Folder) -> None:
    (cold.root / ".snakemake").rmdir()
    waiting = subprocess.run(
        [sys.executable, cold.script, "--wait"], cwd=cold.root, capture_output=True, text=True
    )
    assert waiting.returncode == 1
    assert waiting.stderr.startswith("Each notebook imports by itself, for no process can wait: ")


def test_edited_module_counts_at_once(warm: Folder) -> None:
    for word in ("one", "two"):
        (warm.root / "said.py").write_text(f"print('{word}')")
        assert warm.run("said") == (0, f"{word}\n", "")


def test_error_is_told_with_its_lines(warm: Folder) -> None:
    (warm.root / "broken.py").write_text("raise ValueError('the gate is broken')")
    status, output, errors = warm.run("broken")
    assert (status, output) == (1, "")
    assert errors.endswith("ValueError: the gate is broken\n")


def test_forks_draw_different_numbers(warm: Folder) -> None:
    (warm.root / "draw.py").write_text("import numpy\nprint(numpy.random.rand())")
    assert warm.run("draw")[1] != warm.run("draw")[1]


@pytest.mark.parametrize(
    "options",
    [
        {"env": os.environ | {"WORD": "w" * 120_000, "WORDS": "w" * 120_000}},  # in no buffer
        {"preexec_fn": lambda: os.close(0)},  # its number is another file's then
        {"preexec_fn": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})},
    ],
)
def test_plain_python_takes_over(warm: Folder, options: dict) -> None:
    (warm.root / "probe.py").write_text("import sys\nprint('colorsys' in sys.modules)")
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("with one core there is no smaller share of the machine")
    assert warm.run("probe") == (0, "True\n", "")
    assert warm.run("probe", **options) == (0, "False\n", "")


def test_plain_python_takes_over_where_an_import_fails(cold: Folder) -> None:
    cold.script.write_text(preloading("colorsys", "no_such_module"))
    (cold.root / "probe.py").write_text("print('ran')")
    with subprocess.Popen(
        [sys.executable, cold.script, "--wait"], cwd=cold.root, stderr=subprocess.PIPE, text=True
    ) as waiting:
        wait_until((cold.root / ".snakemake/warm.socket").exists)
        assert cold.run("probe") == (0, "ran\n", "")
        assert "no_such_module" in waiting.stderr.read()


def test_nobody_waits_longer_than_the_launcher(cold: Folder) -> None:
    command = f"{sys.executable} {cold.script} --wait & echo $!; sleep 60"
    with subprocess.Popen(
        ["sh", "-c", command], cwd=cold.root, stdout=subprocess.PIPE, text=True
    ) as launcher:
        waiting = psutil.Process(int(launcher.stdout.readline()))
        wait_until((cold.root / ".snakemake/warm.socket").exists)
        launcher.kill()
        waiting.wait(timeout=30)


def test_hangup_of_the_terminal_leaves_nothing_behind(cold: Folder) -> None:
    """The terminal tells the whole group: the process that waits, and the one that asks."""
    (cold.root / "sleeper.py").write_text(SLEEPER)
    command = (
        f"{sys.executable} {cold.script} --wait & "
        f"until [ -S .snakemake/warm.socket ]; do sleep 0.05; done; "
        f"{sys.executable} {cold.script} -m sleeper; true"
    )
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=cold.root,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Below `nohup` a hangup is ignored, on purpose, by all that is started there.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as group:
        fork = psutil.Process(int(group.stdout.readline()))
        assert os.getpgid(fork.pid) != group.pid
        os.killpg(group.pid, signal.SIGHUP)
        fork.wait(timeout=30)


def test_forks_run_at_the_same_time(warm: Folder) -> None:
    with sleeper(warm) as (_, one), sleeper(warm) as (_, other):
        assert one.is_running() and other.is_running()


def test_fork_ends_with_the_process_that_asked(warm: Folder) -> None:
    with sleeper(warm) as (asking, fork):
        asking.kill()
        fork.wait(timeout=30)


def test_fork_ends_with_a_process_that_asked_and_read_no_answer(
    warm: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (warm.root / "sleeper.py").write_text(SLEEPER)
    monkeypatch.chdir(warm.root)
    message = {
        "arguments": ["-m", "sleeper"],
        "folder": str(warm.root),
        "environment": dict(os.environ),
    }
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.connect(".snakemake/warm.socket")
    output, given = os.pipe()
    with open(output) as told, open(os.devnull) as nothing:
        socket.send_fds(asking, [json.dumps(message).encode()], [nothing.fileno(), given, 2])
        os.close(given)
        fork = psutil.Process(int(told.readline()))
        asking.close()
        fork.wait(timeout=30)


def test_fork_ends_with_the_parent_of_the_process_that_asked(warm: Folder) -> None:
    """As a kernel does whose notebook was killed."""
    (warm.root / "sleeper.py").write_text(SLEEPER)
    command = f"{sys.executable} {warm.script} -m sleeper; true"
    with subprocess.Popen(
        ["sh", "-c", command], cwd=warm.root, stdout=subprocess.PIPE, text=True
    ) as parent:
        fork = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        fork.wait(timeout=30)


def test_termination_is_passed_on(warm: Folder) -> None:
    with sleeper(warm) as (asking, fork):
        asking.send_signal(signal.SIGINT)  # as Jupyter does with a kernel before its end
        asking.terminate()
        assert asking.wait(timeout=30) == 128 + signal.SIGTERM
        assert not fork.is_running()


def test_killed_fork_is_told_of(warm: Folder) -> None:
    with sleeper(warm) as (asking, fork):
        fork.kill()
        assert asking.wait(timeout=30) == 128 + signal.SIGKILL
