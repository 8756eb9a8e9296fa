"""Which images a study is about."""

from typing import Literal

from moelib.study.base import Frozen, NonNegativeInt, Seed, Share, rule


class Data(Frozen):
    """Which images, how they are split, and which augmentation suits them."""

    source: Literal["cifar10", "digits", "folder"]
    root: str | None = (
        None  # where the files are; default: $MOELIB_DATA, then data/ in the checkout
    )
    test_share: Share | None = None  # of all images; only where the source has no official test set
    validation_share: Share = 0.1  # of the images that are not test images
    split_seed: Seed = 42
    crop_padding: NonNegativeInt = (
        4  # pixels of zeros on each side before a random crop; 0: no crop
    )
    flip: bool = True  # horizontal, with probability 1/2

    @rule
    def _test_set(self) -> None:
        if self.source == "cifar10" and self.test_share is not None:
            raise ValueError("test_share must be left out: CIFAR-10 has an official test set")
        if self.source != "cifar10" and self.test_share is None:
            raise ValueError(f"test_share is needed: {self.source} has no official test set")
        if self.source == "folder" and self.root is None:
            raise ValueError("root is needed: the folder that holds one folder of images per class")
