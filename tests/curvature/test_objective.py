"""The loss as a function of weights: products against full Hessians, restoration, refusals."""

import copy
import weakref

import pytest
import torch
import torch.nn.functional as F
from prose import refusal
from tiny import tiny_dataset, tiny_run
from torch import nn
from torch.func import functional_call

from moelib.curvature.error import CurvatureError
from moelib.curvature.objective import Objective
from moelib.curvature.parameters import parameter_groups
from moelib.study.base import ConfigError
from moelib.training.evaluate import network_input
from moelib.training.model import build_model

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # float64; sums of thousands of products of order 1
HEADS = ("linear", "dense", "soft", "sparse", "switch", "uniform", "frozen")
IMAGES = 30


def classifier(head: str, **changes):
    """A tiny model in float64 whose normalisations are far from the identity, and its images."""
    dataset = tiny_dataset(train=IMAGES, held_out=4, size=5)
    model = build_model(tiny_run(head, **changes), dataset).double()
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            module.running_var.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    images = network_input(dataset.train.images, dataset, True).double()
    return model.train(), images, dataset.train.labels


def naive_loss(model: nn.Module, images, labels, temperature: float = 1.0):
    """The definition: the mean loss of the whole model as a function of one flat vector."""
    model = copy.deepcopy(model).eval()
    parameters = dict(model.named_parameters())
    sizes = [p.numel() for p in parameters.values()]

    def loss(weights):
        parts = weights.split(sizes)
        state = {
            name: part.view(p.shape)
            for (name, p), part in zip(parameters.items(), parts, strict=True)
        }
        return F.cross_entropy(functional_call(model, state, (images,)) / temperature, labels)

    return loss, torch.cat([p.detach().flatten() for p in parameters.values()])


def vectors(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(1)).double()


# -- values and products --------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_products_are_those_of_the_definition(head):
    # Batches of 7 do not divide 30 images: each image counts alike all the same.
    model, images, labels = classifier(head)
    loss, weights = naive_loss(model, images, labels)
    objective = Objective(model, images, labels, batch=7)
    value, gradient = objective.value_and_gradient()
    assert value == pytest.approx(loss(weights).item(), rel=1e-12)
    assert objective.value() == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(gradient, torch.func.grad(loss)(weights), **EXACT)
    directions = vectors(2, objective.size)
    expected = [torch.autograd.functional.hvp(loss, weights, v)[1] for v in directions]
    torch.testing.assert_close(objective.hessian(directions), torch.stack(expected), **EXACT)


@pytest.mark.parametrize("product", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("shape", [(0, 620), (10,), (1, 10), (1, 1, 620)])
def test_vectors_of_another_shape_are_refused(product, shape):
    objective = Objective(*classifier("linear"))
    with refusal(CurvatureError, f"not of shape {shape}"):
        getattr(objective, product)(torch.zeros(shape))


@pytest.mark.parametrize("keep", [6, 7, 14, 29, 30, 1000])  # none, none, one, three, and all graphs
def test_kept_graphs_change_nothing(keep):
    model, images, labels = classifier("sparse")
    recomputed, kept = (Objective(model, images, labels, batch=7, keep=keep) for keep in (0, keep))
    directions = vectors(2, recomputed.size)
    for _ in range(2):
        assert torch.equal(kept.hessian(directions), recomputed.hessian(directions))


def test_graphs_of_so_many_images_at_most_are_in_memory_at_once():
    model, images, labels = classifier("soft")

    def peak(images, labels, keep):
        alive, largest = weakref.WeakSet(), 0

        class Saved:
            def __init__(self, tensor):
                self.tensor = tensor

        def pack(tensor):
            nonlocal largest
            saved = Saved(tensor.detach())  # its graph would keep itself alive through it
            alive.add(saved)
            largest = max(largest, len(alive))
            return saved

        objective = Objective(model, images, labels, batch=5, keep=keep)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
            for _ in range(2):
                objective.hessian(vectors(1, objective.size))
        return largest

    unit = peak(images[:5], labels[:5], 0)
    assert peak(images, labels, 0) == unit  # the graph before is gone
    assert 5 * unit < peak(images, labels, 30) <= 6 * unit  # a pass needs more than it keeps
    assert 2 * unit < peak(images, labels, 15) == peak(images[:15], labels[:15], 15) <= 3 * unit


def test_gauss_newton_is_that_of_the_definition():
    model, images, labels = classifier("soft")
    objective = Objective(model, images[:4], labels[:4], group="head", batch=3)
    directions = vectors(3, objective.size)
    jacobian = torch.func.jacrev(lambda w: _head_logits(model, images[:4], w))(objective.weights)
    probabilities = objective.logits().softmax(dim=1)  # (n, c)
    inner = torch.diag_embed(probabilities) - probabilities[:, :, None] * probabilities[:, None]
    matrix = torch.einsum("ncp,ncd,ndq->pq", jacobian, inner, jacobian) / 4
    torch.testing.assert_close(objective.gauss_newton(directions), directions @ matrix, **EXACT)


@pytest.mark.parametrize(
    "layers", [[nn.Linear(4, 3)], [nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)]]
)
def test_a_loss_that_is_linear_in_the_logits_has_no_gauss_newton_matrix(layers):
    """All curvature is then that of the logits; a linear model has none at all."""

    def picked(logits, labels):
        return logits.gather(1, labels[:, None])[:, 0]

    objective = Objective(nn.Sequential(*layers), INPUTS, LABELS, loss=picked)
    directions = torch.randn(2, objective.size)
    assert not objective.gauss_newton(directions).any()
    assert objective.hessian(directions).any() == (len(layers) > 1)


