"""Attention rollout: which patches a vision transformer's class token has looked at.

Each block mixes the tokens by its attention and adds what came in. Multiplied over the blocks,
those mixtures say how much of each patch has reached a token (Abnar and Zuidema 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lab.errors import ConfigError
from lab.explain.grad_cam import METHODS, MapRequest, Method
from lab.explain.layers import module_of
from lab.models.staged import StagedNet
from lab.models.tokens import TokenStage


def attention_blocks(network: nn.Module) -> list[Any]:
    """The modules of attention among all tokens (timm's), in their order."""
    return [
        module
        for stage in network.modules()
        if isinstance(stage, TokenStage)
        for module in stage.modules()
        if hasattr(module, "fused_attn") and hasattr(module, "attn_drop")
    ]


def rollout(attentions: list[Tensor]) -> Tensor:
    """Attentions (N, heads, T, T), block by block -> (N, T, T): how much of each token is in each
    behind the last. Rows add up to 1."""
    mixed: Tensor | None = None
    for attention in attentions:
        # Half of what leaves a block is what came in, by the shortcut.
        mean = attention.mean(1)
        step = (mean + torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)) / 2
        mixed = step if mixed is None else step @ mixed
    assert mixed is not None
    return mixed


@contextmanager
def _recorded(modules: list[Any]) -> Iterator[list[Tensor]]:
    """A list of the attentions (N, heads, T, T) of these modules in a forward pass."""
    attentions: list[Tensor] = []
    fused = [module.fused_attn for module in modules]
    hooks = [
        module.attn_drop.register_forward_hook(lambda _, inputs, output: attentions.append(output))
        for module in modules
    ]
    try:
        for module in modules:
            module.fused_attn = False  # the quick kernel never has the attention as a whole
        yield attentions
    finally:
        for hook in hooks:
            hook.remove()
        for module, was in zip(modules, fused, strict=True):
            module.fused_attn = was


def _draw(request: MapRequest) -> Tensor:
    network: StagedNet = request.network
    modules = attention_blocks(network)
    stage = module_of(network, request.layer)
    if not modules or not isinstance(stage, TokenStage):
        raise ConfigError(
            f"Attention rollout needs a vision transformer, and layer {request.layer!r} puts out "
            "no tokens. Choose another method."
        )
    names = network.stage_names[: network.stage_names.index(request.layer) + 1]
    within = {module for name in names for module in network.stage(name).modules()}
    with torch.no_grad(), _recorded([m for m in modules if m in within]) as attentions:
        tokens = network.run(request.images, last=request.layer)
    if not attentions:  # before the first block no token knows of another
        return torch.zeros_like(stage.maps(tokens)[:, 0])
    mixed = rollout([attention.detach() for attention in attentions])
    # Without a class token the mean of all patches is the answer's source.
    source = mixed[:, 0] if stage.placeless else mixed.mean(1)
    return stage.maps(source.unsqueeze(2))[:, 0]


METHODS.add(
    "attention-rollout",
    Method(
        "attention-rollout",
        "Attention rollout",
        "How much of each patch the attention of all blocks so far has carried to the class token. "
        "It does not look at the class at all.",
        "Abnar and Zuidema 2020, arXiv:2005.00928",
        draw=_draw,
        attention=True,
    ),
)
