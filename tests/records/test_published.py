"""The published records: small enough to be cloned with the code."""

import subprocess

import pytest

from moelib.records.kinds import SCHEMA
from moelib.study.base import PROJECT

LIMIT = 10_000_000  # bytes of all committed records


def test_published_records_stay_small():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "results"], cwd=PROJECT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("no checkout of git")
    files = [PROJECT / name for name in listed.stdout.split("\0") if name]
    files.remove(SCHEMA)  # which is generated, and no record
    assert files and sum(file.stat().st_size for file in files if file.exists()) <= LIMIT