def _head_logits(model, images, weights):
    model = copy.deepcopy(model).eval()
    parameters = {n: p for n, p in model.named_parameters() if n.startswith("head.")}
    parts = weights.split([p.numel() for p in parameters.values()])
    state = {n: part.view(p.shape) for (n, p), part in zip(parameters.items(), parts, strict=True)}
    return functional_call(model, state, (images,))


def test_temperature_divides_the_logits():
    model, images, labels = classifier("dense")
    loss, weights = naive_loss(model, images, labels, temperature=3.0)
    objective = Objective(model, images, labels, temperature=3.0)
    directions = vectors(1, objective.size)
    expected = torch.autograd.functional.hvp(loss, weights, directions[0])[1]
    torch.testing.assert_close(objective.hessian(directions)[0], expected, **EXACT)


def test_moved_weights_give_the_moved_model():
    model, images, labels = classifier("sparse")
    objective = Objective(model, images, labels)
    loss, weights = naive_loss(model, images, labels)
    moved = weights + 0.1 * vectors(1, len(weights))[0]
    assert objective.value(moved) == pytest.approx(loss(moved).item(), rel=1e-12)
    logits, routing = next(objective.outputs(moved, routed=True))
    torch.testing.assert_close(logits, objective.logits(moved))
    assert routing.indices.shape == (IMAGES, 2)


