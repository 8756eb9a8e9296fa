"""Where a number comes from: digests that cannot be confused, and what is seen of the checkout."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime

import pytest
import torch

from moelib.records import provenance
from moelib.records.provenance import PACKAGES, Provenance, digest, digest_files, observe


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of one commit: a source file and a record."""
    git(tmp_path, "init", "-q")
    (tmp_path / "results").mkdir()
    (tmp_path / "source.py").write_text("1")
    (tmp_path / "results" / "record.json").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    return tmp_path


def test_digest_is_sha256_over_lengths_and_parts():
    expected = hashlib.sha256(b"\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c").hexdigest()
    assert digest([b"ab", b"c"]) == expected


def test_no_two_lists_of_parts_collide():
    lists = [[], [b""], [b"", b""], [b"ab"], [b"a", b"b"], [b"b", b"a"], [b"ab", b""], [b"", b"ab"]]
    assert len({digest(parts) for parts in lists}) == len(lists)


def test_digest_of_files_depends_on_names_and_contents_and_not_on_their_order(tmp_path):
    first, second = tmp_path / "one", tmp_path / "two"
    first.write_text("1")
    second.write_text("2")
    before = digest_files([first, second])
    assert digest_files([second, first]) == before
    first.write_text("2")
    second.write_text("1")
    assert digest_files([first, second]) != before


def test_commit_of_the_checkout_and_whether_sources_changed(checkout):
    head = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True)
    origin = observe()
    assert origin.commit == head.stdout.decode().strip() and len(origin.commit) == 40
    assert not origin.uncommitted_changes
    (checkout / "results" / "record.json").write_text("2")  # what the run itself writes
    (checkout / "new.py").write_text("not tracked")
    assert not observe().uncommitted_changes
    (checkout / "source.py").write_text("2")
    assert observe().uncommitted_changes


def test_a_source_that_is_no_checkout_is_recorded_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert observe().commit is None
    monkeypatch.setenv("PATH", str(tmp_path))  # and no git at all
    assert observe().commit is None


def test_looking_takes_no_lock_in_the_checkout(checkout):
    # A commit that is made while a run ends must not fail.
    (checkout / "source.py").touch()
    index = checkout / ".git" / "index"
    before = index.stat().st_mtime_ns, index.read_bytes()
    observe()
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before


def test_what_is_seen_of_the_machine():
    origin = observe(wall_time_s=1.23456, epoch_seconds=iter([0.5, 0.70049]))
    assert origin == Provenance.model_validate_json(origin.model_dump_json())
    assert (origin.wall_time_s, origin.epoch_seconds) == (1.235, (0.5, 0.7))
    assert origin.packages["torch"] == torch.__version__.split("+")[0] or "+" in torch.__version__
    assert set(origin.packages) == set(PACKAGES)
    assert origin.device == origin.cpu != ""
    assert origin.threads == torch.get_num_threads()
    assert origin.cores >= 1 and origin.memory_gib > 0.1
    age = datetime.now(UTC) - datetime.fromisoformat(origin.date)
    assert -1 <= age.total_seconds() < 600


@pytest.mark.parametrize("flags", ["flags", "Features"])
def test_extensions_are_those_the_processor_lists(monkeypatch, tmp_path, flags):
    listed = tmp_path / "cpuinfo"
    listed.write_text(f"model name\t: A processor\n{flags}\t\t: sse avx2 amx_bf16 fma\n\n")
    monkeypatch.setattr(provenance, "LISTED", listed)
    assert provenance.processor.__wrapped__() == ("A processor", ("avx2", "amx_bf16"))
    listed.write_text("processor : 0\n")  # some say next to nothing
    assert provenance.processor.__wrapped__() == (platform.machine(), ())


def test_where_there_is_no_list_a_library_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "LISTED", tmp_path / "cpuinfo")
    info = {"brand_raw": "A processor", "flags": ["sse", "avx2", "amx_bf16", "fma"]}
    monkeypatch.setattr(provenance.cpuinfo, "get_cpu_info", lambda: info)
    assert provenance.processor.__wrapped__() == ("A processor", ("avx2", "amx_bf16"))


@pytest.mark.skipif(not provenance.LISTED.exists(), reason="only Linux lists its processor")
def test_the_list_and_the_library_agree(monkeypatch, tmp_path):
    read = provenance.processor.__wrapped__()
    monkeypatch.setattr(provenance, "LISTED", tmp_path / "cpuinfo")
    assert provenance.processor.__wrapped__() == read
