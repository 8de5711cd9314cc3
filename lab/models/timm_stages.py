"""Cutting any of timm's networks into named stages that compute exactly what it computes.

Most of timm's networks are a chain: each part is given the very tensor that the part before it put
out. That is seen in one forward pass on the meta device, which costs no memory. The parts of a
chain are put together to stages as timm's own `group_matcher` groups their parameters. Of networks
that do something between their parts, vision transformers are taken apart here; the others become
one stage and the classifier.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from lab.errors import ConfigError
from lab.models.staged import HEAD
from lab.models.staging import chain
from lab.models.tokens import TokenStage


@dataclass(frozen=True)
class Part:
    """A module of a chain, by its path, and the stage that it belongs to."""

    path: str
    stage: str
    layout: str
    """Of what it puts out: "NCHW", "NHWC", "NTC" (tokens) or "NC"."""
    places: int
    """How many places that has."""


@dataclass(frozen=True)
class Plan:
    """How one of timm's networks is cut, and what else is seen on the way."""

    kind: str
    """One of _KINDS."""
    parts: tuple[Part, ...]
    step: int
    """Pixels: of a network for one image size, which sides it can be made for; 0 for any size."""
    activation: str
    """The most frequent one between its layers."""
    cam_stage: str | None
    """The last stage with places that the classifier depends on."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """What the weights expect colours from 0 to 1 to be rescaled by."""
    classes: int
    """Of the weights; 0 when they come without a classifier."""


def timm_stages(net: Any, name: str, entry: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The stages of `net`, timm's network called `name`, by their names; its modules are moved.

    The head is the last layer, with the pooling before it where nothing is between. `entry` are
    layers before the first.
    """
    plan = plan_of(name)
    net = _KINDS[plan.kind](net)
    stages: dict[str, nn.Module] = {}
    layout, modules = "NCHW", dict(entry)
    for stage, group in groupby(plan.parts, lambda part: part.stage):
        members = list(group)
        if layout == "NHWC":
            modules["to_nhwc"] = Permute(0, 2, 3, 1)
        for part in members:
            modules[part.path.replace(".", "_")] = net.get_submodule(part.path)
        layout = members[-1].layout
        if layout == "NHWC":
            modules["to_nchw"] = Permute(0, 3, 1, 2)
        if layout == "NTC" and hasattr(net, "placeless"):
            stages[stage] = TokenStage(modules, placeless=net.placeless)
        else:
            stages[stage] = chain(modules)
        modules = {}
    return stages


class Permute(nn.Module):
    """The same tensor with its dimensions in another order: a view."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


class PatchEmbedding(nn.Module):
    """The beginning of timm's vision transformer: pictures (N, C, H, W) -> tokens (N, T, C)."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        for part in ("blocks", "norm", "fc_norm", "head_drop", "head"):
            setattr(net, part, nn.Identity())
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        net = self.net
        tokens: Tensor = net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(x))))
        return tokens


class PoolTokens(nn.Module):
    """tokens (N, T, C) -> (N, C): the class token, or the mean of the patches, as timm pools."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.kind, self.placeless = net.global_pool, net.num_prefix_tokens
        self.include_placeless = net.pool_include_prefix

    def extra_repr(self) -> str:
        return f"{self.kind!r}, placeless={self.placeless}"

    def forward(self, tokens: Tensor) -> Tensor:
        from timm.layers.pool1d import global_pool_nlc

        pooled: Tensor = global_pool_nlc(
            tokens, self.kind, self.placeless, reduce_include_prefix=self.include_placeless
        )
        return pooled


def _vision_transformer(net: Any) -> nn.Sequential:
    behind = {"blocks": net.blocks, "norm": net.norm, "pool": PoolTokens(net)}
    behind |= {"fc_norm": net.fc_norm, "head_drop": net.head_drop, "head": net.head}
    placeless = net.num_prefix_tokens
    whole = chain({"stem": PatchEmbedding(net), **behind})
    whole.placeless = placeless
    whole.group_matcher = net.group_matcher
    return whole


def _backbone_and_classifier(net: Any) -> nn.Sequential:
    classifier = net.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise ConfigError(
            f"timm's {type(net).__name__} ends in {type(classifier).__name__}, not in one linear "
            "layer, and is not supported. Choose another network."
        )
    net.reset_classifier(0)
    return chain({"features": net, "head": classifier})


_KINDS: dict[str, Callable[[Any], Any]] = {
    "chain": lambda net: net,
    "vision transformer": _vision_transformer,
    "backbone": _backbone_and_classifier,
}


@lru_cache(maxsize=64)
def plan_of(name: str) -> Plan:
    """The plan of timm's network `name`. Raises ConfigError for one that cannot be used."""
    import timm
    from timm.models.vision_transformer import VisionTransformer

    with torch.device("meta"):
        net: Any = timm.create_model(name, num_classes=2).eval()
        config = net.pretrained_cfg
        x = torch.empty(2, *config["input_size"])
    kinds = Counter(type(module).__name__ for module in net.modules())
    activation = max(("ReLU", "ReLU6", "SiLU", "Hardswish", "GELU"), key=lambda n: kinds[n])
    step = 0
    if config["fixed_input_size"]:
        patches = getattr(net, "patch_embed", None)
        step = 32 if patches is None else max(patches.patch_size)
    call, kind, last_counts = _trace(net, x), "chain", True
    if not call.is_chain:
        plain = type(net) is VisionTransformer and net.attn_pool is None
        kind = "vision transformer" if plain else "backbone"
        # A class token reads the patches inside the last block: what they are behind it is lost.
        last_counts = not plain or net.global_pool != "token"
        net = _KINDS[kind](net)
        call = _trace(net, x)
    parts = tuple(_name_stages(_split(call, net), nhwc=_is_nhwc(net)))
    ends = {part.stage: part for part in parts}
    placed = [stage for stage, end in ends.items() if end.places > 1]
    cam_stage = (placed if last_counts else placed[:-1])[-1:]
    return Plan(
        kind,
        parts,
        step,
        activation.lower(),
        next(iter(cam_stage), None),
        mean=config["mean"],
        std=config["std"],
        classes=config["num_classes"],
    )


