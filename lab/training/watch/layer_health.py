"""Gradient health, the worker side: how the layers are doing, at every n-th step.

    in the forward pass     what comes out of each layer's activation is looked at (of a compiled
                            one, in the same pass uncompiled before it)
    before the update       the gradients as the backward pass left them (unscaled, not clipped)
    after the update        how far the weights went
                            -> one record in <run folder>/layers/ (lab.training.watch.layer_file)

Runs in the training thread. It only reads: no gradient, no mode, no random number is touched, and
hooks exist for the length of one forward pass, so training is bit for bit what it is without. All
figures of a step stay on the device until they are read together. The monitor is an extra: what
goes wrong in it is told once, and the run goes on without it.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lab.errors import LabError
from lab.training.counters import Counters
from lab.training.events import LogWritten
from lab.training.plan import Plan
from lab.training.speed.device import wait_for
from lab.training.watch import layer_file
from lab.training.watch.film_strip import ordinal, reason
from lab.training.watch.layer_figures import CAN_DIE, dead_share, norms, picked, summarised
from lab.training.watch.layer_file import LayerWriter
from lab.training.watch.layers import Watched, unit_dimension, watched_layers

logger = logging.getLogger(__name__)

SHARE = 0.015
"""Of the training time that the looks may take. 3 % is promised; caches gone cold and a first look
that allocates, which are not timed here, have room in the other half (benchmarks/health.py)."""

MOST_SAMPLES = 2000
"""Of one run: more than a chart has columns for, and the files add up."""

MOST_VALUES = 2048
"""Activations of one layer that a histogram is made of, evenly picked from the batch."""

MOST_WEIGHTS = 4_194_304
"""Of one layer that are copied to see how far they go. A larger layer (VGG's first dense one has
103 million) is judged by so many of its weights, evenly picked: a copy of all takes memory that the
training may need."""

Clock = Callable[[], float]


@dataclass(eq=False)
class _Sample:
    """One step that is looked at, while it lasts."""

    step: int
    cost: float = 0.0
    outputs: list[Tensor | None] = field(default_factory=list)
    """One a layer, None where it did not run. Like the gradients, gone as soon as looked at."""
    dead: list[Tensor | None] = field(default_factory=list)
    values: list[Tensor | None] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    """Places of the layers that have a gradient; the two below are of these only."""
    gradient_norms: list[Tensor] = field(default_factory=list)
    before: list[Tensor] = field(default_factory=list)
    weight_norms: list[Tensor] = field(default_factory=list)


class Monitor:
    """Looks at the layers of one run. Lives in its training thread.

    At every step, in this order: `forward` around the forward pass, `before_update`,
    `after_update`, `told`.
    """

    def __init__(self, plan: Plan, *, clock: Clock = time.monotonic) -> None:
        self.plan = plan
        self.clock = clock
        self.on = plan.config.layer_statistics == "auto"
        self.layers: tuple[Watched, ...] = ()
        self.writer: LayerWriter | None = None
        self.sample: _Sample | None = None
        self.news: list[LogWritten] = []
        total = plan.config.epochs * plan.steps_per_epoch
        self.every = self.least_every = max(1, math.ceil(total / MOST_SAMPLES))
        self.due = 1
        self.largest = 0
        """Images in a step, so far. In less than half of that, as the last batch of an epoch may
        be, units look dead that are not, so the next step is looked at instead."""
        self.costs: deque[float] = deque(maxlen=50)
        """Seconds of the newest looks, without the first of the session."""
        self.settled = False
        """Whether the spacing rests on more than a first impression."""
        self.gap = 0
        """Steps to the next look until then."""
        self.since = (0, 0.0)
        """The step of the first look and when it was over: what is measured begins there."""
        self.spent = 0.0
        """Seconds for all looks since then."""

    def begin(self, counters: Counters) -> None:
        """Before the first step of a session: a new run begins anew, a resumed one goes on."""
        if not self.on:
            return
        folder = self.plan.folder
        try:
            layer_file.cut_back(folder, counters.step)
        except (LabError, OSError) as error:
            self._give_up(error)
            return
        self.due = counters.step + 1
        earlier = layer_file.layer_history(folder, points=2, last=2)
        if earlier is not None and len(earlier.steps) == 2:
            self.every = max(self.every, int(np.diff(earlier.steps)[0]))
            self.due = max(self.due, int(earlier.steps[-1]) + self.every)
            self.settled = True

    @contextmanager
    def forward(
        self, step: int, samples: int, *, rehearse: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Around the forward pass of `step` (counted from 1) on a batch of `samples` images.

        Where that pass is compiled, no hook is called in it: `rehearse` then runs the same pass
        where they are.
        """
        if not self.on:
            yield
            return
        due = step >= self.due and 2 * samples >= self.largest
        self.largest = max(self.largest, samples)
        if not due:
            yield
            return
        self.sample = _Sample(step)
        hooks: list[RemovableHandle] = []
        try:
            self._do(lambda sample: self._listen(sample, hooks))
            if rehearse is None:
                yield
            else:
                self._do(lambda sample: rehearse())
        finally:
            for hook in hooks:
                hook.remove()
        self._do(self._look_at_outputs)
        if rehearse is not None:
            yield

    def before_update(self) -> None:
        """When the gradients are there, unscaled and not yet clipped."""
        self._do(self._look_at_gradients)

    def after_update(self) -> None:
        """When the optimizer has moved the weights: reads all figures at once and writes them."""
        self._do(self._look_at_weights)
        if self.sample is not None:
            self._plan_next(self.sample)
            self.sample = None

    def leave_out(self, seconds: float) -> None:
        """So many seconds just passed without training: they belong to no step."""
        first_step, began = self.since
        if first_step:
            self.since = (first_step, began + seconds)

    def told(self) -> Iterator[LogWritten]:
        """What there is to say since the last call; mostly nothing."""
        while self.news:
            yield self.news.pop(0)

    def close(self) -> None:
        """The session ends, however it ends."""
        self.sample = None
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    # --- one look -------------------------------------------------------------------------------
    def _do(self, work: Callable[[_Sample], None]) -> None:
        """Do and time one piece of a look; an error in it ends the looking, not the training."""
        sample = self.sample
        if sample is None:
            return
        try:
            wait_for(self.plan.device)  # or the training's work would be counted as the look's
            began = self.clock()
            with torch.no_grad():
                work(sample)
            wait_for(self.plan.device)
            sample.cost += self.clock() - began
        except (LabError, OSError, MemoryError, RuntimeError) as error:
            self._give_up(error)

    def _listen(self, sample: _Sample, hooks: list[RemovableHandle]) -> None:
        """Keep, for this forward pass, the output behind each layer."""
        if self.writer is None:
            given = self.plan.preprocess
            self.layers = watched_layers(
                self.plan.network, channels=given.channels, image_size=given.image_size
            )
            names = tuple(layer.name for layer in self.layers)
            activations = tuple(layer.activation for layer in self.layers)
            self.writer = LayerWriter(self.plan.folder, names, activations)
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

    def _look_at_outputs(self, sample: _Sample) -> None:
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

    def _look_at_gradients(self, sample: _Sample) -> None:
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

    def _look_at_weights(self, sample: _Sample) -> None:
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
    def _plan_next(self, sample: _Sample) -> None:
        """Settle on a spacing that keeps to SHARE of the session's whole time so far."""
        first_step, began = self.since
        if not first_step:
            # The first look of a session allocates and finds its layers, the first step likewise:
            # no measure of the others. A resumed run knows its spacing already.
            self.since = (sample.step, self.clock())
            self.due = sample.step + (self.every if self.settled else self.least_every)
            return
        self.spent += sample.cost
        self.costs.append(sample.cost)
        step_seconds = (self.clock() - began - self.spent) / (sample.step - first_step)
        # While they are few, without the largest: it may be another program's doing. Later all of
        # them, as on a busy machine the steps take longer, too.
        few = len(self.costs) <= 5
        cost = statistics.fmean((sorted(self.costs)[:-1] if few else None) or self.costs)
        needed = max(self.least_every, spacing(cost, step_seconds))
        # A spacing that keeps changing is hard to read: it shrinks only for a gain of two.
        if needed > self.every or needed <= self.every // 2:
            self.every = needed
        if not self.settled:
            # One measurement may be far off, and a short run be over before the next one.
            self.gap = min(self.every, max(10, 2 * self.gap))
            self.due = sample.step + max(self.gap, self.least_every)
            if self.gap == self.every:
                self.settled = True
                self.news.append(_told(self.every, cost, step_seconds))
            return
        self.due = sample.step + self.every

    def _give_up(self, error: BaseException) -> None:
        self.on = False
        self.close()
        self.layers = ()
        logger.warning("gradient health off in %s", self.plan.folder.name, exc_info=error)
        text = f"Gradient health off: {reason(error)} The training goes on."
        self.news.append(LogWritten("warning", text))


def spacing(cost: float, step_seconds: float) -> int:
    """After how many steps a look that costs `cost` seconds keeps to SHARE, rounded up to 1, 2, 3,
    5, 7, 10, 15, 20, 30, 50, ..."""
    needed = max(1.0, cost / max(1e-9, SHARE * step_seconds))
    scale = 10 ** math.floor(math.log10(needed))
    return next(n for d in (1, 1.5, 2, 3, 5, 7, 10) if (n := int(d * scale)) > 0.99 * needed)


def _told(every: int, cost: float, step_seconds: float) -> LogWritten:
    often = "every step" if every == 1 else f"every {ordinal(every)} step"
    return LogWritten(
        "info",
        f"Gradient health looks at {often}, as far as can be told yet: a look costs {_short(cost)} "
        f"beside {_short(step_seconds)} for a step, and at most 3% of the time are for it.",
    )


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.2g} ms" if seconds < 0.0995 else f"{seconds:.2g} s"
