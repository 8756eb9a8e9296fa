import pytest
import series
import synthetic

from moelib.records.record import write_record
from moelib.report.sharpness import words
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results")


def test_sharpness_is_told_of_test_images():
    study = synthetic.study(seeds=(0, 1))
    for record in series.sharp(study, {"dense": (1, 1), "soft": (4, 1)}):
        write_record(record_path(record), record)
    answer = next(words.answer([study.name])).data
    assert "sharper" not in answer.split("**")[1]


def record_path(record):
    return Run(record.study, record.head, record.seed).record_path(record.kind)
