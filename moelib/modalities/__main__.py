"""Run a study of modalities, seed by seed over all arms: `python -m moelib.modalities main`.

What is finished is not run again, and a killed run continues where it was, so that the same
command resumes at any time.
"""

import argparse
import sys

from moelib.modalities.train import train
from moelib.study.base import ConfigError
from moelib.study.modalities import load_modality_study, modality_runs


def main() -> None:
    """Train all runs of a study."""
    parser = argparse.ArgumentParser(prog="python -m moelib.modalities", description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--arms", nargs="*")
    parser.add_argument("--seeds", nargs="*", type=int)
    parser.add_argument("--train-only", action="store_true")
    options = parser.parse_args()
    try:
        study = load_modality_study(options.study)
        for run in modality_runs(study):
            if options.arms and run.head not in options.arms:
                continue
            if options.seeds and run.seed not in options.seeds:
                continue
            record = train(run)
            accuracy = {name: f"{a.accuracy:.3f}" for name, a in record.numbers.tests.items()}
            print(f"{study.name} {run.head} seed {run.seed}: {accuracy}", flush=True)
    except ConfigError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
