"""The layers of a network that can be looked at, and looking at their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lab.errors import ConfigError, NotFoundError, unknown_name
from lab.models.staged import StagedNet
from lab.models.tokens import TokenStage
from lab.words import stage_title


@dataclass(frozen=True)
class Layer:
    """Something in a network that puts out a tensor: a whole stage, or one convolution in it."""

    name: str
    """The stage's name, or the path of the convolution such as "layer2.0.conv1"."""
    stage: str
    type: str
    """"stage" or "Conv2d"."""
    shape: tuple[int, ...]
    """Of the output for one image: (C, H, W) for maps, (features,) for a flat layer."""
    tokens: bool = False
    """Whether the maps are the patches of an attention network."""

    @property
    def spatial(self) -> bool:
        """Whether the output still has places: Grad-CAM needs more than one."""
        return len(self.shape) == 3 and self.shape[1] * self.shape[2] > 1

    @property
    def size(self) -> str:
        """The shape for the eye: "64 × 7 × 7"."""
        return " × ".join(map(str, self.shape))

    @property
    def size_words(self) -> str:
        """The shape as height × width × channels: "7 × 7 × 64"; "512 numbers" of a flat layer."""
        if len(self.shape) == 1:
            return f"{self.shape[0]:,} numbers"
        return " × ".join(f"{n:,}" for n in (*self.shape[1:], self.shape[0]))


def layer_titles(layers: Sequence[Layer]) -> Mapping[str, str]:
    """Each layer's name -> its title: "Block 3", or "Block 3, convolution 2" in a stage of
    several."""
    inside: dict[str, list[str]] = {}
    for layer in layers:
        if layer.type != "stage":
            inside.setdefault(layer.stage, []).append(layer.name)
    titles = {}
    for layer in layers:
        titles[layer.name] = title = stage_title(layer.stage)
        if layer.type != "stage":
            own = inside[layer.stage]
            number = f" {own.index(layer.name) + 1}" if len(own) > 1 else ""
            titles[layer.name] = f"{title}, convolution{number}"
    return titles


@contextmanager
def captured(network: StagedNet, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """A dictionary that holds, after a forward pass within the block, the output of each layer.

    Of the block's first pass: later ones, with other images or with channels taken out, leave it.

        with captured(network, ["layer4"]) as outputs:
            logits = network(images)
        outputs["layer4"]                                       # (N, C, H, W)

    Inside the block the network is in eval mode. However the block is left, the hooks are gone and
    every module is in the mode it was in. Tokens (N, T, C) are there as maps (N, C, h, w) of their
    patches. The outputs are part of the autograd graph where there is
    one, and safe from in-place operations further on. Raises NotFoundError for an unknown layer.
    One thread at a time may use a network this way.
    """
    outputs: dict[str, Tensor] = {}
    modes = {module: module.training for module in network.modules()}
    hooks = []

    def hook(name: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            if isinstance(module, TokenStage):
                # The maps are what goes on, so that gradients reach them.
                maps = module.maps(output).clone()
                outputs.setdefault(name, maps)
                return module.with_maps(output, maps)
            outputs.setdefault(name, output)
            # What goes on is a copy: an in-place ReLU behind a convolution would overwrite it.
            return output.clone()

        return keep

    try:
        network.eval()
        for name in dict.fromkeys(names):
            hooks.append(module_of(network, name).register_forward_hook(hook(name)))
        yield outputs
    finally:
        for handle in hooks:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def list_layers(network: StagedNet, *, channels: int, image_size: int) -> tuple[Layer, ...]:
    """All stages and all convolutions in the order of the forward pass, a stage after its own
    convolutions. Costs one forward pass of a black image."""
    paths = {}
    for name in network.stage_names:
        for path, module in network.stage(name).named_modules():
            if isinstance(module, nn.Conv2d) and path:
                paths[f"{name}.{path}"] = (name, "Conv2d")
        paths[name] = (name, "stage")
    device = next(network.parameters()).device
    image = torch.zeros(1, channels, image_size, image_size, device=device)
    with captured(network, list(paths)) as outputs, torch.inference_mode():
        network(image)
    # The order in which the outputs came is that of the forward pass, whatever order the modules
    # were registered in.
    return tuple(
        Layer(
            name,
            *paths[name],
            tuple(output.shape[1:]),
            tokens=isinstance(module_of(network, name), TokenStage),
        )
        for name, output in outputs.items()
    )


def cam_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The stages on which Grad-CAM can be drawn, from the edges to the parts; may be empty."""
    return tuple(layer for layer in layers if layer.type == "stage" and layer.spatial)


@dataclass(frozen=True)
class InspectableLayers:
    """What of a network can be looked at; plain values."""

    layers: tuple[Layer, ...]
    """All stages and convolutions in the order of the forward pass."""
    default_stage: str | None
    """Where a map is looked at first; None for a network without places."""

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """Each layer's name -> its title for people, see `layer_titles`."""
        return layer_titles(self.layers)

    @property
    def stages(self) -> tuple[str, ...]:
        """Those on which Grad-CAM can be drawn, from edges to parts; empty for perceptrons."""
        return tuple(layer.name for layer in cam_layers(self.layers))

    def cam_layer(self, name: str) -> Layer:
        """The layer of that name; raises what `require_cam_layer` raises."""
        return require_cam_layer(self.layers, name)


def inspectable_layers(
    network: StagedNet, *, channels: int, image_size: int, default_stage: str | None
) -> InspectableLayers:
    """The layers of `network`. `default_stage` is the architecture's own; at an image size so small
    that it is a single place, which points nowhere, the last stage that still has several."""
    layers = list_layers(network, channels=channels, image_size=image_size)
    stages = [layer.name for layer in cam_layers(layers)]
    if default_stage not in stages:
        default_stage = stages[-1] if stages else None
    return InspectableLayers(layers, default_stage)


def find_layer(layers: Sequence[Layer], name: str) -> Layer:
    """The layer of that name; raises NotFoundError with the close names."""
    for layer in layers:
        if layer.name == name:
            return layer
    raise NotFoundError(unknown_name("layer", name, [layer.name for layer in layers]))


def require_cam_layer(layers: Sequence[Layer], name: str) -> Layer:
    """As `find_layer`; raises ConfigError when the layer has no places to point at."""
    layer = find_layer(layers, name)
    if layer.spatial:
        return layer
    usable = ", ".join(other.name for other in cam_layers(layers))
    raise ConfigError(
        f"Layer {name!r} puts out {layer.size} numbers without places, so "
        "Grad-CAM cannot point at any. "
        + (f"Choose one of: {usable}." if usable else "This network has no layer with places.")
    )


def module_of(network: StagedNet, name: str) -> nn.Module:
    """The module of a stage or of a path in one; raises NotFoundError with the close names."""
    stage, _, path = name.partition(".")
    found = network.stage(stage)
    if not path:
        return found
    try:
        return found.get_submodule(path)
    except AttributeError:
        names = [f"{stage}.{p}" for p, m in found.named_modules() if isinstance(m, nn.Conv2d)]
        raise NotFoundError(unknown_name("layer", name, names)) from None
