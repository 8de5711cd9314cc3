"""The learning-rate finder: which rates move this network at all, and which throw it off.

    the run's own network, data and optimizer, in a place of their own
    for a rate that grows by the same factor at every step:
        one training step at that rate; note the loss before it
        the loss far above where it was?  enough
    where did the loss begin to fall, where did it stop falling  ->  a range, and one rate in it

After L. N. Smith, "Cyclical learning rates for training neural networks" (WACV 2017), who raises
the rate linearly; the exponential ramp, which spends as many steps on each power of ten, is the
usual form since. What comes out is a place to start. Measured once against three epochs of training
at each of ten rates (nine pairs of network and drawn data, three optimizers, three seeds): of 27
ramps, 23 gave a rate, and it lay within a power of ten of the best one, mostly below it. The other
four gave none: three of a network that learned at no rate, one too noisy to tell. (The rule was
chosen on these same ramps, so this says how well it fits, not how well it predicts.)

Runs in the thread that calls it. It builds a network of its own and writes nothing but what frozen
layers put out, which any run with the same data then finds (`lab.training.frozen.feature_bank`).
No run, no published weights and no process-wide random state are touched.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lab.config import RunConfig
from lab.data.batches import Batch
from lab.models.freezing import apply_freeze
from lab.process import trim_memory
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.training.devices import here
from lab.training.failures import out_of_memory, out_of_memory_as
from lab.training.lr_finder.curve import RateReading, read_curve
from lab.training.plan import Plan, make_plan
from lab.training.source import Source, open_source
from lab.training.stepper import Stepper

STEPS = 100
"""Of a ramp: about twenty for each power of ten. With half as many, the fall of a small network on
two classes drowned in the noise of its batches (drawn cats and dogs, four tries of four). Where one
pass over the training images has fewer steps, it is begun again."""

HIGHEST = {"adam": 1.0, "adamw": 1.0, "rmsprop": 1.0, "sgd": 10.0}
"""Rates that hardly a network stands; the ramp mostly ends before."""

POWERS = 5
"""Of ten, below the highest, from which the ramp begins: nothing happens there yet."""

MORE_POWERS = 6
"""For RMSprop and for trained weights, which both want smaller rates."""

TOO_FAR = 4.0
"""The ramp ends when the loss is so many times the best one, and above the one it began with."""

SLOWNESS = 0.7
"""Of the running average that is compared: one bad batch must not end the ramp."""


@dataclass(frozen=True, eq=False)
class RateFinding:
    """A ramp of n steps and what it says. Rates ascend; losses are means over a batch, in nats."""

    rates: npt.NDArray[np.float64]
    """(n,)"""
    losses: npt.NDArray[np.float64]
    """(n,) of each step's batch, before the step; the last may be NaN or infinite."""
    smoothed: npt.NDArray[np.float64]
    """(n,) the losses without most of their noise; not shifted against the rates."""
    low: float | None
    """From this rate on the loss falls clearly; None, like the two below, when the ramp does not
    tell."""
    high: float | None
    """From this rate on it hardly falls any more."""
    suggested: float | None
    reason: str
    """Why these, or why none; sentences for the person."""
    passes: int
    """Over the training images, begun."""
    ended_early: bool
    """The loss went too far before the highest rate was reached."""


def find_rates(
    config: RunConfig, *, progress: Report = silent, cancel: Cancel = never
) -> RateFinding:
    """Ramp the learning rate over the first 100 training steps of a run and read the losses.

    Batches, augmentation, dropout, class weights, freezing and optimizer are those of the run's
    first epoch; the rate, its schedule and the number of epochs play no part. A pure function of
    the config on one machine. Raises LabError: ConfigError, NotFoundError, DataError, WeightsError,
    ResourceError, Cancelled.
    """
    with here(), tempfile.TemporaryDirectory(prefix="lab-rates-") as folder:
        # A hundred steps do not pay for compiling, or for several workers, which change nothing but
        # rounding.
        tried = config.changed(compile_steps="off", warmup_epochs=0, workers=1)
        plan = make_plan(tried, folder=Path(folder), progress=progress, cancel=cancel)
        try:
            with out_of_memory_as(out_of_memory(config.batch_size, plan.config.image_size)):
                return _ramp(plan, progress, cancel)
        finally:
            trim_memory()


def ramp(config: RunConfig) -> npt.NDArray[np.float64]:
    """(n,) the rates to try, the same factor from each to the next."""
    more = config.optimizer == "rmsprop" or config.freeze in ("full", "last_k")
    highest = HIGHEST[config.optimizer]
    return np.geomspace(highest / 10 ** (MORE_POWERS if more else POWERS), highest, STEPS)


def _ramp(plan: Plan, progress: Report, cancel: Cancel) -> RateFinding:
    rates = ramp(plan.config)
    apply_freeze(plan.network, plan.config, phase=1)
    source, _ = open_source(plan.images())
    losses: list[float] = []
    passes = 0
    try:
        plan.network.train()
        stepper = plan.stepper()
        stepper.begin_phase()
        for epoch, batch in _batches(source):
            passes = epoch
            check_cancel(cancel, "The search for a learning rate")
            if batch is None:
                continue
            losses.append(_take_step(stepper, source, batch, float(rates[len(losses)])))
            progress(Progress(len(losses), len(rates), "Trying rates", "steps"))
            if len(losses) == len(rates) or _too_far(losses):
                break
    finally:
        source.close()
    tried, seen = rates[: len(losses)], np.array(losses)
    reading = read_curve(tried, seen)
    return RateFinding(
        rates=tried,
        losses=seen,
        smoothed=reading.smoothed,
        low=reading.low,
        high=reading.high,
        suggested=reading.suggested,
        reason=_reason(plan, reading),
        passes=passes,
        ended_early=len(losses) < len(rates),
    )


def _batches(source: Source) -> Iterator[tuple[int, Batch | None]]:
    """The run's own training batches, epoch after epoch, with the number of the epoch."""
    epoch = 0
    while True:
        epoch += 1
        for batch in source.train(epoch, 0):
            yield epoch, batch  # None: frozen layers have run on some images


def _take_step(stepper: Stepper, source: Source, batch: Batch, rate: float) -> float:
    """Returns the batch's loss before the step; one that is no number is not followed."""
    loss, _ = stepper.forward(source, batch)
    value = float(loss.detach())
    if math.isfinite(value):
        stepper.backward(loss)
        stepper.update(rate)
    return value


def _too_far(losses: list[float]) -> bool:
    """Whether a running average of the losses is far above its best value and its first ones."""
    if not math.isfinite(losses[-1]):
        return True
    average, best = losses[0], losses[0]
    for loss in losses[1:]:
        average = SLOWNESS * average + (1 - SLOWNESS) * loss
        best = min(best, average)
    began = sum(losses[:5]) / len(losses[:5])
    return average > TOO_FAR * best and average > began


def _reason(plan: Plan, reading: RateReading) -> str:
    """The curve's own reason, and what else must be known to use the rate."""
    if reading.suggested is not None and plan.config.freeze == "two_phase":
        factor = plan.config.second_phase_factor
        return (
            f"{reading.reason} This is the first phase's rate, with only the head trained; the "
            f"second phase multiplies it by {factor:g}."
        )
    return reading.reason
