"""Published checkpoints, opened for looking at.

    PublishedNetwork  ── ask(question) ──> the answer      what a page holds: a name of weights
           │                  └─ open_network ──> Opened   kept: those used last
           └─ own_copy() ──> Opened of the caller's own
    card ── open_data ──> pack and splits that the run was trained on

An opened network is shared between pages and their jobs, and explaining hooks into it; so one
thread at a time uses it, inside a `with` block or a question. What takes long (predicting a whole
set, a map with a pass a channel) opens a network of its own.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.data import catalog
from lab.data.pack import Pack, verify_images
from lab.data.splits import Splits, cuts_by_copies, make_splits
from lab.errors import DataError, ResourceError
from lab.evaluate.pictures import Picture
from lab.explain.grad_cam import require_numbers
from lab.explain.layers import InspectableLayers, inspectable_layers
from lab.models.architecture import ARCHITECTURES
from lab.models.staged import StagedNet
from lab.progress import Cancel, Report, never, silent
from lab.training.checkpoint import (
    CheckpointMetadata,
    checkpoint_epoch,
    load_network,
    no_checkpoint,
)
from lab.training.failures import out_of_memory_as

KEPT = 4
KEPT_BYTES = 800_000_000
"""Of weights that are kept in all: four small networks, or one VGG16. The newest is always kept."""
TRIES = 20
TIMED_IMAGES, TIMED_PASSES = 16, 3
"""To say how long a map will take: as many images in a pass as Score-CAM shows the network."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Opened:
    """A published network in eval mode on the CPU, and what is around it."""

    network: StagedNet
    card: CheckpointMetadata
    checkpoint: str
    epoch: int | None
    """After which it was written; None for checkpoints of lab version 0.1."""
    identity: str
    """Changes when the checkpoint is written anew; part of the key of what is computed from it."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @functools.cached_property
    def layers(self) -> InspectableLayers:
        """What of it can be looked at; takes a forward pass the first time."""
        preprocess = self.card.preprocess
        return inspectable_layers(
            self.network,
            channels=preprocess.channels,
            image_size=preprocess.image_size,
            default_stage=ARCHITECTURES.get(self.card.config.architecture).default_cam_stage,
        )

    @functools.cached_property
    def seconds_a_pass(self) -> float:
        """That one image takes in a batch on this machine: the best of a few, as others work."""
        preprocess = self.card.preprocess
        size = preprocess.image_size
        images = torch.zeros(TIMED_IMAGES, preprocess.channels, size, size)
        seconds = []
        with torch.inference_mode():
            self.network(images[:1])  # what is set up at a first pass is not counted
            for _ in range(TIMED_PASSES):
                started = time.perf_counter()
                self.network(images)
                seconds.append(time.perf_counter() - started)
        return min(seconds) / TIMED_IMAGES

    def tensor(self, picture: Picture) -> Tensor:
        """(1, C, H, W) as the network takes it."""
        return picture.tensor(self.card.preprocess)

    def probabilities(self, picture: Picture) -> npt.NDArray[np.float32]:
        """(K,) softmax; raises DivergedError when the answers are not numbers."""
        with torch.inference_mode():
            logits = self.network(self.tensor(picture))
            require_numbers(logits)
            shares: npt.NDArray[np.float32] = logits.float().softmax(1)[0].numpy()
            return shares

    @property
    def bytes(self) -> int:
        """What its weights take."""
        tensors = (*self.network.parameters(), *self.network.buffers())
        return sum(tensor.nbytes for tensor in tensors)


@dataclass(frozen=True)
class PublishedNetwork:
    """The weights of one write of one checkpoint: what a page holds in place of a network.

    All answers are of these very weights; once the run has written the checkpoint anew and they are
    no longer in memory, asking raises ResourceError.
    """

    folder: Path
    """The run's."""
    checkpoint: str
    identity: str
    """See `checkpoint_identity`."""

    @classmethod
    def newest(cls, folder: Path, checkpoint: str) -> PublishedNetwork:
        """As the checkpoint is now; raises NotFoundError when there is none."""
        return cls(folder, checkpoint, checkpoint_identity(folder, checkpoint))

    def ask(self, question: Callable[[Opened], T]) -> T:
        """What `question` makes of the opened network, which is this thread's alone meanwhile.

        The next one waits, so a question takes a second or so; what takes longer is asked of
        `own_copy`. Raises what `open_network` raises.
        """
        with open_network(self.folder, self.checkpoint, identity=self.identity) as opened:
            return question(opened)

    def own_copy(self) -> Opened:
        """A network of the caller's own, for work that takes long; as `open_own_network`."""
        return open_own_network(self.folder, self.checkpoint, identity=self.identity)


