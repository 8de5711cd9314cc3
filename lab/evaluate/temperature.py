"""Temperature scaling: probabilities made as sure as they are right, and no answer changed.

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017:
logits / T before the softmax, with the T that gives the validation images the smallest
cross-entropy. T above 1 makes a network less sure, below 1 surer; the order of the classes stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lab.evaluate.metrics import Calibration, Floats, Ints, calibration, calibration_by_luck
from lab.evaluate.predictions import Predictions

COLDEST, HOTTEST = 0.05, 20.0
"""Where the search for a temperature ends: a network that is right on every validation image could
be made surer and surer."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """A temperature from the validation images, and what it does to other images."""

    temperature: float
    val_images: int
    loss: tuple[float, float]
    """Mean cross-entropy in nats before and after, of the other images."""
    before: Calibration
    after: Calibration
    luck: tuple[float, float]
    """The calibration errors that 95 of 100 perfectly calibrated networks as sure as `after` show
    on as many images."""

    @property
    def helps(self) -> bool:
        return self.loss[1] < self.loss[0]

    @property
    def at_its_end(self) -> bool:
        """Whether the validation images gave no temperature of their own."""
        return not COLDEST * 1.001 < self.temperature < HOTTEST / 1.001


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """Returns the temperature with the smallest mean cross-entropy; `logits` (n, K), also such as
    are known up to a number an image; `labels` (n,)."""
    from scipy.optimize import brentq  # here: most pages need no scipy

    true = logits[np.arange(len(labels)), labels]

    def slope(log_sharpness: float) -> float:
        """Of the cross-entropy, which is convex in 1 / T: it has one lowest place."""
        expected = (scaled(logits, float(np.exp(-log_sharpness))) * logits).sum(axis=1)
        return float((expected - true).mean())

    low, high = -np.log(HOTTEST), -np.log(COLDEST)
    if slope(high) <= 0:
        return COLDEST
    return HOTTEST if slope(low) >= 0 else float(np.exp(-brentq(slope, low, high, xtol=1e-6)))


def scaled(logits: npt.NDArray[np.floating], temperature: float) -> Floats:
    """(n, K) or (K,) logits, or logarithms of probabilities -> probabilities at a temperature."""
    sharpened = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(sharpened - sharpened.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def scaling(val: Predictions, other: Predictions, groups: Ints | None = None) -> Scaling:
    """Returns the temperature of `val` and what it does to the images of `other`.

    `groups` (N,) of the pack: images with the same number are copies of one picture.
    """
    temperature = fit_temperature(val.log_probabilities, val.labels)
    probabilities = scaled(other.log_probabilities, temperature)
    true = np.maximum(probabilities[np.arange(len(other)), other.labels], np.finfo(float).tiny)
    confidence = probabilities.max(axis=1)
    return Scaling(
        temperature=temperature,
        val_images=len(val),
        loss=(float(other.losses.mean(dtype=np.float64)), float(-np.log(true).mean())),
        before=calibration(other.probabilities.max(axis=1), other.right),
        after=calibration(confidence, other.right),
        luck=calibration_by_luck(confidence, None if groups is None else groups[other.indices]),
    )
