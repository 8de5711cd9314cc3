"""What a ramp of learning rates says: where the loss falls, told apart from its noise.

start ────┐                         ╱  thrown off
          └╲                       ╱
      low   ╲  <- a tenth of the fall
             ╲
suggested     ╲  <- the middle of the two rates
      high     ╲__ <- nine tenths
                   lowest
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WIDTH = 0.15
"""Deviation of the smoothing, in powers of ten: at 20 steps each, an average over about ten."""

CEILING = 2.0
"""Losses above so many times the first ones are smoothed as just that: at the end they grow without
bounds, and a million must not reach back over the steps before it."""

BEGINNING = 1.0
"""Powers of ten at the low end, over which the loss before any learning is averaged."""

SURE = 4.5
"""A fall counts when it is so many times its standard error: the lowest of a hundred noisy points
is some 3 below their mean by itself."""

CLEAR = 0.02
"""And at least this share of the first loss: less is of no use to anybody."""

FEWEST = 12
"""Steps from which a curve can be read at all."""


@dataclass(frozen=True, eq=False)
class RateReading:
    """As the fields of the same names of `lab.training.lr_finder.ramp.RateFinding`."""

    smoothed: Floats
    low: float | None
    high: float | None
    suggested: float | None
    reason: str


def read_curve(rates: Floats, losses: Floats) -> RateReading:
    """Smooth the losses (n,) of ascending `rates` (n,), n at least 1, and find where they fall.

    The range begins where a tenth of the whole fall is done and ends where nine tenths are; the
    suggestion is the rate in their middle, in powers of ten.
    """
    x = np.log10(rates)
    smoothed, wideness = _smoothed(x, losses)
    lowest = int(smoothed.argmin())
    beginning = int(np.count_nonzero(x <= x[0] + BEGINNING))
    finite = losses[:beginning][np.isfinite(losses[:beginning])]
    start = float(finite.mean()) if len(finite) else float("nan")
    fall = start - float(smoothed[lowest])
    noise = _noise(losses[: max(lowest, 2 * beginning) + 1])
    error = noise * float(np.sqrt(1 / wideness[lowest] + 1 / max(1, len(finite))))
    if not np.isfinite(start):
        reason = "No suggestion: the loss is no number from the first step on."
        return RateReading(smoothed, None, None, None, reason)
    if len(losses) < FEWEST:
        reason = (
            f"No suggestion: the loss went from {start:.3g} beyond all bounds within "
            f"{len(losses)} steps, at the very lowest rates. Look at the pixel scaling and the "
            "class balancing first."
        )
        return RateReading(smoothed, None, None, None, reason)
    if not fall >= max(CLEAR * start, SURE * error):
        return RateReading(smoothed, None, None, None, _why_none(rates, smoothed, start, error))
    low, high = (
        float(rates[_passed(smoothed, lowest, start - share * fall)]) for share in (0.1, 0.9)
    )
    middle = float(np.sqrt(low * high))
    reason = (
        f"The loss stood at {start:.3g} while the rate was too small to matter, began to fall "
        f"clearly near {low:.1e}, had nearly stopped falling at {high:.1e}, and was lowest "
        f"({smoothed[lowest]:.3g}) at {rates[lowest]:.1e}; beyond that it rose again. The middle "
        f"of the fall is {middle:.1e}: large enough that every step counts, with some distance to "
        "the rates that throw the network off."
    )
    if lowest >= len(losses) - 2:
        reason = reason.replace("; beyond that it rose again", ", the highest rate tried")
    return RateReading(smoothed, low, high, middle, reason)


def _why_none(rates: Floats, smoothed: Floats, start: float, error: float) -> str:
    """The sentences for a curve without a clear fall."""
    fall = start - float(smoothed.min())
    rise = float(smoothed[-1]) - start
    if fall >= CLEAR * start:
        return (
            f"No suggestion: the loss falls by {fall:.2g} from {start:.3g}, but its batches "
            f"differ so much that a fall below {SURE * error:.2g} may be chance. A larger batch "
            "makes less noise. Or try some rates in short runs."
        )
    if rise > max(SURE * error, CLEAR * start):
        where = float(rates[int(np.argmax(smoothed > start + 0.5 * rise))])
        return (
            f"No suggestion: the loss never falls clearly below {start:.3g}, and from about "
            f"{where:.1e} on it rises. In one short ramp this network learns at none of the rates; "
            f"a run may still learn slowly below {where / 10:.1e}."
        )
    return (
        f"No suggestion: the curve is flat. The loss stays at {start:.3g} at every rate, so no "
        "rate is better than another: what holds this network back is something else, for "
        "example a gradient that fades in deep sigmoid layers."
    )


def _smoothed(x: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """A Gaussian average over `x` (n,), and over how many points each value (n,) averages."""
    first = losses[:5][np.isfinite(losses[:5])]
    ceiling = CEILING * float(np.median(first)) if len(first) else 1.0
    kept = np.minimum(np.where(np.isfinite(losses), losses, ceiling), ceiling)
    weights = np.exp(-0.5 * ((x[:, None] - x[None, :]) / WIDTH) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ kept, 1 / np.square(weights).sum(axis=1)


def _noise(losses: Floats) -> float:
    """The deviation of one batch's loss, from neighbours' differences: a slope adds little."""
    steps = np.diff(losses[np.isfinite(losses)])
    return float(np.sqrt(np.mean(np.square(steps)) / 2)) if len(steps) else 0.0


def _passed(smoothed: Floats, lowest: int, level: float) -> int:
    """The first place from which on, up to the lowest one, the curve stays at or below `level`."""
    above = np.flatnonzero(smoothed[: lowest + 1] > level)
    return int(above[-1]) + 1 if len(above) else 0