class Careful(nn.Module):
    """A backbone that is another function once traced: then its input is no tensor."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, images):
        if isinstance(images, torch.Tensor):
            images = 3 * images
        return self.norm(self.conv(images)).flatten(1)


class Hooked(Careful):
    """A backbone whose convolution has a hook, which a folded one would lose."""

    def __init__(self):
        super().__init__()
        self.conv.register_forward_hook(lambda layer, inputs, outputs: 3 * outputs)

    def forward(self, images):
        return self.norm(self.conv(images)).flatten(1)


@pytest.mark.parametrize("backbone", [Careful, Hooked])
def test_a_backbone_whose_trace_is_another_function_is_not_folded(backbone):
    model = nn.Sequential()
    model.backbone, model.head = backbone(), nn.Linear(18, 3)
    model, images, labels = model.double(), torch.randn(6, 1, 5, 5).double(), torch.arange(6) % 3
    objective = Objective(model, images, labels, batch=4)
    loss, weights = naive_loss(model, images, labels)
    assert objective.value() == pytest.approx(loss(weights).item(), rel=1e-12)
    directions = vectors(1, objective.size)
    expected = torch.autograd.functional.hvp(loss, weights, directions[0])[1]
    torch.testing.assert_close(objective.hessian(directions)[0], expected, **EXACT)


# -- closed forms ---------------------------------------------------------------------------------


def squared(outputs, targets):
    """Half the squared error of one output, as a loss per image."""
    return (outputs[:, 0] - targets).square() / 2


def test_linear_regression():
    # L = 1/2n |X w - y|^2 has the Hessian X^T X / n, whatever w and y; so has Gauss-Newton.
    inputs = vectors(20, 5)
    model = nn.Linear(5, 1, bias=False).double()
    objective = Objective(model, inputs, torch.zeros(20, dtype=torch.long), loss=squared, batch=6)
    directions = vectors(3, 5)
    expected = directions @ inputs.T @ inputs / 20
    torch.testing.assert_close(objective.hessian(directions), expected, **EXACT)
    torch.testing.assert_close(objective.gauss_newton(directions), expected, **EXACT)


def test_two_layers_by_hand():
    # f = v u x with u = 2, v = 3, one image x = 1, y = 5: f = 6, residual r = f - y = 1, and
    # H = [[(vx)^2, f x + r x], [., (ux)^2]] = [[9, 7], [7, 4]] for L = r^2 / 2.
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    model[0].weight.data.fill_(2), model[1].weight.data.fill_(3)
    target = {"loss": lambda outputs, _: (outputs[:, 0] - 5).square() / 2}
    image, label = torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.long)
    objective = Objective(model, image, label, **target)
    hessian = objective.hessian(torch.eye(2).double())
    torch.testing.assert_close(hessian, torch.tensor([[9.0, 7.0], [7.0, 4.0]]).double(), **EXACT)
    newton = objective.gauss_newton(torch.eye(2).double())
    torch.testing.assert_close(newton, torch.tensor([[9.0, 6.0], [6.0, 4.0]]).double(), **EXACT)


# -- groups ---------------------------------------------------------------------------------------


def test_groups_are_blocks_of_the_whole():
    model, images, labels = classifier("sparse")
    whole = Objective(model, images, labels)
    groups = parameter_groups(model)
    assert set(groups) == {
        "all",
        "backbone",
        "head",
        "gate",
        "experts",
        *(f"expert {e}" for e in range(4)),
    }
    for name in ("gate", "expert 2", "backbone"):
        part = Objective(model, images, labels, group=name)
        directions = vectors(1, part.size)
        padded = torch.zeros(1, whole.size).double()
        padded[0, groups[name]] = directions[0]
        expected = whole.hessian(padded)[0, groups[name]]
        torch.testing.assert_close(part.hessian(directions)[0], expected, **EXACT)


def test_experts_divide_all_their_parameters():
    model, _, _ = classifier("soft")
    groups = parameter_groups(model)
    parts = torch.cat([groups[f"expert {e}"] for e in range(4)])
    assert torch.equal(parts.sort().values, groups["experts"])
    head = torch.cat([groups["gate"], groups["experts"]])
    assert torch.equal(head.sort().values, groups["head"])


def test_an_expert_that_no_image_reaches_has_no_curvature():
    model, images, labels = classifier("switch")
    with torch.no_grad():
        model.head.gate.score.bias[3] = -1e6
    objective = Objective(model, images, labels, group="expert 3")
    assert not objective.value_and_gradient()[1].any()
    assert not objective.hessian(vectors(2, objective.size)).any()


def test_parameters_that_evaluation_leaves_out_count_as_zero():
    model, images, labels = classifier("sparse")  # W_n makes noise, which only training has
    objective = Objective(model, images, labels)
    names = [name for name, p in model.named_parameters() for _ in range(p.numel())]
    unused = torch.tensor([name.startswith("head.gate.noise") for name in names])
    products = objective.hessian(vectors(1, objective.size))[0]
    assert unused.any() and not products[unused].any() and products[~unused].any()


# -- nothing is touched ---------------------------------------------------------------------------


def snapshot(model):
    return (
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        [p.requires_grad for p in model.parameters()],
        [module.training for module in model.modules()],
    )


def same(before, after) -> bool:
    grads = zip(before[1], after[1], strict=True)
    return (
        all(torch.equal(before[0][name], after[0][name]) for name in before[0])
        and all((a is None and b is None) or torch.equal(a, b) for a, b in grads)
        and before[2:] == after[2:]
    )


def test_the_model_is_never_touched():
    model, images, labels = classifier("sparse")
    model.head.eval()
    F.cross_entropy(model(images), labels).backward()
    before = snapshot(model)
    objective = Objective(model, images, labels)
    objective.hessian(vectors(1, objective.size))
    objective.value(objective.weights * 2)
    assert same(before, snapshot(model))
    with pytest.raises(CurvatureError):
        Objective(model, images, labels + 4)
    with pytest.raises(RuntimeError):  # on the way through the model
        objective.value_and_gradient(objective.weights[1:])
    with pytest.raises(CurvatureError, match="not a number"):
        objective.hessian(torch.full((1, objective.size), torch.nan).double())
    assert same(before, snapshot(model))


def test_random_numbers_of_the_caller_are_kept():
    model, images, labels = classifier("sparse")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Objective(model, images, labels)
    assert torch.equal(torch.rand(2), expected)


# -- refusals -------------------------------------------------------------------------------------


class Live(nn.Module):
    """Dropout that evaluation mode does not turn off."""

    def forward(self, x):
        return F.dropout(x, 0.5, training=True)


@pytest.mark.parametrize(
    ("layer", "culprit"),
    [
        (Live(), "'1' (Live)"),
        (nn.BatchNorm1d(6, track_running_stats=False), "'1' (BatchNorm1d)"),
    ],
    ids=["live dropout", "statistics of the batch"],
)
def test_a_random_model_is_refused_and_the_culprit_named(layer, culprit):
    model = nn.Sequential(nn.Linear(4, 6), layer, nn.Linear(6, 3)).double()
    with refusal(CurvatureError, "not a fixed function", culprit):
        Objective(model, vectors(20, 4), torch.arange(20) % 3)


def test_gate_noise_at_evaluation_is_refused():
    model, images, labels = classifier("sparse", protocol={"noise_at_evaluation": True})
    with refusal(CurvatureError, "'head.gate' (SparseGate)"):
        Objective(model, images, labels)


def test_a_random_loss_is_refused():
    def noisy(logits, labels):
        return F.cross_entropy(logits, labels, reduction="none") * torch.rand(len(labels))

    with refusal(CurvatureError, "two passes"):
        Objective(nn.Linear(4, 3), torch.randn(8, 4), torch.arange(8) % 3, loss=noisy)


def test_a_random_loss_is_refused_however_little_it_varies():
    def noisy(logits, labels):
        return F.cross_entropy(logits, labels, reduction="none") + 1e-4 * torch.rand(len(labels))

    with refusal(CurvatureError, "two passes"):
        Objective(nn.Linear(4, 3), torch.randn(8, 4), torch.arange(8) % 3, loss=noisy)


class Sometimes(nn.Module):
    """Random depth that evaluation mode does not turn off."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x) if torch.rand(()) < 0.5 else x


