"""Heads: sizes, limits that equal a perceptron, symmetries, and each protocol key alone."""

import pytest
import torch
import torch.nn.functional as F

from moelib.heads.balance import router_z_loss
from moelib.heads.head import build_head
from moelib.study import heads as config
from moelib.study.heads import Balance
from moelib.study.protocol import PROTOCOLS

CORRECTED, AS_RUN = PROTOCOLS["corrected"], PROTOCOLS["as-run"]
FEATURES, CLASSES = 6, 3
SMALL = {"experts": 4, "hidden": 5}
EXACT = {"rtol": 0, "atol": 1e-12}  # float64, sums of some dozens of terms of order 1

HEADS = {
    "linear": config.Linear(kind="linear"),
    "dense": config.Dense(kind="dense", hidden=7),
    "soft": config.Soft(kind="soft", **SMALL),
    "sparse": config.Sparse(kind="sparse", **SMALL),
    "sparse top-1": config.Sparse(kind="sparse", k=1, **SMALL),
    "switch": config.Switch(kind="switch", **SMALL),
    "uniform": config.Uniform(kind="uniform", **SMALL),
    "frozen": config.FrozenGate(kind="frozen", **SMALL),
}
MIXTURES = [name for name in HEADS if name not in ("linear", "dense")]


def corrected_but(**keys):
    """The corrected protocol with some keys turned."""
    return CORRECTED.model_copy(update=keys)


def small_head(head, protocol=CORRECTED, seed=0):
    torch.manual_seed(seed)
    head = HEADS[head] if isinstance(head, str) else head
    return build_head(head, FEATURES, CLASSES, protocol).double()


def images(n=9, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, FEATURES, dtype=torch.float64, generator=generator)


