"""Sentences as tests read them: their numbers and their names, whatever the words between."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def numbers(text: str) -> list[str]:
    """The numbers of a text in their order, as they are written: signs, digits and per cents.

    >>> numbers("soft-e4 is +1.50 (0.2 to 2e-05) points, 3% of 1,024.")
    ['+1.50', '0.2', '2e-05', '3%', '1,024']
    """
    return re.findall(r"(?<![\w.-])[+\N{MINUS SIGN}-]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?%?", text)


def lacking(text: str, names: tuple[object, ...]) -> list[str]:
    """The names that a text does not hold, each for itself.

    >>> lacking("heads.sparse: k = 9 exceeds experts = 8.", ("heads.sparse", "k", 9, "sparse", 0.9))
    ['sparse', '0.9']
    """
    patterns = {str(name): rf"(?<![\w.-]){re.escape(str(name))}(?![.-]?\w)" for name in names}
    return [name for name, pattern in patterns.items() if not re.search(pattern, text)]


@contextmanager
def refusal(kind: type[Exception], *names: object) -> Iterator[pytest.ExceptionInfo]:
    """A refusal of this kind that names the key, path or value, and what is allowed instead."""
    with pytest.raises(kind) as error:
        yield error
    assert not lacking(str(error.value), names), str(error.value)
