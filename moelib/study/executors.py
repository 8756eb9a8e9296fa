"""The rule that chooses how a plan of experts is executed."""

# The rule `choose`, fitted to the record of `benchmarks/scale.py` on one thread of a CPU; costs in
# multiply-accumulates that take as long.
SORTING = 8e6  # to sort images by expert, and call smaller products
GATHERING = 150  # to gather one feature of an image for an expert
READING = 5  # to read one weight from memory
LARGE = 2**18  # least weights of an expert's first layer, and
SHARE = 32  # least images of an expert, for a product of its own to be faster than a grouped one


def choose(
    images: int,
    k: int,
    *,
    experts: int,
    features: int,
    hidden: int,
    has_grouped: bool = True,
    on_cpu: bool = True,
) -> str:
    """The executor that takes least time, by a rule that was measured on one CPU thread.

    To execute k of E experts spares n (E - k) d h multiply-accumulates of the first layer and, with
    few images, reading the weights of E - n k experts. It costs `SORTING`, and `GATHERING` for each
    of the n k d features that are gathered. On a CPU large experts with many images get a product
    each. How well the rule chooses is told by the record that it was fitted to. No GPU was
    measured: there it is the same, but for preferring grouped products wherever torch has them.
    """
    size = features * hidden
    idle = max(0, experts - images * k)  # at least as many experts need not be read
    spared = (images * (experts - k) + READING * idle) * size
    if spared < SORTING + GATHERING * images * k * features:
        return "batched"
    alone = on_cpu and size >= LARGE and images * k >= SHARE * experts
    return "grouped" if has_grouped and not alone else "loop"
