"""Learning rate schedules as pure functions of the step."""

from moelib.study.training import MultiStep, OneCycle, Training


def learning_rate(training: Training, step: int, steps_per_epoch: int) -> float:
    """Learning rate of step 0, 1, ... of a training.

    multistep: lr * gamma^(number of milestones <= finished epochs), the paper's schedule.
    onecycle, with warm-up share w of N steps: linearly from lr/5 to lr over w N steps, then
    linearly to 0 at step N.

    >>> training = Training(epochs=4, learning_rate=1.0,
    ...                     schedule=MultiStep(kind="multistep", milestones=(2, 3)))
    >>> [round(learning_rate(training, step, steps_per_epoch=1), 4) for step in range(4)]
    [1.0, 1.0, 0.1, 0.01]
    """
    peak = training.learning_rate
    match training.schedule:
        case MultiStep(milestones=milestones, gamma=gamma):
            passed = sum(step // steps_per_epoch >= milestone for milestone in milestones)
            return peak * gamma**passed
        case OneCycle(warmup=warmup):
            progress = step / (training.epochs * steps_per_epoch)
            if progress < warmup:
                return peak * (0.2 + 0.8 * progress / warmup)
            return peak * (1 - progress) / (1 - warmup)