_kept: OrderedDict[tuple[str, str], Opened] = OrderedDict()
_guard = threading.Lock()


@contextmanager
def open_network(
    folder: Path, checkpoint: str = "best", *, identity: str | None = None
) -> Iterator[Opened]:
    """Checkpoint `checkpoint` of the run in `folder`, for this thread alone inside the block.

    As it is now, or as it was when it had `identity`. The next caller waits for the lock, so the
    block is for work of a second or so. Raises NotFoundError when there is no such checkpoint
    (yet), naming those that are there; DataError when its file cannot be used; ResourceError when
    the weights of that identity are gone.
    """
    key = (str(folder), checkpoint)
    wanted = identity or checkpoint_identity(folder, checkpoint)
    with _guard:
        opened = _kept.get(key)
        if opened is not None and opened.identity == wanted:
            _kept.move_to_end(key)
        else:
            _kept.pop(key, None)  # of another write: let it go before the new one takes memory
            opened = None
    if opened is None:
        opened = open_own_network(folder, checkpoint, identity=identity)
        with _guard:
            _kept[key] = opened
            _kept.move_to_end(key)
            while len(_kept) > 1 and (len(_kept) > KEPT or _kept_bytes() > KEPT_BYTES):
                _kept.popitem(last=False)
    with opened.lock:
        yield opened


def open_own_network(folder: Path, checkpoint: str, *, identity: str | None = None) -> Opened:
    """As `open_network`, but a network of the caller's own, for work that takes long.

    Weights, epoch and identity are of one and the same write: a run in training replaces the file.
    """
    for _ in range(TRIES):
        current = checkpoint_identity(folder, checkpoint)
        if identity not in (None, current):
            raise ResourceError(
                f"Checkpoint {checkpoint!r} of run {folder.name} was written anew in the meantime. "
                "Look at the page again: it then asks the newer weights."
            )
        with out_of_memory_as(
            f"Checkpoint {checkpoint!r} of run {folder.name} does not fit into the memory that is "
            "left. Wait until the run in training has ended, or close other programs, and try "
            "again."
        ):
            network, card = load_network(folder, checkpoint)
            epoch = checkpoint_epoch(folder, checkpoint)
        if checkpoint_identity(folder, checkpoint) == current:
            network.requires_grad_(False)  # explaining wants gradients of activations only
            return Opened(network, card, checkpoint, epoch, current)
    raise ResourceError(
        f"Checkpoint {checkpoint!r} of run {folder.name} is written anew faster than it can be "
        "read. Try again in a moment, or pause the run."
    )


def _kept_bytes() -> int:
    return sum(opened.bytes for opened in _kept.values())


def checkpoint_identity(folder: Path, checkpoint: str) -> str:
    """A short text that changes when the checkpoint is written anew; raises NotFoundError."""
    try:
        stat = (folder / f"{checkpoint}.safetensors").stat()
    except (FileNotFoundError, NotADirectoryError):
        raise no_checkpoint(folder, checkpoint) from None
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


def open_data(
    card: CheckpointMetadata, *, progress: Report = silent, cancel: Cancel = never
) -> tuple[Pack, Splits]:
    """The version of the data set that the run was trained on, at the network's image size, and
    the splits that the run had.

    Raises NotFoundError or DataError when the data set or this version of it is gone: figures of
    other images would be untrue.
    """
    try:
        pack = catalog.open_pack(
            card.config.dataset,
            version=card.dataset_hash,
            image_size=card.preprocess.image_size,
            progress=progress,
            cancel=cancel,
        )
        verify_images(pack)
    except catalog.VersionNotFoundError as error:
        raise DataError(
            f"The data set {card.config.dataset!r} has changed since this run was trained, and the "
            "version that it was trained on is no longer on this machine, so its images cannot be "
            "shown. Add the original again, or train a new run."
        ) from error
    if card.copies is None and cuts_by_copies(pack, card.config):
        raise DataError(
            "Which images this run set aside for validation is not known any more: its file of "
            "near-copies is gone. Train the run again with its settings."
        )
    return pack, make_splits(pack, card.config, card.copies)