@dataclass
class _Call:
    """One call of a module, and those within it."""

    module: nn.Module
    inputs: tuple[Any, ...] = ()
    output: Any = None
    inner: list[_Call] = field(default_factory=list)

    @property
    def is_chain(self) -> bool:
        """Whether the inner calls do all of it, each with what the one before put out."""
        x = self.inputs[0] if len(self.inputs) == 1 else None
        for call in self.inner:
            if len(call.inputs) != 1 or call.inputs[0] is not x:
                return False
            x = call.output
        return bool(self.inner) and x is self.output


def _trace(net: nn.Module, x: Tensor) -> _Call:
    open_calls = [_Call(net)]

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        open_calls.append(_Call(module, inputs))

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        call = open_calls.pop()
        call.output = output
        open_calls[-1].inner.append(call)

    hooks = []
    for module in net.modules():
        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        with torch.no_grad():
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    return open_calls[0].inner[0]


def _split(whole: _Call, net: Any) -> Iterator[tuple[str, int | None, _Call]]:
    """The parts of a chain: path, group of its parameters, call. No part has several groups unless
    it cannot be taken apart."""
    from timm.models._manipulate import group_with_matcher

    paths = {module: path for path, module in net.named_modules()}
    matcher = getattr(net, "group_matcher", None)
    groups: dict[str, int] = {}
    if matcher is not None:
        own = {name.removeprefix("stem.net."): name for name, _ in net.named_parameters()}
        by_group = group_with_matcher(((name, None) for name in own), matcher(coarse=True))
        groups = {own[name]: group for group, names in by_group.items() for name in names}

    def split(call: _Call) -> Iterator[tuple[str, int | None, _Call]]:
        path = paths[call.module]
        own = {groups.get(f"{path}.{name}", -1) for name, _ in call.module.named_parameters()}
        last = max(groups.values(), default=-1)
        if call.is_chain and (len(own) != 1 or own == {last}):
            for inner in call.inner:
                yield from split(inner)
        else:
            yield path, max(own, default=None), call

    for inner in whole.inner:
        yield from split(inner)


def _name_stages(parts: Iterator[tuple[str, int | None, _Call]], *, nhwc: bool) -> Iterator[Part]:
    """Puts parts of a group into one stage. A part without parameters belongs to the stage before
    it, but what pools, and all behind it, to the next: the stage before keeps its places."""
    split = [part for part in parts if not isinstance(part[2].module, nn.Dropout | nn.Identity)]
    weighted = [index for index, (_, group, _) in enumerate(split) if group is not None]
    names: list[str] = []
    pooled = False
    for index, (path, group, call) in enumerate(split):
        before = split[index - 1][1] if index else None
        pooled = pooled or _layout(call.output, nhwc) == "NC" or _has_one_place(call)
        ahead = next((i for i in weighted if i >= index), index)
        if index > weighted[-1] or (ahead == weighted[-1] and (pooled or ahead == index)):
            names.append(HEAD)
        elif group is None and not pooled and names:
            names.append(names[-1])
            split[index] = (path, before, call)
        elif index and group is not None and group == before:
            names.append(names[-1])
        else:
            names.append(_unused(_stage_name(split[ahead][0], first=not names), names))
            split[index] = (path, split[ahead][1], call)
    for (path, _, call), name in zip(split, names, strict=True):
        layout = _layout(call.output, nhwc)
        yield Part(path, name, layout, call.output[0].numel() // call.output.shape[_AXIS[layout]])


_AXIS = {"NCHW": 1, "NHWC": 3, "NTC": 2, "NC": 1}
"""Where the channels are."""


def _has_one_place(call: _Call) -> bool:
    """Whether it makes one place of several."""
    shapes = [tuple(x.shape[2:]) for x in (call.inputs[0], call.output)]
    return shapes[1] == (1, 1) and shapes[0] != (1, 1)


def _is_nhwc(net: Any) -> bool:
    return getattr(net, "output_fmt", "NCHW") == "NHWC"


def _layout(output: Tensor, nhwc: bool) -> str:
    if output.ndim == 4:
        return "NHWC" if nhwc and output.shape[1:3] != (1, 1) else "NCHW"
    return {3: "NTC"}.get(output.ndim, "NC")


def _stage_name(path: str, *, first: bool) -> str:
    """ "block4" for "blocks.3", "layer1" for "layer1", "stem" for the first without a number."""
    numbered = re.search(r"([a-z_]+)\.(\d+)$", path)
    if numbered and not first:
        return f"{numbered[1].removesuffix('s')}{int(numbered[2]) + 1}"
    last = path.rsplit(".", 1)[-1].lower()
    if re.fullmatch(r"s\d", last):  # as RegNet calls its stages
        return f"stage{last[1:]}"
    if last == "features":  # all but the classifier
        return last
    has_number = re.fullmatch(r"[a-z_]+[a-z]\d+", last) and not last.startswith(("conv", "bn"))
    return "stem" if first and not has_number else last


def _unused(name: str, names: list[str]) -> str:
    return name if name not in names else f"{name}_{len(names)}"
