"""The points on which the authors' code and their description differ."""

from typing import Literal

from moelib.study.base import Frozen


class Protocol(Frozen):
    """Each point on which the authors' code and their description differ, as a key of its own.

    The comments name the erratum (the book's page on methods lists them all).
    """

    base: Literal["corrected", "as-run"]  # the preset from which the keys below take their defaults
    augment: bool  # H1: the authors' loader lost crop and flip
    noise_at_evaluation: bool  # H2: gate noise stayed on in evaluation
    kl: Literal["p_u", "u_p_over_e"]  # H3: KL(p||u), or KL(u||p)/E
    load: Literal["smooth", "importance"]  # H4: Shazeer's estimator, or importance a second time
    top_1_weight: Literal[
        "probability", "renormalised"
    ]  # H5: renormalised is constant 1: no gradient
    ties: Literal["break", "keep"]  # H6: exactly k experts, or all that reach the k-th logit
    logit_dropout: bool  # H6: dropout on gate logits after the noise, which makes the ties
    checkpoint: Literal["last", "best_validation"]  # H7, H11: weights that are tested and analysed
    paired: bool  # H11: heads of one seed share batch order and augmentation
    loss_mean: Literal["images", "batches"]  # H14: batch means make a last small batch weigh more
    train_loss_with_balance: bool  # H14: the reported train loss contains the balance losses
    train_metrics: Literal["evaluation", "running"]  # H15: at epoch end, or while weights move


PROTOCOLS = {
    "corrected": Protocol(
        base="corrected",
        augment=True,
        noise_at_evaluation=False,
        kl="p_u",
        load="smooth",
        top_1_weight="probability",
        ties="break",
        logit_dropout=False,
        checkpoint="last",
        paired=True,
        loss_mean="images",
        train_loss_with_balance=False,
        train_metrics="evaluation",
    ),
    "as-run": Protocol(
        base="as-run",
        augment=False,
        noise_at_evaluation=True,
        kl="u_p_over_e",
        load="importance",
        top_1_weight="renormalised",
        ties="keep",
        logit_dropout=True,
        checkpoint="best_validation",
        paired=False,
        loss_mean="batches",
        train_loss_with_balance=True,
        train_metrics="running",
    ),
}
