"""Grad-CAM, Grad-CAM++ and LayerCAM against closed forms and a second implementation."""

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from toy_networks import make_images, make_network

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.explain import class_activation_map, grad_cam, grad_cam_plus_plus, layer_cam, target_scores

TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, 1])
METHODS = {"grad_cam": grad_cam, "grad_cam_plus_plus": grad_cam_plus_plus, "layer_cam": layer_cam}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


class Written(nn.Module):
    """A score whose gradient at the layer is written down."""

    def __init__(self, weight):
        super().__init__()
        self.layer, self.weight = nn.Identity(), weight

    def forward(self, x):
        return (self.layer(x) * self.weight).flatten(1).sum(1)


ACTIVATION = torch.tensor([[[[1.0, 2.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 0.0]]]])
GRADIENT = torch.tensor([[[[1.0, -3.0], [0.0, 4.0]], [[-2.0, 0.0], [1.0, 0.0]]]])


def by_hand(method):
    model = Written(GRADIENT)
    return method(model, model.layer, ACTIVATION, 0, relu=False)


def test_grad_cam_has_its_closed_form():
    # mean gradients 0.5 and -0.25
    torch.testing.assert_close(by_hand(grad_cam), torch.tensor([[[0.5 - 0.75, 1.0], [0.0, 0.5]]]))


def test_layer_cam_has_its_closed_form():
    torch.testing.assert_close(by_hand(layer_cam), torch.tensor([[[1.0, 0.0], [0.0, 4.0]]]))


def test_grad_cam_plus_plus_has_its_closed_form():
    # sums of activation 4 and 3: weights 1 / (2 + 4) + 4 / (2 + 16) and 1 / (2 + 3)
    first, second = 1 / 6 + 4 / 18, 1 / 5
    wanted = torch.tensor([[[first + 3 * second, 2 * first], [0.0, first]]])
    torch.testing.assert_close(by_hand(grad_cam_plus_plus), wanted)


def test_grad_cam_plus_plus_follows_the_quotient_of_the_paper():
    model, x = make_network(), make_images()
    activation = model.eval().body(x).detach().requires_grad_()
    (g,) = torch.autograd.grad(model.head(activation)[torch.arange(7), TARGETS].sum(), activation)
    total = activation.sum((2, 3), keepdim=True)
    share = torch.where(g == 0, 0.0, g**2 / (2 * g**2 + total * g**3))
    weights = (share * g.relu()).sum((2, 3), keepdim=True)
    torch.testing.assert_close(
        grad_cam_plus_plus(model, model.body, x, TARGETS), (weights * activation).sum(1).relu().detach()
    )


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("depth", [0, 2, 5])
def test_grad_cam_agrees_with_captum(depth, relu):
    model, x = make_network("located").eval(), make_images()
    layer = model.body[depth]
    oracle = LayerGradCam(model, layer).attribute(x, target=TARGETS, relu_attributions=relu)
    if depth == 5:  # captum reads the layer after the ReLU behind it has worked in place
        model.body[6].inplace = False
        oracle = LayerGradCam(model, layer).attribute(x, target=TARGETS, relu_attributions=relu)
        model.body[6].inplace = True
    found = grad_cam(model, layer, x, TARGETS, relu=relu)
    torch.testing.assert_close(found, oracle.squeeze(1).detach())


def test_grad_cam_of_an_average_head_is_the_class_activation_map():
    model, x = make_network(), make_images()
    found = grad_cam(model, model.body, x, TARGETS, relu=False)
    torch.testing.assert_close(12 * found, class_activation_map(model, x, TARGETS))
    bias = model.head.bias[TARGETS].detach()
    torch.testing.assert_close(found.sum((1, 2)), target_scores(model, x, TARGETS) - bias)


@every_method
def test_relu_cuts_the_signed_map_and_does_nothing_else(method):
    model, x = Written(0.01 * make_images(1)[0]), make_images()
    signed = method(model, model.layer, x, 0, relu=False)
    assert (signed < 0).any()
    assert torch.equal(method(model, model.layer, x, 0), signed.relu())


@every_method
def test_layers_of_signals_and_volumes_are_mapped_too(method):
    torch.manual_seed(0)
    for conv, space in ((nn.Conv1d, (9,)), (nn.Conv3d, (4, 3, 5))):
        layer = nn.Sequential(conv(1, 3, 1), nn.ReLU())
        model = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(2))
        model(torch.ones(1, 1, *space))
        assert method(model, layer, torch.rand(2, 1, *space), 1).shape == (2, *space)


@every_method
def test_the_wrong_layer_is_refused_in_one_sentence(method):
    name = method.__name__
    model, x = make_network(), make_images()
    with pytest.raises(ShapeError, match=rf"^{name}: layer AverageHead must run once .*, but it gave \(7, 3\)\.$"):
        method(model, model.head, x, 0)
    with pytest.raises(ShapeError, match=rf"^{name}: layer Conv2d must run once .*, but it ran 0 times\.$"):
        method(model, nn.Conv2d(2, 2, 1), x, 0)
    relu = nn.ReLU()
    twice = nn.Sequential(relu, relu, model)
    with pytest.raises(ShapeError, match=rf"^{name}: layer ReLU must run once .*, but it ran 2 times\.$"):
        method(twice, relu, x, 0)


def test_a_layer_that_gives_a_tuple_is_refused():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.GRU(6, 3, batch_first=True).double()

        def forward(self, x):
            return self.layer(x)[0][:, -1]

    model = Recurrent()
    with pytest.raises(ShapeError, match=r"must run once .*, but it gave a tuple"):
        grad_cam(model, model.layer, make_images()[:, 0], 0)


def test_a_layer_that_the_score_ignores_is_refused():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.ignored = make_network(), nn.Conv2d(2, 2, 1).double()

        def forward(self, x):
            self.ignored(x)
            return self.used(x)

    model = Aside()
    with pytest.raises(CapabilityError, match="does not depend on the output of Conv2d"):
        grad_cam(model, model.ignored, make_images(), 0)


def test_grad_cam_plus_plus_refuses_a_layer_beyond_its_pole():
    model = Written(GRADIENT)
    with pytest.raises(InputError, match="outputs lie below 0"):
        grad_cam_plus_plus(model, model.layer, -ACTIVATION, 0)
