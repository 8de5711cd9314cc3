"""What a run will do, decided and explained before its first step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lab.config import KNOBS, Precision, RunConfig
from lab.data import catalog as datasets
from lab.data.forecast import expected_counts
from lab.data.groups import Groups
from lab.data.pack import Pack, verify_images
from lab.data.preprocess import Preprocess, make_preprocess
from lab.data.quality.duplicates import copy_groups
from lab.data.splits import Splits, cuts_by_copies, make_splits, steps_in_epoch
from lab.data.version_files import stored_versions
from lab.errors import ConfigError, DataError, NotFoundError
from lab.models.architecture import ARCHITECTURES, ArchitectureSpec
from lab.models.catalog import build_network, check_network, input_channels
from lab.models.freezing import Phase, apply_freeze, phases
from lab.models.staged import StagedNet
from lab.models.weights import (
    check_weights,
    missing_weights,
    weights_ready,
    weights_url,
    what_to_get,
)
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.training.checkpoint import CheckpointMetadata, require_resume
from lab.training.devices import resolve_device, trains_elsewhere
from lab.training.source import Images
from lab.training.speed import decisions
from lab.training.speed.compiling import what_is_missing
from lab.training.speed.decisions import Decision
from lab.training.speed.trials import Workload
from lab.training.start import Start, find_start, settle_start
from lab.training.stepper import Stepper
from lab.training.workers import check_workers
from lab.training.workers import decisions as worker_decisions


@dataclass(frozen=True)
class Plan:
    """Everything that `fit` needs. Owned by the thread that made it."""

    config: RunConfig
    folder: Path
    pack: Pack
    splits: Splits
    copies: Groups | None
    """The near-copies that the splits keep together; None where they go by picture."""
    preprocess: Preprocess
    network: StagedNet
    device: torch.device
    memory_format: torch.memory_format
    precision: Precision
    """Of training steps; every figure is computed in fp32."""
    reuse_memory: bool
    """Whether the process keeps freed memory while the run trains (`lab.process`)."""
    phases: tuple[Phase, ...]
    steps_per_epoch: int
    decisions: tuple[Decision, ...]
    start: Start | None = None
    """The other run that it starts from; None where it starts with its own network, and once it
    has begun."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.pack.meta.class_names

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.config.epochs

    def stepper(self) -> Stepper:
        """A new one: what takes its training steps."""
        return Stepper(
            self.network,
            self.config,
            device=self.device,
            precision=self.precision,
            class_weights=self.splits.class_weights,
        )

    def images(self) -> Images:
        """What its network is trained and measured on."""
        return Images(
            network=self.network,
            config=self.config,
            pack=self.pack,
            splits=self.splits,
            preprocess=self.preprocess,
            device=self.device,
            memory_format=self.memory_format,
        )


def resolve(config: RunConfig, *, begun: bool = False) -> RunConfig:
    """The config with its open knobs settled, after every cheap check: the door that all runs pass.

    A run that has `begun` does not need the run that it started from any more.
    Raises ConfigError, NotFoundError, DataError or WeightsError with a sentence for the person.
    Reads no images and loads no weights, so that a page can call it at every change of a knob.
    """
    info = datasets.describe(config.dataset, config.dataset_version)
    if not info.usable:
        raise DataError(f"The data set {config.dataset!r} is {info.state}. {info.how_to_get}")
    spec = ARCHITECTURES.get(config.architecture)
    if not begun:
        config = settle_start(config, info)
    image_size = config.image_size or info.image_size
    check_network(config, image_size=image_size, channels=info.channels)
    if config.reduced_class and config.reduced_class not in info.class_names:
        raise ConfigError(
            f"reduced_class is {config.reduced_class!r}; "
            f"the classes of {config.dataset} are: {', '.join(info.class_names)}."
        )
    if config.nesterov and (config.optimizer != "sgd" or config.momentum == 0):
        raise ConfigError(
            f"nesterov is on with optimizer {config.optimizer} and momentum {config.momentum:g}; "
            "it works with sgd and a momentum above 0. Switch it off or change these."
        )
    _check_pictures(config, info)
    _check_warm_up(config)
    check_workers(config)
    if config.batch_size == 1:
        _check_single_pictures(config, image_size=image_size, channels=info.channels)
    device = resolve_device(config)
    if not trains_elsewhere():  # where it trains, `make_plan` comes here again
        if config.compile_steps == "on" and (missing := what_is_missing(device)):
            raise ConfigError(
                f"Compile is on, and torch.compile needs {missing}, which this machine does not "
                "have. Install it, or switch Compile off."
            )
        if config.loads_imagenet:
            check_weights(spec)
    return config.changed(image_size=image_size)


