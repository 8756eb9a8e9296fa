"""Beyond the test split: corrupted images, calibration, and what is predicted of each image."""

import torch
from torch import Tensor
from tqdm import tqdm

from moelib.analyses.analysis import analyse
from moelib.analyses.calibration import best_temperature, reliability
from moelib.analyses.corruptions import corrupted
from moelib.analyses.trained import Trained, subset
from moelib.records.record import Record
from moelib.records.reliability import Corrupted, RobustnessNumbers
from moelib.study.analyses import Robustness
from moelib.study.run import Run
from moelib.training import device
from moelib.training.data import Dataset, Split
from moelib.training.evaluate import predict
from moelib.training.seeding import seeded


def analyse_robustness(
    run: Run, dataset: Dataset | None = None, *, again: bool = False
) -> Record[RobustnessNumbers]:
    """Analyse the weights of a finished run that its protocol selects; `analyse` says how.

    Raises:
        ConfigError: the test split has too few images, or as `analyse` does.
    """
    return analyse(run, RobustnessNumbers, measure, dataset=dataset, again=again)


def measure(trained: Trained, sizes: Robustness) -> RobustnessNumbers:
    """Predictions on all test images, and on a subset of them under each corruption."""
    run, training, dataset = trained.run, trained.training, trained.dataset

    def logits(split: Split) -> Tensor:
        with device.autocast(training):
            channels_last = training.channels_last
            return predict(trained.model, split, dataset, channels_last=channels_last)[0].double()

    with seeded(run.stream(f"{run.head}/robustness"), torch.device(training.device)):
        clean = logits(dataset.test)  # (n, c)
        validation = logits(dataset.validation)
        chosen = subset(dataset, "test", sizes.images, run.study.data.split_seed)
        uncorrupted = logits(chosen)
        rows = []
        cells = [(name, level) for name in sizes.corruptions for level in sizes.strengths]
        for name, level in tqdm(cells, desc="corruptions", mininterval=1):
            images = torch.from_numpy(corrupted(chosen.images.cpu().numpy(), name, level))
            row = logits(Split(images.to(chosen.labels.device), chosen.labels))
            rows.append(
                Corrupted(
                    corruption=name,
                    strength=level,
                    reliability=reliability(row, chosen.labels, sizes.bins),
                )
            )
    temperature = best_temperature(validation, dataset.validation.labels)
    return RobustnessNumbers(
        epoch=trained.record.numbers.tested_epoch,
        clean=reliability(clean, dataset.test.labels, sizes.bins),
        temperature=temperature,
        tempered=reliability(clean / temperature, dataset.test.labels, sizes.bins),
        images=sizes.images,
        uncorrupted=reliability(uncorrupted, chosen.labels, sizes.bins),
        corrupted=tuple(rows),
        predicted=packed(clean.argmax(dim=1), len(dataset.classes)),
    )


def packed(classes: Tensor, count: int) -> str:
    """Predicted classes (n,) as text: of each the hexadecimal digits that the last class needs.

    >>> packed(torch.tensor([0, 9, 3]), 10)
    '093'
    >>> packed(torch.tensor([0, 255, 3]), 256)
    '00ff03'
    """
    digits = len(f"{count - 1:x}")
    return "".join(f"{index:0{digits}x}" for index in classes.tolist())
