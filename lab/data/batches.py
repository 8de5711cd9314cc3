"""Batches: rows of a memory-mapped pack, moved to the device as bytes, made network input there.

A training batch is a pure function of (seed, epoch, step): any of them can be made without those
before it, and that is all there is to resuming in the middle of an epoch. Nothing here has state or
threads.

No helper thread prepares the next batch, for there is nothing to hide (CPU ms, one thread, plain to
all knobs on): 256 x 28x28 takes 0.3 to 1.5 against 130 for the step of a small CNN, 32 x 224x224x3
takes 9 to 40 against 4,100 of ResNet-18. It shows only beside perceptrons (6 to 12 a step).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.config import RunConfig
from lab.data.augment import Augmentation
from lab.data.mixing import Mix, draw_mix, mix_batch
from lab.data.preprocess import Preprocess, to_pixels
from lab.data.splits import Splits, Stream, epoch_order, random_seed, step_edges

if TYPE_CHECKING:
    from lab.data.pack import Pack


CACHED_PIXELS = 8 * 224 * 224
"""Of the images that go together through a network on a CPU."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images and labels of one step, ready for the network."""

    images: Tensor
    """(N, C, H, W) float32 normalised, channels-last in memory, on the device; where frozen layers
    run once (`lab.training.source`), their features (N, ...)."""
    labels: Tensor
    """(N,) int64, on the device."""
    indices: npt.NDArray[np.int64]
    """(N,) their indices into the pack."""
    mix: Mix | None = None
    """What the labels are mixed with, where mixup or CutMix has mixed the images."""

    @property
    def counted_labels(self) -> Tensor:
        """(N,) the labels that a right answer names: of mixed images that of the larger share."""
        return self.labels if self.mix is None else self.mix.larger(self.labels)


def train_batches(
    pack: Pack,
    splits: Splits,
    config: RunConfig,
    preprocess: Preprocess,
    *,
    epoch: int,
    start_step: int = 0,
    device: torch.device | str,
) -> Iterator[Batch]:
    """The batches of one epoch, shuffled and augmented, from step `start_step` (counted from 0) on.

    Starting later gives exactly the batches that starting at 0 gives from there. How many there are
    and how large they are: `lab.data.splits.step_edges`.
    """
    for step, rows in train_rows(pack, splits, config, epoch=epoch, start_step=start_step):
        images = train_images(pack, rows, config, preprocess, epoch=epoch, step=step, device=device)
        labels, mix = labels_of(pack, rows, device), None
        if config.mixes:
            seed = random_seed(config.seed, Stream.MIXING, epoch, step)
            draw = draw_mix(config, images.shape[-1], seed)
            images, mix = mix_batch(images, labels, draw)
        yield Batch(images, labels, rows, mix)


def train_rows(
    pack: Pack, splits: Splits, config: RunConfig, *, epoch: int, start_step: int = 0
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """The steps of one epoch, counted from 0, and the indices (n,) of its images in the pack."""
    order = epoch_order(splits, config, epoch=epoch, labels=pack.labels)
    edges = step_edges(splits, config, pack.labels)
    for step in range(start_step, len(edges) - 1):
        yield step, order[edges[step] : edges[step + 1]]


def train_images(
    pack: Pack,
    rows: npt.NDArray[np.int64],
    config: RunConfig,
    preprocess: Preprocess,
    *,
    epoch: int,
    step: int,
    device: torch.device | str,
) -> Tensor:
    """(n, C, H, W) float32 normalised: the images of one training step, augmented if asked."""
    images = preprocess.to_float(_move(pack.take(rows), device))
    augmentation = Augmentation(config)
    if augmentation.active:
        # Seeded for this step alone, and on the CPU whatever the device, so that every device sees
        # the same changes.
        generator = torch.Generator()
        generator.manual_seed(random_seed(config.seed, Stream.AUGMENTATION, epoch, step))
        images = augmentation(images, generator)
    return preprocess.normalise(images)


def preview_batch(
    images: npt.NDArray[np.uint8], config: RunConfig, *, seed: int
) -> npt.NDArray[np.uint8]:
    """A batch as training would change it: (N, S, S, C) uint8 -> the same."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32).div_(255)
    x = Augmentation(config)(x, torch.Generator().manual_seed(seed))
    if config.mixes:
        x, _ = mix_batch(x, torch.zeros(len(x)), draw_mix(config, x.shape[-1], seed))
    return to_pixels(x).numpy()


def eval_images(
    pack: Pack,
    rows: npt.NDArray[np.int64],
    preprocess: Preprocess,
    *,
    device: torch.device | str,
) -> Tensor:
    """(n, C, H, W) float32 normalised: these images, not augmented."""
    return preprocess(_move(pack.take(rows), device))


def labels_of(pack: Pack, rows: npt.NDArray[np.int64], device: torch.device | str) -> Tensor:
    """(n,) int64 on the device."""
    return _move(pack.labels[rows], device)


def eval_batch_size(config: RunConfig, image_size: int, device: torch.device | str) -> int:
    """The batch size of forward passes without gradients, in the evaluation of a run and in frozen
    layers.

    On a CPU so few images that what they become between two layers stays in its cache, which is a
    third faster than a batch of 64 photographs; and a stop need not wait for more. The same for
    every evaluation of a run: with another batch size the last bits may differ.
    """
    if torch.device(device).type == "cpu":
        return min(256, max(1, CACHED_PIXELS // image_size**2))
    return max(config.batch_size, 256 if image_size < 64 else 64)


def eval_batches(
    pack: Pack,
    indices: npt.NDArray[np.int64],
    preprocess: Preprocess,
    *,
    batch_size: int,
    device: torch.device | str,
) -> Iterator[Batch]:
    """These images of the pack in the given order, as they are: never shuffled, never augmented.

    The last batch is what is left; averages over batches are therefore weighted by their sample
    counts.
    """
    for start in range(0, len(indices), batch_size):
        rows = indices[start : start + batch_size]
        images = eval_images(pack, rows, preprocess, device=device)
        yield Batch(images, labels_of(pack, rows, device), rows)


def _move(
    array: npt.NDArray[np.uint8] | npt.NDArray[np.int64], device: torch.device | str
) -> Tensor:
    """A freshly made array as a tensor on the device; towards CUDA without waiting for the copy."""
    tensor = torch.from_numpy(np.asarray(array))
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
