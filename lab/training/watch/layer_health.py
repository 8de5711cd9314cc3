"""Gradient health, the worker side: how the layers are doing, at every n-th step.

    in the forward pass     what comes out of each layer's activation
    before the update       the gradients as the backward pass left them (unscaled, not clipped)
    after the update        how far the weights went
                            -> one record in <run folder>/layers/ (lab.training.watch.layer_file)

Runs in the training thread. It only reads: no gradient, no mode, no random number is touched, and
hooks exist for the length of one forward pass, so training is bit for bit what it is without. All
figures of a step stay on the device until they are read together.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lab.data.preprocess import Preprocess
from lab.errors import DiskFullError, LabError
from lab.models.staged import StagedNet
from lab.training.counters import Counters
from lab.training.events import LogWritten
from lab.training.speed.trials import wait_for
from lab.training.watch import layer_file
from lab.training.watch.budget import Budget, ordinal, switched_off
from lab.training.watch.layer_figures import CAN_DIE, dead_share, norms, picked, summarised
from lab.training.watch.layer_file import LayerWriter
from lab.training.watch.layers import Watched, unit_dimension, watched_layers

logger = logging.getLogger(__name__)

SHARE = 0.015
"""Of the training time that samples may take. 3 % is promised; caches gone cold and a first sample
that allocates, which are not timed here, have room in the other half (benchmarks/health.py)."""

MOST_SAMPLES = 2000
"""Of one run: more than a chart has columns for, and the files add up."""

LEAST_EVERY_COMPILED = 20
"""Where other steps run compiled and a sampled one does not, so that these cost little of what
compiling gains."""

MOST_VALUES = 2048
"""Activations of one layer that a histogram is made of, evenly picked from the batch."""

MOST_WEIGHTS = 4_194_304
"""Of one layer that are copied to see how far they go. A larger layer (VGG's first dense one has
103 million) is judged by so many of its weights, evenly picked: a copy of all takes memory that the
training may need."""

Clock = Callable[[], float]


@dataclass(eq=False)
class _Sample:
    """One step that is sampled, while it lasts."""

    step: int
    cost: float = 0.0
    outputs: list[Tensor | None] = field(default_factory=list)
    """One a layer, None where it did not run. Like the gradients, gone as soon as summarised."""
    dead: list[Tensor | None] = field(default_factory=list)
    values: list[Tensor | None] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    """Places of the layers that have a gradient; the two below are of these only."""
    gradient_norms: list[Tensor] = field(default_factory=list)
    before: list[Tensor] = field(default_factory=list)
    weight_norms: list[Tensor] = field(default_factory=list)


class LayerHealth:
    """Samples the layers of one run's `network`, into its `folder`. Lives in its training thread.

    At every step, in this order: `forward` around the forward pass, `before_update`,
    `after_update`, `pop_messages`. `compiled`: steps that are not sampled run compiled. `clock` is
    one of training time.
    """

    def __init__(
        self,
        network: StagedNet,
        folder: Path,
        *,
        on: bool,
        total_steps: int,
        preprocess: Preprocess,
        device: torch.device,
        compiled: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self.network = network
        self.folder = folder
        self.on = on
        self.preprocess = preprocess
        self.device = device
        self.clock = clock
        self.layers: tuple[Watched, ...] = ()
        self.writer: LayerWriter | None = None
        self.sample: _Sample | None = None
        self.messages: list[LogWritten] = []
        few = math.ceil(total_steps / MOST_SAMPLES)
        least_every = max(few, LEAST_EVERY_COMPILED if compiled else 1)
        self.budget = Budget(SHARE, least_every=least_every)
        self.due = 1
        self.largest = 0
        """Images in a step, so far. In less than half of that, as the last batch of an epoch may
        be, units look dead that are not, so the next step is sampled instead."""
        self.announced = False
        """Whether the spacing rests on more than a first impression, which is said once."""
        self.first_step = 0
        """Of the session's samples; what is measured begins behind it."""
        self.began = 0.0
        self.spent = 0.0
        """Seconds for all samples since then."""

    def begin(self, counters: Counters) -> None:
        """Before the first step of a session: a new run begins anew, a resumed one goes on."""
        if not self.on:
            return
        try:
            layer_file.cut_back(self.folder, counters.step)
        except (LabError, OSError) as error:
            self._give_up(error)
            return
        self.due = counters.step + 1
        earlier = layer_file.layer_history(self.folder, points=2, last=2)
        if earlier is not None and len(earlier.steps) == 2:
            self.budget.resume(int(np.diff(earlier.steps)[0]))
            self.due = max(self.due, int(earlier.steps[-1]) + self.budget.every)
            self.announced = True

    @contextmanager
    def forward(self, step: int, samples: int) -> Iterator[bool]:
        """Around the forward pass of `step` (counted from 1) on a batch of `samples` images; says
        whether hooks on the network watch it. In compiled code no hook would be called."""
        due = self.on and step >= self.due and 2 * samples >= self.largest
        self.largest = max(self.largest, samples)
        if not due:
            yield False
            return
        self.sample = _Sample(step)
        hooks: list[RemovableHandle] = []
        try:
            self._do(lambda sample: self._listen(sample, hooks))
            yield True
        finally:
            for hook in hooks:
                hook.remove()
        self._do(self._sample_outputs)

    def before_update(self) -> None:
        """When the gradients are there, unscaled and not yet clipped."""
        self._do(self._sample_gradients)

    def after_update(self) -> None:
        """When the optimizer has moved the weights: reads all figures at once and writes them."""
        self._do(self._sample_weights)
        if self.sample is not None:
            self._schedule_next(self.sample)
            self.sample = None

    def pop_messages(self) -> list[LogWritten]:
        """What there is to say since the last call; mostly nothing."""
        messages, self.messages = self.messages, []
        return messages

    def close(self) -> None:
        """The session ends, however it ends."""
        self.sample = None
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    # --- one sample -----------------------------------------------------------------------------
    def _do(self, work: Callable[[_Sample], None]) -> None:
        """Do and time one piece of a sample; an error in it ends the sampling, not the training."""
        sample = self.sample
        if sample is None:
            return
        try:
            wait_for(self.device)  # or the training's work would be counted as the sample's
            began = self.clock()
            with torch.no_grad():
                work(sample)
            wait_for(self.device)
            sample.cost += self.clock() - began
        except DiskFullError:
            raise
        except (LabError, OSError, MemoryError, RuntimeError) as error:
            self._give_up(error)

    def _listen(self, sample: _Sample, hooks: list[RemovableHandle]) -> None:
        """Keep, for this forward pass, the output behind each layer."""
        if self.writer is None:
            given = self.preprocess
            self.layers = watched_layers(
                self.network, channels=given.channels, image_size=given.image_size
            )
            names = tuple(layer.name for layer in self.layers)
            activations = tuple(layer.activation for layer in self.layers)
            self.writer = LayerWriter(self.folder, names, activations)
        sample.outputs = [None] * len(self.layers)
        wanted: dict[nn.Module, dict[int, list[int]]] = {}
        for place, layer in enumerate(self.layers):
            wanted.setdefault(layer.output, {}).setdefault(layer.call, []).append(place)
        calls = dict.fromkeys(wanted, 0)

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            calls[module] += 1
            for place in wanted[module].get(calls[module], ()):
                sample.outputs[place] = output.detach()

        for module in wanted:
            hooks.append(module.register_forward_hook(keep))

    def _sample_outputs(self, sample: _Sample) -> None:
        for layer, output in zip(self.layers, sample.outputs, strict=True):
            if output is None:
                sample.dead.append(None)
                sample.values.append(None)
                continue
            dies = layer.activation in CAN_DIE
            sample.dead.append(dead_share(output, unit_dimension(layer.module)) if dies else None)
            # A copy: the view would keep the whole output alive through the backward pass.
            sample.values.append(picked(output, MOST_VALUES).float().clone())
        sample.outputs = []

    def _sample_gradients(self, sample: _Sample) -> None:
        gradients = {
            place: layer.weight.grad
            for place, layer in enumerate(self.layers)
            # A layer that is frozen in this phase may still hold a gradient of an earlier one.
            if layer.weight.requires_grad and layer.weight.grad is not None
        }
        sample.trained = list(gradients)
        sample.gradient_norms = norms(list(gradients.values()))
        sample.weight_norms = norms([layer.weight for layer in self.layers])
        sample.before = [weights.clone() for weights in self._followed(sample)]

    def _sample_weights(self, sample: _Sample) -> None:
        moved = norms(torch._foreach_sub(self._followed(sample), sample.before))
        long = norms(sample.before)
        ratios = [way / length for way, length in zip(moved, long, strict=True)]
        figures, values = self._read(sample, ratios)
        sizes = [0 if v is None else len(v) for v in sample.values]
        activations = [layer.activation for layer in self.layers]
        saturated, ranges, counts = summarised(values, sizes, activations)
        assert self.writer is not None
        self.writer.append(sample.step, np.vstack([figures, saturated]), ranges, counts)

    def _followed(self, sample: _Sample) -> list[Tensor]:
        """Of each trained layer the weights whose way is measured: all, or an even choice."""
        return [
            picked(weight, MOST_WEIGHTS) if weight.numel() > MOST_WEIGHTS else weight.detach()
            for weight in (self.layers[place].weight.detach() for place in sample.trained)
        ]

    def _read(
        self, sample: _Sample, ratios: list[Tensor]
    ) -> tuple[layer_file.Floats, layer_file.Floats]:
        """Everything from the device at once: figures (4, L), and the values of all layers."""
        dead = [d for d in sample.dead if d is not None]
        scalars = [*sample.gradient_norms, *sample.weight_norms, *ratios, *dead]
        values = [v for v in sample.values if v is not None]
        numbers = torch.cat([torch.stack([s.float() for s in scalars]), *values]).cpu().numpy()
        known = [i for i, d in enumerate(sample.dead) if d is not None]
        figures = np.full((4, len(self.layers)), np.nan, dtype=np.float32)
        taken = 0
        every = list(range(len(self.layers)))
        for row, places in enumerate((sample.trained, every, sample.trained, known)):
            found = numbers[taken : taken + len(places)]
            # NaN is for what is not there: a figure that went wrong is beyond all numbers.
            figures[row, places] = np.where(np.isfinite(found), found, np.inf)
            taken += len(places)
        return figures, numbers[taken:]

    # --- how often ------------------------------------------------------------------------------
    def _schedule_next(self, sample: _Sample) -> None:
        """Settle on a spacing that keeps to SHARE of the session's whole time so far."""
        step, budget = sample.step, self.budget
        if not self.first_step:
            # The first sample of a session allocates and finds its layers, the first step likewise:
            # no measure of the others. A resumed run knows its spacing already.
            self.first_step, self.began = step, self.clock()
            self.due = step + (budget.every if self.announced else budget.least_every)
            return
        self.spent += sample.cost
        budget.add(sample.cost)
        step_seconds = (self.clock() - self.began - self.spent) / (step - self.first_step)
        budget.adapt(step_seconds)
        gap = budget.every
        if not self.announced:
            # One measurement may be far off, and a short run be over before the next one: a wide
            # spacing is reached by doubling.
            gap = min(gap, max(10, 2 * step, budget.least_every))
            if gap == budget.every:
                self.announced = True
                self.messages.append(_announcement(budget, step_seconds))
        self.due = step + gap

    def _give_up(self, error: BaseException) -> None:
        self.on = False
        self.close()
        self.layers = ()
        logger.warning("gradient health off in %s", self.folder.name, exc_info=error)
        self.messages.append(switched_off("Gradient health", error))


def _announcement(budget: Budget, step_seconds: float) -> LogWritten:
    often = "every step" if budget.every == 1 else f"every {ordinal(budget.every)} step"
    return LogWritten(
        "info",
        f"Gradient health samples {often}, as far as can be told yet: a sample costs "
        f"{_short(budget.cost)} beside {_short(step_seconds)} for a step, and at most 3% of the "
        "time are for it.",
    )


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.2g} ms" if seconds < 0.0995 else f"{seconds:.2g} s"
