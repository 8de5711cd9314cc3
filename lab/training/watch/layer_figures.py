"""What a sample computes of a layer. Tensors stay on their device; arrays are on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.training.watch.layer_file import BINS

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

FLAT = {"sigmoid": (0.05, 0.95), "hardsigmoid": (0.05, 0.95), "tanh": (-0.95, 0.95)}
"""Activation -> outside of which values its curve is flat."""

CAN_DIE = ("relu", "relu6")
"""Activations that put out exactly zero for half of all inputs and pass no gradient there."""


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """L2 norm of each, in float32 or better; in a few kernels for all of them."""
    wide = [t if t.dtype in (torch.float32, torch.float64) else t.float() for t in tensors]
    return list(torch._foreach_norm(wide)) if wide else []


def picked(tensor: Tensor, most: int) -> Tensor:
    """At most `most` values of `tensor`, evenly picked in the order in which they lie in memory:
    (n,), all of them where they are no more. A view where that is possible."""
    if tensor.ndim == 4 and not tensor.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)  # channels last: contiguous in this order
    flat = tensor.reshape(-1)
    step = math.ceil(len(flat) / most)
    # Always the same few channels would be picked if the step divided their number.
    while step > 1 and math.gcd(step, tensor.shape[-1]) > 1:
        step += 1
    return flat[::step]


def dead_share(output: Tensor, unit_dimension: int) -> Tensor:
    """() share of units that are zero everywhere in `output`, the output of a ReLU."""
    units = output.movedim(unit_dimension, -1)
    highest = units.reshape(-1, units.shape[-1]).amax(0)
    return (highest == 0).float().mean()


def summarised(
    values: npt.NDArray[np.float32], sizes: Sequence[int], activations: Sequence[str]
) -> tuple[Floats, Floats, Counts]:
    """Of the values of L layers on end, `sizes[i]` of layer i: the share in the flat ends (L,), NaN
    where the activation has none; lowest and highest (2, L), NaN where there is no finite value;
    and how many lie in each of the bins between these (L, BINS)."""
    numbers = values.astype(np.float64)  # the span of float32 values may be beyond float32
    layers = len(sizes)
    owner = np.repeat(np.arange(layers), sizes)
    ends = np.cumsum(sizes)
    saturated = np.full(layers, np.nan)
    for layer, name in enumerate(activations):
        if name in FLAT and sizes[layer]:
            low, high = FLAT[name]
            own = numbers[ends[layer] - sizes[layer] : ends[layer]]
            saturated[layer] = np.mean((own < low) | (own > high))

    finite = np.isfinite(numbers)
    if not finite.all():
        numbers, owner = numbers[finite], owner[finite]
    found = np.bincount(owner, minlength=layers)
    there = found > 0
    starts = (np.cumsum(found) - found)[there]
    ranges = np.full((2, layers), np.nan)
    if there.any():
        ranges[0, there] = np.minimum.reduceat(numbers, starts)
        ranges[1, there] = np.maximum.reduceat(numbers, starts)
    ranges[:, ranges[0] == ranges[1]] += np.array([[-0.5], [0.5]])  # a bin needs some width
    # Width of the bins, and where the first of each layer is, in bins.
    per_bin = BINS / (ranges[1] - ranges[0])
    numbers = numbers * np.repeat(per_bin, found) - np.repeat(ranges[0] * per_bin, found)
    place = np.clip(numbers.astype(np.int64), 0, BINS - 1) + owner * BINS
    counts = np.bincount(place, minlength=layers * BINS).reshape(layers, BINS)
    return saturated, ranges, counts
