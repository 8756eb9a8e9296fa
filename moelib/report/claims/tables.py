"""The verdicts on the paper's claims as a frame."""

import math
from collections.abc import Iterable

import pandas as pd

from moelib.records import kinds
from moelib.report import effects, loading
from moelib.report.claims import claims
from moelib.report.claims.evidence import Records
from moelib.report.statistics.hypotheses import INCONCLUSIVE

KINDS = {  # of the records that are drawn, by chapter; in the order of `Records`
    "accuracy": kinds.TrainNumbers,
    "utilization": kinds.UtilizationNumbers,
    "sharpness": kinds.SharpnessNumbers,
    "surface": kinds.SurfaceNumbers,
    "efficiency": kinds.EfficiencyNumbers,
}


def verdicts(studies: Iterable[str]) -> pd.DataFrame:
    """One row per claim and study that tests it, the study of most evidence first.

    `effect` is the number on which the verdict hangs, with its interval; `figure` a link to what
    shows it.
    """
    drawn = {
        chapter: effects.few_heads(loading.by_evidence(loading.published(), kind))
        for chapter, kind in KINDS.items()
    }
    table, counted = [], set()
    for study in loading.by_evidence(studies, kinds.TrainNumbers):
        if study.startswith(effects.SWITCHED):  # these repeat another study but for one key
            continue
        claimed = {*claims.weights(loading.load(study, kinds.TrainNumbers))}
        if claimed <= counted:  # a study may hold runs of another for other comparisons
            continue
        counted |= claimed
        records = Records(*(loading.load(study, kind) for kind in KINDS.values()))
        for claim, judgement in ((part.claim, part) for part in claims.judge(records)):
            if math.isnan(judgement.p_value):  # as of one seed, which tests nothing
                continue
            weakest, undecided = judgement.weakest, judgement.verdict == INCONCLUSIVE
            here = study in drawn[claim.chapter] and not claim.shown.endswith("-tables")
            elsewhere = f"[tables]({claim.chapter}-tables.ipynb)"
            effect = claims.in_words(weakest, claim.unit).replace("lambda_max", "eigenvalue")
            table.append(
                {
                    "number": claim.number,
                    "claim": claim.words,
                    "study": study,
                    "verdict": judgement.verdict,
                    "effect": effect,
                    "n": weakest.seeds or None,
                    "adjusted": judgement.adjusted,
                    "needed": judgement.needed if undecided else None,
                    "figure": f"{{numref}}`{claim.shown}`" if here else elsewhere,
                }
            )
    return pd.DataFrame(table)