def test_random_depth_is_refused():
    model = nn.Sequential(*(Sometimes() for _ in range(20)), nn.Linear(4, 3))
    with refusal(CurvatureError, "same modules"):
        Objective(model, INPUTS, LABELS)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x), x


class FirstOrder(torch.autograd.Function):
    """A square whose derivative cannot be differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


LINEAR, INPUTS, LABELS = nn.Linear(4, 3), torch.randn(9, 4), torch.arange(9) % 3


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((LINEAR, INPUTS[:0], LABELS[:0]), ["no images"]),
        ((LINEAR, INPUTS, LABELS[:3]), ["9 images", "3 labels"]),
        ((LINEAR, INPUTS, LABELS + 1), ["in 0 to 2", "from 1 to 3"]),
        ((LINEAR, INPUTS, LABELS - 1), ["in 0 to 2", "from -1 to 1"]),
        ((LINEAR, INPUTS, LABELS.float()), ["int64 of shape (n,)", "not float32"]),
        ((LINEAR, INPUTS, LABELS.int()), ["int64 of shape (n,)", "not int32"]),
        ((LINEAR, INPUTS, LABELS[:, None]), ["shape (n,)", "not int64 of shape (9, 1)"]),
        ((nn.Flatten(), INPUTS, LABELS), ["no parameters"]),
        ((Pair(), INPUTS, LABELS), ["logits", "not a tuple"]),
    ],
)
def test_unfit_input_is_refused(arguments, names):
    with refusal(ConfigError, *names):
        Objective(*arguments)


@pytest.mark.parametrize("sizes", [{"batch": 0}, {"temperature": 0.0}, {"keep": -1}])
def test_impossible_sizes_are_refused(sizes):
    with refusal(CurvatureError, "temperature", "above 0"):
        Objective(LINEAR, INPUTS, LABELS, **sizes)


def test_an_unknown_group_is_refused():
    with refusal(CurvatureError, "'gates'", "groups are all"):
        Objective(LINEAR, INPUTS, LABELS, group="gates")


def test_a_loss_that_is_not_finite_is_refused():
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight[0, 0] = float("inf")
    with pytest.raises(CurvatureError, match="not finite"):
        Objective(model, INPUTS, LABELS)


def test_a_loss_without_derivatives_is_refused():
    def errors(logits, labels):
        return (logits.argmax(dim=1) != labels).float()

    with pytest.raises(CurvatureError, match="not twice differentiable"):
        Objective(LINEAR, INPUTS, LABELS, loss=errors)


def first_order(logits, labels):
    return FirstOrder.apply(logits).sum(dim=1)


def test_a_loss_without_a_second_derivative_is_refused():
    # Here no graph leads to the gradient at all, and autograd alone would call the Hessian 0.
    with refusal(CurvatureError, "not twice differentiable", "gradient"):
        Objective(LINEAR, INPUTS, LABELS, loss=first_order)


def test_a_term_without_a_second_derivative_is_refused():
    # Beside another term a graph leads to the gradient, and the Hessian would lack this one.
    def mixed(logits, labels):
        return F.cross_entropy(logits, labels, reduction="none") + first_order(logits, labels)

    with refusal(CurvatureError, "not twice differentiable", "second derivative"):
        Objective(LINEAR, INPUTS, LABELS, loss=mixed)


class FirstOrderEntropy(torch.autograd.Function):
    """Cross-entropy (n,) whose derivative cannot be differentiated; it ignores shifts of a row."""

    @staticmethod
    def forward(ctx, logits, labels):
        ctx.save_for_backward(logits.softmax(dim=1) - F.one_hot(labels, logits.shape[1]))
        return F.cross_entropy(logits, labels, reduction="none")

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return ctx.saved_tensors[0] * gradient[:, None], None


def test_a_broken_term_that_ignores_shifts_of_the_logits_is_refused():
    def mixed(logits, labels):
        return F.cross_entropy(logits, labels, reduction="none") + FirstOrderEntropy.apply(
            logits, labels
        )

    images = torch.randn(250, 20, generator=torch.Generator().manual_seed(0))
    with refusal(CurvatureError, "not twice differentiable", "second derivative"):
        Objective(nn.Linear(20, 10), images, torch.arange(250) % 10, loss=mixed)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("gain", [1, 10, 100, 1000])
def test_sure_networks_are_no_broken_loss(gain, temperature):
    """Right and sure: logits of up to thousands, and derivatives from ordinary ones down to 0."""
    model = nn.Linear(20, 10)
    images = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.weight.mul_(gain)
        right = model(images).argmax(dim=1)
    for labels in (right, (right + 1) % 10):
        Objective(model, images, labels, temperature=temperature)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 250])
@pytest.mark.parametrize("margin", [2, 10, 12, 16, 25, 30, 40])
def test_a_network_that_is_sure_of_every_image_is_no_broken_loss(margin, count, dtype):
    """Its slopes are differences of numbers near 1, of which few digits are left."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (count,), generator=generator)
    images = margin * F.one_hot(labels, 10) + 0.3 * torch.randn(count, 10, generator=generator)
    model = nn.Linear(10, 10)
    with torch.no_grad():
        model.weight.copy_(torch.eye(10))
        model.bias.zero_()
    objective = Objective(model.to(dtype), images.to(dtype), labels)
    exact = Objective(model.double(), images.to(dtype).double(), labels)
    directions = torch.randn(1, exact.size, generator=generator).double()
    product, expected = objective.hessian(directions.to(dtype)), exact.hessian(directions)
    # A curvature of p (1 - p) keeps the digits of 1 - p, whose error is an eps.
    limit = 1e-3 * expected.norm() + 100 * torch.finfo(dtype).eps * directions.norm()
    assert (product.double() - expected).norm() <= limit


def test_a_curvature_that_is_not_finite_is_refused():
    def steep(logits, labels):
        return (logits.abs() ** 1.5).sum(dim=1)  # its gradient at 0 is 0, and vertical

    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    objective = Objective(model, INPUTS, LABELS, loss=steep)
    with pytest.raises(CurvatureError, match="no finite second derivative"):
        objective.hessian(torch.randn(1, objective.size))


class Attention(nn.Module):
    """Fused attention, whose backward kernel has no derivative on CPUs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 12)

    def forward(self, x):
        q, k, v = self.layer(x).view(-1, 1, 3, 4).unbind(2)
        return F.scaled_dot_product_attention(q[None], k[None], v[None])[0, :, 0, :3]


def test_an_operation_without_a_second_derivative_is_refused():
    objective = Objective(Attention(), INPUTS, LABELS)
    with refusal(CurvatureError, "not twice differentiable", "not implemented"):
        objective.hessian(torch.randn(1, objective.size))


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature():
    objective = Objective(LINEAR, INPUTS, LABELS, loss=lambda logits, labels: logits[:, 0])
    assert not objective.hessian(torch.randn(2, objective.size)).any()
