"""What the network is trained on: images, or the kept outputs of its frozen layers.

    Images      every step runs the whole network
    Features    frozen layers run once an image, every step runs what is trained behind them

Both give the same batches in the same order; `fit` does not need to know which one it has. Live in
the training thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.config import KNOBS, RunConfig
from lab.data.batches import (
    Batch,
    eval_batch_size,
    eval_batches,
    eval_images,
    labels_of,
    train_batches,
    train_images,
    train_rows,
)
from lab.data.pack import Pack
from lab.data.preprocess import Preprocess
from lab.data.splits import Splits
from lab.errors import ResourceError
from lab.models.staged import StagedNet
from lab.training.breaking_off import checked_before_layers
from lab.training.frozen.feature_bank import FeatureBank
from lab.training.frozen.features import (
    Cut,
    FrozenFeatures,
    after,
    feature_key,
    find_cut,
    frozen_part,
    row_shape,
)
from lab.training.speed.decisions import Decision

Rows = npt.NDArray[np.int64]

WHAT = "Frozen layers"


class Source(Protocol):
    """Batches, and how they become logits."""

    def train(self, epoch: int, start_step: int) -> Iterator[Batch | None]:
        """The training steps of one epoch from `start_step` (counted from 0) on; None after each
        piece of work of frozen layers that run once."""
        ...

    def fill(self, rows: Rows) -> Iterator[None]:
        """Run frozen layers that run once on those of the pack's images `rows` on which they have
        not run, a piece between two yields."""
        ...

    def in_order(self, rows: Rows) -> Iterator[Batch]:
        """These images of the pack in the given order, never augmented; after `fill`."""
        ...

    @property
    def filled(self) -> int:
        """On how many images, and views of images, frozen layers have run."""
        ...

    def missing(self, rows: Rows) -> int:
        """On how many of the pack's images `rows` frozen layers that run once have not run."""
        ...

    def missing_in_epoch(self, epoch: int) -> int:
        """As `missing`, of the images that `epoch` trains on, as they are augmented then."""
        ...

    def ready(self, images: Tensor) -> Tensor:
        """`Batch.images` as they should lie in memory."""
        ...

    def forward(self, ready: Tensor) -> Tensor:
        """What is left to do of the network: -> logits (N, K). This is what can be compiled."""
        ...

    def logits(self, images: Tensor) -> Tensor:
        """`Batch.images` -> (N, K): both of these."""
        ...

    def keep(self) -> None:
        """Put on disk what later epochs, a resume or another run can use."""
        ...

    def close(self) -> None:
        """As `keep`, and let others use it."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Images:
    """The images themselves, through the whole network."""

    network: StagedNet
    config: RunConfig
    pack: Pack
    splits: Splits
    preprocess: Preprocess
    device: torch.device
    memory_format: torch.memory_format

    def train(self, epoch: int, start_step: int) -> Iterator[Batch | None]:
        return train_batches(
            self.pack,
            self.splits,
            self.config,
            self.preprocess,
            epoch=epoch,
            start_step=start_step,
            device=self.device,
        )

    def fill(self, rows: Rows) -> Iterator[None]:
        return iter(())

    def in_order(self, rows: Rows) -> Iterator[Batch]:
        return eval_batches(
            self.pack,
            rows,
            self.preprocess,
            batch_size=eval_batch_size(self.config, self.pack.meta.image_size, self.device),
            device=self.device,
        )

    @property
    def filled(self) -> int:
        return 0

    def missing(self, rows: Rows) -> int:
        return 0

    def missing_in_epoch(self, epoch: int) -> int:
        return 0

    def ready(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=self.memory_format)

    def forward(self, ready: Tensor) -> Tensor:
        return cast("Tensor", self.network(ready))

    def logits(self, images: Tensor) -> Tensor:
        return self.forward(self.ready(images))

    def keep(self) -> None:
        return None

    def close(self) -> None:
        return None


class Features:
    """What the frozen layers put out for `images`, through what is behind them."""

    def __init__(
        self, images: Images, cut: Cut, bank: FeatureBank, before_layer: Callable[[], None]
    ) -> None:
        self._images, self._cut, self._bank = images, cut, bank
        self._before_layer = before_layer
        frozen = frozen_part(images.network, cut)
        self._frozen = frozen.to(memory_format=images.memory_format)
        self._features = FrozenFeatures(
            bank, images.pack, forward=self._run_frozen, device=images.device
        )

        self._eval_batch = eval_batch_size(
            images.config, images.pack.meta.image_size, images.device
        )

    def _run_frozen(self, images: Tensor) -> Tensor:
        with checked_before_layers(self._frozen, self._before_layer):
            return cast("Tensor", self._frozen(self._images.ready(images)))

    def train(self, epoch: int, start_step: int) -> Iterator[Batch | None]:
        pack, config, device = self._images.pack, self._images.config, self._images.device
        splits, preprocess = self._images.splits, self._images.preprocess
        view = self._view(epoch)
        for step, rows in train_rows(pack, splits, config, epoch=epoch, start_step=start_step):

            def images(mask: npt.NDArray[np.bool_], rows: Rows = rows, step: int = step) -> Tensor:
                if not view:
                    return eval_images(pack, rows[mask], preprocess, device=device)
                return train_images(
                    pack, rows, config, preprocess, epoch=epoch, step=step, device=device
                )[mask]

            yield from self._features.fill(rows, images, piece=self._eval_batch, view=view)
            features = self._features.read(rows, view=view)
            yield Batch(features, labels_of(pack, rows, device), rows)

    def fill(self, rows: Rows) -> Iterator[None]:
        pack, preprocess, device = self._images.pack, self._images.preprocess, self._images.device
        for part in self._parts(rows):

            def images(mask: npt.NDArray[np.bool_], part: Rows = part) -> Tensor:
                return eval_images(pack, part[mask], preprocess, device=device)

            yield from self._features.fill(part, images, piece=self._eval_batch)

    def in_order(self, rows: Rows) -> Iterator[Batch]:
        for part in self._parts(rows):
            labels = labels_of(self._images.pack, part, self._images.device)
            yield Batch(self._features.read(part), labels, part)

    def _parts(self, rows: Rows) -> Iterator[Rows]:
        size = self._eval_batch
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def _view(self, epoch: int) -> int:
        """Epoch 1 makes view 1 and so on; from then on they come round again. 0 without them."""
        config = self._images.config
        views = config.kept_views if config.augments else 0
        return (epoch - 1) % views + 1 if views else 0

    @property
    def filled(self) -> int:
        return self._bank.filled

    def missing(self, rows: Rows) -> int:
        return self._features.missing(rows)

    def missing_in_epoch(self, epoch: int) -> int:
        images = self._images
        steps = train_rows(images.pack, images.splits, images.config, epoch=epoch)
        rows = np.concatenate([rows for _, rows in steps])
        return self._features.missing(rows, view=self._view(epoch))

    def ready(self, images: Tensor) -> Tensor:
        return images

    def forward(self, ready: Tensor) -> Tensor:
        return after(self._images.network, self._cut, ready)

    def logits(self, images: Tensor) -> Tensor:
        return self.forward(images)

    def keep(self) -> None:
        self._bank.flush()

    def close(self) -> None:
        self._bank.close()


def open_source(
    images: Images, *, before_layer: Callable[[], None] = lambda: None
) -> tuple[Source, Decision | None]:
    """`images` themselves or their features, by what is frozen in their network now; and the
    decision in words where something is frozen.

    `before_layer` is called before each frozen layer that runs once, and may break it off.
    """
    cut = find_cut(images.network)
    if cut is None:
        return images, None
    config = images.config
    behind = f"{cut.stage} and what follows" if cut.stage != "head" else "the head"
    if config.frozen_features == "off":
        return images, Decision(WHAT, "run at every step", "as asked")
    if config.workers > 1:
        reason = f"{config.workers} workers may be on as many machines, which keep no features"
        return images, Decision(WHAT, "run at every step", f"{reason} in common")
    if not config.keeps_features:
        reason = (
            "mixup and CutMix make other pictures of each batch, and mixed features are not the "
            f"features of a mixed picture; without them later epochs would cost only {behind}"
            if config.mixes
            else "augmentation makes another picture of each image every epoch; without it, or "
            f"with kept_views above 0, later epochs would cost only {behind}"
        )
        return images, Decision(WHAT, "run at every step", reason)
    views = config.kept_views if config.augments else 0
    shape = row_shape(images.network, cut, images.preprocess)
    key = feature_key(
        images.network,
        cut,
        dataset_hash=images.pack.meta.content_hash,
        preprocess=images.preprocess,
        precision="fp32",
        views=_views_key(config) if views else "",
    )
    try:
        bank = FeatureBank(key, count=len(images.pack) * (1 + views), shape=shape)
    except ResourceError as error:
        return images, Decision(WHAT, "run at every step", str(error).rstrip("."))
    numbers = f"{int(np.prod(shape)):,} numbers an image are kept"
    if bank.filled:
        reason = f"{numbers}, and {bank.filled:,} are there from earlier"
    else:
        reason = f"{numbers}; from the second epoch on, a step costs only {behind}"
    choice = f"run once for each of {views} augmented views" if views else "run once an image"
    return Features(images, cut, bank, before_layer), Decision(WHAT, choice, reason)


def _views_key(config: RunConfig) -> str:
    """What the augmented views of an image depend on: which batch and place it is in, and how
    batches are augmented."""
    values = config.model_dump(mode="json")
    names = [k.name for k in KNOBS.values() if k.group in ("data", "augmentation")]
    return json.dumps({name: values[name] for name in [*names, "seed", "batch_size"]})
