"""Which of the options a free answer picks, by the rules of VLMEvalKit, without a judge.

`can_infer` in `vlmeval/utils/matching_util.py` of github.com/open-compass/VLMEvalKit, which scores
MMBench for its authors. Its versions differ in where a letter may stand; this is the one in which
it must be among the last four words. Not taken over: a list of four phrases of refusal, and the
language model that is asked where the rules find nothing. Without it such an answer is wrong, so
scores are at most those with it, and equal where a model answers with letters.
"""

from collections.abc import Mapping

MARKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
LAST = 4  # words
NONE = "Z"  # the letter for none of the options


def choice(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the letter that an answer picks among options (letter: text), or None.

    1. If just one option's letter is a word of the answer, and stands first within its last four
       words, it is that one; so also "(B)" and "B: two dogs".
    2. Else, unless it is "Z" for none, if the answer is at most twice as long as all options
       together and contains the text of just one of them in any case, it is that one.

    >>> choice("The answer is (B).", {"A": "cat", "B": "dog"})
    'B'
    >>> choice("A dog", {"B": "dog", "C": "cat"})
    'B'
    >>> choice("A or B", {"A": "cat", "B": "dog"}) is None
    True
    """
    words = answer.translate(MARKS).split()
    letters = [letter for letter in options if letter in words]
    if len(letters) == 1 and words.index(letters[0]) >= len(words) - LAST:
        return letters[0]
    if not letters and NONE in words:
        return None
    if len(answer) > 2 * sum(map(len, options.values())):
        return None
    texts = [letter for letter, text in options.items() if text.lower() in answer.lower()]
    return texts[0] if len(texts) == 1 else None
