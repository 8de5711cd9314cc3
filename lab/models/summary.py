"""The layers of a network and their output shapes: as a table with memory, or stage by stage."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lab.models.cost import stage_passes
from lab.models.freezing import count_parameters
from lab.models.staged import StagedNet

_BYTES = 4  # float32
_LOCK = threading.Lock()  # torchinfo keeps the last network in a module global


@dataclass(frozen=True)
class LayerRow:
    """One layer. `parameters` are its own, so the rows add up to the total."""

    stage: str
    name: str
    """Path inside the network, such as "layer1.0.conv1"."""
    type: str
    output_shape: tuple[int, ...]
    """(N, ...) with N the batch size."""
    parameters: int
    trainable: bool
    """Whether it has parameters that are trained."""


@dataclass(frozen=True)
class LayerTable:
    """The rows in the order of the forward pass, and the totals.

    The memory sizes are estimates for one training step, in MB of 10^6 bytes at float32: weights,
    one gradient for each trained parameter, and the layer outputs that autograd saves for the
    backward pass (nothing before the first trained stage). The optimizer's own memory (Adam: twice
    the gradients), the workspace of the convolutions and the allocator's slack come on top.
    """

    rows: tuple[LayerRow, ...]
    total_parameters: int
    trainable_parameters: int
    weights_mb: float
    gradients_mb: float
    activations_mb: float

    @property
    def memory_mb(self) -> float:
        return self.weights_mb + self.gradients_mb + self.activations_mb


def layer_table(net: StagedNet, *, channels: int, image_size: int, batch_size: int) -> LayerTable:
    """The layers of `net` and their outputs, from a forward pass of one black image in eval mode.

    Meant for a network of one's own on the meta device, where it costs no memory; on another device
    it really runs, with a batch of one. Hooks are removed and every module's mode is restored. Not
    for a network in training: its thread would meet the hooks.
    """
    from torchinfo import summary
    from torchinfo.torchinfo import clear_cached_forward_pass

    names = {id(module): name.removeprefix("stages.") for name, module in net.named_modules()}
    modes = {module: module.training for module in net.modules()}
    # An image of our own: torchinfo would draw one from the process-wide random generator.
    device = next(net.parameters()).device
    image = torch.zeros(1, channels, image_size, image_size, device=device)
    with _LOCK:
        try:
            layers = summary(net, input_data=image, mode="eval", verbose=0, depth=100).summary_list
            net.eval()
            activation_bytes = _saved_activation_bytes(net, image)
        finally:
            for module, mode in modes.items():
                module.training = mode
            clear_cached_forward_pass()

    rows: dict[int, LayerRow] = {}
    for layer in layers:
        module = layer.module
        own = list(module.parameters(recurse=False))
        if not own and any(True for _ in module.children()):
            continue  # a container: its layers have their own rows
        if id(module) in rows:
            continue  # called again, as ResNet's ReLU is; one row is enough
        name = names[id(module)]
        rows[id(module)] = LayerRow(
            stage=name.split(".")[0],
            name=name,
            type=type(module).__name__,
            output_shape=(batch_size, *layer.output_size[1:]),
            parameters=sum(p.numel() for p in own),
            trainable=any(p.requires_grad for p in own),
        )
    total = count_parameters(net)
    trained = count_parameters(net, trainable_only=True)
    return LayerTable(
        rows=tuple(rows.values()),
        total_parameters=total,
        trainable_parameters=trained,
        weights_mb=total * _BYTES / 1e6,
        gradients_mb=trained * _BYTES / 1e6,
        activations_mb=activation_bytes * batch_size / 1e6,
    )


def _saved_activation_bytes(net: StagedNet, image: Tensor) -> int:
    """Bytes of layer outputs that autograd saves for the backward pass; also right on meta."""
    # By storage, so that views and the results of in-place activations are not counted twice.
    own = {t.untyped_storage()._cdata for t in (*net.parameters(), *net.buffers())}
    saved: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(record, lambda t: t):
        logits = net(image)
    del logits  # alive until here, or a freed storage's number could have come up twice
    return sum(saved.values())


@dataclass(frozen=True)
class StageLayer:
    """One layer of a stage; called twice, it is there once."""

    name: str
    """Path inside the stage, such as "0.conv1"."""
    kind: str
    """PyTorch's name, and the window where there is one: "Conv2d 3×3"."""
    output_shape: tuple[int, ...]
    """Of one image: (C, H, W) or (C,)."""
    parameters: int


@dataclass(frozen=True)
class StageShape:
    """One stage: what it gives on and what it consists of."""

    name: str
    output_shape: tuple[int, ...]
    """Of one image: (C, H, W) or (C,)."""
    parameters: int
    layers: tuple[StageLayer, ...]


def stage_shapes(net: StagedNet, *, channels: int, image_size: int) -> tuple[StageShape, ...]:
    """Returns the stages of `net`, in order, with their layers in the order of the forward pass.

    Takes milliseconds. `net` is on the meta device and is changed, so throw it away afterwards.
    """
    stages = []
    for name, calls, output in stage_passes(net, channels=channels, image_size=image_size):
        names = {module: path for path, module in net.stage(name).named_modules()}
        shapes: dict[nn.Module, tuple[int, ...]] = {}
        for module, result in calls:
            shapes.setdefault(module, tuple(result.shape[1:]))
        layers = tuple(
            StageLayer(names[module] or name, _kind(module), shape, count_parameters(module))
            for module, shape in shapes.items()
        )
        parameters = count_parameters(net.stage(name))
        stages.append(StageShape(name, tuple(output.shape[1:]), parameters, layers))
    return tuple(stages)


def _kind(module: nn.Module) -> str:
    window = getattr(module, "kernel_size", None)
    if window is None:
        return type(module).__name__
    height, width = window if isinstance(window, tuple) else (window, window)
    return f"{type(module).__name__} {height}×{width}"
