import numpy as np
import synthetic

from moelib.report import frames
from moelib.study.run import Run


def test_test_bits_come_back_as_they_were_written():
    right = np.random.default_rng(0).random(21) < 0.5
    record = synthetic.trained(Run(synthetic.study(), "dense", 0), right)
    assert np.array_equal(frames.test_correct(record), right)
