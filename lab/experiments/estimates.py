"""Estimates how long a run will take on this machine, and says from what.

    1. finished runs of the same network at the same image size on this machine
    2. what the network computes, counted, and how fast this machine did a part of that
       (`measure_speeds`), a second or so a network; other networks' speed where it was not timed
    3. what it computes, and how fast another machine does such: an order of magnitude, and said so

Nothing here is a promise: pictures that must be decoded first, other programs and early stopping
are not in it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from lab.config import KNOBS, RunConfig
from lab.data.catalog import DatasetInfo, describe
from lab.data.forecast import expected_counts
from lab.errors import ConfigError
from lab.home import atomic_file, home_folder
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network, input_channels
from lab.models.cost import StageCost, stage_costs
from lab.models.freezing import phases, trainable_stages
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.runs.rows import RunRow
from lab.runs.store import Store
from lab.training.devices import trains_elsewhere

Basis = Literal["runs", "measured", "counted"]

PAST_RUNS = 3
"""Most finished runs that an estimate uses, the most similar first."""

STEP_SECONDS = 0.002
EPOCH_SECONDS = 0.3
"""What a step and an epoch cost besides the network: drawing up batches, the store, checkpoints and
the film strip. Measured with the sign CNN on two cores."""

MEASURED_SIZE = 96
"""Side in pixels of the made-up images of a measurement: large enough for every architecture."""

MEASURED_STEP = 0.1
"""Seconds that a measured step should take, where that is 8 to 64 images."""


@dataclass(frozen=True)
class Pace:
    """Seconds for each thing that is counted in a network, see `lab.models.cost`."""

    multiplication: float
    output: float
    parameter: float
    """Paid once a step."""
    layer: float
    """Paid once a step."""

    def seconds(self, stages: Iterable[StageCost], batch_size: int) -> float:
        """Seconds for one image in a step of `batch_size` images."""
        return sum(
            stage.multiplications * self.multiplication
            + stage.outputs * self.output
            + (stage.parameters * self.parameter + stage.layers * self.layer) / batch_size
            for stage in stages
        )


FORWARD = Pace(multiplication=3.2e-12, output=1.2e-9, parameter=8.8e-10, layer=0.0)
TRAINING = Pace(multiplication=2.1e-11, output=2.6e-9, parameter=2.8e-9, layer=2.1e-5)
"""Of a pass forward, and of a whole training step with Adam, on two cores of a server processor
(November 2026), float32: least squares of the logarithms over thirteen networks from the sign MLP
to ResNet-101. These four numbers give 0.8 to 1.3 times what was measured for training, 0.4
to 2.2 times for the pass forward, where MobileNet V2 is the 2.2."""


@dataclass(frozen=True)
class Speed:
    """The measured speed of one network, in seconds an image."""

    image_size: int
    forward: float
    training: float
    """Forward, backward and update of all layers."""


@dataclass(frozen=True)
class Estimate:
    """How long a run will take."""

    seconds: float
    basis: Basis
    source: str
    """What the estimate is made from, for a caption."""


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


def estimate(
    config: RunConfig,
    *,
    past: Sequence[PastRun] = (),
    measured: Mapping[str, Speed] | None = None,
    device: str = "cpu",
) -> Estimate | None:
    """How long `config` will take; None where nothing is known: of data that are not here, and of
    another device than a CPU on which nothing was run or measured. Raises LabError for a network
    that cannot be built."""
    if config.goes_on:  # a part of the epochs of a run from the beginning
        fresh = config.changed(start_from="")
        whole = estimate(fresh, past=past, measured=measured, device=device)
        left = 1 - config.start_epoch / config.epochs
        return whole and dataclasses.replace(whole, seconds=whole.seconds * left)
    info = describe(config.dataset, config.dataset_version)
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
        new = epochs_of_new_images(config)
        seconds = train * (first * new + later * (config.epochs - new))
        seconds += test * statistics.median(p.test_image for p in alike)
        runs = "an earlier run" if len(alike) == 1 else f"{len(alike)} earlier runs"
        return Estimate(seconds, "runs", f"from {runs} of this network here")
    speed = (measured or {}).get(config.architecture)
    if speed is None and device != "cpu":
        return None
    stages = _stages(config, input_channels(config, info.channels), size, len(info.class_names))
    forward, training = 1.0, 1.0
    if speed is not None:
        forward, training = _slowness(config.architecture, speed)
    elif measured:
        others = [
            _slowness(name, other) for name, other in measured.items() if name in ARCHITECTURES
        ]
        forward = statistics.median(forward for forward, _ in others)
        training = statistics.median(training for _, training in others)
    seconds = _seconds(config, stages, train, val, test, forward=forward, training=training)
    if speed is not None:
        return Estimate(seconds, "measured", "from a short measurement on this machine")
    if measured:
        return Estimate(
            seconds,
            "counted",
            "roughly, from what the network computes and other networks' speed on this machine",
        )
    return Estimate(
        seconds,
        "counted",
        "roughly, from what the network computes and another machine's two CPU cores",
    )


def expected_seconds(store: Store, config: RunConfig, device: str) -> float | None:
    """Returns how long a run will take here, for the queue."""
    guess = estimate(config, past=past_runs(store), measured=measured_speeds(device), device=device)
    return guess.seconds if guess else None


def image_counts(config: RunConfig, info: DatasetInfo) -> tuple[int, int, int]:
    """Images that are trained on in an epoch, validated on and tested on, by the arithmetic of
    `lab.data.splits`; zeros while the data set is not here."""
    classes, val = expected_counts(info, config)
    train = sum(classes.values())
    if config.class_balancing == "oversampling" and classes:
        train = max(classes.values()) * len(classes)
    if config.steps_per_epoch:
        train = min(train, config.steps_per_epoch * config.batch_size)
    return train, sum(val.values()), sum(info.counts.get("test", {}).values())


def epochs_of_new_images(config: RunConfig) -> int:
    """Of a phase: epochs in which frozen stages meet pictures for the first time. Later ones cost
    only what is trained, where that is kept (`RunConfig.keeps_features`)."""
    views = config.kept_views if config.keeps_features and config.augments else 1
    return min(config.epochs, views)


def _stages(config: RunConfig, channels: int, size: int, classes: int) -> tuple[StageCost, ...]:
    knobs = [knob.name for knob in KNOBS.values() if knob.group == "network"]
    network = tuple((name, getattr(config, name)) for name in knobs)
    return _cached_stage_costs(network, channels, size, classes)


@functools.lru_cache(maxsize=256)
def _cached_stage_costs(
    knobs: tuple[tuple[str, Any], ...], channels: int, size: int, classes: int
) -> tuple[StageCost, ...]:
    network = build_network(
        RunConfig(**dict(knobs)), channels=channels, image_size=size, classes=classes, device="meta"
    )
    return stage_costs(network, channels=channels, image_size=size)


def _seconds(
    config: RunConfig,
    stages: Sequence[StageCost],
    train: int,
    val: int,
    test: int,
    *,
    forward: float,
    training: float,
) -> float:
    """Seconds of the whole run; `forward` and `training`: this machine's over the reference's."""
    batch = config.batch_size
    whole = forward * FORWARD.seconds(stages, batch)
    total = 0.0
    for phase in phases(config):
        names = trainable_stages([s.name for s in stages], config, phase=phase.number)
        trained = [stage for stage in stages if stage.name in names]
        part = forward * FORWARD.seconds(trained, batch)
        step = training * TRAINING.seconds(trained, batch)
        epochs = phase.last_epoch - phase.first_epoch + 1
        if config.keeps_features:
            new = min(epochs, epochs_of_new_images(config))
            total += train * (new * (whole - part) + epochs * step)
            total += val * (whole + (epochs - 1) * part)
        else:
            total += epochs * (train * (whole - part + step) + val * whole)
    steps = config.epochs * train / batch
    return total + test * whole + steps * STEP_SECONDS + config.epochs * EPOCH_SECONDS


# --- finished runs ------------------------------------------------------------------------------
@dataclass(frozen=True)
class PastRun:
    """The costs of a finished run's epochs, in seconds a training image."""

    architecture: str
    image_size: int
    device: str
    freeze: str
    head: str
    keeps_features: bool
    batch_size: int
    first_epoch: float
    """The cost in an epoch of new images, see `epochs_of_new_images`."""
    later_epoch: float
    test_image: float = 0.0
    """Seconds that the final test took for each of its images."""

    def is_like(self, config: RunConfig, image_size: int, device: str) -> bool:
        return (
            (self.architecture, self.image_size, self.device)
            == (config.architecture, image_size, device)
            and (self.freeze, self.head) == (config.freeze, config.head)
            and self.keeps_features == config.keeps_features
            and 0.25 <= self.batch_size / config.batch_size <= 4
        )


