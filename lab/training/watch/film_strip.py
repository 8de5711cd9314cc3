"""The film strip's worker side: what the network makes of a few pictures, epoch after epoch.

    before the first step:                      the untrained network is copied
    when the first steps have been reported:    a snapshot of the copy (the curves do not wait)
    at the end of every n-th epoch,
    the first and the last always:              the copy gets the weights of now, and a snapshot

    a snapshot:
        one forward and one backward pass of the copy: answers, and raw Grad-CAM maps of all
        stages; written to <run folder>/probes/ (lab.training.watch.film_files) -> ProbeTaken

Runs in the training thread. The network in training is only read: no hook, no gradient, no change
of mode, and no random number is drawn, so training is bit for bit what it is without the strip.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lab.data.pack import Pack
from lab.data.preprocess import Preprocess
from lab.data.probes import chosen_probes
from lab.data.splits import Splits
from lab.errors import DiskFullError, LabError
from lab.explain.grad_cam import Cams, class_activation_maps
from lab.explain.layers import cam_layers, list_layers
from lab.models.staged import StagedNet
from lab.training.counters import Counters
from lab.training.events import ActivityProgressed, LogWritten, ProbeTaken
from lab.training.watch import film_files
from lab.training.watch.budget import Budget, ordinal, switched_off
from lab.training.watch.film_files import Ints, ProbeSnapshot

logger = logging.getLogger(__name__)

SHARE = 0.03
"""Of an epoch's training time that the strip may take on average."""

MOST_SNAPSHOTS = 100
"""Of one run: more columns than anybody scrubs through, and the files add up."""

Clock = Callable[[], float]


@dataclass(frozen=True, eq=False)
class ProbeBatch:
    """P probe images, ready for the network."""

    chosen: tuple[int, ...]
    indices: Ints
    labels: Ints
    names: tuple[str, ...]
    parts: tuple[str, ...]
    images: Tensor
    """(P, C, H, W) float32 normalised, on the device."""


