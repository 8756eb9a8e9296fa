"""The verdicts on the paper's claims as a frame."""

from collections.abc import Iterable

import pandas as pd

from moelib.records.kinds import (
    EfficiencyNumbers,
    SharpnessNumbers,
    SurfaceNumbers,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.report import effects, loading
from moelib.report.claims import claims
from moelib.report.statistics.hypotheses import INCONCLUSIVE

FIGURES = {  # of claims, by number: each is drawn where there are such records
    **dict.fromkeys((1, 3), ("accuracy", TrainNumbers)),
    **dict.fromkeys((4, 5), ("utilization-balance", UtilizationNumbers)),
    6: ("utilization-information", UtilizationNumbers),
    **dict.fromkeys((7, 9), ("sharpness-lambda-max", SharpnessNumbers)),
    8: ("sharpness-trace", SharpnessNumbers),
    10: ("surface-eigenvector", SurfaceNumbers),
    12: ("efficiency", EfficiencyNumbers),
}


def verdicts(studies: Iterable[str]) -> pd.DataFrame:
    """One row per claim and study that can test it, the study of most evidence first.

    `effect` is the number on which the verdict hangs, with its interval; `figure` a link to what
    shows it.
    """
    trained = loading.by_evidence(studies, TrainNumbers)
    kinds = (UtilizationNumbers, SharpnessNumbers, SurfaceNumbers, EfficiencyNumbers)
    figures = {
        kind: effects.few_heads(loading.by_evidence(loading.published(), kind))
        for kind in (TrainNumbers, *kinds)
    }
    table = []
    for study, records in trained.items():
        if study.startswith(effects.SWITCHED):  # these repeat another study but for one key
            continue
        for judgement in claims.judge(records, *(loading.load(study, kind) for kind in kinds)):
            figure, kind = FIGURES.get(judgement.claim.number, ("", None))
            undecided = judgement.verdict == INCONCLUSIVE
            drawn = study in figures.get(kind, {})
            elsewhere = f"[tables]({judgement.claim.chapter}-tables.ipynb)"
            table.append(
                {
                    "number": judgement.claim.number,
                    "claim": judgement.claim.words,
                    "study": study,
                    "verdict": judgement.verdict,
                    "effect": claims.in_words(judgement.weakest, judgement.claim.unit).replace(
                        "lambda_max", "eigenvalue"
                    ),
                    "n": judgement.weakest.seeds or None,
                    "needed": judgement.needed if undecided else None,
                    "figure": f"{{numref}}`{figure}`" if drawn else elsewhere,
                }
            )
    return pd.DataFrame(table)
