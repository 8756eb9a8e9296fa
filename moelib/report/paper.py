"""The reproduced paper's own numbers, quoted beside ours and never computed with them.

They are of its authors' saved files and printed output: ResNet-18 on CIFAR-10, one seed, departures
of their code included (the book's page on methods lists these). Its model is counted here.
"""

BACKBONE = "resnet18"
TEST_ACCURACY = {"dense": 86.44, "soft": 87.23, "sparse": 87.17}  # %
GATE_MASS_VARIATION = {"soft": 0.152, "sparse": 0.055}  # over experts, test images
DEAD_UNTIL = {"sparse": 11}  # last epoch with an expert below a tenth of its uniform share
INFORMATION = {"soft": 0.766, "sparse": 0.818}  # nats, class and expert, test images
EIGENVALUE = {  # first that was returned, not always the largest
    "train": {"dense": 2.377, "soft": 1.099, "sparse": 0.722},
    "test": {"dense": 63.87, "soft": 92.22, "sparse": 68.71},
}
TRACE = {
    "train": {"dense": 22.75, "soft": 19.86, "sparse": 15.23},
    "test": {"dense": 1180.5, "soft": 1455.3, "sparse": 1148.2},
}
# Multiply-accumulates for one image of 32 x 32 pixels and three colours, heads of ten classes.
MACS = {
    "backbone": 555_417_600,
    "dense": 267_264,
    "soft": 271_440,
    "sparse": 70_932,
    "switch": 37_514,  # its head of k = 1 is not in the paper
}
RISE = {"dense": 1.88, "soft": 7.95, "sparse": 7.47}  # nats, radius 0.5, training images


def over_dense(values: dict[str, float]) -> dict[str, float]:
    """Each head's value by that of the dense one."""
    return {head: value / values["dense"] for head, value in values.items() if head != "dense"}


def beyond_dense(values: dict[str, float]) -> dict[str, float]:
    """Each head's value minus that of the dense one."""
    return {head: value - values["dense"] for head, value in values.items() if head != "dense"}
