"""Weights and dropout come from their seed alone, whatever other threads do."""

from __future__ import annotations

import contextlib
import copy
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lab.models.dropout import Dropout, RandomLayer, StochasticDepth, replace_dropouts
from lab.models.initialisation import NoRandomness, SeededRandomness
from lab.models.staged import StagedNet
from tests.models.test_architectures import LIGHT, build, images


@contextlib.contextmanager
def noisy_neighbour() -> Iterator[None]:
    """Another thread that draws from the process-wide generator all the time."""
    done = threading.Event()

    def draw() -> None:
        while not done.is_set():
            torch.rand(100)

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("name", LIGHT)
def test_weights_are_a_function_of_the_seed(name: str) -> None:
    quiet = build(name, size=32, seed=5)
    with noisy_neighbour():
        assert same(quiet, build(name, size=32, seed=5))
    assert not same(quiet, build(name, size=32, seed=6))


def test_builds_in_parallel_do_not_disturb_each_other() -> None:
    expected = [build("resnet18", size=32, seed=seed) for seed in range(3)]
    built: dict[int, StagedNet] = {}
    threads = [
        threading.Thread(
            target=lambda s=seed: built.update({s: build("resnet18", size=32, seed=s)})
        )
        for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(expected[seed], built[seed]) for seed in range(3))


def test_the_process_wide_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    build("googlenet", size=32)
    build("sign-cnn", size=28)
    build("resnet18", size=32, device="meta")
    net = build("mobilenet_v3_small", size=32)
    net(images(2, 3, 32))
    assert torch.equal(before, torch.get_rng_state())


def test_the_numbers_are_those_of_manual_seed() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        reference = torchvision.models.resnet18(num_classes=2)
    ours = list(build("resnet18", size=32, seed=11).state_dict().values())
    assert all(
        torch.equal(a, b) for a, b in zip(ours, reference.state_dict().values(), strict=True)
    )


def test_a_network_is_counted_without_a_draw() -> None:
    with torch.device("meta"), NoRandomness():
        layer = nn.Conv2d(3, 8, 3)
        nn.init.trunc_normal_(layer.weight)
    assert (layer.weight.device.type, layer.weight.shape) == ("meta", (8, 3, 3, 3))


def test_a_network_is_built_without_torchs_compiler() -> None:
    """Its import takes more than a second."""
    code = """
import sys
from lab.config import RunConfig
from lab.models.catalog import build_network
for device in ("meta", "cpu"):
    config = RunConfig(architecture="sign-cnn", freeze="scratch")
    build_network(config, channels=1, image_size=28, classes=10, device=device)
print("torch._dynamo" in sys.modules)
"""
    said = subprocess.check_output([sys.executable, "-W", "ignore", "-c", code], text=True)
    assert said == "False\n"


def test_a_draw_that_cannot_be_seeded_is_refused() -> None:
    with (
        SeededRandomness(torch.Generator().manual_seed(0)),
        pytest.raises(RuntimeError, match=r"use torch\.nn\.init"),
    ):
        torch.rand(3)


def random_outputs(net: StagedNet, seed: int) -> list[Tensor]:
    net.train().use_generator(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return [net(images(4, 3, 64, seed=i)) for i in range(5)]


@pytest.mark.parametrize("name", ["simple-cnn", "efficientnet_b0"])
def test_dropout_is_repeatable_beside_a_noisy_thread(name: str) -> None:
    """EfficientNet has both kinds: dropout in the head, stochastic depth in its blocks."""
    net = build(name, size=64, dropout=0.5)
    # BatchNorm's running statistics do not matter in train mode.
    quiet = random_outputs(net, 3)
    with noisy_neighbour():
        noisy = random_outputs(net, 3)
    assert all(torch.equal(a, b) for a, b in zip(quiet, noisy, strict=True))
    assert not torch.equal(quiet[0], random_outputs(net, 4)[0])


def test_generator_state_continues_where_it_was() -> None:
    net = build("simple-cnn", size=32)
    generator = torch.Generator().manual_seed(1)
    net.use_generator(generator)
    x = images(8, 3, 32)
    with torch.no_grad():
        net(x)
        state = generator.get_state()
        second = net(x)
        generator.set_state(state)
        assert torch.equal(second, net(x))


def test_dropout_keeps_the_mean_and_scales() -> None:
    layer = Dropout(0.25)
    layer.generator = torch.Generator().manual_seed(0)
    out = layer(torch.ones(100_000))
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert out.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(layer.eval()(torch.ones(5)), torch.ones(5))


def test_stochastic_depth_drops_whole_samples() -> None:
    layer = StochasticDepth(0.5)
    layer.generator = torch.Generator().manual_seed(0)
    out = layer(torch.ones(200, 3, 4, 4)).flatten(1)
    assert (out.min(1).values == out.max(1).values).all()
    assert 60 < (out[:, 0] == 0).sum() < 140


def test_no_dropout_draws_nothing() -> None:
    layer = Dropout(0.0)  # has no generator, and needs none
    assert torch.equal(layer(torch.ones(5)), torch.ones(5))


def test_training_without_a_generator_is_refused() -> None:
    with pytest.raises(RuntimeError, match="use_generator"):
        Dropout(0.5)(torch.ones(2))


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_shares_out_of_range_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match="allowed is 0"):
        Dropout(p)


