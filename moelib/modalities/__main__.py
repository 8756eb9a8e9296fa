"""Run a study of modalities, seed by seed over all arms: `python -m moelib.modalities main`.

What is finished is not run again, and a killed run continues where it was, so that the same
command resumes at any time.
"""

import argparse
import sys

from moelib.modalities.nlvr import analyse_nlvr
from moelib.modalities.sharpness import analyse_sharpness
from moelib.modalities.train import train
from moelib.modalities.utilization import analyse_utilization
from moelib.study.base import ConfigError
from moelib.study.modalities import Dense, ModalityRun, load_modality_study, open_modality_run

TASKS = {
    "train": train,
    "utilization": analyse_utilization,
    "sharpness": analyse_sharpness,
    "nlvr-dev": lambda run: analyse_nlvr(run, "dev"),
    "nlvr-test": lambda run: analyse_nlvr(run, "test"),
}


def main() -> None:
    """Train all runs of a study, and make those analyses that are named."""
    parser = argparse.ArgumentParser(prog="python -m moelib.modalities", description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["train"])
    parser.add_argument("--arms", nargs="+", help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: all")
    options = parser.parse_args()
    try:
        study = load_modality_study(options.study)
        runs = [
            open_modality_run(options.study, arm, seed)
            for seed in options.seeds or study.seeds
            for arm in options.arms or study.arms
        ]
        for run in runs:
            make(run, options.tasks)
    except ConfigError as error:
        sys.exit(str(error))


def make(run: ModalityRun, tasks: list[str]) -> None:
    """Make the records of a run; an arm without experts has no utilization."""
    for task in tasks:
        if task != "utilization" or not isinstance(run.arm, Dense):
            print(f"{run.study.name}, {run.head}, seed {run.seed}: {task}", flush=True)
            TASKS[task](run)


if __name__ == "__main__":
    main()
