"""What watches a training keeps to a share of the training's time, and speaks with one voice.

    film strip      a sample after every n-th epoch     (lab.training.watch.film_strip)
    layer health    a sample at every n-th step         (lab.training.watch.layer_health)

Both are extras: what goes wrong in one of them is said once, and the run goes on without it.
"""

from __future__ import annotations

import math
from collections import deque

from lab.errors import LabError
from lab.training.events import LogWritten
from lab.training.failures import is_out_of_memory

NEWEST = 5
"""Measured costs of which the least counts: what other programs do to a measurement only ever adds
to it."""


class Budget:
    """After every how many units of training, epochs or steps, a sample keeps to `share` of the
    time that they take; `least_every` where samples must be few for other reasons."""

    def __init__(self, share: float, *, least_every: int = 1) -> None:
        self.share = share
        self.least_every = least_every
        self.every = least_every
        self._costs: deque[float] = deque(maxlen=NEWEST)

    @property
    def cost(self) -> float:
        """Seconds that a sample takes; 0 until one was measured."""
        return min(self._costs, default=0.0)

    def add(self, seconds: float) -> None:
        """One sample took so long."""
        self._costs.append(seconds)

    def forget_costs(self) -> None:
        """Samples cost something else from now on."""
        self._costs.clear()

    def resume(self, every: int) -> None:
        """Go on with the spacing of an earlier session."""
        self.every = max(self.every, every)

    def adapt(self, unit_seconds: float) -> bool:
        """Settle `every` for units that take `unit_seconds` to train; True when it changed.

        A spacing that keeps changing is hard to read: it shrinks only for a gain of two, which
        makes good a measurement that was spoiled.
        """
        needed = max(self.least_every, _spacing(self.cost, self.share * unit_seconds))
        if self.every // 2 < needed <= self.every:
            return False
        self.every = needed
        return True


def _spacing(cost: float, allowed: float) -> int:
    """After how many units a sample of `cost` seconds has been earned, at `allowed` seconds a unit:
    rounded up to 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, ..."""
    needed = max(1.0, cost / max(1e-9, allowed))
    scale = 10 ** math.floor(math.log10(needed))
    return next(n for d in (1, 1.5, 2, 3, 5, 7, 10) if (n := int(d * scale)) > 0.99 * needed)


def switched_off(what: str, error: BaseException) -> LogWritten:
    """What is said once when `error` ends the watching."""
    if isinstance(error, LabError):
        reason = str(error)
    elif is_out_of_memory(error):
        reason = "there is not enough memory for it beside the training."
    else:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}."
    return LogWritten("warning", f"{what} off: {reason} The training goes on.")


def ordinal(number: int) -> str:
    """2 -> "2nd"."""
    teens = 10 <= number % 100 <= 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
