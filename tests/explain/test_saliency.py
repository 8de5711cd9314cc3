"""Input-gradient saliency: the gradient that it says, and no trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lab.explain.saliency import WHY_SALIENCY, input_saliency
from tests.explain.networks import random_images, random_network
from tests.explain.test_layers import state_of


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_gradient_of_the_class_score(channels: int) -> None:
    network = random_network("mlp", channels=channels)
    images = random_images(3, channels=channels, size=16)
    cams, logits = input_saliency(network, images, targets=[2, 0, 1])
    assert cams.maps.shape == (3, 16, 16)
    for i, target in enumerate([2, 0, 1]):
        one = images[i : i + 1].clone().requires_grad_()
        score = network(one)[0, target]
        (gradient,) = torch.autograd.grad(score, one)
        torch.testing.assert_close(cams.maps[i], gradient[0].abs().amax(0))
        torch.testing.assert_close(cams.scores[i], score.detach())
    assert cams.meaningful.all()
    torch.testing.assert_close(logits, network(images).detach())


def test_of_a_linear_network_it_is_the_weights() -> None:
    network = random_network("single-layer-perceptron", channels=1)
    linear = network.stage("head").get_submodule("linear")
    assert isinstance(linear, nn.Linear)
    cams, _ = input_saliency(network, torch.zeros(1, 1, 16, 16), targets=[1])
    torch.testing.assert_close(cams.maps[0], linear.weight[1].detach().abs().view(16, 16))
    assert cams.meaningful.all()  # also for a black picture


def test_without_targets_it_explains_the_prediction() -> None:
    network = random_network("mlp", channels=1)
    images = random_images(4, size=16)
    cams, logits = input_saliency(network, images)
    expected, _ = input_saliency(network, images, targets=logits.argmax(1))
    torch.testing.assert_close(cams.maps, expected.maps)


def test_a_score_that_no_pixel_moves_is_not_meaningful() -> None:
    network = random_network("mlp", channels=1)
    with torch.no_grad():
        for parameter in network.stage("head").parameters():
            parameter.zero_()
    cams, _ = input_saliency(network, random_images(1, size=16))
    assert not cams.meaningful.any()


def test_it_leaves_no_trace() -> None:
    network = random_network("mlp", channels=1).train()
    before = state_of(network)
    images = random_images(2, size=16)
    input_saliency(network, images)
    assert not images.requires_grad
    with torch.inference_mode():
        input_saliency(network, images)
    assert state_of(network) == before
    with pytest.raises(ValueError, match="wanted is a class"):
        input_saliency(network, images, targets=[0, 9])
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    cams, logits = input_saliency(network, images)
    assert torch.isnan(logits).all()
    assert not cams.maps.any()
    assert not cams.meaningful.any()
    assert [module.training for module in network.modules()] == before[1]


def test_the_sentence_names_its_source_and_its_limits() -> None:
    assert "No stage of this network puts out places" in WHY_SALIENCY
    assert "Simonyan et al. 2013" in WHY_SALIENCY
