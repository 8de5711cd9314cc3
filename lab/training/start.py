"""What a run starts from: another run of this lab.

    start_with     counts epochs from    weights        optimizer, dropout's chance, best epoch
    stretched      the other run's       all            as they were at its end; fresh at a
    restart        the other run's       all            checkpoint that is not its end
    constant       the other run's       all
    weights        1                     all but the    fresh
                                         head of other
                                         classes

A run that goes on with the settings of a completed one is bit for bit what an uninterrupted run of
all the epochs would have been, where the schedule does not depend on how many there are.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lab import home
from lab.config import KNOBS, Knob, RunConfig
from lab.data.catalog import DatasetInfo
from lab.data.preprocess import Preprocess
from lab.errors import ConfigError, NotFoundError
from lab.home import lab_home
from lab.models.staged import HEAD, StagedNet
from lab.training import checkpoint
from lab.training.checkpoint import CheckpointMetadata
from lab.training.counters import Counters
from lab.training.speed.decisions import Decision
from lab.training.tensor_file import give_name

LEAST_LAST_RATE = 0.02
"""Of the learning rate: below that share of it, training on at the last rate moves nothing."""


@dataclass(frozen=True)
class Start:
    """A run's start: the checkpoint of another run."""

    config: RunConfig
    """Of the run that starts."""
    folder: Path
    """Of the other run, like `metadata`."""
    metadata: CheckpointMetadata
    epoch: int
    checkpoint: str
    end: Counters | None
    """The other run's counters, where the checkpoint is its end and all its state is kept."""

    @property
    def last_rate(self) -> float | None:
        """Of the last step before the checkpoint; None where an earlier version wrote it."""
        text = checkpoint.checkpoint_facts(self.folder, self.checkpoint).get("learning_rate")
        return None if text is None else float(text)

    def preprocess(self) -> Preprocess | None:
        """As the weights know pictures; None where another pixel scaling is asked for."""
        if self.config.normalisation != self.metadata.config.normalisation:
            return None
        size = self.config.image_size or self.metadata.preprocess.image_size
        return dataclasses.replace(self.metadata.preprocess, image_size=size)

    def load_weights(self, network: StagedNet, class_names: tuple[str, ...]) -> Decision:
        """Put the weights into `network`, the run's own; says which they are.

        Raises ConfigError where they do not fit.
        """
        tensors = checkpoint.read_weights(self.folder, self.checkpoint)
        before, after = self.metadata.class_names, class_names
        own = network.state_dict()
        head = f"stages.{HEAD}."
        new_head = before != after or any(
            name.startswith(head) and (name not in own or own[name].shape != tensor.shape)
            for name, tensor in tensors.items()
        )
        if new_head:
            tensors = {n: t for n, t in tensors.items() if not n.startswith(head)}
        expected = {n for n in own if not (new_head and n.startswith(head))}
        wrong = expected ^ tensors.keys() or {
            n for n in expected if own[n].shape != tensors[n].shape
        }
        if wrong or (new_head and self.config.goes_on):
            layer = min(wrong) if wrong else "head"
            raise ConfigError(
                f"The weights of run {self.folder.name} do not fit: their layer {layer!r} has "
                f"another shape. Take its settings of the network and its image_size, which is "
                f"{self.metadata.preprocess.image_size}."
            )
        network.load_state_dict(own | tensors)
        choice = f"weights of run {self.folder.name}, epoch {self.epoch}"
        return Decision("Start", choice, f"{self._reason(new_head)}; SHA-256 {self.digest[:12]}")

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return checkpoint.weights_digest(self.folder, self.checkpoint)

    @property
    def record(self) -> dict[str, str | int]:
        """For `CheckpointMetadata.started_from`."""
        return {"run": self.folder.name, "epoch": self.epoch, "sha256": self.digest}

    def _reason(self, new_head: bool) -> str:
        if not self.config.goes_on:
            head = "a new head for these classes" if new_head else "its head, too"
            return f"{head}; a new training, with a fresh optimizer"
        if self.end is None:
            return "goes on from the weights alone, with a fresh optimizer"
        if not self._same_optimizer:
            return "goes on, with a fresh optimizer because another one is chosen"
        return "goes on, with the state of its optimizer"

    @property
    def _same_optimizer(self) -> bool:
        return self.config.optimizer == self.metadata.config.optimizer

    def counters(self, steps_per_epoch: int) -> Counters:
        """Returns the counters with which the run begins."""
        config, before = self.config, self.metadata.config
        tests = self.tests_before()
        if not config.goes_on:
            return Counters(tests_before=tests)
        counters = copy.deepcopy(self.end)
        if counters is None:
            facts = checkpoint.checkpoint_facts(self.folder, self.checkpoint)
            counters = Counters(epoch=self.epoch)
            counters.seconds = float(facts.get("seconds", 0.0))
            counters.elapsed = float(facts.get("elapsed", 0.0))
        else:
            counters.epoch = self.epoch
        counters.next_epoch()
        counters.step = self.epoch * steps_per_epoch
        counters.tests_before = tests
        if counters.early_stopped or config.early_stopping_metric != before.early_stopping_metric:
            counters.early_stopped, counters.epochs_without_improvement = False, 0
        if config.early_stopping_metric != before.early_stopping_metric:
            counters.stopping_best = None
        best_is_there = (self.folder / "best.safetensors").exists()
        if config.best_metric != before.best_metric or not best_is_there:
            counters.best_epoch, counters.best_val = None, {}
        if config.start_with != "stretched" or config.schedule != before.schedule:
            counters.plateau_best, counters.plateau_epochs_without = None, 0
            counters.plateau_drops = 0
        if config.start_with != "stretched" or config.learning_rate != before.learning_rate:
            counters.rate_factor = 1.0
        counters.last_rate = self.last_rate if config.start_with == "constant" else None
        return counters

    def tests_before(self) -> int:
        """How often the test images were looked at, on the way to these weights."""
        if self.config.dataset != self.metadata.config.dataset:
            return 0
        state = checkpoint.read_end(self.folder) or checkpoint.read_resume(self.folder)
        counters = state.counters if state else None
        if counters is None and (looks := checkpoint.read_looks(self.folder)) is not None:
            return looks  # the state was cleaned away
        if counters is None:  # it failed, or an earlier version, which wrote no rate, completed it
            return int(self.last_rate is None)
        return counters.tests_before + counters.tested

    def restore(
        self,
        folder: Path,
        *,
        network: StagedNet,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        average: Mapping[str, torch.Tensor] | None,
        counters: Counters,
    ) -> None:
        """Put everything else back for a run that goes on in `folder`: the optimizer, chance, and
        the best weights so far, one file under two names."""
        if not self.config.goes_on or self.end is None:
            return
        state = checkpoint.read_end(self.folder, whole=True)
        if state is None:
            raise NotFoundError(
                f"The state in which run {self.folder.name} ended is gone from {self.folder}. "
                "Start from its weights (start_with=weights), or from another run."
            )
        checkpoint.load_state(
            state,
            network=network,
            optimizer=optimizer if self._same_optimizer else None,
            generator=generator,
            average=average,
            goes_on=True,
        )
        if counters.best_epoch is not None:
            give_name(self.folder / "best.safetensors", folder / "best.safetensors")


