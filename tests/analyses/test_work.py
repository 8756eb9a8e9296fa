"""Parameters and multiply-accumulates: torch's counter, closed forms, and sums made by hand."""

import pytest
import torch
from torch import nn

from moelib.analyses.efficiency import Routed
from moelib.analyses.work import active_parameters, counted_macs, head_macs
from moelib.heads.head import Mixture, build_head
from moelib.heads.routing import fixed_routing, skewed_choices
from moelib.report.paper import MACS
from moelib.study import heads as config
from moelib.study.backbones import ResNet18
from moelib.study.heads import Dense, Linear, Sparse
from moelib.study.protocol import PROTOCOLS
from moelib.study.reader import load_study
from moelib.training.backbones import build_backbone
from moelib.training.model import Classifier, parameter_count

FEATURES, CLASSES, IMAGES = 7, 5, 3  # d, c, n: no two alike, and none divides a size below
SIZES = {"experts": 6, "hidden": 11}
HEADS = {
    "linear": config.Linear(kind="linear"),
    "dense": config.Dense(kind="dense", hidden=11),
    "soft": config.Soft(kind="soft", **SIZES),
    "sparse": config.Sparse(kind="sparse", k=4, **SIZES),
    "switch": config.Switch(kind="switch", **SIZES),
    "uniform": config.Uniform(kind="uniform", **SIZES),
    "frozen": config.FrozenGate(kind="frozen", k=3, **SIZES),
    "sparse k=1": config.Sparse(kind="sparse", k=1, **SIZES),
    "sparse k=E": config.Sparse(kind="sparse", k=6, **SIZES),
    "sparse E=1": config.Sparse(kind="sparse", k=1, experts=1, hidden=11),
    "switch E=1": config.Switch(kind="switch", experts=1, hidden=11),
    "soft E=1": config.Soft(kind="soft", experts=1, hidden=11),
    "frozen h=1": config.FrozenGate(kind="frozen", k=2, experts=3, hidden=1),
}
heads = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
MIXTURES = {name: head for name, head in HEADS.items() if config.has_experts(head)}
mixtures = pytest.mark.parametrize("head", MIXTURES.values(), ids=MIXTURES.keys())


def built(head, features=FEATURES, classes=CLASSES):
    torch.manual_seed(0)
    return build_head(head, features, classes, PROTOCOLS["corrected"]).eval()


# -- multiply-accumulates of heads ----------------------------------------------------------------


def test_the_counter_counts_products_alone():
    """A Linear of 7 to 5 on 3 images: 3 * 7 * 5, and neither its bias nor a ReLU."""
    module = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.BatchNorm1d(5)).eval()
    assert counted_macs(module, torch.randn(3, 7)) == 3 * 7 * 5


@heads
def test_the_closed_form_is_what_the_counter_finds_in_the_loop(head):
    """The loop multiplies what the plan asks for, and no more; each image costs the same."""
    module = built(head)
    if isinstance(module, Mixture):
        module = Routed(module, "loop")
    closed = head_macs(head, FEATURES, CLASSES)
    for n in (1, IMAGES):
        assert counted_macs(module, torch.randn(n, FEATURES)) == n * closed


@mixtures
def test_batched_multiplies_all_experts(head):
    """n (d E [gate] + E d h [first layer] + E h c [second] + E c [weights times output biases]).

    The last product takes the place of the weighted sum of outputs, of k c products in the loop: so
    that the closed form with all E experts is the exact count. The weights of the hidden units are
    an elementwise product, which is not counted.
    """
    e, h = head.experts, head.hidden
    gate = 0 if head.kind == "uniform" else FEATURES * e
    expected = gate + e * FEATURES * h + e * h * CLASSES + e * CLASSES
    macs = counted_macs(Routed(built(head), "batched"), torch.randn(IMAGES, FEATURES))
    assert macs == IMAGES * expected