def missing_here(spec: ArchitectureSpec) -> str:
    """Returns what it takes to get weights that a run would miss, such as "45 MB download"; ""
    where they are there, and where only the machine that trains can say so."""
    return missing_weights(spec) if spec.weights and not trains_elsewhere() else ""


def weights_elsewhere(spec: ArchitectureSpec) -> str:
    """Returns a sentence on pretrained weights that the machine that trains is asked for; "" where
    this one is that machine, or where they come with the lab."""
    if not trains_elsewhere() or (weights_url(spec) is None and weights_ready(spec)):
        return ""
    return (
        f"The machine that trains is asked for the pretrained weights of {spec.title} when the run "
        f"starts: {what_to_get(spec)} if it does not have them."
    )


LEAST_PICTURES = 2
"""Training images a class, below which there is nothing to learn from."""


def _check_pictures(config: RunConfig, info: datasets.DatasetInfo) -> None:
    """Refuse a data set that leaves too little to train on or nothing to validate on.

    A class that the person thins out may shrink to one picture.
    """
    train, val = expected_counts(info, config.changed(reduced_class=""))
    few = {name: count for name, count in train.items() if count < LEAST_PICTURES}
    if not few and (not train or any(val.values())):
        return
    if config.subset_per_class and config.subset_per_class < 3:
        do = f"Set subset_per_class, which is {config.subset_per_class}, to 3 or more."
    else:
        do = "Add pictures: at least 3 a class, better 20 or more."
    name, count = next(iter(few.items())) if few else (next(iter(train)), 0)
    part = "to train on" if few else "to validate on"
    raise DataError(
        f"{info.title} leaves {count or 'no'} picture{'s' * (count != 1)} of {name!r} {part}; "
        f"at least {LEAST_PICTURES if few else 1} a class {'are' if few else 'is'} needed. {do}"
    )


def _check_warm_up(config: RunConfig) -> None:
    """Refuse a warm-up that leaves a phase no epoch at its own rate."""
    warm_up = config.in_effect("warmup_epochs")
    shortest = min(p.last_epoch - p.first_epoch + 1 for p in phases(config))
    if warm_up and warm_up >= shortest:
        raise ConfigError(
            f"warmup_epochs is {warm_up}, and "
            f"{'a phase' if config.freeze == 'two_phase' else 'the run'} has "
            f"{shortest} epoch{'s' * (shortest != 1)}, so the rate would never be reached. Warm up "
            "in fewer epochs, or train longer."
        )


def _check_single_pictures(config: RunConfig, *, image_size: int, channels: int) -> None:
    """Refuse batches of one picture where BatchNorm is trained: a mean over one says nothing."""
    network = build_network(
        config, channels=channels, image_size=image_size, classes=2, device="meta"
    )
    apply_freeze(network, config, phase=phases(config)[-1].number)
    trained = (network.stage(name) for name in network.stage_names if name not in network.frozen)
    if any(
        isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d))
        for stage in trained
        for part in stage.modules()
    ):
        raise ConfigError(
            f"batch_size is 1, and {config.architecture} has batch normalisation, which compares "
            "the pictures of a batch. Set batch_size to 2 or more, better 8."
        )


