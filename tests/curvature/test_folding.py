"""Folded normalisations: the same function and derivatives, in every backbone."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from moelib.curvature.folding import folded
from moelib.study import backbones as config
from moelib.training.backbones import build_backbone

BACKBONES = [
    config.SmallResNet(kind="small_resnet", widths=(3, 5)),
    config.SpeedNet(kind="speednet", widths=(3, 4, 5)),
    config.ResNet18(kind="resnet18"),
]


def normalisations(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def random_statistics(net: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(torch.randn(shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
            if module.affine:
                module.weight.data.copy_(torch.randn(shape, generator=generator))
                module.bias.data.copy_(torch.randn(shape, generator=generator))
    return net.double().eval()


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone.kind)
def test_folding_keeps_outputs_and_gradients(backbone):
    torch.manual_seed(0)
    net = random_statistics(build_backbone(backbone, channels=3))
    if isinstance(backbone, config.SpeedNet):
        net.whitening.normal_()
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    parameters = dict(net.named_parameters())

    def outputs_and_gradients(module):
        outputs = functional_call(module, parameters, (images,))
        return outputs, *torch.autograd.grad(outputs.square().sum(), parameters.values())

    results, expected = (outputs_and_gradients(module) for module in (folded(net), net))
    assert all(n.op != "call_module" or "norm" not in n.target for n in folded(net).graph.nodes)
    torch.testing.assert_close(results, expected, rtol=1e-9, atol=1e-9)  # float64, many layers


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_optional_parts(bias, affine):
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=bias)
    net = random_statistics(nn.Sequential(conv, nn.BatchNorm2d(6, affine=affine), nn.ReLU()))
    images = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(folded(net)(images), net(images))


def test_a_convolution_that_is_used_twice_stays():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    net = random_statistics(Twice())
    images = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(folded(net)(images), net(images))


def test_statistics_of_the_batch_stay():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
    images = torch.randn(5, 1, 3, 3)
    torch.testing.assert_close(folded(net)(images), net(images))


def test_a_net_that_cannot_be_traced_is_returned():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    net = Branching()
    assert folded(net) is net


def test_a_net_that_asks_for_the_length_of_a_batch_is_returned():
    class Counting(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1)

    net = Counting()
    assert folded(net) is net


@pytest.mark.parametrize("of_norm", [True, False])
def test_layers_that_are_called_by_keyword(of_norm):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x) if of_norm else self.conv(input=x)
            return self.norm(input=y) if of_norm else self.norm(y)

    net = random_statistics(Named())
    images = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(folded(net)(images), net(images))