@mixtures
def test_grouped_multiplies_the_chosen_experts_padded_to_whole_rows(head):
    """A row of float32 is padded to a multiple of 4: d of 7 to 8, h of 11 to 12, c of 5 to 8.

    Where fewer experts are chosen than there are, the second layer is no grouped product.
    """

    def padded(width):
        return -4 * (-width // 4)

    k, e, h = head.chosen, head.experts, head.hidden
    gate = 0 if head.kind == "uniform" else FEATURES * e
    first = padded(FEATURES) * padded(h)
    second = h * CLASSES if IMAGES * k < e else padded(h) * padded(CLASSES)
    macs = counted_macs(Routed(built(head), "grouped"), torch.randn(IMAGES, FEATURES))
    assert macs == IMAGES * (gate + k * (first + second + CLASSES))


def test_aligned_grouped_and_looped_experts_are_the_same_work():
    head = Sparse(kind="sparse", experts=8, k=2, hidden=16)
    module, features = built(head, features=32, classes=12), torch.randn(10, 32)
    macs = {name: counted_macs(Routed(module, name), features) for name in ("loop", "grouped")}
    assert macs == dict.fromkeys(macs, 10 * (32 * 8 + 2 * (32 * 16 + 16 * 12 + 12)))


def test_no_product_of_a_large_expert_is_left_out():
    """Beyond 2^20 weights the loop multiplies some batches in slices, in place."""
    head = Sparse(kind="sparse", experts=2, k=1, hidden=1025)
    module = Routed(built(head, features=1025), "loop")
    for n in (10, 100):
        module.plan = fixed_routing(skewed_choices(n, 1), 2)
        macs = counted_macs(module, torch.randn(n, 1025))
        assert macs == n * head_macs(head, 1025, CLASSES)


def test_a_sparse_head_by_hand():
    """d 4, h 3, c 2, E 5, k 2: gate 20 (and noise 20), each expert 12 + 6 + 2."""
    head = Sparse(kind="sparse", experts=5, k=2, hidden=3)
    assert head_macs(head, 4, 2) == 60
    assert head_macs(head, 4, 2, noise=True) == 80


def test_a_dense_head_by_hand():
    assert head_macs(Dense(kind="dense", hidden=3), 4, 2) == 4 * 3 + 3 * 2
    assert head_macs(Linear(kind="linear"), 4, 2) == 4 * 2


@mixtures
def test_the_plan_chooses_as_many_experts_as_the_configuration_says(head):
    indices = built(head).gate(torch.randn(IMAGES, FEATURES)).indices
    assert indices.shape == (IMAGES, head.chosen)


# -- parameters -----------------------------------------------------------------------------------


@heads
def test_active_parameters_are_all_but_those_of_idle_experts(head):
    """Against a sum over named parameters, of which experts' are cut to the experts that run."""
    module = built(head)
    idle = head.experts - head.chosen if config.has_experts(head) else 0
    expected = 0
    for name, parameter in module.named_parameters():
        if name.startswith("experts."):
            axis = module.experts.EXPERT_AXES[name.removeprefix("experts.")]
            parameter = parameter.narrow(axis, 0, head.experts - idle)
        expected += parameter.numel()
    assert active_parameters(head, module) == expected
    assert (expected == parameter_count(module)) == (idle == 0)


def test_active_parameters_by_hand():
    """d 4, h 3, c 2, E 5, k 2: gate and noise 2 (20 + 5), each expert 12 + 3 + 6 + 2."""
    head = Sparse(kind="sparse", experts=5, k=2, hidden=3)
    assert active_parameters(head, built(head, 4, 2)) == 50 + 2 * 23
    frozen = config.FrozenGate(kind="frozen", experts=5, k=2, hidden=3)
    assert active_parameters(frozen, built(frozen, 4, 2)) == 2 * 23  # its gate is no parameter


# -- a whole model --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet():
    return build_backbone(ResNet18(kind="resnet18"), channels=3).eval()


def test_the_multiply_accumulates_of_resnet_18_are_those_of_its_convolutions(resnet):
    """Each output value of a convolution sums over the kernel and the inputs of its group."""
    products = []

    def note(module, _, output):
        if isinstance(module, nn.Conv2d):
            window = module.in_channels // module.groups * torch.Size(module.kernel_size).numel()
            products.append(output[0].numel() * window)

    hooks = [module.register_forward_hook(note) for module in resnet.modules()]
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        resnet(image)
    for hook in hooks:
        hook.remove()
    assert len(products) == 20  # a stem, sixteen in blocks, three projections
    assert counted_macs(resnet, image) == sum(products)
    # 3 * 9 * 64 * 32^2 of the stem; 4 * 9 * 64^2 * 32^2 of each of four stages, less what the
    # first halving convolution of three of them spares, and their 1x1 projections.
    stage = 4 * 9 * 64**2 * 32**2
    assert sum(products) == 3 * 9 * 64 * 32**2 + 4 * stage - 3 * stage // 8 + 3 * stage // 72


@pytest.mark.parametrize(
    "head",
    [
        Dense(kind="dense"),
        config.Soft(kind="soft"),
        Sparse(kind="sparse"),
        config.Switch(kind="switch"),
    ],
    ids=lambda head: head.kind,
)
def test_a_head_of_the_paper_is_less_than_a_twentieth_of_a_percent_of_resnet_18(resnet, head):
    """Even where all experts are run: whatever a head spares, the model is not faster for it."""
    model = Classifier(resnet, built(head, resnet.features, 10))
    image = torch.randn(1, 3, 32, 32)
    every = head
    if config.has_experts(head):
        every = config.Soft(kind="soft", experts=head.experts, hidden=head.hidden)
    macs = head_macs(every, resnet.features, 10)
    assert 0 < macs < 0.0005 * counted_macs(resnet, image)
    assert counted_macs(model, image) == counted_macs(resnet, image) + macs  # one image: batched


def test_the_papers_model_is_counted_as_the_book_says():
    study = load_study("paper")
    with torch.device("meta"):  # shapes alone, no numbers
        backbone = build_backbone(study.backbone, channels=3).eval()
        counts = {"backbone": counted_macs(backbone, torch.empty(1, 3, 32, 32))}
    heads = {name: head_macs(head, backbone.features, 10) for name, head in study.heads.items()}
    assert counts | heads == MACS