def test_a_copy_works_and_shares_no_generator() -> None:
    net = build("simple-cnn", size=32).eval()
    copied = copy.deepcopy(net)
    x = images(2, 3, 32)
    assert torch.equal(net(x), copied(x))
    copied.train()
    with pytest.raises(RuntimeError, match="use_generator"):
        copied(x)
    copied.use_generator(torch.Generator())
    copied(x)


def shares(net: nn.Module, kind: type[RandomLayer]) -> list[float]:
    return [m.p for m in net.modules() if isinstance(m, kind)]


def test_the_knob_replaces_every_dropout_and_no_stochastic_depth() -> None:
    assert shares(build("alexnet", size=64, device="meta"), Dropout) == [0.5, 0.5]
    assert shares(build("alexnet", size=64, dropout=0.1, device="meta"), Dropout) == [0.1, 0.1]
    own = build("efficientnet_b0", device="meta")
    knob = build("efficientnet_b0", dropout=0.0, device="meta")
    assert shares(own, Dropout) == [0.2]
    assert shares(knob, Dropout) == [0.0]
    assert shares(own, StochasticDepth) == shares(knob, StochasticDepth)
    assert shares(build("sign-cnn", dropout=0.7, device="meta"), Dropout) == [0.7]


def test_no_dropout_of_torch_is_left() -> None:
    for name in (
        "vgg16",
        "googlenet",
        "mobilenet_v2",
        "convnext_tiny",
        "efficientnet_b0",
        "efficientnet_lite0",
    ):
        net = build(name, size=64, device="meta")
        kinds = {type(m).__module__ for m in net.modules() if "Drop" in type(m).__name__}
        kinds |= {type(m).__module__ for m in net.modules() if "Stochastic" in type(m).__name__}
        assert kinds == {"lab.models.dropout"}, name


def test_another_kind_of_stochastic_depth_is_refused() -> None:
    odd = nn.Sequential(torchvision.ops.StochasticDepth(0.5, "batch"))
    with pytest.raises(ValueError, match="'batch'"):
        replace_dropouts(odd, None)


@pytest.mark.parametrize(
    "layer", [Dropout(0.5), StochasticDepth(0.5)], ids=lambda m: type(m).__name__
)
def test_compiled_code_draws_the_same_masks(layer: RandomLayer) -> None:
    """In the same order, with gradients, and as one graph."""
    other = copy.deepcopy(layer)
    net = nn.Sequential(nn.Linear(6, 6), layer, other)
    fast = torch.compile(lambda x: net(x), backend="aot_eager", dynamic=False, fullgraph=True)
    outputs, gradients = [], []
    for forward in (net, fast, fast):
        layer.generator = other.generator = torch.Generator().manual_seed(1)
        net.zero_grad()
        outputs.append(forward(torch.ones(40, 6)))
        outputs[-1].sum().backward()
        gradients.append(net[0].weight.grad)
    torch.compiler.reset()
    assert (outputs[0] == 0).any()
    assert all(torch.equal(outputs[0], output) for output in outputs)
    assert all(torch.equal(gradients[0], gradient) for gradient in gradients)