def past_runs(store: Store, *, at_most: int = 30) -> list[PastRun]:
    """The newest finished runs of this lab, read from the store."""
    runs = []
    for row in store.runs(status="completed", limit=at_most):
        past = _past(store, row)
        if past is not None:
            runs.append(past)
    return runs


def _past(store: Store, row: RunRow) -> PastRun | None:
    settings = row.settings
    epochs = store.epochs(row.id)
    if row.parent and settings.get("start_with") != "weights":
        return None  # its seconds begin with those of the run that it goes on from
    if not len(epochs) or not row.train_samples or not settings.get("image_size"):
        return None
    try:
        config = row.config
    except ConfigError:  # another version of the lab wrote it: its speed may be another's too
        return None
    images = row.train_samples
    if config.steps_per_epoch or config.class_balancing == "oversampling":
        images = int(epochs.step[0]) * config.batch_size  # an epoch is not the training set then
    # Runs of earlier versions counted everything as training time.
    is_known = row.elapsed is not None and bool(np.isfinite(epochs.elapsed).all())
    ends = [float(s) for s in (epochs.elapsed if is_known else epochs.seconds)]
    test = (row.elapsed if is_known and row.elapsed else row.seconds) - ends[-1]
    new = min(len(ends), epochs_of_new_images(config))
    first = ends[new - 1] / (images * new)
    rest = len(ends) - new
    later = (ends[-1] - ends[new - 1]) / (images * rest) if rest else first
    return PastRun(
        architecture=config.architecture,
        image_size=int(settings["image_size"]),
        device=row.device,
        freeze=config.freeze,
        head=config.head,
        keeps_features=config.keeps_features,
        batch_size=config.batch_size,
        first_epoch=first,
        later_epoch=later,
        test_image=max(0.0, test) / row.test_samples if row.test_samples else 0.0,
    )


