"""Checking and building the network that a RunConfig describes."""

from __future__ import annotations

import torch

from lab.config import RunConfig
from lab.errors import ConfigError, ResourceError
from lab.models.architecture import ARCHITECTURES, NetworkSettings
from lab.models.freezing import check_phases, check_stage_count
from lab.models.initialisation import NoRandomness, SeededRandomness
from lab.models.staged import StagedNet
from lab.models.weights import load_pretrained
from lab.progress import Cancel, Report, never, silent


def input_channels(config: RunConfig, pack_channels: int) -> int:
    """The network's input channels: 3 with pretrained weights (grey repeated), else the data's."""
    return 3 if config.pretrained else pack_channels


def check_network(config: RunConfig, *, image_size: int, channels: int) -> None:
    """Refuse settings that do not fit the architecture or one another; loads nothing.

    `channels` are the data's. Raises NotFoundError for an unknown architecture, else ConfigError.
    Takes milliseconds; up to a quarter of a second when stages have to be counted in a large
    network.
    """
    _check_facts(config, image_size=image_size, channels=channels)
    check_phases(config)
    if config.freeze in ("last_k", "two_phase"):
        # The number of stages depends on the head, so it is counted on a network without memory.
        build_network(config, channels=channels, image_size=image_size, classes=2, device="meta")


def build_network(
    config: RunConfig,
    *,
    channels: int,
    image_size: int,
    classes: int,
    device: str | torch.device = "cpu",
    progress: Report = silent,
    cancel: Cancel = never,
) -> StagedNet:
    """The network that `config` describes, in train mode, nothing frozen yet (see `apply_freeze`).

    Random weights are a pure function of `config.seed`, whatever other threads do and whichever the
    device is. With a pretrained strategy the backbone is loaded, after a download if need be
    (`progress`, `cancel`), and only the head is random. Dropout draws from a fresh generator of
    that seed until `use_generator` gives it another. `channels` are the data's; a pretrained
    network takes 3 all the same. On the "meta" device nothing is allocated or loaded: enough to
    count parameters and shapes.

    Raises NotFoundError, ConfigError, WeightsError, Cancelled, or ResourceError when memory runs
    out.
    """
    _check_facts(config, image_size=image_size, channels=channels)
    spec = ARCHITECTURES.get(config.architecture)
    device = torch.device(device)
    on_meta = device.type == "meta"
    pretrained = None
    if config.loads_imagenet and not on_meta:
        pretrained = load_pretrained(spec, progress=progress, cancel=cancel)
    settings = NetworkSettings(
        input_channels(config, channels), image_size, classes, config, pretrained=pretrained
    )
    try:
        if on_meta:
            with device, NoRandomness():
                net = spec.build(settings)
        else:
            # Built on the CPU first, so that every device starts from the same numbers.
            with SeededRandomness(torch.Generator().manual_seed(config.seed)):
                net = spec.build(settings)
            net.to(device)
            net.use_generator(torch.Generator(device).manual_seed(config.seed))
    except RuntimeError as error:
        if not any(phrase in str(error) for phrase in ("out of memory", "allocate memory")):
            raise
        raise ResourceError(
            f"{spec.title} for images of {image_size} pixels does not fit into the memory of "
            f"{device.type!r}. Choose a smaller image_size, fewer units or another architecture."
        ) from error
    check_stage_count(net, config)
    return net


def _check_facts(config: RunConfig, *, image_size: int, channels: int) -> None:
    spec = ARCHITECTURES.get(config.architecture)
    if channels not in (1, 3):
        raise ConfigError(f"Images have {channels} channels; allowed are 1 (grey) and 3 (colour).")
    if image_size < spec.min_image_size:
        raise ConfigError(
            f"Images of {image_size} pixels are too small for {spec.name}, which needs at least "
            f"{spec.min_image_size}. Set image_size to {max(8, spec.min_image_size)} or more, "
            "or choose a smaller architecture."
        )
    if config.head == "dense" and "head" not in spec.knobs:
        raise ConfigError(
            f"head is 'dense', which {spec.name} does not take: it has a head of its own. Set "
            "head=linear."
        )
    if not config.pretrained:
        return
    if spec.weights is None:
        others = ", ".join(other.name for other in ARCHITECTURES if other.weights)
        raise ConfigError(
            f"{spec.name} has no pretrained weights, which freeze={config.freeze} starts from; "
            f"choose freeze=scratch, or one of {others}."
        )
    if config.activation not in ("auto", spec.native_activation):
        raise ConfigError(
            f"activation is {config.activation!r}, and the pretrained weights of {spec.name} were "
            f"learnt with {spec.native_activation!r}: with another activation they mean nothing. "
            "Set activation=auto, or freeze=scratch to train with any."
        )
