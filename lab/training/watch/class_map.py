"""How the classes come apart: what the network makes of the same validation pictures, epoch after
epoch.

    at every n-th epoch, while the validation images pass through the network anyway:
        what goes into its last linear layer, of up to 256 of them    (N, D)
        its answers                                                   (N, K)
        -> the 16 directions of largest spread of each, one file an epoch (class_map_files)

It costs no pass of its own: a hook that exists for the length of the validation copies a few rows.
Training is bit for bit what it is without: nothing is computed for it in the network, and no random
number is drawn.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lab.data.batches import Batch
from lab.data.quality.embedding import principal_components
from lab.errors import DiskFullError, LabError
from lab.models.staged import HEAD, StagedNet
from lab.training.counters import Counters
from lab.training.events import LogWritten
from lab.training.watch import class_map_files
from lab.training.watch.budget import Budget, switched_off
from lab.training.watch.class_map_files import ClassSnapshot

logger = logging.getLogger(__name__)

SHARE = 0.01
"""Of an epoch's training time that it may take on average."""

MOST_SNAPSHOTS = 100
"""Of one run, as of the film strip."""

MOST_PICTURES = 256

Clock = Callable[[], float]
LogitsOf = Callable[[Tensor], Tensor]


class ClassMap:
    """Takes the snapshots of one run, in `folder`. Lives in its training thread.

    `rows` are the validation images, (n,) into the pack, and `labels` the pack's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on: bool,
        epochs: int,
        rows: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        clock: Clock = time.monotonic,
    ) -> None:
        self.folder = folder
        self.on = on and len(rows) > 2
        self.labels = labels
        self.rows = chosen_rows(rows, labels)
        self.clock = clock
        self.budget = Budget(SHARE, least_every=max(1, math.ceil(epochs / MOST_SNAPSHOTS)))
        self._is_chosen = np.zeros(len(labels), dtype=bool)
        self._is_chosen[self.rows] = True
        self._seconds = 0.0
        self._found: list[tuple[npt.NDArray[np.int64], Tensor, Tensor]] = []
        """Rows, features and logits of each batch that has some."""

    def begin(self, epoch: int) -> None:
        """Before the first step of a session, in which `epoch` comes next: what came after the
        saved step will come again."""
        if self.on:
            class_map_files.remove_from(self.folder, epoch)

    @contextmanager
    def reading(
        self, network: StagedNet, *, on: bool
    ) -> Iterator[Callable[[LogitsOf, Batch], LogitsOf]]:
        """Inside the block, `read(logits_of, batch)` is `logits_of`, and is listened to where that
        is wanted."""
        if not (on and self.on):
            yield lambda logits_of, batch: logits_of
            return
        seen: list[Tensor] = []
        self._found.clear()
        self._seconds = 0.0

        def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[:] = [inputs[0].detach()]

        def read(logits_of: LogitsOf, batch: Batch) -> LogitsOf:
            wanted = np.flatnonzero(self._is_chosen[batch.indices])
            if not len(wanted):
                return logits_of

            def listening(images: Tensor) -> Tensor:
                logits = logits_of(images)
                began = self.clock()
                if seen and len(seen[0]) == len(logits):
                    places = torch.from_numpy(wanted).to(logits.device)
                    features = seen[0][places]
                    if features.ndim == 4:  # a head that ends in a convolution
                        features = features.mean((2, 3))
                    found = (features.flatten(1).float().cpu(), logits[places].float().cpu())
                    self._found.append((batch.indices[wanted], *found))
                seen.clear()
                self._seconds += self.clock() - began
                return logits

            return listening

        handle = last_layer(network).register_forward_pre_hook(keep)
        try:
            yield read
        finally:
            handle.remove()

    def after_epoch(self, counters: Counters, *, last: bool) -> Iterator[LogWritten]:
        """Writes what was read during the validation of the epoch that `counters` count."""
        epoch, seconds = counters.epoch, counters.epoch_seconds
        due = last or epoch == 1 or epoch % self.budget.every == 0
        if not (self.on and self._found and due):
            self._found.clear()
            return
        began = self.clock()
        try:
            rows = np.concatenate([rows for rows, _, _ in self._found])
            features = torch.cat([features for _, features, _ in self._found]).numpy()
            logits = torch.cat([logits for _, _, logits in self._found]).numpy()
            self._found.clear()
            if np.isfinite(features).all() and np.isfinite(logits).all():
                self._write(epoch, rows, features, logits)
        except DiskFullError:
            raise
        except (LabError, OSError, MemoryError, RuntimeError) as error:
            self.on = False
            self._found.clear()
            logger.warning("class map off in %s", self.folder.name, exc_info=error)
            yield switched_off("Map of the classes", error)
            return
        self.budget.add(self._seconds + self.clock() - began)
        self.budget.adapt(seconds)

    def _write(
        self,
        epoch: int,
        rows: npt.NDArray[np.int64],
        features: npt.NDArray[np.float32],
        logits: npt.NDArray[np.float32],
    ) -> None:
        kept = {
            name: principal_components(values, class_map_files.DIMENSIONS)
            for name, values in (("features", features), ("answers", logits))
        }
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        class_map_files.write_snapshot(
            self.folder,
            ClassSnapshot(
                epoch=epoch,
                rows=rows,
                labels=self.labels[rows],
                predicted=logits.argmax(axis=1).astype(np.int64),
                probability=shares.max(axis=1).astype(np.float32),
                features=kept["features"][0],
                answers=kept["answers"][0],
                kept_share=float(kept["features"][1].sum()),
            ),
        )


def last_layer(network: StagedNet) -> nn.Module:
    """The last linear layer, whose input is the picture as the network has come to see it; the
    head itself where it ends in a convolution."""
    head = network.stage(HEAD)
    linear = [module for module in head.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else head


def chosen_rows(
    rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """At most MOST_PICTURES of `rows`, of each class its share, always the same ones, ascending."""
    by_class = rows[np.argsort(labels[rows], kind="stable")]
    if len(by_class) <= MOST_PICTURES:
        return np.sort(by_class)
    places = np.linspace(0, len(by_class) - 1, MOST_PICTURES).round().astype(np.int64)
    return np.sort(by_class[places])
