"""Galleries: whose images they are, that they are the extreme ones, and that they are those."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_dataset, tiny_run

from moelib.analyses.gallery import analyse_gallery, sprite
from moelib.study.analyses import Gallery
from moelib.study.base import ConfigError
from moelib.study.run import Run
from moelib.training.evaluate import predict
from moelib.training.model import build_model
from moelib.training.train import load_weights, train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("results")]


def asking(head: str, images: int = 3) -> Run:
    """A run of a study that asks for a gallery."""
    run = tiny_run(head, epochs=2)
    analyses = run.study.analyses.model_copy(update={"gallery": Gallery(images=images)})
    return Run(run.study.model_copy(update={"analyses": analyses}), head, 0)


@pytest.mark.parametrize("head", ["sparse", "soft", "switch", "frozen"])
def test_images_are_the_surest_and_the_least_sure_of_each_first_choice(head):
    run, data = asking(head), tiny_dataset()
    record = analyse_gallery(run, data)
    gallery = record.numbers
    model = build_model(run, data)
    load_weights(run, model, train(run, data), "last")
    logits, routing = predict(model, data.test, data)
    first = routing.ranked.argmax(dim=1)
    sure = routing.logits.softmax(dim=1).gather(1, first[:, None]).flatten()
    errors = (logits.argmax(dim=1) != data.test.labels).nonzero().flatten().tolist()
    for expert in range(4):
        rows = (first == expert).nonzero().flatten().tolist()
        by_certainty = sorted(rows, key=lambda i: -sure[i].item())
        for group, expected in (
            (gallery.certain, by_certainty[:3]),
            (gallery.uncertain, by_certainty[::-1][:3]),
        ):
            indices = [gallery.pictures[place].index for place in group[expert]]
            # Equally certain images may come in another order.
            assert sure[indices].tolist() == pytest.approx(sure[expected].tolist(), abs=1e-6)
            assert set(indices) <= set(rows)
        assert {gallery.pictures[p].index for p in gallery.wrong[expert]} <= set(errors) & set(rows)
    counts = np.array(gallery.class_expert)
    assert counts.sum(axis=0).tolist() == first.bincount(minlength=4).tolist()
    assert counts.sum(axis=1).tolist() == data.test.labels.bincount().tolist()


def test_noise_is_kept_and_leaves_the_gate_as_it_was():
    run, data = asking("sparse"), tiny_dataset()
    gallery = analyse_gallery(run, data).numbers
    assert 0 <= gallery.moved_by_noise <= 1
    assert all(min(p.noise) > 0.3 for p in gallery.pictures if p.split == "test")  # the floor
    repeated = analyse_gallery(run, data, again=True).numbers
    assert repeated == gallery  # the draw is the run's own
    without = analyse_gallery(asking("soft"), data).numbers
    assert without.moved_by_noise is None and without.pictures[0].noise is None


def test_the_images_whose_choices_training_kept_are_there_in_its_order():
    run, data = asking("sparse"), tiny_dataset()
    gallery = analyse_gallery(run, data).numbers
    watched = train(run, data).numbers.epochs[-1].watched
    pictures = [gallery.pictures[place] for place in gallery.watched]
    assert [picture.index for picture in pictures] == list(range(len(watched)))
    # The last epoch's weights are those that are analysed: their largest gates agree.
    assert [int(np.argmax(picture.logits)) for picture in pictures] == list(watched)


def test_a_sprite_holds_the_images_below_each_other():
    grey = torch.arange(3, dtype=torch.uint8)[:, None, None, None] * 100
    images = grey.expand(3, 8, 8, 1).contiguous()
    decoded = Image.open(io.BytesIO(base64.b64decode(sprite(images))))
    pixels = np.asarray(decoded).astype(int)
    assert pixels.shape == (24, 8, 3)
    for place in range(3):  # JPEG rounds, and mixes no two blocks
        assert abs(pixels[8 * place : 8 * place + 8] - 100 * place).max() <= 2


@pytest.mark.parametrize("head", ["dense", "uniform"])
def test_a_head_that_chooses_nothing_is_refused(head):
    with pytest.raises(ConfigError, match="no choice among experts"):
        analyse_gallery(asking(head), tiny_dataset())


def test_only_the_first_seed_of_heads_that_choose_is_asked_for():
    study = asking("sparse").study
    runs = {
        (h, s) for h in study.heads for s in study.seeds if "gallery" in study.analyses_of(h, s)
    }
    assert runs == {(head, 0) for head in ("soft", "sparse", "switch", "frozen")}
    assert "gallery" not in tiny_run().study.analyses_of("sparse", 0)