def find_start(config: RunConfig) -> Start | None:
    """Returns what the run starts from, None where it starts with a network of its own.

    With start_epoch 0 it is the other run's last epoch, with weights only its best. Raises
    NotFoundError for a run, and ConfigError for an epoch, that is not there.
    """
    if not config.start_from:
        return None
    folder = lab_home() / "runs" / config.start_from
    if (
        not re.fullmatch(r"[\w-]{1,40}", config.start_from)
        or not (folder / "network.json").exists()
        or home.run_is_hidden(folder)
    ):
        raise NotFoundError(
            home.files_elsewhere(folder)
            or f"start_from is {config.start_from!r}, and there is no such run with weights here; "
            "it may have been deleted. Choose another run, or leave it empty."
        )
    metadata = CheckpointMetadata.read(folder)
    kept = checkpoint.kept_epochs(folder)
    if not kept:
        raise NotFoundError(
            f"start_from is {config.start_from!r}, a run that keeps no weights: it ended before "
            "its first epoch. Choose another run, or leave it empty."
        )
    last_of = max(kept) if config.goes_on or "best" not in kept.values() else None
    epoch = config.start_epoch or last_of or next(e for e, n in kept.items() if n == "best")
    if epoch not in kept:
        raise ConfigError(
            f"start_epoch is {epoch}; of run {config.start_from} the weights are kept of epoch "
            f"{', '.join(map(str, kept))}. Choose one of these."
        )
    state = checkpoint.read_end(folder)
    end = state.counters if state else None
    averages = metadata.config.in_effect("model_ema_decay"), config.in_effect("model_ema_decay")
    if end is not None and (end.epoch - 1 != epoch or averages[0] != averages[1]):
        end = None  # where one run averages and the other does not, only what was published fits
    return Start(config, folder, metadata, epoch, kept[epoch], end)