class FilmStrip:
    """Takes the snapshots of one run, in `folder`. Lives in its training thread.

    `default_stage` is where Grad-CAM of the run's architecture looks first.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on: bool,
        epochs: int,
        default_stage: str | None,
        pack: Pack,
        splits: Splits,
        preprocess: Preprocess,
        device: torch.device,
        memory_format: torch.memory_format,
        clock: Clock = time.monotonic,
    ) -> None:
        self.folder = folder
        self.on = on
        self.epochs = epochs
        self.default_stage = default_stage
        self.pack = pack
        self.splits = splits
        self.preprocess = preprocess
        self.device = device
        self.memory_format = memory_format
        self.clock = clock
        self.budget = Budget(SHARE, least_every=max(1, math.ceil(epochs / MOST_SNAPSHOTS)))
        self.copy: StagedNet | None = None
        self.untrained = False
        """Whether the copy holds the untrained weights, and their snapshot is still to come."""
        self.stages: tuple[str, ...] | None = None
        """Those with places; None until the first snapshot."""
        self.probes: ProbeBatch | None = None

    def begin(self, network: StagedNet, counters: Counters) -> Iterator[LogWritten]:
        """Before the first step of a session: a new run starts the strip, a resumed one goes on."""
        if not self.on:
            return
        if counters.step:
            # What came after the saved step will come again.
            film_files.remove_from(self.folder, counters.epoch)
            earlier = film_files.snapshot_epochs(self.folder)
            last = film_files.read_snapshot(self.folder, earlier[-1]) if earlier else None
            self.budget.resume(last.every if last else 1)
            return
        film_files.remove_from(self.folder, 0)
        if self.budget.every > 1:
            yield LogWritten(
                "info",
                f"The film strip is taken {self._how_often()}: at most about {MOST_SNAPSHOTS} "
                f"snapshots of a run are kept, and this one has {self.epochs:,} epochs.",
            )
        try:
            self._make_copy(network)
            self.untrained = True
        except (MemoryError, RuntimeError) as error:
            yield self._give_up(error)

    def after_first_step(self) -> Iterator[ProbeTaken | LogWritten | ActivityProgressed]:
        """Once a step of the session has been reported; again and again does no harm."""
        if self.untrained and self.copy is not None:
            self.untrained = False
            yield from self._record(self.copy, epoch=0, step=0)

    def after_epoch(
        self, network: StagedNet, counters: Counters, *, last: bool
    ) -> Iterator[ProbeTaken | LogWritten | ActivityProgressed]:
        """At the end of the epoch that `counters` count, before they go on to the next one."""
        epoch, seconds = counters.epoch, counters.epoch_seconds
        if not self.on or not (last or epoch == 1 or epoch % self.budget.every == 0):
            return
        yield from self._record(network, epoch=epoch, step=counters.step)
        if self.on and not last and self.budget.adapt(seconds):
            yield LogWritten(
                "info",
                f"The film strip is taken {self._how_often()} from here: one snapshot costs "
                f"{self.budget.cost:.2g} s, and {SHARE:.0%} of the {seconds:.2g} s that an epoch "
                "trains are for it.",
            )

    def _how_often(self) -> str:
        every = self.budget.every
        return "after every epoch" if every == 1 else f"every {ordinal(every)} epoch"

    def _record(
        self, network: StagedNet, *, epoch: int, step: int
    ) -> Iterator[ProbeTaken | LogWritten | ActivityProgressed]:
        yield ActivityProgressed("film_strip", "Drawing the film strip", 0, 0, "", 0.0)
        try:
            probes = self._load_probes()
            network_copy = self._make_copy(network)
            stages = self._find_stages(network_copy)
            began = self.clock()
            if network_copy is not network:
                network_copy.load_state_dict(network.state_dict())
            cams, logits = self._compute(network_copy, stages, probes)
            # A map that is no number (a run about to diverge) is an empty one.
            maps = [np.nan_to_num(c.maps.numpy(), posinf=0, neginf=0) for c in cams.values()]
            none = (len(maps), len(probes.chosen))  # a perceptron has no stages: (0, P)
            snapshot = ProbeSnapshot(
                epoch=epoch,
                step=step,
                every=self.budget.every,
                seconds=self.clock() - began,
                stages=stages,
                default_stage=self.default_stage,
                names=probes.names,
                parts=probes.parts,
                indices=probes.indices,
                labels=probes.labels,
                targets=probes.labels,
                probabilities=logits.softmax(1).numpy(),
                influence=np.array([c.influence.numpy() for c in cams.values()], "f4").reshape(
                    none
                ),
                peaks=np.array([m.max((1, 2)) for m in maps], "f4").reshape(none),
                meaningful=np.array([c.meaningful.numpy() for c in cams.values()], "?").reshape(
                    none
                ),
            )
            film_files.write_snapshot(self.folder, snapshot, maps)
            seconds = self.clock() - began
        except DiskFullError:
            raise
        except (LabError, OSError, MemoryError, RuntimeError) as error:
            yield self._give_up(error)
            return
        self.budget.add(seconds)
        yield ProbeTaken(epoch=epoch, count=len(probes.chosen), seconds=seconds)

    def _give_up(self, error: BaseException) -> LogWritten:
        self.on = self.untrained = False
        self.copy = self.probes = None  # the memory is the training's again
        logger.warning("film strip off in %s", self.folder.name, exc_info=error)
        return switched_off("Film strip", error)

    def _load_probes(self) -> ProbeBatch:
        """The probes of now: what was pinned since the last snapshot joins here."""
        pack = self.pack
        chosen = chosen_probes(pack, self.splits)
        if self.probes is not None and self.probes.chosen == chosen:
            return self.probes
        indices = np.array(chosen, dtype=np.int64)
        pixels = pack.take(indices)
        for index, image in zip(chosen, pixels, strict=True):
            film_files.write_picture(self.folder, index, image)
        images = self.preprocess(torch.from_numpy(pixels)).to(self.device)
        self.probes = ProbeBatch(
            chosen=chosen,
            indices=indices,
            labels=pack.labels[indices],
            names=tuple(pack.names[i] for i in chosen),
            parts=tuple(self._part_of(i) for i in chosen),
            images=images.contiguous(memory_format=self.memory_format),
        )
        self.budget.forget_costs()
        return self.probes

    def _part_of(self, index: int) -> str:
        parts = ("train", "val", "test")
        return next((part for part in parts if index in getattr(self.splits, part)), "unused")

    def _compute(
        self, network: StagedNet, stages: tuple[str, ...], probes: ProbeBatch
    ) -> tuple[dict[str, Cams], Tensor]:
        """Maps of each stage, and logits (P, K) on the CPU."""
        if not stages:
            with torch.inference_mode():
                return {}, network(probes.images).float().cpu()
        # The true class: the strip shows how the evidence for the right answer grows.
        targets = torch.from_numpy(probes.labels)
        return class_activation_maps(network, probes.images, targets=targets, layers=stages)

    def _make_copy(self, network: StagedNet) -> StagedNet:
        """The copy that snapshots are of; made once, with the weights of then."""
        if self.copy is None:
            self.copy = copy.deepcopy(network).eval().requires_grad_(False)
        return self.copy

    def _find_stages(self, network: StagedNet) -> tuple[str, ...]:
        if self.stages is None:
            given = self.preprocess
            layers = list_layers(network, channels=given.channels, image_size=given.image_size)
            self.stages = tuple(layer.name for layer in cam_layers(layers))
        return self.stages
