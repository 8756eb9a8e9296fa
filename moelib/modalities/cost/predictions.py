"""What bounds and arithmetic make one expect, written down before anything was measured.

The judge of each is in `moelib.modalities.cost.report.verdicts`, by the thresholds that stand here.
"""

from moelib.records.cost import Prediction

CONTEXT = 640  # tokens: one image of 576 patches, and 64 words
CROSSING = {"DeepSeekMoE-16B": (4.0, 9.0), "Qwen3-30B-A3B": (2.7, 6.0)}  # batch: 6 and 4, times 1.5
RETURN = (85.0, 192.0)  # batch: 128, times 1.5
FEW, ENOUGH = 80, 256  # tokens per expert
TRACKS = 1.25  # times a dense perceptron of equal active size, at most
TOLERANCE = 0.25  # of the ratio E/k, either way
SAVED_ALONE, SAVED_BATCHED = 0.25, 0.15  # share of expert time: at least at B = 1, at most at 32
PREFILL_CEILING = 0.29  # of a prefill's time
SAME = 0.05  # either way

PREDICTIONS = (
    Prediction(
        name="P1",
        statement="In decoding at context 640 the 16B mixture is overtaken by the dense 7B near "
        "batch 6, and passes it again near 128, where the 7B's cache weighs most; the 30B mixture "
        "is overtaken near 4.",
        criterion="Each crossing of the median times, between measured batches on logarithmic "
        "axes, is within a factor of 1.5: 4 to 9, 85 to 192, 2.7 to 6.",
    ),
    Prediction(
        name="P2",
        statement="Prefill follows the active operations only from about 256 tokens per expert on.",
        criterion="Experts of OLMoE by the grouped product take at most 1.25 times a dense "
        "perceptron of equal active size at every number of tokens with 256 per expert or more, "
        "and more than that at every one with 80 or fewer.",
    ),
    Prediction(
        name="P3",
        statement="Computing all experts and masking costs E/k times the chosen ones.",
        criterion="With 256 tokens per expert or more, at every size, the ratio of median times to "
        "the grouped product is within 25 % of E/k = 8.",
    ),
    Prediction(
        name="P4",
        statement="4.8 experts per token for 8 spare 40 % of the experts' decoding time at batch 1 "
        "and 7 % at batch 32, where 63 experts of 64 are touched anyway (59 with 4.8).",
        criterion="The experts of OLMoE take at least 25 % less at batch 1 and at most 15 % less "
        "at batch 32.",
    ),
    Prediction(
        name="P5",
        statement="40 % fewer activations spare at most 29 % of a prefill of OLMoE at 640 tokens, "
        "since its experts are 72 % of the operations.",
        criterion="The whole model with 4.8 experts per token takes between 0 and 29 % less than "
        "with 8, at batch 8.",
    ),
    Prediction(
        name="P6",
        statement="On one device routing guided by modality costs what ordinary top-k does: what "
        "guides it acts in training alone.",
        criterion="The whole of OLMoE takes within 5 % of uniform routing's time, in prefill at "
        "batch 8 and in decoding at batch 32.",
    ),
)
