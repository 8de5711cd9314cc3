"""The running average of the weights (EMA): beside those that are trained, and in their place where
the run validates, publishes and tests.

As timm's `ModelEmaV3` with `use_warmup`: at step n the average keeps the share 1 - n ** (-2/3) of
itself, at most the config's, so that the random weights of the beginning are soon forgotten.
BatchNorm's running figures are averaged, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lab.models.staged import StagedNet


class WeightAverage:
    """The average of the weights of `network`, begun at what they are now."""

    def __init__(self, network: StagedNet, *, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.state: dict[str, Tensor] = _copy(network)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after the run's step number `step`, from 1.

        Frozen weights are their own average; of a network whose head alone is trained they are
        nearly all.
        """
        decay = min(self._decay, 1 - step ** (-2 / 3))
        current = {
            name: tensor
            for name, tensor in self._network.state_dict(keep_vars=True).items()
            if tensor.requires_grad or not isinstance(tensor, nn.Parameter)
        }
        floats = [name for name, tensor in current.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [self.state[name] for name in floats], [current[name] for name in floats], 1 - decay
        )
        for name in current.keys() - set(floats):  # BatchNorm's counts of batches
            self.state[name].copy_(current[name])


@contextmanager
def averaged(network: StagedNet, average: WeightAverage | None) -> Iterator[None]:
    """Within it `network` has the averaged weights, where there are any."""
    if average is None:
        yield
        return
    with weights_kept(network):
        network.load_state_dict(average.state)
        yield


@contextmanager
def weights_kept(network: StagedNet) -> Iterator[None]:
    """Behind it `network` has the weights that it had before, bit for bit."""
    own = _copy(network)
    try:
        yield
    finally:
        network.load_state_dict(own)


def _copy(network: StagedNet) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
