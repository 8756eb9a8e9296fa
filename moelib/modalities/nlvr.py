"""NLVR (Suhr, Lewis, Yeh, Artzi 2017): human statements about rendered pictures, answered as read.

The files are those of its authors: `<split>/<split>.json` with an example a line, and for each
example six PNG of its three boxes in different order, `<split>/images/<directory>/<split>-<n>-<m>-
<0..5>.png`. Nothing is trained on them: `dev` is for looking, and `test` for looking once.
"""

import json
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from moelib.modalities.language import NUMBER, UNKNOWN, encode
from moelib.modalities.model import LONGEST, PLACES, Batch, VisionLanguage
from moelib.modalities.programs import ANSWERS
from moelib.modalities.scenes import SIDE
from moelib.modalities.train import load_model, train
from moelib.records.freshness import nlvr_inputs, up_to_date
from moelib.records.modalities import NlvrNumbers
from moelib.records.provenance import digest_files, observe
from moelib.records.record import Record, write_record
from moelib.study.base import ConfigError
from moelib.study.modalities import ModalityRun
from moelib.training import device

ORDERS = 6  # of three boxes
BOXES = [(0, 100), (150, 250), (300, 400)]  # columns of pixels of each box in a picture
SPLITS = ("dev", "test")
EVALUATED = 250  # pictures of a batch


class Example(NamedTuple):
    """A statement, whether it is true, and the pictures that it stands with."""

    sentence: str
    label: bool
    group: str  # the n of its identifier: statements that are the same sentence share it
    pictures: tuple[Path, ...]


def folder(root: str | os.PathLike | None = None) -> Path:
    """Where the files are: `root`, else the folder `nlvr` in $MOELIB_DATA.

    Raises:
        ConfigError: neither is given, or there is no such folder.
    """
    if root is None and "MOELIB_DATA" not in os.environ:
        raise ConfigError(
            "NLVR is read from a folder with dev/ and test/ as its authors publish them: set "
            "MOELIB_DATA to the folder that holds it as nlvr/."
        )
    path = Path(root) if root is not None else Path(os.environ["MOELIB_DATA"]) / "nlvr"
    if not path.is_dir():
        raise ConfigError(f"There is no folder {path} with NLVR.")
    return path


def read(root: Path, split: str) -> list[Example]:
    """All examples of a split.

    Raises:
        ConfigError: the file is missing or a line of it is damaged; the sentence says which.
    """
    if split not in SPLITS:
        raise ConfigError(f"NLVR has no split '{split}'; they are {', '.join(SPLITS)}.")
    path = root / split / f"{split}.json"
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.")
    return [
        _example(line, f"{path}, line {number}", root / split / "images", split)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if line.strip()
    ]


