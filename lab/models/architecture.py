"""What an architecture is: a function that returns a StagedNet, registered with its facts.

To add one, write the function in a module that the registry is `filled_by`:

    @architecture(
        name="tiny", title="Tiny", family="cnn", year=2026, story="...",
        native_activation="relu", min_image_size=4,
    )
    def tiny(settings: NetworkSettings) -> StagedNet: ...

It then appears in every list, form, table and test. `lab.models.catalog` builds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from lab.config import KNOBS, RunConfig
from lab.models.activations import ACTIVATIONS, ActivationSpec
from lab.models.staged import StagedNet
from lab.models.weights_source import WeightsSource
from lab.registry import Registry


@dataclass(frozen=True)
class Pretrained:
    """A loaded weights file: tensors by the names of those who made it."""

    file: Path
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class NetworkSettings:
    """What an architecture's function builds its network from."""

    channels: int
    """1 or 3."""
    image_size: int
    """Side of the square images, in pixels."""
    classes: int
    config: RunConfig
    pretrained: Pretrained | None = None

    @property
    def spec(self) -> ArchitectureSpec:
        return ARCHITECTURES.get(self.config.architecture)

    @property
    def activation(self) -> ActivationSpec:
        """The activation between layers: the chosen one, or the architecture's own."""
        chosen = self.config.activation
        return ACTIVATIONS.get(self.spec.native_activation if chosen == "auto" else chosen)

    @property
    def is_native(self) -> bool:
        """Whether the network keeps the activation it was designed with."""
        return self.activation.name == self.spec.native_activation

    def make_activation(self) -> nn.Module:
        return self.activation.make()

    def dropout(self, own: float) -> float:
        """The dropout probability: the knob's, or the architecture's `own` when that is empty."""
        return own if self.config.dropout is None else self.config.dropout


Family = Literal["perceptron", "cnn", "torchvision", "timm"]
"""The kind of network, or the library that it comes from."""

Build = Callable[[NetworkSettings], StagedNet]


@dataclass(frozen=True)
class ArchitectureSpec:
    """The facts of one architecture.

    Its stages and parameters are not among them: they are read off a network on the meta device.
    """

    name: str
    title: str
    family: Family
    year: int
    story: str
    """One line for a learner."""
    native_activation: str
    min_image_size: int
    """The smallest side, in pixels, that goes through; batches of two or more while training."""
    build: Build
    weights: WeightsSource | None = None
    """Where its ImageNet weights come from."""
    default_cam_stage: str | None = None
    """The stage that Grad-CAM shows first: the last one that still has a height and a width."""
    knobs: tuple[str, ...] = ()
    """The knobs of this architecture among those that only some have (`Knob.by_architecture`)."""

    @property
    def activation_title(self) -> str:
        """The network's own activation, as the list of activations calls it."""
        own = ACTIVATIONS.get(self.native_activation)
        return KNOBS["activation"].choice_titles.get(own.name, own.title)


TIMM = "timm:"
"""Begins the name of any network of timm's that has no name here."""
JOINED = "+"
"""Stands between the names of backbones that are joined."""

ARCHITECTURES: Registry[ArchitectureSpec] = Registry(
    "architecture",
    # Their order is the order in every list: from simple to deep. So nothing else imports them
    # before the registry does.
    filled_by=(
        "lab.models.perceptrons",
        "lab.models.convnets",
        "lab.models.torchvision_nets",
        "lab.models.timm_nets",
        "lab.models.joined",  # before it: "timm:A+timm:B" is joined
        "lab.models.timm_catalog",
    ),
)


def architecture(
    *,
    name: str,
    title: str,
    family: Family,
    year: int,
    story: str,
    native_activation: str,
    min_image_size: int,
    weights: WeightsSource | None = None,
    default_cam_stage: str | None = None,
    knobs: tuple[str, ...] = (),
) -> Callable[[Build], Build]:
    """Register the decorated function as an architecture; ValueError when the name is taken."""

    def register(build: Build) -> Build:
        spec = ArchitectureSpec(
            name=name,
            title=title,
            family=family,
            year=year,
            story=story,
            native_activation=native_activation,
            min_image_size=min_image_size,
            build=build,
            weights=weights,
            default_cam_stage=default_cam_stage,
            knobs=knobs,
        )
        ARCHITECTURES.add(name, spec)
        return build

    return register


def used_knobs(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the knobs that do something while knobs have these values, in the form's order.

    A knob that `values` lacks, the architecture too, may have any. Raises NotFoundError for an
    unknown architecture.
    """
    named = "architecture" in values
    specs = [ARCHITECTURES.get(values["architecture"])] if named else list(ARCHITECTURES)
    own = {name for spec in specs for name in spec.knobs}
    return tuple(knob.name for knob in KNOBS.values() if knob.is_used(values, own))
