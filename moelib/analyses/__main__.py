"""Make records of one run without a notebook, for machines that have no papermill.

    python -m moelib.analyses STUDY HEAD SEED [KIND ...]

KIND is `train` or an analysis; by default all that the study asks of this run. Records that are up
to date stay as they are.
"""

import argparse
import sys
from importlib import import_module

from moelib.study.base import ConfigError
from moelib.study.run import open_run


def main(study: str, head: str, seed: int, kinds: list[str]) -> None:
    """Train a run if it is not trained, and make its records of these kinds, one after another.

    Raises:
        ConfigError: the study lacks the head, the seed or a kind, or as training and analyses do.
    """
    run = open_run(study, head, seed)
    possible = ["train", *run.study.analyses_of(head, seed)]
    for kind in kinds or possible:
        if kind not in possible:
            raise ConfigError(
                f"'{study}' asks for no '{kind}' of {head}, seed {seed}: only for "
                f"{', '.join(possible)}."
            )
    from moelib.training.data import load_data  # imports torch, which refusals do without
    from moelib.training.train import train

    dataset = load_data(run.study.data)
    for kind in kinds or possible:
        if kind == "train":
            train(run, dataset)
        else:
            module = import_module(f"moelib.analyses.{kind}")
            getattr(module, f"analyse_{kind}")(run, dataset)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m moelib.analyses", description=__doc__)
    parser.add_argument("study")
    parser.add_argument("head")
    parser.add_argument("seed", type=int)
    parser.add_argument("kinds", metavar="KIND", nargs="*")
    try:
        main(**vars(parser.parse_args()))
    except ConfigError as error:
        sys.exit(str(error))