def make_plan(
    config: RunConfig, *, folder: Path, progress: Report = silent, cancel: Cancel = never
) -> Plan:
    """Open the data, build the network and settle how the run will go.

    May take long the first time (decoding a data set, downloading weights): it reports how far it
    is and gives up when `cancel` says so. Raises LabError; nothing has been trained then.
    """
    state = require_resume(folder)
    begun = state.counters if state else None
    version = config.dataset_version
    if begun is not None:  # it goes on with the very pictures that it was trained on
        version = CheckpointMetadata.read(folder).dataset_hash
    try:
        pinned = resolve(config.changed(dataset_version=version), begun=begun is not None)
    except datasets.VersionNotFoundError as error:
        if begun is None:
            raise
        raise DataError(
            f"The data set {config.dataset!r} has changed since this run started, and the version "
            "that it was trained on is no longer on this machine, so it cannot go on exactly. "
            "Start a new run with its settings."
        ) from error
    config = pinned.changed(dataset_version=config.dataset_version)
    start = find_start(config) if begun is None else None
    card = start.metadata if start else CheckpointMetadata.read(folder) if begun else None
    device = torch.device(resolve_device(config))
    pack = datasets.open_pack(
        config.dataset,
        version=version,
        image_size=config.image_size,
        progress=progress,
        cancel=cancel,
    )
    progress(Progress(0, 0, "Checking the pictures on disk"))
    verify_images(pack)
    check_cancel(cancel, "The run")
    copies = _copies(pack, config, card, progress=progress, cancel=cancel)
    splits = make_splits(pack, config, copies)
    channels = input_channels(config, pack.meta.channels)
    if config.start_from and card is not None:
        channels = card.preprocess.channels
    progress(Progress(0, 0, "Measuring the training images"))
    preprocess = (start.preprocess() if start else None) or make_preprocess(
        config, pack, splits, channels=channels
    )
    if begun is not None and config.start_from and card is not None:
        preprocess = card.preprocess
    progress(Progress(0, 0, "Building the network"))
    network = build_network(
        config,
        channels=channels,
        image_size=pack.meta.image_size,
        classes=len(pack.meta.class_names),
        progress=progress,
        cancel=cancel,
    )
    started = (start.load_weights(network, pack.meta.class_names),) if start else ()
    memory_format, layout = decisions.memory_layout(config, device)
    network = network.to(device).to(memory_format=memory_format)
    per_epoch = steps_in_epoch(splits, config, pack.labels)
    apply_freeze(network, config, phase=1)  # as the steps of its first phase will find it
    work = Workload(
        config=config,
        network=network,
        device=device,
        memory_format=memory_format,
        channels=preprocess.channels,
        image_size=preprocess.image_size,
        steps=per_epoch * config.epochs,
        cancel=cancel,
    )
    progress(Progress(0, 0, "Measuring which number format is fastest"))
    end = start.end if start and start.config.precision == start.metadata.config.precision else None
    begun_in = state.precision if state else end.precision if end else None
    precision, numbers = decisions.number_format(work, begun_in)
    reuse_memory, allocation = decisions.freed_memory(config)
    return Plan(
        config=config,
        folder=folder,
        pack=pack,
        splits=splits,
        copies=copies,
        preprocess=preprocess,
        network=network,
        device=device,
        memory_format=memory_format,
        precision=precision,
        reuse_memory=reuse_memory,
        phases=tuple(phases(config)),
        steps_per_epoch=per_epoch,
        decisions=(
            Decision("Device", str(device), _device_reason(config, device.type)),
            *worker_decisions(config, network, device),
            *_version_decision(pack),
            *started,
            layout,
            numbers,
            *_compiling_decision(config),
            allocation,
            _validation_decision(pack, splits, config),
            *_test_decision(splits, config),
            *_balancing_decision(config),
            *_recipe_decisions(config, decay_all=begun is not None and begun.decay_all),
        ),
        start=start,
    )


def _copies(
    pack: Pack,
    config: RunConfig,
    card: CheckpointMetadata | None,
    *,
    progress: Report,
    cancel: Cancel,
) -> Groups | None:
    """The near-copies that the cut keeps together; of a run that goes on, here or from another one
    with `card`, those that it began with."""
    if not cuts_by_copies(pack, config):
        return None
    if card is not None and card.dataset_hash == pack.meta.content_hash:
        return card.copies
    stored = datasets.open_pack(config.dataset, version=pack.meta.content_hash)
    return copy_groups(stored, progress, cancel)


