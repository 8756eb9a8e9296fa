"""The verdicts on claims as a frame."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from moelib.records import kinds
from moelib.report import effects, loading
from moelib.report.claims.claims import CLAIMS, Claim, judge
from moelib.report.claims.evidence import Records
from moelib.report.statistics.hypotheses import INCONCLUSIVE

KINDS = {  # of the records that are drawn, by chapter; in the order of `Records`
    "accuracy": kinds.TrainNumbers,
    "utilization": kinds.UtilizationNumbers,
    "sharpness": kinds.SharpnessNumbers,
    "surface": kinds.SurfaceNumbers,
    "efficiency": kinds.EfficiencyNumbers,
}


def verdicts(studies: Iterable[str], family: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """One row per claim of a family and study that tests it, the study of most evidence first.

    `effect` is the number on which the verdict rests, with its interval; `figure` a link to what
    shows it.
    """
    drawn = {
        chapter: effects.few_heads(loading.by_evidence(loading.published(), kind))
        for chapter, kind in KINDS.items()
    }
    rows = []
    for study in loading.by_evidence(studies, kinds.TrainNumbers):
        if study.startswith(effects.SWITCHED):  # these repeat another study but for one key
            continue
        records = Records(*(loading.load(study, kind) for kind in KINDS.values()))
        for judgement in judge(records, family):
            claim, weakest = judgement.claim, judgement.weakest
            # As of one seed, which tests nothing; what has an interval is only not decided.
            if math.isnan(judgement.p_value) and math.isnan(weakest.low):
                continue
            here = study in drawn[claim.chapter] and not claim.shown.endswith("-tables")
            rows.append(
                {
                    "number": claim.number,
                    "claim": claim.words,
                    "study": study,
                    "verdict": judgement.verdict,
                    "effect": claim.in_words(weakest).replace("lambda_max", "eigenvalue"),
                    "n": weakest.seeds or None,
                    "adjusted": judgement.adjusted,
                    "needed": judgement.needed if judgement.verdict == INCONCLUSIVE else None,
                    "figure": f"{{numref}}`{claim.shown}`"
                    if here
                    else f"[tables]({claim.chapter}-tables.ipynb)",
                }
            )
    return pd.DataFrame(rows)
