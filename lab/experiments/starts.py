"""The Home page's ready-made runs, as plain data, and the knobs that suit a data set.

To add a start, add an entry to STARTS; the Home page shows it by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lab.config import FINE_TUNING, KNOBS, Freeze, RunConfig
from lab.data.catalog import DatasetInfo, describe
from lab.data.specs import DATASETS
from lab.errors import NotFoundError


class Expected(NamedTuple):
    """Accuracies of a start's run, as measured once with its settings."""

    validation: tuple[float, ...]
    """After each epoch."""
    test: float


@dataclass(frozen=True)
class Start:
    """One click on the Home page. The first data set that is on this machine is taken."""

    key: str
    title: str
    story: str
    icon: str
    datasets: tuple[str, ...]
    knobs: dict[str, Any]
    networks: tuple[str, ...] = ()
    """Architectures in place of the one in `knobs`: the first whose weights are on this machine."""
    expected: Mapping[str, Expected] = field(default_factory=dict)
    """By data set."""

    def config(self, dataset: str, architecture: str | None = None) -> RunConfig:
        """The run's settings on `dataset`."""
        config = defaults_for(dataset).changed(**self.knobs)
        return config.changed(architecture=architecture) if architecture else config

    def suited_config(self, dataset: str) -> RunConfig:
        """The run's settings on `dataset`, with a network whose weights are on this machine where
        there is one."""
        # Here: the Home page needs its starts, not torch.
        from lab.models.architecture import ARCHITECTURES
        from lab.models.weights import weights_ready

        ready = (name for name in self.networks if weights_ready(ARCHITECTURES.get(name)))
        return self.config(dataset, next(ready, None))

    def is_like(self, settings: Mapping[str, Any]) -> bool:
        """Whether a run with these settings is this start, on any of its data sets."""
        if settings.get("dataset") not in self.datasets:
            return False
        config = self.config(settings["dataset"])
        if settings.get("architecture") not in (self.networks or (config.architecture,)):
            return False
        knobs = (name for name in self.knobs if name != "architecture")
        return all(settings.get(name) == getattr(config, name) for name in knobs)


STARTS = (
    Start(
        key="first",
        title="See a network learn",
        story="A small network learns to tell drawn cats from drawn dogs.",
        icon=":material/bolt:",
        datasets=("drawn-cats-dogs",),
        # At half the drawings' size: a quarter of the work, and the shapes can still be told.
        knobs={"architecture": "simple-cnn", "image_size": 48, "epochs": 6},
        expected={"drawn-cats-dogs": Expected((0.795, 0.885, 0.915, 0.925, 0.95, 0.94), 0.934)},
    ),
    Start(
        key="signs",
        title="Read sign letters",
        story="24 letters of the hand alphabet and a network with three convolutions.",
        icon=":material/sign_language:",
        datasets=("sign-mnist", "drawn-signs"),
        knobs={"architecture": "sign-cnn", "epochs": 5},
        expected={
            "sign-mnist": Expected((0.914, 0.964, 0.926, 0.949, 0.95), 0.927),
            "drawn-signs": Expected((0.827, 0.927, 0.96, 0.965, 0.992), 0.987),
        },
    ),
    Start(
        key="transfer",
        title="Borrow what a network knows",
        story="A network that has seen a million photographs learns a new last layer.",
        icon=":material/school:",
        datasets=("cats-dogs", "cats-dogs-filtered", "drawn-cats-dogs"),
        # Without augmentation: the frozen part then runs once an image, and all epochs but the
        # first take seconds.
        knobs={
            "architecture": "efficientnet_lite0",  # its weights come with the lab
            "freeze": "head_only",
            "subset_per_class": 300,
            "image_size": 128,
            "epochs": 8,
            "horizontal_flip": False,
        },
        networks=("efficientnet_lite0", "mobilenet_v2", "squeezenet1_1", "resnet18"),
        expected={
            "cats-dogs": Expected((0.95, 0.95, 0.933, 0.95, 0.967, 0.967, 0.967, 0.983), 0.951),
            "drawn-cats-dogs": Expected(
                (0.833, 0.883, 0.933, 0.933, 0.933, 0.95, 0.95, 0.95), 0.94
            ),
        },
    ),
)


def defaults_for(dataset: str) -> RunConfig:
    """Returns the knobs that suit a data set; for a person's own images the general defaults."""
    knobs = DATASETS.get(dataset).knobs if dataset in DATASETS else {}
    return RunConfig(dataset=dataset).changed(**knobs)


TRANSFER = (
    "efficientnet_lite0", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "squeezenet1_1",
    "efficientnet_b0", "googlenet", "densenet121", "resnet50", "convnext_tiny", "alexnet",
    "resnet101", "vgg16",
)  # fmt: skip
"""Pretrained networks for photographs, the first choice first: quick ones whose features tell
photographs apart well."""

