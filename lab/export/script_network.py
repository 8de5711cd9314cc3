"""A run's network as code without the lab: the lab's own layer by layer, a library's by its name.

A library's network is cut into stages by the names of its parts, found by walking through it and
through the lab's network side by side: both hold the same parameters in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lab.data.preprocess import IMAGENET_MEAN, IMAGENET_STD
from lab.errors import ConfigError
from lab.models.architecture import ARCHITECTURES, ArchitectureSpec
from lab.models.catalog import build_network
from lab.models.dropout import RandomLayer
from lab.models.staged import HEAD, StagedNet
from lab.models.timm_catalog import timm_name
from lab.models.timm_stages import plan_of
from lab.models.weights_source import PackageWeights
from lab.training.checkpoint import CheckpointMetadata

LITE = "efficientnet_lite"
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Of colours, as its weights know them; timm's others say theirs."""
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish,
)  # fmt: skip


@dataclass(frozen=True)
class NetworkCode:
    """What the template needs to write the network."""

    values: dict[str, Any]
    mean: tuple[float, ...] | None
    """Of the pixel scaling, where the network wants another than the run's; like `std`."""
    std: tuple[float, ...] | None


def network_code(card: CheckpointMetadata, *, staged: bool) -> NetworkCode:
    """Returns the code's parts; `staged` where the stages are needed. Raises ConfigError for a
    network that cannot be written."""
    config, preprocess = card.config, card.preprocess
    spec = ARCHITECTURES.get(config.architecture)
    with torch.device("meta"):
        net = build_network(
            config,
            channels=preprocess.channels,
            image_size=preprocess.image_size,
            classes=len(card.class_names),
            device="meta",
        )
    if spec.family in ("cnn", "perceptron"):
        values = {
            "library": "",
            "paths": {},
            "stages": [(name, _layers(net.stage(name))) for name in net.stage_names],
            "rectifier": any(isinstance(m, _rectifiers()) for m in net.modules()),
        }
        return NetworkCode(values, None, None)
    if spec.family == "torchvision":
        return _torchvision(net, card, staged=staged)
    return _timm(net, card, spec, staged=staged)


def _rectifiers() -> tuple[type[nn.Module], ...]:
    from lab.models.activations import ACTIVATIONS as known

    return tuple(type(entry.make()) for entry in known if entry.rectifier)


def _layers(stage: nn.Module) -> list[str]:
    """The layers of a stage, one after the other, as code."""
    return [_layer(m) for m in stage.modules() if not isinstance(m, (nn.Sequential, nn.ModuleList))]


def _layer(layer: nn.Module) -> str:
    name = type(layer).__name__
    if isinstance(layer, nn.Conv2d):
        size, padding = layer.kernel_size[0], layer.padding
        inside = padding if isinstance(padding, str) else padding[0]
        text = f"nn.Conv2d({layer.in_channels}, {layer.out_channels}, kernel_size={size}"
        return f"{text}, padding={inside!r})".replace("'", '"').replace(", padding=0", "")
    if isinstance(layer, nn.Linear):
        return f"nn.Linear({layer.in_features}, {layer.out_features})"
    if isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
        return f"nn.{name}({layer.kernel_size})"
    if isinstance(layer, RandomLayer):
        return f"nn.Dropout({layer.p:g})"
    if isinstance(layer, (nn.Flatten, *ACTIVATIONS)):
        return f"nn.{name}()"
    raise ConfigError(f"The layer {name} of its network cannot be written as a script.")


_OPTIONS = {"googlenet": "aux_logits=False, init_weights=True"}


def _torchvision(net: StagedNet, card: CheckpointMetadata, *, staged: bool) -> NetworkCode:
    import torchvision.models

    name, classes = card.config.architecture, len(card.class_names)
    options = ", ".join(filter(None, ("num_classes=len(CLASSES)", _OPTIONS.get(name))))
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        raw = getattr(torchvision.models, name)(weights=None, num_classes=classes, **extra)
    convs = [path for path, m in raw.named_modules() if isinstance(m, nn.Conv2d)]
    grey = card.preprocess.channels == 1
    values = {
        "library": "torchvision",
        "constructor": name,
        "options": options,
        "pretrained": card.config.pretrained,
        "classifier": _code(_classifier(raw)),
        "first_conv": _code(convs[0]) if grey else "",
        "first_conv_bias": raw.get_submodule(convs[0]).bias is not None,
        "paths": stage_paths(net, raw) if staged else {},
    }
    return NetworkCode(values, None, None)


