"""The film strip's worker side: what the network makes of a few pictures, epoch after epoch.

    before the first step:                  a second network is made, with the untrained weights
    when the first steps have been told:    a take of it (the curves do not wait for it)
    at the end of every n-th epoch,
    the first and the last always:          it gets the weights of now, and a take of it

    a take:
        one forward and one backward pass in the second network: answers, and raw Grad-CAM maps of
        all stages; written to <run folder>/probes/ (lab.training.watch.film_files) -> ProbeTaken

Runs in the training thread. The network in training is only read: no hook, no gradient, no change
of mode, and no random number is drawn, so training is bit for bit what it is without the strip. The
strip is an extra: what goes wrong in it is told once, and the run goes on without it.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lab.data.probes import chosen_probes
from lab.errors import LabError
from lab.explain.grad_cam import Cams, class_activation_maps
from lab.explain.layers import cam_layers, list_layers
from lab.models.architecture import ARCHITECTURES
from lab.models.staged import StagedNet
from lab.training.counters import Counters
from lab.training.events import LogWritten, ProbeTaken
from lab.training.failures import is_out_of_memory
from lab.training.plan import Plan
from lab.training.watch import film_files
from lab.training.watch.film_files import Floats, Ints, Take

logger = logging.getLogger(__name__)

SHARE = 0.03
"""Of an epoch's training time that the strip may take on average."""

MOST_TAKES = 100
"""Of one run: more columns than anybody scrubs through, and the files add up."""

Clock = Callable[[], float]


@dataclass(frozen=True, eq=False)
class _Looked:
    """P probe images, ready for the network."""

    chosen: tuple[int, ...]
    indices: Ints
    labels: Ints
    names: tuple[str, ...]
    parts: tuple[str, ...]
    images: Tensor
    """(P, C, H, W) float32 normalised, on the device."""


