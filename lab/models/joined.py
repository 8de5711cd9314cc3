"""Several backbones side by side, and one linear layer on all their features: "A+B+C".

Networks that learned from the same photographs in different ways see different things; a linear
layer on the features of several is often better than on those of the best. Frozen, they run once an
image (`lab.training.frozen`), whatever their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.errors import ConfigError
from lab.models.architecture import ARCHITECTURES, JOINED, ArchitectureSpec, NetworkSettings
from lab.models.dropout import Dropout, RandomLayer
from lab.models.staged import HEAD, StagedNet
from lab.models.staging import chain
from lab.models.weights import load_pretrained
from lab.models.weights_source import WeightsSource


class Backbones(nn.Module):
    """images (N, C, H, W) -> (N, D): the pooled features of all backbones, one after the other.

    Each backbone's are brought to mean 0 and spread 1 within an image, so that none outweighs the
    others only by its numbers being large.
    """

    def __init__(self, backbones: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, backbone in backbones.items():
            self.add_module(name.replace(".", "_"), backbone)

    def forward(self, images: Tensor) -> Tensor:
        features = []
        for backbone in self.children():
            x = backbone(images)
            x = x.mean((2, 3)) if x.ndim == 4 else x.flatten(1)
            features.append(F.layer_norm(x, x.shape[1:]))
        return torch.cat(features, dim=1)


def _build(settings: NetworkSettings, parts: tuple[ArchitectureSpec, ...]) -> StagedNet:
    backbones = {}
    for part in parts:
        config = settings.config.changed(architecture=part.name, head="linear")
        pretrained = None if settings.pretrained is None else load_pretrained(part)
        net = part.build(replace(settings, config=config, pretrained=pretrained))
        # With the pooling of its own head, which stands before anything that is trained there.
        pooling = itertools.takewhile(_only_pools, net.stage(HEAD).children())
        stages = [net.stage(name) for name in net.stage_names if name != HEAD]
        backbones[part.name] = chain([*stages, *pooling])
    joined = Backbones(backbones)
    with torch.no_grad():
        # Only the number of features is needed, so a copy without memory runs.
        blank = {n: torch.empty_like(t, device="meta") for n, t in joined.state_dict().items()}
        side = settings.image_size
        image = torch.empty(1, settings.channels, side, side, device="meta")
        width = torch.func.functional_call(joined.eval(), blank, (image,)).shape[1]
    joined.train()
    classifier = nn.Linear(width, settings.classes)
    head = {"dropout": Dropout(settings.dropout(0.0)), "classifier": classifier}
    return StagedNet({"backbones": joined, HEAD: chain(head)})


def _only_pools(module: nn.Module) -> bool:
    return not any(True for _ in module.parameters()) and not any(
        isinstance(part, RandomLayer | nn.Dropout) for part in module.modules()
    )


@dataclass(frozen=True)
class JoinedWeights:
    """The weights of several architectures: a WeightsSource that is the first one missing."""

    sources: tuple[WeightsSource, ...]

    @property
    def next(self) -> WeightsSource:
        return next((s for s in self.sources if not s.file.is_file()), self.sources[0])

    @property
    def file(self) -> Path:
        return self.next.file

    @property
    def url(self) -> str | None:
        return self.next.url

    @property
    def sha256(self) -> str | None:
        return self.next.sha256

    @property
    def to_get(self) -> str:
        return " and ".join(s.to_get for s in self.sources if not s.file.is_file())

    @property
    def by_hand(self) -> str:
        return self.next.by_hand

    @property
    def get_again(self) -> str:
        return self.next.get_again

    @property
    def licence(self) -> str:
        return ", ".join(dict.fromkeys(s.licence or "not stated" for s in self.sources))

    @property
    def origin(self) -> str:
        return ", ".join(dict.fromkeys(s.origin for s in self.sources))

    def published_sha256(self) -> str:
        return self.next.published_sha256()


def _named(name: str) -> ArchitectureSpec:
    """The architecture called "A+B": A and B joined. Raises NotFoundError or ConfigError."""
    parts = tuple(ARCHITECTURES.get(part.strip()) for part in name.split(JOINED))
    sources = [part.weights for part in parts if part.weights is not None]
    if len(set(parts)) < 2 or len(set(parts)) < len(parts) or len(sources) < len(parts):
        raise ConfigError(
            f"{name!r} joins no networks: two or more different ones with pretrained weights are "
            "needed, such as efficientnet_lite0+efficientnet_lite1."
        )
    return ArchitectureSpec(
        name=name,
        title=f" {JOINED} ".join(part.title for part in parts),
        family="timm",
        year=max(part.year for part in parts),
        story="Several networks side by side; one linear layer decides by the features of all. It "
        "has no single map, so Grad-CAM is not drawn.",
        native_activation=parts[0].native_activation,
        min_image_size=max(part.min_image_size for part in parts),
        build=partial(_build, parts=parts),
        weights=JoinedWeights(tuple(sources)),
    )


ARCHITECTURES.make_names_with(JOINED, _named)
