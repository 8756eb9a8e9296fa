"""A study of modalities so small that an epoch takes an instant."""

from typing import Any

from moelib.study.modalities import ModalityRun, ModalityStudy, parse_modality_study

ARMS = {
    "dense": {"kind": "dense", "hidden": 16},
    "words": {"kind": "dense", "hidden": 16, "sees": "words"},
    "images": {"kind": "dense", "hidden": 16, "sees": "images"},
    "top-1": {"kind": "top_k", "experts": 4, "k": 1, "hidden": 8},
    "top-2": {"kind": "top_k", "experts": 4, "hidden": 8},
    "hard": {"kind": "hard", "experts": 4, "vision_experts": 2, "hidden": 8},
    **{
        f"guided-{score}": {"kind": "guided", "experts": 4, "hidden": 8, "score": score}
        for score in ("attention", "gaussian", "one_hot")
    },
    "guided-kl": {"kind": "guided", "experts": 4, "hidden": 8, "guidance": "kl"},
    "bins": {"kind": "guided", "experts": 4, "hidden": 8, "guidance": "none"},
    **{
        f"slots-{rule}": {"kind": "slots", "experts": 4, "hidden": 8, "allocation": rule}
        for rule in ("learned", "shuffled", "constant", "entropy", "top_p")
    },
}


def small_study(**changes: Any) -> ModalityStudy:
    return parse_modality_study(
        {
            "name": "small",
            "description": "For tests.",
            "sizes": {"train": 64, "validation": 40, "test": 40},
            "curvature_items": 8,
            "transformer": {"layers": 2, "width": 16, "heads": 2},
            "arms": ARMS,
            "seeds": [0, 1],
            "training": {
                "epochs": 2,
                "batch_size": 16,
                "learning_rate": 0.003,
                "schedule": {"kind": "onecycle"},
                "precision": "fp32",
                "channels_last": False,
            },
            **changes,
        }
    )


def small_run(arm: str = "top-2", seed: int = 0, **changes: Any) -> ModalityRun:
    return ModalityRun(small_study(**changes), arm, seed)