class FilmStrip:
    """Takes the probes of one run. Lives in its training thread."""

    def __init__(self, plan: Plan, *, clock: Clock = time.monotonic) -> None:
        self.plan = plan
        self.clock = clock
        self.on = plan.config.film_strip
        self.least_every = max(1, math.ceil(plan.config.epochs / MOST_TAKES))
        self.every = self.least_every
        self.twin: StagedNet | None = None
        """The second network."""
        self.untrained = False
        """Whether it holds the untrained weights, and their take is still to come."""
        self.stages: tuple[str, ...] | None = None
        """Those with places; None until the first take."""
        self.probes: _Looked | None = None
        self.costs: list[float] = []
        """Seconds of each take with these probes in this session."""

    def begin(self, network: StagedNet, counters: Counters) -> Iterator[LogWritten]:
        """Before the first step of a session: a new run starts the strip, a resumed one goes on."""
        if not self.on:
            return
        folder = self.plan.folder
        if counters.step:
            # What was taken after the saved step will be taken again.
            film_files.forget_from(folder, counters.epoch)
            earlier = film_files.taken_epochs(folder)
            last = film_files.read_take(folder, earlier[-1]) if earlier else None
            self.every = max(self.every, last.every if last else 1)
            return
        film_files.forget_from(folder, 0)
        if self.every > 1:
            yield LogWritten(
                "info",
                f"The film strip is taken {_often(self.every)}: at most about "
                f"{MOST_TAKES} takes of a run are kept, and this one has "
                f"{self.plan.config.epochs:,} epochs.",
            )
        try:
            self._make_twin(network)
            self.untrained = True
        except (MemoryError, RuntimeError) as error:
            yield self._give_up(error)

    def after_first_step(self) -> Iterator[ProbeTaken | LogWritten]:
        """Once a step of the session has been told; again and again does no harm."""
        if self.untrained and self.twin is not None:
            self.untrained = False
            yield from self._take(self.twin, epoch=0, step=0)

    def after_epoch(
        self, network: StagedNet, counters: Counters, *, last: bool
    ) -> Iterator[ProbeTaken | LogWritten]:
        """At the end of the epoch that `counters` count, before they go on to the next one."""
        epoch = counters.epoch
        if not self.on or not (last or epoch == 1 or epoch % self.every == 0):
            return
        yield from self._take(network, epoch=epoch, step=counters.step)
        if self.on and not last:
            yield from self._settle(counters.epoch_seconds)

    def _settle(self, epoch_seconds: float) -> Iterator[LogWritten]:
        """Keep to SHARE. A measurement that other programs spoiled is made good at a later take,
        but not for a small gain: a spacing that keeps changing is hard to read."""
        needed = max(self.least_every, spacing(self.costs, epoch_seconds))
        if self.every // 2 < needed <= self.every:
            return
        self.every = needed
        yield LogWritten(
            "info",
            f"The film strip is taken {_often(needed)} from here: one take costs "
            f"{min(self.costs):.2g} s, and {SHARE:.0%} of the {epoch_seconds:.2g} s that an epoch "
            "trains are for it.",
        )

    def _take(
        self, network: StagedNet, *, epoch: int, step: int
    ) -> Iterator[ProbeTaken | LogWritten]:
        try:
            probes = self._look_up()
            twin = self._make_twin(network)
            stages = self._find_stages(twin)
            began = self.clock()
            if twin is not network:
                twin.load_state_dict(network.state_dict())
            take, maps = self._develop(twin, stages, probes, epoch, step, began)
            film_files.write_take(self.plan.folder, take, maps)
            seconds = self.clock() - began
        except (LabError, OSError, MemoryError, RuntimeError) as error:
            yield self._give_up(error)
            return
        self.costs.append(seconds)
        yield ProbeTaken(epoch=epoch, count=len(probes.chosen), seconds=seconds)

    def _give_up(self, error: BaseException) -> LogWritten:
        self.on = self.untrained = False
        self.twin = self.probes = None  # the memory is the training's again
        logger.warning("film strip off in %s", self.plan.folder.name, exc_info=error)
        return LogWritten("warning", f"Film strip off: {reason(error)} The training goes on.")

    def _look_up(self) -> _Looked:
        """The probes of now: what was pinned since the last take joins here."""
        pack, splits = self.plan.pack, self.plan.splits
        chosen = chosen_probes(pack, splits)
        if self.probes is not None and self.probes.chosen == chosen:
            return self.probes
        indices = np.array(chosen, dtype=np.int64)
        pixels = pack.take(indices)
        for index, image in zip(chosen, pixels, strict=True):
            film_files.write_picture(self.plan.folder, index, image)
        images = self.plan.preprocess(torch.from_numpy(pixels)).to(self.plan.device)
        self.probes = _Looked(
            chosen=chosen,
            indices=indices,
            labels=pack.labels[indices],
            names=tuple(pack.names[i] for i in chosen),
            parts=tuple(
                next(
                    (part for part in ("train", "val", "test") if i in getattr(splits, part)),
                    "unused",
                )
                for i in chosen
            ),
            images=images.contiguous(memory_format=self.plan.memory_format),
        )
        self.costs = []
        return self.probes

    def _develop(
        self,
        twin: StagedNet,
        stages: tuple[str, ...],
        probes: _Looked,
        epoch: int,
        step: int,
        began: float,
    ) -> tuple[Take, list[Floats]]:
        found: dict[str, Cams] = {}
        if stages:
            # The true class: the strip shows how the evidence for the right answer grows.
            found, logits = class_activation_maps(
                twin,
                probes.images,
                targets=torch.from_numpy(probes.labels),
                layers=stages,
            )
        else:
            with torch.inference_mode():
                logits = twin(probes.images).float().cpu()
        # A map that is no number (a run about to diverge) is an empty one.
        maps = [np.nan_to_num(c.maps.numpy(), posinf=0, neginf=0) for c in found.values()]
        none = (len(maps), len(probes.chosen))  # a perceptron has no stages: (0, P)
        take = Take(
            epoch=epoch,
            step=step,
            every=self.every,
            seconds=self.clock() - began,
            stages=stages,
            default_stage=ARCHITECTURES.get(self.plan.config.architecture).default_cam_stage,
            names=probes.names,
            parts=probes.parts,
            indices=probes.indices,
            labels=probes.labels,
            targets=probes.labels,
            probabilities=logits.softmax(1).numpy(),
            influence=np.array([c.influence.numpy() for c in found.values()], "f4").reshape(none),
            peaks=np.array([m.max((1, 2)) for m in maps], "f4").reshape(none),
            meaningful=np.array([c.meaningful.numpy() for c in found.values()], "?").reshape(none),
        )
        return take, maps

    def _make_twin(self, network: StagedNet) -> StagedNet:
        """The second network; made once, with the weights of then."""
        if self.twin is None:
            self.twin = copy.deepcopy(network).eval().requires_grad_(False)
        return self.twin

    def _find_stages(self, twin: StagedNet) -> tuple[str, ...]:
        if self.stages is None:
            given = self.plan.preprocess
            layers = list_layers(twin, channels=given.channels, image_size=given.image_size)
            self.stages = tuple(layer.name for layer in cam_layers(layers))
        return self.stages


def spacing(costs: list[float], epoch_seconds: float) -> int:
    """After every how many epochs a take that costs the least of `costs` keeps to its SHARE.

    The least, because what other programs do to a measurement only ever adds to it.
    """
    if not costs:
        return 1
    return max(1, math.ceil(min(costs) / max(1e-9, SHARE * epoch_seconds)))


def _often(every: int) -> str:
    return "after every epoch" if every == 1 else f"every {ordinal(every)} epoch"


def ordinal(number: int) -> str:
    """2 -> "2nd"."""
    teens = 10 <= number % 100 <= 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def reason(error: BaseException) -> str:
    """Why something that a run can do without went wrong, as a sentence."""
    if isinstance(error, LabError):
        return str(error)
    if is_out_of_memory(error):
        return "there is not enough memory for it beside the training."
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}."
