"""Sentences of the report as tests read them: their numbers, whatever the words between."""

import re


def numbers(text: str) -> list[str]:
    """The numbers of a text in their order, as they are written: signs, digits and per cents.

    >>> numbers("soft-e4 is +1.50 (0.2 to 2e-05) points, 3% of 1,024.")
    ['+1.50', '0.2', '2e-05', '3%', '1,024']
    """
    return re.findall(r"(?<![\w.-])[+\N{MINUS SIGN}-]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?%?", text)
