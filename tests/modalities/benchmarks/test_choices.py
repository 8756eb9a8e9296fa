"""Which option a free answer picks."""

import pytest

from moelib.modalities.benchmarks.choices import choice

OPTIONS = {"A": "a cat", "B": "a dog", "C": "two dogs"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B: a dog", "B"),
        ("the answer is B", "B"),
        ("the answer is {B}!", "B"),
        ("B, as two animals", "B"),  # its letter first of four words
        ("B since two animals bark", None),  # five words: too early for a letter, no text
        ("B since it is a dog", "B"),  # too early for a letter, but for its text
        ("A DOG", "A"),  # A is a word among the last four: a weakness of the rule
        ("one Dog: a dog", "B"),
        ("Two dogs", "C"),
        ("b", None),  # letters in their case
        ("AB", None),
        ("A or B", None),
        ("a cat and a dog", None),
        ("D", None),  # no option here
        ("Z", None),
        ("Z a dog", None),  # Z is for none
        ("", None),
        ("a dog" + " indeed" * 5, None),  # 40 characters: over twice the options' 18
        ("a dog" + " indeed" * 4, "B"),  # 33
    ],
)
def test_choice(answer, letter):
    assert choice(answer, OPTIONS) == letter


def test_a_letter_that_is_no_option_does_not_count():
    assert choice("C or B", {"A": "cat", "B": "dog"}) == "B"