def as_trained(config: RunConfig, folder: Path) -> RunConfig:
    """Returns a run's config with the version of the data set that it was trained on, by name
    unless it is the newest; `config` itself before the run has begun."""
    try:
        trained = CheckpointMetadata.read(folder).dataset_hash
        newest = datasets.describe(config.dataset).content_hash
    except NotFoundError:
        return config
    return config.changed(dataset_version="" if trained == newest else trained)


def _version_decision(pack: Pack) -> tuple[Decision, ...]:
    name, trained = pack.meta.dataset, pack.meta.content_hash
    versions = stored_versions(name)
    numbers = [v.facts.number for v in versions if v.meta.content_hash == trained]
    if len(versions) < 2 or not numbers:
        return ()
    newest = versions[0].meta.content_hash == trained
    reason = "the newest one" if newest else f"the newest one is {versions[0].facts.number}"
    return (Decision("Version of the data set", str(numbers[0]), reason),)


def _device_reason(config: RunConfig, device: str) -> str:
    if config.device != "auto":
        return "as asked"
    if torch.cuda.is_available() or torch.mps.is_available():
        if device == "cpu":
            return "where the run began"
        return "the fastest device of this machine"
    return "no graphics card that PyTorch can use; training is repeatable bit for bit here"


def _compiling_decision(config: RunConfig) -> tuple[Decision, ...]:
    if config.compile_steps == "off":
        return ()
    reason = "as asked; full batches only, and the first of a phase waits seconds to minutes for it"
    return (Decision("Compiling", "yes", reason),)


def _validation_decision(pack: Pack, splits: Splits, config: RunConfig) -> Decision:
    if len(pack.indices("val")):
        return Decision("Validation", f"{len(splits.val):,} images", "the data set brings its own")
    reason = f"{config.validation_fraction:.0%} of each class's training images, by seed"
    if config.split_by == "group":
        reason += "; near-copies stay on one side"
    elif pack.groups is not None:
        reason += "; images that belong together stay on one side"
    return Decision("Validation", f"{len(splits.val):,} images", reason)


def _test_decision(splits: Splits, config: RunConfig) -> tuple[Decision, ...]:
    if not config.subset_per_class or not len(splits.test):
        return ()
    reason = "all of them, once, at the end: Images per class limits what is trained on"
    return (Decision("Test", f"{len(splits.test):,} images", reason),)


def _balancing_decision(config: RunConfig) -> tuple[Decision, ...]:
    if config.class_balancing == "weighted_loss":
        reason = "rare classes count more; validation and test loss stay unweighted"
        return (Decision("Class balancing", "weighted training loss", reason),)
    if config.class_balancing == "oversampling":
        reason = "images of rare classes are drawn more often; validation and test stay as they are"
        return (Decision("Class balancing", "oversampling", reason),)
    return ()


def _recipe_decisions(config: RunConfig, *, decay_all: bool) -> list[Decision]:
    """What weight decay, mixed pictures, label smoothing and averaged weights mean for the run."""
    decisions: list[Decision] = []
    if config.weight_decay:
        on = "all parameters" if decay_all else "weights, not biases and norm layers"
        how = "AdamW takes it off the weights themselves"
        if config.optimizer != "adamw":
            how = f"L2: added to the gradient, before {KNOBS['optimizer'].text(config.optimizer)}"
            how += " rescales it" if config.optimizer in ("adam", "rmsprop") else " takes it"
        reason = f"{how}; as the run began" if decay_all else how
        decisions.append(Decision("Weight decay", on, reason))
    if config.mixes or config.smoothing:
        labels = "mixed" * config.mixes + " and " * bool(config.mixes and config.smoothing)
        labels += "smoothed" * bool(config.smoothing)
        reason = "validation and test use whole pictures and plain labels"
        if config.mixes:
            reason += "; training accuracy counts the class of the larger share"
        decisions.append(Decision("Training labels", labels, reason))
    if config.model_ema_decay:
        reason = "validation, checkpoints and test use it; the trained weights go on beside it"
        decisions.append(Decision("Averaged weights", f"{config.model_ema_decay:g}", reason))
    return decisions