PHOTOGRAPH_SIZE = 64
"""From so many pixels on, pictures that are not drawn count as photographs."""
SMALL_NETWORK_SIZE = 128
"""Pixels of photographs for a network that learns them from scratch: enough to see a dog, and a
third of the time of 224."""
MANY_PICTURES = 2000
"""From so many training pictures on, a pretrained network gets them at QUICK_SIZE."""
QUICK_SIZE = 160
LEAST_STEPS = 300
"""Training steps that a new head needs, where the number of epochs allows it."""


def suited_to(
    dataset: str, architecture: str | None = None, freeze: Freeze | None = None
) -> RunConfig:
    """Returns the settings to begin with, on this machine, for a data set, an architecture and a
    freeze strategy.

    Without an architecture: for photographs the first of TRANSFER whose weights are on this
    machine, else the data set's own small network. A network whose weights are here trains its
    head only, on pictures that are the same in every epoch, so that its frozen part runs once; all
    others are trained from scratch. With a freeze strategy that goes on training pretrained stages
    the rate falls along a cosine: the last steps then disturb least. Raises NotFoundError.
    """
    # Here: the Home page needs its starts, not torch.
    from lab.models.architecture import ARCHITECTURES
    from lab.models.weights import weights_ready

    own = defaults_for(dataset)
    info = describe(dataset)
    photographs = _photographs(info)
    if architecture is None:
        ready = (name for name in TRANSFER if weights_ready(ARCHITECTURES.get(name)))
        architecture = next(ready, own.architecture) if photographs else own.architecture
    spec = ARCHITECTURES.get(architecture)
    config = own.changed(architecture=architecture)
    if weights_ready(spec):
        config = head_only(config)
    elif photographs and spec.weights is None and info.image_size > SMALL_NETWORK_SIZE:
        config = config.changed(image_size=SMALL_NETWORK_SIZE)
    if freeze in FINE_TUNING:
        config = config.changed(schedule="cosine")
    return config.changed(freeze=freeze or config.freeze)


@dataclass(frozen=True)
class Preset:
    """A way of training as plain data: what it sets, on top of what suits the data set."""

    title: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)
    """Knobs that change pictures: of photographs, where frozen stages do not run once an image."""
    fine_tuning: Mapping[str, Any] = field(default_factory=dict)
    """Where pretrained stages are trained on."""


PRESETS = {
    "documents": Preset("As in the documents"),
    "modern": Preset(
        "Modern",
        knobs={
            "optimizer": "adamw",
            "weight_decay": 0.05,
            "schedule": "cosine",
            "warmup_epochs": 1,
            "gradient_clip": 1.0,
            "smoothing": 0.1,
            "model_ema_decay": 0.99,
            # As timm: with smoothed labels the loss says how sure, and not how right.
            "best_metric": "val_accuracy",
        },
        pictures={
            "crop_scale": 0.5,
            "auto_augment": "trivial",
            "random_erasing": 0.1,
            "mixup": 0.2,
            "cutmix": 1.0,
        },
        fine_tuning={"layer_decay": 0.75},
    ),
}


def preset_knobs(key: str, config: RunConfig) -> dict[str, Any]:
    """Returns every knob that any preset sets, with its value in the preset `key` for the data set,
    architecture and freeze strategy of `config`. Raises NotFoundError."""
    suited = suited_to(config.dataset, config.architecture, config.freeze)
    names = [
        n for p in PRESETS.values() for part in (p.knobs, p.pictures, p.fine_tuning) for n in part
    ]
    knobs = {name: getattr(suited, name) for name in names}
    if key not in PRESETS:
        raise NotFoundError(f"There is no recipe {key!r}; there are: {', '.join(PRESETS)}.")
    preset = PRESETS[key]
    knobs |= preset.knobs
    if config.freeze != "head_only" and _photographs(describe(config.dataset)):
        knobs |= preset.pictures
    if config.freeze in FINE_TUNING:
        knobs |= preset.fine_tuning
    return knobs


def head_only(config: RunConfig) -> RunConfig:
    """Returns `config` with ImageNet weights and only the head trained, in the quickest way."""
    from lab.models.architecture import ARCHITECTURES

    info = describe(config.dataset, config.dataset_version)
    smallest = ARCHITECTURES.get(config.architecture).min_image_size
    knobs: dict[str, Any] = {k.name: k.default for k in KNOBS.values() if k.group == "augmentation"}
    pictures = sum(info.counts.get("train", {}).values())
    batch = config.batch_size if pictures >= 10 * config.batch_size else 16
    knobs |= {"freeze": "head_only", "activation": "auto", "batch_size": batch}
    if info.image_size < PHOTOGRAPH_SIZE:  # what the weights know is larger than such a picture
        knobs["image_size"] = max(96, smallest)
    elif pictures > MANY_PICTURES and info.image_size > QUICK_SIZE:
        knobs["image_size"] = QUICK_SIZE
    else:
        knobs["image_size"] = None
    steps = max(1, math.ceil(pictures / batch))
    knobs["epochs"] = min(50, max(5, math.ceil(LEAST_STEPS / steps)))
    return config.changed(**knobs)


def _photographs(info: DatasetInfo) -> bool:
    return not info.drawn and info.image_size >= PHOTOGRAPH_SIZE
