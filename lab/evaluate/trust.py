"""The trust test of one map of a published checkpoint."""

from __future__ import annotations

from lab.errors import ConfigError, ResourceError
from lab.evaluate.opened import PublishedNetwork
from lab.evaluate.pictures import Picture
from lab.explain.trust import Trust, trust_test
from lab.models.catalog import build_network
from lab.models.staged import StagedNet
from lab.progress import Cancel, Report, never, silent
from lab.training.checkpoint import CheckpointMetadata
from lab.training.failures import is_out_of_memory

OTHER_SEEDS = 1_000_003
"""Added to the run's own seed: with that one the "random" weights would be those that the run began
with, and what it learned still resembles them."""


def trust_of(
    network: PublishedNetwork,
    picture: Picture,
    *,
    target: int,
    layer: str,
    method: str,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Trust:
    """Test the map of `picture` for class `target`: see `lab.explain.trust.trust_test`.

    Takes seconds, so it loads a network of its own and may run in any thread. At most two networks
    are in memory: the run's and a random one. Raises NotFoundError without such a checkpoint, layer
    or method, ConfigError for a layer without places or a class that is not there, ResourceError
    when memory runs out, Cancelled.
    """
    try:
        opened = network.own_copy()
        classes = len(opened.card.class_names)
        if not 0 <= target < classes:
            raise ConfigError(
                f"There is no class number {target}; this network's classes are numbered 0 to "
                f"{classes - 1}."
            )
        opened.layers.cam_layer(layer)
        return trust_test(
            opened.network,
            opened.tensor(picture),
            target=target,
            layer=layer,
            method=method,
            randomised=lambda seed: _random_network(opened.card, seed),
            progress=progress,
            cancel=cancel,
        )
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(
            "Out of memory: the trust test needs room for this network twice. Wait until the run "
            "in training has ended, or close other programs, and try again."
        ) from error


def _random_network(card: CheckpointMetadata, seed: int) -> StagedNet:
    """The run's architecture without anything learned, not even ImageNet's weights."""
    return build_network(
        card.config.changed(freeze="scratch", seed=(card.config.seed + OTHER_SEEDS + seed) % 2**31),
        channels=card.preprocess.channels,
        image_size=card.preprocess.image_size,
        classes=len(card.class_names),
    )
