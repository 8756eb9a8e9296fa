"""The lock under which the environment is made."""

import subprocess
import sys
from pathlib import Path

ALONE = Path(__file__).resolve().parents[2] / "workflow" / "alone"
# Says that it began, waits for a line, says that it ended.
TASK = "import sys; print('began', flush=True); sys.stdin.readline(); print('ended', flush=True)"


def start(lock):
    command = [sys.executable, ALONE, lock, sys.executable, "-c", TASK]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **pipes)


def finish(process):
    process.stdin.write("\n")
    process.stdin.flush()
    with process:
        assert process.stdout.read() == "ended\n"


def test_a_second_command_waits_for_the_first(tmp_path):
    first = start(tmp_path / "lock")
    assert first.stdout.readline() == "began\n"
    second = start(tmp_path / "lock")
    assert "waiting for it" in second.stderr.readline()  # before it has begun
    finish(first)
    assert second.stdout.readline() == "began\n"
    finish(second)


def test_the_lock_outlives_the_one_who_took_it_until_the_command_ends(tmp_path):
    first = start(tmp_path / "lock")
    assert first.stdout.readline() == "began\n"
    first.kill()
    second = start(tmp_path / "lock")
    assert "waiting for it" in second.stderr.readline()
    finish(first)
    assert second.stdout.readline() == "began\n"
    finish(second)


def test_the_status_is_the_command_s(tmp_path):
    command = [sys.executable, ALONE, tmp_path / "lock", sys.executable, "-c", "exit(3)"]
    assert subprocess.run(command).returncode == 3