# --- measuring ----------------------------------------------------------------------------------
def measure_speeds(
    architectures: Iterable[str] | None = None,
    *,
    device: str = "cpu",
    progress: Report = silent,
    cancel: Cancel = never,
) -> dict[str, Speed]:
    """Time a few steps of each network, or of these, on made-up pictures and save the speeds.

    Runs in the calling thread, a second or so for each; pages do it in a job. Raises Cancelled,
    ResourceError.
    """
    names = list(ARCHITECTURES.names() if architectures is None else architectures)
    speeds = measured_speeds(device)
    for number, name in enumerate(names):
        check_cancel(cancel, "The measurement")
        progress(Progress(number, len(names), f"Timing {name}", "networks"))
        speeds[name] = _measure(name, device)
    file = _file(device)
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps({name: asdict(s) for name, s in speeds.items()}))
    return speeds


def measured_speeds(device: str = "cpu") -> dict[str, Speed]:
    """Returns the speeds that `measure_speeds` saved for this device; empty when there are none,
    when another version wrote the file, or when runs train on other machines than this one."""
    if trains_elsewhere():
        return {}
    try:
        values = json.loads(_file(device).read_text())
        return {str(name): Speed(**speed) for name, speed in values.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _file(device: str) -> Path:
    return home_folder("speeds") / f"{device}.json"


def _reference(architecture: str, image_size: int) -> tuple[tuple[StageCost, ...], RunConfig]:
    """The stage costs and the config, with its batch size, of the measured network."""
    # A head of our own where there is one: VGG16's three dense layers would be most of the time.
    head = "dense" if "head" in ARCHITECTURES.get(architecture).knobs else "linear"
    config = RunConfig().changed(architecture=architecture, image_size=image_size, head=head)
    stages = _stages(config, 3, image_size, 2)
    images = round(MEASURED_STEP / TRAINING.seconds(stages, 8))
    return stages, config.changed(batch_size=min(64, max(8, images)))


def _slowness(architecture: str, speed: Speed) -> tuple[float, float]:
    """This machine's seconds over the reference's, for the forward pass and for training."""
    stages, config = _reference(architecture, speed.image_size)
    batch = config.batch_size
    return (
        speed.forward / FORWARD.seconds(stages, batch),
        speed.training / TRAINING.seconds(stages, batch),
    )


def _measure(architecture: str, device: str) -> Speed:
    _, config = _reference(architecture, MEASURED_SIZE)
    batch = config.batch_size
    network = build_network(config, channels=3, image_size=MEASURED_SIZE, classes=2, device=device)
    network = network.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, MEASURED_SIZE, MEASURED_SIZE, generator=generator)
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
    return Speed(MEASURED_SIZE, _best_of_three(forward) / batch, training)


def _best_of_three(step: Callable[[], None]) -> float:
    step()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return min(times)
