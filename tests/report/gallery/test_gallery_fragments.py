import json
import re
from html import unescape

import numpy as np
import prose
import pytest
import synthetic

from moelib.report.gallery import tables, words
from moelib.report.gallery.fragments import badge, choices, experts, forming, gated, matrix
from moelib.study.reader import parse_study
from moelib.study.run import Run

RUN = Run(synthetic.study(seeds=(0,)), "sparse", 0)
RECORD = synthetic.gallery(RUN)


def places(html: str) -> list[int]:
    return [int(number) for number in re.findall(r"--n:(\d+)", html)]


def test_experts_show_their_images_and_their_share():
    html = experts(RECORD)
    assert places(html) == [0, 1, 1, 2, 2]
    # 9 and 12 of 21 images, and none.
    assert [re.sub("<.*?>", "", row) for row in re.findall(r"<th scope=row>.*?</th>", html)] == [
        *("0 43%", "1 57%", "2 0%", "3 0%")
    ]
    assert 'aria-label="cat, taken for ship"' in html and 'aria-label="cat"' in html


def test_rows_of_the_matrix_are_shares_of_a_class():
    rows = re.findall(r"<tr><th scope=row>.*?</tr>", matrix(RECORD))
    cells = [re.findall(r">(\d*)</td>", row) for row in rows]
    assert cells == [["86", "14", "", ""], ["", "100", "", ""], ["43", "57", "", ""]]
    assert list(tables.pairings(RECORD)["expert"]) == [0, 1, 1]


def test_the_epochs_of_an_image_are_a_row():
    html = forming(RECORD, synthetic.trained(RUN))
    by_epoch = json.loads(unescape(re.search(r'data-first="(.*?)"', html)[1]))
    assert by_epoch == [[1, 3], [0, 3], [0, 3]]
    table = html[html.index("<table") :]
    assert places(table) == [3, 4]
    assert re.findall(r"--on:[^;]*\">(\d)</b>", table) == ["1", "0", "0", "3", "3", "3"]


def test_the_gate_as_trained_is_a_softmax_over_the_chosen_experts():
    gate = tables.gate(RECORD, 2)  # logits 1, 2, 0.8, 0.7: the second and the first
    assert gate == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e), 0, 0])
    biased = RECORD.model_copy(
        update={"numbers": RECORD.numbers.model_copy(update={"bias": (0.0, 0.0, 0.0, 5.0)})}
    )
    # A bias selects and does not weigh.
    assert tables.gate(biased, 2) == pytest.approx([0, 1, 0, np.exp(-1.3)] / (1 + np.exp(-1.3)))


def test_choices_can_be_read_without_a_script_and_tell_it_all_that_it_needs():
    html = choices(RECORD)
    gates = json.loads(unescape(re.search(r'data-gates="(.*?)"', html)[1]))
    assert gates["k"] == 2 and len(gates["logits"]) == len(gates["noise"]) == len(set(places(html)))
    assert "flex-grow:0.7311" in html and "draw again" in html
    silent = choices(synthetic.gallery(RUN, noisy=False))
    assert "draw again" not in silent and '"noise": null' in unescape(silent)


def test_numbers_on_colours_can_be_read():
    for expert in range(9):
        ground, ink = re.search(r"--e:(#\w+);--on:(#\w+)", badge(expert, 9)).groups()
        assert contrast(ground, ink) >= 4.5, (expert, ground)


def contrast(ink: str, ground: str) -> float:
    """WCAG 2.1, from hexadecimal colours of three or six digits."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        shares = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
        linear = [
            share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
            for share in shares
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(ink), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def test_a_run_has_four_figures_of_different_names():
    _, *figures = words.charts(RECORD, synthetic.trained(RUN))
    names = [figure.data.splitlines()[1] for figure in figures]
    assert names == [
        f":name: gallery-digits{end}" for end in ("", "-matrix", "-forming", "-choices")
    ]
    caption = figures[-1].data.splitlines()[3]
    assert "25%" in prose.numbers(caption)
    # Of the images with their gates; that of two chosen experts with the larger logit.
    first = [tables.gate(RECORD, place).max() for place in gated(RECORD)]
    assert prose.numbers(caption)[:2] == [f"{min(first):.0%}", f"{max(first):.0%}"]


def test_experts_that_are_surest_of_one_class_are_counted():
    numbers = RECORD.numbers
    pictures = tuple(
        picture.model_copy(update={"label": n % 2}) for n, picture in enumerate(numbers.pictures)
    )
    one, other = 0, 1
    certain = ((one, one + 2), (one, other), (other,), ())
    numbers = numbers.model_copy(update={"pictures": pictures, "certain": certain})
    record = RECORD.model_copy(update={"numbers": numbers})
    surest = tables.surest(record)
    assert list(surest.index) == [0, 1]
    assert surest[0] == numbers.classes[0] and surest.isna()[1]
    claim = words._surest(record)
    assert prose.numbers(claim) == ["1", "2", "0"] and numbers.classes[0] in claim
    mixed = numbers.model_copy(update={"certain": ((one, other), (), (), ())})
    claim = words._surest(RECORD.model_copy(update={"numbers": mixed}))
    assert prose.numbers(claim) == ["0", "1"]


def test_of_each_set_of_images_one_run_is_shown(results):
    digits = synthetic.study(seeds=(0,))
    raw = digits.model_dump(mode="json")
    cifar10 = parse_study(raw | {"name": "large", "data": {"source": "cifar10"}})
    for study in (digits, cifar10):
        synthetic.write_all(study)
        synthetic.write_galleries(study)
    parts = [part.data for part in words.answer(["tiny", "large"])]
    names = [part.splitlines()[1] for part in parts if part.startswith(":::{chart}")]
    ends = ("", "-matrix", "-forming", "-choices")
    assert names == [f":name: gallery-cifar10{end}" for end in ends] + [":name: gallery-digits"]
    (heading,) = (part for part in parts if part.startswith("##"))
    assert "digits" in heading
