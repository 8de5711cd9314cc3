"""The layer table adds up, says what is trained, and leaves the network as it was."""

from __future__ import annotations

import time

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import RunConfig
from lab.models.architecture import ARCHITECTURES
from lab.models.freezing import apply_freeze, count_parameters
from lab.models.summary import layer_table
from tests.models.test_architectures import build, images


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_rows_add_up(name: str) -> None:
    net = build(name, size=64, device="meta")
    table = layer_table(net, channels=3, image_size=64, batch_size=8)
    assert sum(row.parameters for row in table.rows) == table.total_parameters
    assert table.total_parameters == table.trainable_parameters == count_parameters(net)
    assert table.rows[-1].stage == "head"
    assert [row.stage for row in table.rows if row.stage == row.name] == []
    stages = list(dict.fromkeys(row.stage for row in table.rows))
    assert stages == list(net.stage_names)
    assert all(row.output_shape[0] == 8 for row in table.rows)
    assert table.rows[-1].output_shape == (8, 2)
    assert table.memory_mb == table.weights_mb + table.gradients_mb + table.activations_mb > 0


def test_rows_of_the_sign_cnn() -> None:
    net = build("sign-cnn", channels=1, size=28, classes=24, device="meta")
    table = layer_table(net, channels=1, image_size=28, batch_size=256)
    rows = [(row.name, row.type, row.output_shape, row.parameters) for row in table.rows]
    assert rows[:3] == [
        ("block1.conv", "Conv2d", (256, 32, 28, 28), 320),
        ("block1.pool", "MaxPool2d", (256, 32, 14, 14), 0),
        ("block1.activation", "ReLU", (256, 32, 14, 14), 0),
    ]
    assert rows[-2:] == [
        ("head.dropout", "Dropout", (256, 512), 0),
        ("head.linear", "Linear", (256, 24), 12_312),
    ]


def test_frozen_layers_are_told_and_cost_less() -> None:
    net = build("resnet18", size=64, device="meta")
    trained = layer_table(net, channels=3, image_size=64, batch_size=8)
    config = RunConfig(architecture="resnet18", freeze="last_k", last_k=1)
    apply_freeze(net, config)
    frozen = layer_table(net, channels=3, image_size=64, batch_size=8)
    assert {row.stage for row in frozen.rows if row.trainable} == {"layer4", "head"}
    assert frozen.trainable_parameters == sum(r.parameters for r in frozen.rows if r.trainable)
    assert frozen.total_parameters == trained.total_parameters
    assert frozen.gradients_mb < trained.gradients_mb
    assert frozen.activations_mb < trained.activations_mb / 4


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_the_network_is_left_as_it_was(device: str) -> None:
    net = build("mobilenet_v2", size=32, device=device)
    apply_freeze(net, RunConfig(architecture="mobilenet_v2", freeze="last_k"))
    modes = [module.training for module in net.modules()]
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    random_state = torch.get_rng_state()
    table = layer_table(net, channels=3, image_size=32, batch_size=4)
    assert [module.training for module in net.modules()] == modes
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(p.grad is None for p in net.parameters())
    assert next(net.parameters()).device.type == device
    if device == "cpu":
        assert all(torch.equal(value, buffers[name]) for name, value in net.named_buffers())
        meta_net = build("mobilenet_v2", size=32, device="meta")
        apply_freeze(meta_net, RunConfig(architecture="mobilenet_v2", freeze="last_k"))
        on_meta = layer_table(meta_net, channels=3, image_size=32, batch_size=4)
        assert table.rows == on_meta.rows
        assert table.weights_mb == on_meta.weights_mb


def test_a_failure_leaves_no_hooks() -> None:
    net = build("sign-cnn", size=28, device="meta")
    with pytest.raises(RuntimeError):
        layer_table(net, channels=3, image_size=64, batch_size=4)
    assert net.training
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("name", ["simple-cnn", "resnet18", "squeezenet1_1"])
def test_the_estimate_is_near_what_autograd_keeps(name: str) -> None:
    """Counted in a real training step: the distinct memory that the graph holds on to."""
    net = build(name, size=64)
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        F.cross_entropy(net(images(4, 3, 64)), torch.arange(4) % 2)
    real = sum(tensor.untyped_storage().nbytes() for tensor in saved.values()) / 1e6
    meta_net = build(name, size=64, device="meta")
    table = layer_table(meta_net, channels=3, image_size=64, batch_size=4)
    assert table.activations_mb == pytest.approx(real, rel=0.1)


def test_the_largest_network_takes_under_a_second() -> None:
    net = build("resnet101", size=224, device="meta")
    layer_table(net, channels=3, image_size=224, batch_size=32)  # imports are paid for once
    started = time.thread_time()
    layer_table(net, channels=3, image_size=224, batch_size=32)
    assert time.thread_time() - started < 1