def _example(line: str, where: str, images: Path, split: str) -> Example:
    try:
        raw = json.loads(line)
        sentence, label, identifier, directory = (
            raw[key] for key in ("sentence", "label", "identifier", "directory")
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{where} is no example of NLVR: {error!r}.") from None
    named = re.fullmatch(r"(\d+)-\d+", str(identifier))
    if label not in ("true", "false") or named is None:
        raise ConfigError(
            f"{where}: a label is 'true' or 'false' and an identifier 'n-m', and not {label!r} and "
            f"{identifier!r}."
        )
    names = [images / directory / f"{split}-{identifier}-{order}.png" for order in range(ORDERS)]
    return Example(sentence, label == "true", named[1], tuple(names))


def pictures(path: Path) -> np.ndarray:
    """The three boxes (3, y, x, 3) of uint8 of a picture, as small as the scenes of training.

    Raises:
        ConfigError: it is missing, or no picture of three boxes.
    """
    try:
        with Image.open(path) as image:
            whole = image.convert("RGB")
    except OSError as error:
        raise ConfigError(f"The picture {path} cannot be read: {error}.") from None
    if whole.size != (400, 100):
        raise ConfigError(f"The picture {path} is {whole.size}, and not 400 x 100 pixels.")
    boxes = [
        whole.crop((left, 0, right, 100)).resize((SIDE, SIDE), Image.Resampling.BOX)
        for left, right in BOXES
    ]
    return np.stack([np.asarray(box) for box in boxes])


def analyse_nlvr(
    run: ModalityRun, split: str, root: str | os.PathLike | None = None, *, again: bool = False
) -> Record[NlvrNumbers]:
    """The record of a run's answers to a split: as it stands if up to date, else answered now.

    A run that is not trained yet, or whose weights are gone, is trained first; but none that
    another machine trained, whose record would be lost.

    Args:
        run: that answers.
        split: of `SPLITS`.
        root: as of `folder`.
        again: answer even if the record is up to date.

    Raises:
        ConfigError: the files are missing or damaged, or it needs weights of another machine.
    """
    files = folder(root)
    examples = read(files, split)
    data = _data_digest(files / split / f"{split}.json", examples)
    path = run.record_path(f"{NlvrNumbers.kind}-{split}")
    trained = train(run)
    if not again:
        inputs = nlvr_inputs(run, trained, data, trained.inputs["torch"])
        record = up_to_date(path, NlvrNumbers, inputs)
        if record is not None:
            print(f"The record {path.name} is up to date: not answered again.")
            return record
    trained = train(run, weights=True)
    run = ModalityRun(trained.numbers.study, run.head, run.seed)
    start = time.perf_counter()
    with run.locked(f"nlvr-{split}"), device.numerics(run.study.training) as on:
        numbers = measure(run, load_model(run, trained).to(on), split, examples)
        record = Record[NlvrNumbers](
            kind=NlvrNumbers.kind,
            head=run.head,
            seed=run.seed,
            inputs=nlvr_inputs(run, trained, data, trained.inputs["torch"]),
            numbers=numbers,
            provenance=observe(run.study.training.device, time.perf_counter() - start),
        )
        return write_record(path, record)


def _data_digest(statements: Path, examples: list[Example]) -> str:
    try:
        return digest_files([statements, *(p for example in examples for p in example.pictures)])
    except OSError as error:
        raise ConfigError(
            f"The picture {error.filename} cannot be read: {error.strerror}."
        ) from None


def measure(
    run: ModalityRun, model: VisionLanguage, split: str, examples: list[Example]
) -> NlvrNumbers:
    """Accuracy over all pictures, and consistency over sentences: right for all their pictures."""
    rows = [(example, path) for example in examples for path in example.pictures]
    labels = np.array([example.label for example, _ in rows])
    answers = np.concatenate(
        [
            _answers(run, model, rows[start : start + EVALUATED])
            for start in range(0, len(rows), EVALUATED)
        ]
    )
    right = answers == labels
    groups = np.array([example.group for example, _ in rows])
    words = [word for example in examples for word in encode(example.sentence)[1:]]
    return NlvrNumbers(
        study=run.study,
        split=split,
        sentences=len(examples),
        pictures=len(rows),
        accuracy=float(right.mean()),
        consistency=float(np.mean([right[groups == group].all() for group in np.unique(groups)])),
        said_true=float(answers.mean()),
        majority=float(max(labels.mean(), 1 - labels.mean())),
        unknown_words=float(np.mean([word == NUMBER[UNKNOWN] for word in words])),
    )


def _answers(
    run: ModalityRun, model: VisionLanguage, rows: list[tuple[Example, Path]]
) -> np.ndarray:
    on = torch.device(run.study.training.device)
    words = torch.zeros(len(rows), LONGEST, dtype=torch.int64)
    for row, (example, _) in enumerate(rows):
        encoded = encode(example.sentence)[:LONGEST]
        words[row, : len(encoded)] = torch.tensor(encoded)
    boxes = torch.from_numpy(np.stack([pictures(path) for _, path in rows]))
    places = torch.arange(PLACES).expand(len(rows), PLACES)
    batch = Batch(words.to(on), boxes.to(on), places.to(on))
    with torch.no_grad(), device.autocast(run.study.training):
        logits = model.eval()(batch)
    return (logits[:, ANSWERS.index("true")] > logits[:, ANSWERS.index("false")]).cpu().numpy()