def _timm(
    net: StagedNet, card: CheckpointMetadata, spec: ArchitectureSpec, *, staged: bool
) -> NetworkCode:
    import timm

    config, classes = card.config, len(card.class_names)
    values: dict[str, Any] = {"library": "timm", "pretrained": config.pretrained, "package": ""}
    options: dict[str, Any] = {}
    mean: tuple[float, ...] = LITE_MEAN
    std: tuple[float, ...] = LITE_STD
    if config.architecture.startswith(LITE):
        name = f"tf_{config.architecture}"
        dropout = next(m.p for m in net.stage(HEAD).modules() if isinstance(m, RandomLayer))
        options = {"drop_rate": dropout, "drop_path_rate": 0.2}
        if config.pretrained and isinstance(spec.weights, PackageWeights):
            values |= {"package": spec.weights.package, "weights_path": spec.weights.path}
    else:
        name = timm_name(config.architecture)
        plan = plan_of(name)
        mean, std = plan.mean, plan.std
        if plan.step:
            options = {"img_size": card.preprocess.image_size}
            if card.preprocess.image_size % plan.step:
                raise ConfigError(
                    f"image_size is {card.preprocess.image_size}, and this network is made for "
                    f"multiples of {plan.step}: its pictures are resized within it."
                )
    with torch.device("meta"):
        raw = timm.create_model(name, num_classes=classes, **options)
    values |= {
        "constructor": name,
        "timm_options": "".join(f", {key}={value!r}" for key, value in options.items()),
        "classifier": _code(_classifier(raw)),
        "paths": stage_paths(net, raw) if staged else {},
    }
    if not config.pretrained or (mean, std) == (IMAGENET_MEAN, IMAGENET_STD):
        return NetworkCode(values, None, None)
    # The lab rescales inside the network what was normalised as ImageNet's: here at once.
    return NetworkCode(values, mean, std)


def _code(path: str) -> str:
    """ "features.0.conv" as an expression: net.features[0].conv"""
    parts = path.split(".")
    return "net" + "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in parts)


def _classifier(net: nn.Module) -> str:
    """The path of the last layer."""
    weighted = (nn.Linear, nn.Conv2d)
    paths = [path for path, module in net.named_modules() if isinstance(module, weighted)]
    return str(paths[-1])


def stage_paths(net: StagedNet, raw: nn.Module) -> dict[str, list[str]]:
    """Returns which parts of a library's own network `raw` make up each stage of the lab's `net`.

    The parts are the shortest names that tell the stages apart. Raises ConfigError where the two
    do not hold the same parameters in the same order.
    """
    ours = [(name, shape) for name in net.stage_names for _, shape in _units(net.stage(name))]
    theirs = [(path, shapes) for path, shapes in _units(raw) if path]
    loose = [
        n for n, _ in (*raw.named_parameters(recurse=False), *raw.named_buffers(recurse=False))
    ]
    if loose:  # a class token, position embeddings: of a part of the lab's first stage
        ours = [(s, shape) for s, shape in ours if not set(loose) & {name for name, _ in shape}]
    if [shape for _, shape in ours] != [shape for _, shape in theirs]:
        raise ConfigError(_NO_STAGES)
    stage_of = {path: stage for (path, _), (stage, _) in zip(theirs, ours, strict=True)}
    stage_of |= dict.fromkeys(loose, net.stage_names[0])
    weighted = list(stage_of)
    places = {path: place for place, (path, _) in enumerate(raw.named_modules())}
    for path, module in raw.named_modules():
        share = getattr(module, "p", 0) or getattr(module, "drop_prob", 0)
        random = isinstance(module, nn.Dropout) or type(module).__name__ in _DEPTHS
        if random and share:
            # Dropout stands before a layer, stochastic depth behind one.
            dropout = isinstance(module, nn.Dropout)
            layers = [p for p in weighted if p in places]
            ahead = [p for p in layers if places[p] > places[path]]
            behind = [p for p in layers if places[p] < places[path]]
            near = (ahead[:1] or behind[-1:]) if dropout else (behind[-1:] or ahead[:1])
            stage_of[path] = stage_of[near[0]]
    found: dict[str, list[str]] = {name: [] for name in net.stage_names}
    for path, stage in stage_of.items():
        parts = path.split(".")
        prefixes = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
        own = [
            p for p in prefixes
            if all(s == stage for q, s in stage_of.items() if f"{q}.".startswith(f"{p}."))
        ]  # fmt: skip
        if not own:
            raise ConfigError(_NO_STAGES)
        prefix = own[0]
        if prefix not in found[stage]:
            found[stage].append(prefix)
    return {stage: paths for stage, paths in found.items() if paths}


_DEPTHS = ("StochasticDepth", "DropPath")
_NO_STAGES = (
    "A script cannot write what is frozen in this network (architecture): its stages cannot be "
    "told apart by the library's names."
)


def _units(net: nn.Module) -> Iterator[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]]:
    """The path and the shapes of every module of `net` that has parameters of its own."""
    for path, module in net.named_modules():
        shapes = tuple((n, tuple(p.shape)) for n, p in module.named_parameters(recurse=False))
        if shapes:
            yield path, shapes
