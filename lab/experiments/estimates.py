"""How long a run will take on this machine, and what that is concluded from.

    1. finished runs of the same network at the same image size on this machine
    2. a measurement of the network on this machine (`measure_speeds`), a few seconds each
    3. the shipped table, measured on another machine: an order of magnitude, and said to be one

A step's cost is taken to grow with the number of pixels. Nothing here is a promise: pictures that
must be decoded first, other programs and early stopping are not in it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lab.config import RunConfig
from lab.data.catalog import DatasetInfo, describe
from lab.errors import ConfigError
from lab.home import atomic_file, home_folder
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.runs.rows import RunRow
from lab.runs.store import Store

Basis = Literal["runs", "measured", "table"]

PAST_RUNS = 3
"""So many of the most similar finished runs are asked."""

STEP_SECONDS = 0.002
EPOCH_SECONDS = 0.3
"""What a step and an epoch cost besides the network: drawing up batches, the store, checkpoints and
the film strip. Measured with the sign CNN on two cores."""

LAST_STAGES = 0.35
"""Share of a network's cost in its last stages, for runs that train only those: a rough figure."""

HEAD = 0.03
"""Share of a network's cost in a new head."""


@dataclass(frozen=True)
class Speed:
    """Of one network, in seconds an image."""

    image_size: int
    forward: float
    training: float
    """Forward, backward and update of all layers."""


@dataclass(frozen=True)
class Estimate:
    seconds: float
    basis: Basis
    said: str
    """What it is concluded from, for a caption."""


def rough_time(seconds: float) -> str:
    """An estimate as a person says it: "about 20 s", "about 15 min", "about 3 days"."""
    if seconds < 55:
        return f"about {max(5, round(seconds / 5) * 5)} s"
    if seconds < 90 * 60:
        minutes = seconds / 60
        return f"about {round(minutes) if minutes < 10 else round(minutes / 5) * 5} min"
    if seconds < 36 * 3600:
        return f"about {round(seconds / 3600)} h"
    return f"about {round(seconds / 86400)} days"


# Seconds an image on two cores of a server processor (November 2026), float32, the best of several;
# refresh with `python -m lab recipes measure --json` on a quiet machine.
TABLE: dict[str, Speed] = {
    "single-layer-perceptron": Speed(224, 0.00044, 0.00048),
    "mlp": Speed(224, 0.00053, 0.00082),
    "deep-mlp": Speed(224, 0.00045, 0.00092),
    "sign-mlp": Speed(28, 8.7e-06, 3.9e-05),
    "simple-cnn": Speed(224, 0.003, 0.011),
    "sign-cnn": Speed(28, 0.0001, 0.0004),
    "vgg16-plain": Speed(96, 0.023, 0.085),
    "vgg16": Speed(96, 0.02, 0.071),
    "resnet18": Speed(96, 0.0039, 0.018),
    "resnet50": Speed(96, 0.01, 0.044),
    "resnet101": Speed(96, 0.017, 0.073),
    "mobilenet_v2": Speed(96, 0.0021, 0.0091),
    "squeezenet1_1": Speed(96, 0.00089, 0.0036),
}

_FAMILY_BATCH = {"perceptron": 64}
_BATCH = 8
"""Images in a measured step; perceptrons, whose update costs most, take more."""


