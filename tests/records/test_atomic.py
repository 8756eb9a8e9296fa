"""Files are whole or not there: after a kill, on a full disk, where nothing can be written."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest
from prose import refusal

from moelib.records.atomic import remove_leftovers, write_atomically
from moelib.study.base import PROJECT, ConfigError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raising(error):
    def stub(*args, **kwargs):
        raise error

    return stub


def test_content_arrives_in_new_folders_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "a" / "b" / "file.json"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["file.json"]


def test_others_may_read_the_file(tmp_path):
    write_atomically(tmp_path / "file", b"")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fails):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, fails, raising(FULL))
    with refusal(ConfigError, path, "No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_while_content_is_written(tmp_path, monkeypatch):
    class Full:
        def __init__(self, handle, mode):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            os.close(self.handle)

        def write(self, content):
            os.write(self.handle, content[: len(content) // 2])
            raise FULL

    monkeypatch.setattr(os, "fdopen", Full)
    with refusal(ConfigError, tmp_path / "file", "No space left on device"):
        write_atomically(tmp_path / "file", b"new content")
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "results").write_text("a file")
    with refusal(ConfigError, tmp_path / "results"):
        write_atomically(tmp_path / "results" / "file", b"content")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    # Simulated: to a superuser every folder is writable.
    denied = OSError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr("tempfile.mkstemp", raising(denied))
    with refusal(ConfigError, tmp_path, "Permission denied"):
        write_atomically(tmp_path / "file", b"content")


KILLED = """
import os, signal, sys
from pathlib import Path
from moelib.records.atomic import write_atomically

fsync = os.fsync
def killed(handle):
    fsync(handle)
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync = killed
write_atomically(Path(sys.argv[1]), b"new")
"""


def test_a_kill_before_the_rename_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    process = subprocess.run([sys.executable, "-c", KILLED, path], cwd=PROJECT)
    assert process.returncode == -9
    assert path.read_bytes() == b"old"


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path):
    path, other = tmp_path / "file[1]", tmp_path / "file[1].json"
    for name in (path, path, other):
        subprocess.run([sys.executable, "-c", KILLED, name], cwd=PROJECT)
    write_atomically(path, b"old")
    (tmp_path / ".lock").touch()
    before = {file.name for file in tmp_path.iterdir()}
    remove_leftovers(path)
    gone = before - {file.name for file in tmp_path.iterdir()}
    assert len(gone) == 2 and all(name.startswith(".file[1].") for name in gone)


def test_a_reader_beside_writers_sees_whole_contents_only(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([i]) * 50_000 for i in range(4)]
    write_atomically(path, contents[0])
    writers = [
        threading.Thread(target=lambda c=c: [write_atomically(path, c) for _ in range(20)])
        for c in contents
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
