"""What the network is fed: images, or the kept outputs of its frozen layers.

    Images      every step runs the whole network
    Features    frozen layers run once an image, every step runs what is trained behind them

Both give the same batches in the same order; `fit` does not need to know which one it has. Live in
the training thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.config import KNOBS
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
from lab.errors import ResourceError
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
from lab.training.plan import Plan
from lab.training.speed.decisions import Decision

Rows = npt.NDArray[np.int64]

WHAT = "Frozen layers"

CACHED_PIXELS = 8 * 224 * 224
"""Of the images that go through frozen layers together on a CPU."""


class Source(Protocol):
    """Batches, and how they become logits."""

    def train(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """The training steps of one epoch from `start_step` (counted from 0) on."""
        ...

    def in_order(self, rows: Rows) -> Iterator[Batch]:
        """These images of the pack in the given order, never augmented."""
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


class Images:
    """The images themselves, through the whole network."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # The very network: what a trial compiled is then found again in torch's cache.
        self.forward = plan.network

    def train(self, epoch: int, start_step: int) -> Iterator[Batch]:
        plan = self._plan
        return train_batches(
            plan.pack,
            plan.splits,
            plan.config,
            plan.preprocess,
            epoch=epoch,
            start_step=start_step,
            device=plan.device,
        )

    def in_order(self, rows: Rows) -> Iterator[Batch]:
        plan = self._plan
        return eval_batches(
            plan.pack,
            rows,
            plan.preprocess,
            batch_size=eval_batch_size(plan.config, plan.pack.meta.image_size),
            device=plan.device,
        )

    def ready(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=self._plan.memory_format)

    def logits(self, images: Tensor) -> Tensor:
        found: Tensor = self.forward(self.ready(images))
        return found

    def keep(self) -> None:
        return None

    def close(self) -> None:
        return None


class Features:
    """What the frozen layers put out, through what is behind them."""

    def __init__(self, plan: Plan, cut: Cut, bank: FeatureBank) -> None:
        self._plan, self._cut, self._bank = plan, cut, bank
        self._frozen = frozen_part(plan.network, cut).to(memory_format=plan.memory_format)
        self._features = FrozenFeatures(bank, plan.pack, forward=self._forward, device=plan.device)

    def _forward(self, images: Tensor) -> Tensor:
        """A few images at a time on a CPU: what they become between two layers then stays in the
        processor's cache, which is a third faster than a batch of 64 photographs, and small."""
        images = images.contiguous(memory_format=self._plan.memory_format)
        if self._plan.device.type != "cpu":
            return cast("Tensor", self._frozen(images))
        few = max(1, CACHED_PIXELS // (images.shape[2] * images.shape[3]))
        return torch.cat([self._frozen(part) for part in torch.split(images, few)])

    def train(self, epoch: int, start_step: int) -> Iterator[Batch]:
        plan = self._plan
        views = plan.config.kept_views if plan.config.augments else 0
        # Epoch 1 makes view 1 and so on; from then on they come round again.
        view = (epoch - 1) % views + 1 if views else 0
        steps = train_rows(plan.pack, plan.splits, plan.config, epoch=epoch, start_step=start_step)
        for step, rows in steps:

            def images(mask: npt.NDArray[np.bool_], rows: Rows = rows, step: int = step) -> Tensor:
                if not view:
                    chosen = rows[mask]
                    return eval_images(plan.pack, chosen, plan.preprocess, device=plan.device)
                return train_images(
                    plan.pack,
                    rows,
                    plan.config,
                    plan.preprocess,
                    epoch=epoch,
                    step=step,
                    device=plan.device,
                )[mask]

            features = self._features.batch(rows, images, view=view)
            yield Batch(features, labels_of(plan.pack, rows, plan.device), rows)

    def in_order(self, rows: Rows) -> Iterator[Batch]:
        plan = self._plan
        size = eval_batch_size(plan.config, plan.pack.meta.image_size)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]

            def images(mask: npt.NDArray[np.bool_], part: Rows = part) -> Tensor:
                return eval_images(plan.pack, part[mask], plan.preprocess, device=plan.device)

            features = self._features.batch(part, images)
            yield Batch(features, labels_of(plan.pack, part, plan.device), part)

    def ready(self, images: Tensor) -> Tensor:
        return images

    def forward(self, ready: Tensor) -> Tensor:
        return after(self._plan.network, self._cut, ready)

    def logits(self, images: Tensor) -> Tensor:
        return self.forward(images)

    def keep(self) -> None:
        self._bank.flush()

    def close(self) -> None:
        self._bank.close()


def open_source(plan: Plan) -> tuple[Source, Decision | None]:
    """Images or features, by what is frozen in `plan.network` now; and the decision in words where
    something is frozen."""
    cut = find_cut(plan.network)
    if cut is None:
        return Images(plan), None
    config = plan.config
    behind = f"{cut.stage} and what follows" if cut.stage != "head" else "the head"
    if config.frozen_features == "off":
        return Images(plan), Decision(WHAT, "run at every step", "as asked")
    if not config.keeps_features:
        reason = (
            "augmentation makes another picture of each image every epoch; without it, or with "
            f"kept_views above 0, later epochs would cost only {behind}"
        )
        return Images(plan), Decision(WHAT, "run at every step", reason)
    views = config.kept_views if config.augments else 0
    shape = row_shape(plan.network, cut, plan.preprocess)
    key = feature_key(
        plan.network,
        cut,
        dataset_hash=plan.pack.meta.content_hash,
        preprocess=plan.preprocess,
        precision="fp32",
        views=_views_key(plan) if views else "",
    )
    try:
        bank = FeatureBank(key, count=len(plan.pack) * (1 + views), shape=shape)
    except ResourceError as error:
        return Images(plan), Decision(WHAT, "run at every step", str(error).rstrip("."))
    numbers = f"{int(np.prod(shape)):,} numbers an image are kept"
    if bank.filled:
        reason = f"{numbers}, and {bank.filled:,} are there from earlier"
    else:
        reason = f"{numbers}; from the second epoch on, a step costs only {behind}"
    choice = f"run once for each of {views} augmented views" if views else "run once an image"
    return Features(plan, cut, bank), Decision(WHAT, choice, reason)


def _views_key(plan: Plan) -> str:
    """What the augmented views of an image depend on: which batch and place it is in, and how
    batches are augmented."""
    values = plan.config.model_dump(mode="json")
    names = [k.name for k in KNOBS.values() if k.group in ("data", "augmentation")]
    return json.dumps({name: values[name] for name in [*names, "seed", "batch_size"]})