def estimate(
    config: RunConfig,
    *,
    past: Sequence[PastRun] = (),
    measured: Mapping[str, Speed] | None = None,
    device: str = "cpu",
) -> Estimate | None:
    """How long `config` will take; None where nothing is known (the shipped table is of a CPU)."""
    info = describe(config.dataset)
    train, val, test = image_counts(config, info)
    if not train:
        return None
    size = config.image_size or info.image_size
    alike = sorted(
        (p for p in past if p.is_like(config, size, device)),
        key=lambda p: abs(p.batch_size - config.batch_size),
    )[:PAST_RUNS]
    if alike:
        first = max(p.first_epoch for p in alike)
        later = statistics.median(p.later_epoch for p in alike)
        seconds = train * (first + later * (config.epochs - 1))
        runs = "an earlier run" if len(alike) == 1 else f"{len(alike)} earlier runs"
        return Estimate(seconds, "runs", f"from {runs} of this network here")
    speed = (measured or {}).get(config.architecture)
    if speed is not None:
        seconds = _seconds(config, speed, size, train, val, test)
        return Estimate(seconds, "measured", "from a short measurement on this machine")
    speed = TABLE.get(config.architecture)
    if speed is None or device != "cpu":
        return None
    seconds = _seconds(config, speed, size, train, val, test)
    return Estimate(
        seconds, "table", "roughly, from a measurement on another machine with two CPU cores"
    )


def image_counts(config: RunConfig, info: DatasetInfo) -> tuple[int, int, int]:
    """Images that are trained on in an epoch, validated on and tested on, by the arithmetic of
    `lab.data.splits`; zeros while the data set is not here."""
    classes = dict(info.counts.get("train", {}))
    if config.subset_per_class:
        classes = {name: min(n, config.subset_per_class) for name, n in classes.items()}
    val = sum(info.counts.get("val", {}).values())
    if not val:
        cut = {
            name: min(max(int(config.validation_fraction * n + 0.5), 1), n - 1)
            for name, n in classes.items()
        }
        val = sum(cut.values())
        classes = {name: n - cut[name] for name, n in classes.items()}
    if config.reduced_class in classes:
        kept = int(config.reduced_class_keep * classes[config.reduced_class] + 0.5)
        classes[config.reduced_class] = max(1, kept)
    train = sum(classes.values())
    if config.class_balancing == "oversampling" and classes:
        train = max(classes.values()) * len(classes)
    if config.steps_per_epoch:
        train = min(train, config.steps_per_epoch * config.batch_size)
    return train, val, sum(info.counts.get("test", {}).values())


def keeps_features(config: RunConfig) -> bool:
    """Whether frozen stages run once an image, so that later epochs cost only what is trained."""
    frozen = config.freeze in ("head_only", "last_k", "two_phase")
    return frozen and config.frozen_features == "auto" and not config.augments


def _seconds(config: RunConfig, speed: Speed, size: int, train: int, val: int, test: int) -> float:
    scale = (size / speed.image_size) ** 2
    forward, training = speed.forward * scale, speed.training * scale
    backward = training - forward
    tails = {"head_only": HEAD, "last_k": LAST_STAGES}
    phases = [(config.epochs, tails.get(config.freeze, 1.0))]
    if config.freeze == "two_phase":
        phases = [(config.head_epochs, HEAD), (config.epochs - config.head_epochs, LAST_STAGES)]
    total = 0.0
    for epochs, share in phases:
        step = forward + backward * share
        if keeps_features(config):
            later = (train * training + val * forward) * share
            total += train * step + val * forward + max(0, epochs - 1) * later
        else:
            total += epochs * (train * step + val * forward)
    steps = config.epochs * train / config.batch_size
    return total + test * forward + steps * STEP_SECONDS + config.epochs * EPOCH_SECONDS


# --- finished runs ------------------------------------------------------------------------------
@dataclass(frozen=True)
class PastRun:
    """What a finished run tells of the next one; costs in seconds a training image."""

    architecture: str
    image_size: int
    device: str
    freeze: str
    head: str
    keeps_features: bool
    batch_size: int
    first_epoch: float
    later_epoch: float

    def is_like(self, config: RunConfig, image_size: int, device: str) -> bool:
        return (
            (self.architecture, self.image_size, self.device)
            == (config.architecture, image_size, device)
            and (self.freeze, self.head) == (config.freeze, config.head)
            and self.keeps_features == keeps_features(config)
            and 0.25 <= self.batch_size / config.batch_size <= 4
        )