# -- sizes and names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "parameters"),
    [
        (config.Linear(kind="linear"), 5_130),
        (config.Dense(kind="dense"), 267_786),
        (config.Soft(kind="soft"), 271_960),
        (config.Sparse(kind="sparse"), 276_064),
        (config.Switch(kind="switch"), 271_960),
        (config.Uniform(kind="uniform"), 267_856),
        (config.FrozenGate(kind="frozen"), 267_856),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_parameter_counts_of_the_paper(head, parameters):
    built = build_head(head, features=512, classes=10, protocol=CORRECTED)
    assert sum(p.numel() for p in built.parameters()) == parameters


def test_gate_of_the_sparse_head_has_two_biased_layers():
    gate = build_head(config.Sparse(kind="sparse"), 512, 10, CORRECTED).gate
    assert [sum(p.numel() for p in layer.parameters()) for layer in (gate.score, gate.noise)] == [
        4_104,
        4_104,
    ]


def test_names_in_the_state_are_stable():
    experts = ["experts.w_in", "experts.b_in", "experts.w_out", "experts.b_out"]
    score = ["gate.score.weight", "gate.score.bias"]
    noise = ["gate.noise.weight", "gate.noise.bias"]
    assert list(small_head("dense").state_dict()) == [
        *["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    ]
    assert list(small_head("soft").state_dict()) == score + experts
    assert list(small_head("sparse").state_dict()) == score + noise + experts
    assert list(small_head("frozen").state_dict()) == ["gate.weight", "gate.bias", *experts]


@pytest.mark.parametrize("name", HEADS)
def test_forward_is_the_first_part_of_routed(name):
    head, features = small_head(name).eval(), images()
    logits, routing = head.routed(features)
    assert torch.equal(head(features), logits)
    assert logits.shape == (9, CLASSES)
    assert (routing is None) == (name in ("linear", "dense"))


# -- limits and symmetries ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        config.Soft(kind="soft", experts=1, hidden=5),
        config.Sparse(kind="sparse", experts=1, hidden=5, k=1),
        config.Switch(kind="switch", experts=1, hidden=5),
    ],
    ids=lambda head: head.kind,
)
@pytest.mark.parametrize("protocol", [CORRECTED, AS_RUN], ids=["corrected", "as-run"])
def test_one_expert_is_the_dense_head_in_values_and_gradients(head, protocol):
    single = small_head(head, protocol).eval()
    dense = small_head(config.Dense(kind="dense", hidden=5)).eval()
    with torch.no_grad():
        dense.hidden.weight.copy_(single.experts.w_in[:, 0].T)
        dense.hidden.bias.copy_(single.experts.b_in[0])
        dense.output.weight.copy_(single.experts.w_out[0].T)
        dense.output.bias.copy_(single.experts.b_out[0])
    x, same = images().requires_grad_(), images().requires_grad_()
    logits, expected = single(x), dense(same)
    torch.testing.assert_close(logits, expected, **EXACT)
    logits.logsumexp(1).sum().backward()
    expected.logsumexp(1).sum().backward()
    pairs = [
        (x.grad, same.grad),
        (single.experts.w_in.grad[:, 0].T, dense.hidden.weight.grad),
        (single.experts.b_in.grad[0], dense.hidden.bias.grad),
        (single.experts.w_out.grad[0].T, dense.output.weight.grad),
        (single.experts.b_out.grad[0], dense.output.bias.grad),
    ]
    for gradient, reference in pairs:
        torch.testing.assert_close(gradient, reference, **EXACT)
    for parameter in single.gate.parameters():  # one gate is 1, whatever its logit
        assert parameter.grad is None or (parameter.grad == 0).all()


def test_one_expert_under_noise_and_dropout_trains_without_nan():
    head = small_head(config.Sparse(kind="sparse", experts=1, hidden=5, k=1), AS_RUN).train()
    head(images()).sum().backward()
    assert all(p.grad.isfinite().all() for p in head.parameters() if p.grad is not None)


def test_all_experts_of_a_plain_top_k_are_the_soft_mixture():
    sparse = config.Sparse(kind="sparse", k=4, standardise=False, **SMALL)
    sparse, soft = small_head(sparse).eval(), small_head("soft").eval()
    soft.load_state_dict(sparse.state_dict(), strict=False)
    torch.testing.assert_close(sparse(images()), soft(images()), **EXACT)


@pytest.mark.parametrize("name", MIXTURES)
def test_permuting_the_experts_leaves_the_output_alone(name):
    head, features = small_head(name).eval(), images()
    before = head(features)
    order = torch.tensor([2, 0, 3, 1])
    state = {key: value[order] for key, value in head.state_dict().items() if "w_in" not in key}
    state["experts.w_in"] = head.experts.w_in[:, order]  # of all others, the first axis is e
    head.load_state_dict(state)
    assert torch.equal(state["experts.w_in"], head.experts.w_in)
    torch.testing.assert_close(head(features), before, **EXACT)


def test_scaling_the_gate_leaves_a_standardised_head_alone():
    head, features = small_head("sparse").eval(), images()
    before = head(features)
    with torch.no_grad():
        for parameter in head.gate.score.parameters():
            parameter *= 3
    # The floor of 1e-5 under the deviation breaks the symmetry by as much.
    torch.testing.assert_close(head(features), before, rtol=1e-3, atol=1e-3)


# -- second derivatives and determinism ---------------------------------------------------------


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("protocol", [CORRECTED, AS_RUN], ids=["corrected", "as-run"])
def test_hessian_vector_product_by_double_backward(name, protocol):
    if protocol is AS_RUN and name.startswith("sparse"):
        protocol = AS_RUN.model_copy(update={"noise_at_evaluation": False})  # else it is random
    head, features = small_head(name, protocol).eval(), images()
    labels = torch.arange(len(features)) % CLASSES
    parameters = [p for n, p in head.named_parameters() if ".noise." not in n]  # W_n is unused
    torch.manual_seed(2)
    direction = [torch.randn_like(p) for p in parameters]

    def gradient():
        return torch.autograd.grad(
            F.cross_entropy(head(features), labels),
            parameters,
            create_graph=True,
            allow_unused=True,
        )

    along = sum((g * v).sum() for g, v in zip(gradient(), direction, strict=True) if g is not None)
    product = torch.autograd.grad(along, parameters, allow_unused=True)
    step = 1e-5
    shifted = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, v in zip(parameters, direction, strict=True):
                p += sign * step * v
        shifted.append(gradient())
        with torch.no_grad():
            for p, v in zip(parameters, direction, strict=True):
                p -= sign * step * v
    for part, plus, minus in zip(product, *shifted, strict=True):
        if plus is None:  # the gate of a renormalised top-1
            assert part is None
            continue
        # Central differences: error of order step^2 = 1e-10, and rounding 1e-16 / step = 1e-11.
        expected = (plus - minus) / (2 * step)
        torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", HEADS)
def test_corrected_evaluation_is_deterministic(name):
    head = small_head(name).eval()
    assert torch.equal(head(images()), head(images()))


@pytest.mark.parametrize("name", [name for name in HEADS if name != "linear"])
def test_training_is_random(name):
    head = small_head(name).train()
    assert not torch.equal(head(images()), head(images()))


# -- protocol keys, each alone ------------------------------------------------------------------


def test_noise_at_evaluation():
    noisy = small_head("sparse", corrected_but(noise_at_evaluation=True)).eval()
    silent = small_head("sparse").eval()
    assert not torch.equal(noisy(images()), noisy(images()))
    assert noisy.routed(images())[1].noise_std.min() > 0.3  # the floor
    assert silent.routed(images())[1].noise_std is None


@pytest.mark.parametrize("name", ["switch", "sparse top-1"])
def test_top_1_weight(name):
    for weight, learns in [("probability", True), ("renormalised", False)]:
        head = small_head(name, corrected_but(top_1_weight=weight)).eval()
        logits, routing = head.routed(images())
        assert (routing.weights < 1).all() if learns else (routing.weights == 1).all()
        loss = F.cross_entropy(logits, torch.zeros(9, dtype=torch.long))
        (gradient,) = torch.autograd.grad(
            loss, [head.gate.score.weight], materialize_grads=True, allow_unused=True
        )
        assert (gradient.norm() > 1e-6) if learns else (gradient == 0).all()


def tied_sparse(ties):
    """A sparse head whose clean logits tie, seen in evaluation: equal rows of W_g for 3 experts."""
    head = small_head("sparse", corrected_but(ties=ties)).eval()
    with torch.no_grad():
        head.gate.score.weight[1:] = head.gate.score.weight[0]
        head.gate.score.bias.copy_(torch.tensor([-5.0, 5.0, 5.0, 5.0]))
    return head.routed(images())[1]


def test_ties():
    kept, broken = tied_sparse("keep"), tied_sparse("break")
    assert ((kept.gates > 0).sum(1) == 3).all()
    assert ((broken.gates > 0).sum(1) == 2).all()
    assert kept.indices.shape == broken.indices.shape == (9, 2)
    torch.testing.assert_close(
        kept.weights.sum(1), torch.full((9,), 2 / 3).double(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("name", ["soft", "sparse"])
def test_logit_dropout(name):
    features = images(500)
    for dropout in (True, False):
        head = small_head(name, corrected_but(logit_dropout=dropout))
        routing = head.train().routed(features)[1]
        zeros = (routing.ranked == 0).double().mean().item()
        # 2000 draws with probability 0.1: standard error 0.0067; 5 of them.
        assert zeros == pytest.approx(0.1 if dropout else 0.0, abs=0.034 if dropout else 0)
        assert not (routing.logits == 0).any()  # clean logits are as they were
        routing = head.eval().routed(features)[1]
        assert not (routing.ranked == 0).any()


def test_logit_dropout_makes_ties_that_keep_more_than_k():
    head = small_head("sparse", corrected_but(logit_dropout=True, ties="keep")).train()
    routing = head.routed(images(500))[1]
    assert ((routing.gates > 0).sum(1) > 2).any()
    assert routing.weights.sum(1).min() < 0.9


# -- balance that belongs to the head -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["sparse", "switch"])
def test_selection_bias_moves_against_the_load(kind):
    model = {"sparse": config.Sparse, "switch": config.Switch}[kind]
    head = small_head(model(kind=kind, balance=Balance(bias_rate=0.125), **SMALL)).train()
    assert "gate.selection_bias" in head.state_dict()
    assert "gate.selection_bias" not in dict(head.named_parameters())
    routing = head.routed(images())[1]
    head.update_bias(routing)
    counts = routing.indices.flatten().bincount(minlength=4).double()
    expected = 0.125 * torch.sign(counts.mean() - counts)
    assert torch.equal(head.gate.selection_bias, expected) and expected.abs().sum() > 0


def test_heads_without_bias_have_nothing_to_update():
    head = small_head("sparse")
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head.update_bias(head.routed(images())[1])
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())


def test_bias_alone_balances_a_skewed_gate():
    head = small_head(config.Switch(kind="switch", balance=Balance(bias_rate=0.02), **SMALL)).eval()
    with torch.no_grad():
        head.gate.score.bias.copy_(torch.tensor([3.0, 0.0, 0.0, 0.0]))
    features = images(400)
    first = head.routed(features)[1].indices
    for _ in range(300):
        head.update_bias(head.routed(features)[1])
    last = head.routed(features)[1].indices
    assert (first == 0).double().mean() > 0.9
    shares = last.flatten().bincount(minlength=4) / 400
    assert shares.max() < 0.35  # 1/4, but for the step of 0.02 that it hovers with


def test_frozen_gate_is_not_trained():
    head = small_head("frozen")
    assert all(name.startswith("experts.") for name, _ in head.named_parameters())


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_router_z_loss_grows_with_the_scale_of_the_gates_own_logits(
    standardise, k, temperature
):
    """Of standardised logits it would stay, and bound nothing."""
    settings = {"k": k, "standardise": standardise, "temperature": temperature, **SMALL}
    head = small_head(config.Sparse(kind="sparse", **settings)).eval()
    features, losses = images(), []
    for scale in (1.0, 10.0):
        with torch.no_grad():
            head.gate.score.weight.mul_(scale)
            head.gate.score.bias.mul_(scale)
            raw = head.gate.score(features) / temperature
        routing = head.routed(features)[1]
        losses.append(router_z_loss(routing))
        torch.testing.assert_close(losses[-1], raw.exp().sum(dim=1).log().square().mean())
    assert losses[1] > 2 * losses[0]
    losses[1].backward()
    assert head.gate.score.weight.grad.norm() > 0