def settle_start(config: RunConfig, info: DatasetInfo) -> RunConfig:
    """The config with its open knobs of the start settled, after every check of them.

    `info` is of the data set. Raises NotFoundError or ConfigError.
    """
    start = find_start(config)
    if start is None:
        plain = {k.name: k.default for k in KNOBS.values() if k.group == "start"}
        return config.changed(**plain)
    before = start.metadata.config
    free = {"dropout"} if config.goes_on else {"dropout", "head", "head_units"}
    shaping = [k for k in KNOBS.values() if k.group == "network" and k.name not in free]
    _check_same(start, shaping, "the weights mean nothing to another network")
    same_pictures = info.content_hash == start.metadata.dataset_hash
    if config.goes_on and not same_pictures:
        raise ConfigError(
            f"start_with is {config.start_with}, and run {config.start_from} was trained on "
            f"another data set, or another version of it. Set dataset={before.dataset} and "
            f"dataset_version={start.metadata.dataset_hash}, or start_with=weights."
        )
    if config.dataset == before.dataset and not any(info.counts.get("val", {}).values()):
        cut = ("validation_fraction", "split_by", "seed", "subset_per_class")
        _check_same(
            start, [KNOBS[name] for name in cut], "it would be validated on images of its training"
        )
        if not same_pictures:
            raise ConfigError(
                f"Run {config.start_from} was trained on another version of {config.dataset}, so "
                "this run would be validated on images of its training. Take that version."
            )
    if config.goes_on and config.epochs <= start.epoch:
        raise ConfigError(
            f"epochs is {config.epochs}, and the run goes on after epoch {start.epoch} of run "
            f"{config.start_from}: they are counted from its first. Set epochs above {start.epoch}."
        )
    rate = start.last_rate
    if config.start_with == "constant" and (
        rate is None or rate < LEAST_LAST_RATE * before.learning_rate
    ):
        last = "is not known" if rate is None else f"was {rate:.1e}, at which nothing moves"
        raise ConfigError(
            f"start_with is 'constant', and the last rate of run {config.start_from} {last}. "
            "Set start_with=restart or stretched."
        )
    trains_all = config.freeze == "scratch" and not config.goes_on
    return config.changed(
        start_epoch=start.epoch,
        start_imagenet=before.pretrained,
        freeze="full" if trains_all else config.freeze,
    )


def _check_same(start: Start, knobs: Sequence[Knob], reason: str) -> None:
    before = start.metadata.config
    for knob in knobs:
        old, new = getattr(before, knob.name), getattr(start.config, knob.name)
        if old != new:
            raise ConfigError(
                f"{knob.name} is {new!r}, and in run {start.folder.name}, from which the run "
                f"starts, {old!r}: otherwise {reason}. Set it to {old!r}."
            )