def past_runs(store: Store, *, at_most: int = 30) -> list[PastRun]:
    """The newest finished runs of this lab, read from the store."""
    found = []
    for row in store.runs(status="completed")[:at_most]:
        past = _past(store, row)
        if past is not None:
            found.append(past)
    return found


def _past(store: Store, row: RunRow) -> PastRun | None:
    settings = row.settings
    epochs = store.epochs(row.id)
    if not len(epochs) or not row.train_samples or not settings.get("image_size"):
        return None
    try:
        config = row.config
    except ConfigError:  # another version of the lab wrote it: its speed may be another's too
        return None
    images = row.train_samples
    if config.steps_per_epoch or config.class_balancing == "oversampling":
        images = int(epochs.step[0]) * config.batch_size  # an epoch is not the training set then
    ends = [float(s) for s in epochs.seconds]
    first = ends[0] / images
    later = (ends[-1] - ends[0]) / (images * (len(ends) - 1)) if len(ends) > 1 else first
    return PastRun(
        architecture=config.architecture,
        image_size=int(settings["image_size"]),
        device=row.device,
        freeze=config.freeze,
        head=config.head,
        keeps_features=keeps_features(config),
        batch_size=config.batch_size,
        first_epoch=first,
        later_epoch=later,
    )


# --- measuring ----------------------------------------------------------------------------------
def measure_speeds(
    architectures: Iterable[str] = tuple(TABLE),
    *,
    device: str = "cpu",
    progress: Report = silent,
    cancel: Cancel = never,
) -> dict[str, Speed]:
    """Time a few steps of each network on made-up pictures and keep that for later estimates.

    Runs in the calling thread, a second or so for each; pages do it in a job. Raises Cancelled,
    ResourceError.
    """
    names = list(architectures)
    speeds = measured_speeds(device)
    for number, name in enumerate(names):
        check_cancel(cancel, "The measurement")
        progress(Progress(number, len(names), f"Timing {name}", "networks"))
        speeds[name] = _measure(name, TABLE[name].image_size, device)
    file = _file(device)
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps({name: asdict(s) for name, s in speeds.items()}))
    return speeds


def measured_speeds(device: str = "cpu") -> dict[str, Speed]:
    """What `measure_speeds` kept for this device; empty when it was never asked to, or when the
    file is not one of this version's."""
    try:
        values = json.loads(_file(device).read_text())
        return {str(name): Speed(**speed) for name, speed in values.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _file(device: str) -> Path:
    return home_folder("speeds") / f"{device}.json"


def _measure(architecture: str, image_size: int, device: str) -> Speed:
    import torch
    import torch.nn.functional as F

    from lab.models.architecture import ARCHITECTURES
    from lab.models.catalog import build_network

    family = ARCHITECTURES.get(architecture).family
    # The recipes' own head: VGG16's three dense layers would be most of what is timed.
    head: Literal["linear", "dense"] = "dense" if architecture == "vgg16" else "linear"
    config = RunConfig(architecture=architecture, image_size=image_size, head=head)
    batch = _FAMILY_BATCH.get(family, _BATCH)
    channels = 1 if architecture.startswith("sign-") else 3
    network = build_network(
        config, channels=channels, image_size=image_size, classes=2, device=device
    )
    network = network.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, channels, image_size, image_size, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last).to(device)
    labels = torch.zeros(batch, dtype=torch.int64, device=device)
    optimizer = torch.optim.Adam(network.parameters(), fused=device in ("cpu", "cuda"))

    def forward() -> None:
        with torch.inference_mode():
            float(network(images).sum())  # waits for an accelerator

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        float(loss.detach())

    training = _best_of_three(train) / batch
    network.eval()
    return Speed(image_size, _best_of_three(forward) / batch, training)


def _best_of_three(step: Callable[[], None]) -> float:
    step()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return min(times)
