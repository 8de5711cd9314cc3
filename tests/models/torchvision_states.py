"""Stand-ins for torchvision's weights: its names and shapes, random numbers, no download."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lab.config import RunConfig
from lab.models import catalog
from lab.models.architecture import Pretrained
from lab.models.catalog import build_network
from lab.models.staged import StagedNet

OPTIONS = {"googlenet": {"transform_input": True, "aux_logits": True, "init_weights": False}}


def reference(name: str) -> nn.Module:
    """torchvision's own network for 1,000 classes, on the meta device, in eval mode."""
    with torch.device("meta"):
        net: nn.Module = getattr(torchvision.models, name)(**OPTIONS.get(name, {}))
    return net.eval()


def random_state(net: nn.Module, *, seed: int = 0) -> dict[str, Tensor]:
    """A value for every parameter and buffer that keeps the signal alive through deep networks."""
    draw = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, tensor in net.state_dict().items():
        if tensor.dtype == torch.int64:
            state[name] = torch.zeros(tensor.shape, dtype=torch.int64)
        elif tensor.ndim > 1:  # weights: Kaiming's rule, uniform because that is fast
            bound = (6 / max(1, tensor[0].numel())) ** 0.5
            state[name] = torch.empty(tensor.shape).uniform_(-bound, bound, generator=draw)
        elif name.endswith(("running_var", "weight")):
            state[name] = torch.empty(tensor.shape).uniform_(0.5, 1.5, generator=draw)
        else:
            state[name] = torch.empty(tensor.shape).uniform_(-0.1, 0.1, generator=draw)
    return state


def last_layer(net: StagedNet) -> nn.Linear | nn.Conv2d:
    """The layer that gives the logits."""
    layers = [m for m in net.stage("head").modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    return layers[-1]


def build_pretrained(
    monkeypatch: pytest.MonkeyPatch, config: RunConfig, state: dict[str, Tensor], *, classes: int
) -> StagedNet:
    """What build_network makes of `config` when the weights file holds `state`."""
    pretrained = Pretrained(Path("random.pth"), state)
    monkeypatch.setattr(catalog, "load_pretrained", lambda *args, **kwargs: pretrained)
    return build_network(config, channels=3, image_size=64, classes=classes)
