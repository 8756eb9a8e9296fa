"""Hand-made points of the benchmark of sparse heads of many sizes."""

import synthetic

from moelib.records.benchmarks import ScalePoint


def with_numbers(record, **numbers):
    """The record with other numbers."""
    return record.model_copy(update={"numbers": record.numbers.model_copy(update=numbers)})


def point(**changes):
    """Four experts of 5 units, two chosen, on 3 images of 10 features: so few are `batched`."""
    fields = {
        "experts": 4,
        "k": 2,
        "features": 10,
        "hidden": 5,
        "batch": 3,
        "dtype": "float32",
        "chosen": "batched",
        "sparse": {"batched": (2.0, 2.0, 4.0, 8.0, 4.0, 1.0, 2.0, 4.0, 8.0), "loop": (1.6,) * 9},
        "total": (4.0, 3.0, 4.0, 8.0, 12.0, 3.0, 5.0, 2.0, 32.0),
        "active": (1.0, 2.0, 2.0, 4.0, 1.0, 1.0, 1.0, 1.0, 2.0),
    }
    return ScalePoint(**{**fields, **changes})


def scaled(*points, classes=2):
    return with_numbers(synthetic.scaled(), points=points, classes=classes)
