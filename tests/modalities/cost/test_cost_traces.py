"""Routing traces: the shares that they promise."""

import pytest
import torch
from prose import refusal

from moelib.modalities.cost.traces import (
    AT_HOME,
    IMAGE,
    SAVED,
    TEXT,
    TRACES,
    VISION,
    modalities,
    trace,
)
from moelib.study.base import ConfigError

E, K = 16, 4
MODALITY = modalities(8, 640)


def draw(name, modality=MODALITY, k=K, seed=0):
    return trace(name, modality, E, k, torch.Generator().manual_seed(seed))


def shares_of(name, k=K):
    """Share of choices (m, e) that each expert gets from each modality."""
    indices = draw(name, k=k).scores.topk(k, dim=1).indices
    shares = [torch.bincount(indices[m == MODALITY].flatten(), minlength=E) for m in (TEXT, VISION)]
    return torch.stack([share / share.sum() for share in shares])


@pytest.mark.parametrize(
    "tokens, patches", [(1, 0), (64, 0), (639, 0), (640, IMAGE), (1216, 2 * IMAGE), (2304, 1728)]
)
def test_a_sequence_holds_as_many_images_as_leave_room_for_words(tokens, patches):
    tokens_of = modalities(3, tokens)
    assert len(tokens_of) == 3 * tokens
    assert (tokens_of == VISION).sum() == 3 * patches


def test_uniform_and_guided_choices_have_the_shares_of_their_names():
    torch.testing.assert_close(shares_of("uniform"), torch.full((2, E), 1 / E), atol=0.01, rtol=0)
    first = shares_of("guided", k=1)[:, : E // 2].sum(dim=1)  # words live in the first half
    torch.testing.assert_close(first, torch.tensor([AT_HOME, 1 - AT_HOME]), atol=0.02, rtol=0)


def test_first_choices_follow_zipfs_law():
    shares = shares_of("zipf", k=1).mean(dim=0)
    law = 1 / torch.arange(1, E + 1)
    torch.testing.assert_close(shares, law / law.sum(), atol=0.015, rtol=0)


def test_skewed_modalities_prefer_opposite_ends():
    shares = shares_of("skewed")
    torch.testing.assert_close(shares[TEXT], shares[VISION].flip(0), atol=0.02, rtol=0)
    assert shares[TEXT].argmax() == 0


def test_partitioned_modalities_share_no_expert():
    shares = shares_of("partitioned")
    assert (shares[TEXT] * shares[VISION] == 0).all()


def test_all_tokens_go_to_the_same_experts_in_the_adversarial_trace():
    assert (shares_of("adversarial")[:, :K] == 1 / K).all()


@pytest.mark.parametrize("name", ["variable", "variable-by-modality"])
@pytest.mark.parametrize("k", [1, 4, 8])
def test_variable_slots_meet_their_budget_exactly_with_one_at_least(name, k):
    mask = draw(name, k=k).kept
    slots = mask.sum(dim=1)
    assert slots.sum() == max(len(slots), round((1 - SAVED) * len(slots) * k))
    assert slots.min() >= 1
    assert (mask.long().diff(dim=1) <= 0).all()  # the best choices are those that are kept


def test_words_keep_their_slots_where_patches_give_up_theirs():
    slots = draw("variable-by-modality").kept.sum(dim=1).float()
    assert slots[MODALITY == TEXT].mean() == K > slots[MODALITY == VISION].mean()
    blind = draw("variable").kept.sum(dim=1).float()
    assert abs(blind[MODALITY == TEXT].mean() - blind[MODALITY == VISION].mean()) < 0.2


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_that_of_its_seed(name):
    first, repeated, other = draw(name), draw(name), draw(name, seed=1)
    assert torch.equal(first.scores, repeated.scores)
    assert torch.equal(first.scores, other.scores) == (name == "adversarial")


def test_impossible_traces_are_refused():
    with refusal(ConfigError, "'zip'", "uniform, zipf"):
        draw("zip")
    with refusal(ConfigError, "8 experts", "not 9"):
        draw("partitioned", k=9)
