"""What stops a training."""


class TrainingError(RuntimeError):
    """A training that cannot go on; the message is a full sentence."""
