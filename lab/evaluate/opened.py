"""Published checkpoints, opened for looking at.

    run's folder ── open_network ──> Opened (network, card)      kept: those used last
                 └─ open_data(card) ──> pack and splits that the run was trained on

An opened network is shared between pages, and explaining hooks into it; so one thread at a time
uses it, inside a `with` block. What takes long (predicting a whole set) opens a network of its own:
`open_own_network`.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.data import catalog
from lab.data.pack import Pack
from lab.data.splits import Splits, make_splits
from lab.errors import DataError, ResourceError
from lab.explain.layers import Layer, list_layers
from lab.models.staged import StagedNet
from lab.progress import Cancel, Report, never, silent
from lab.training.checkpoint import NetworkCard, checkpoint_epoch, load_network, no_checkpoint
from lab.training.failures import is_out_of_memory

KEPT = 4
KEPT_BYTES = 800_000_000
"""Of weights that are kept in all: four small networks, or one VGG16. The newest is always kept."""
TRIES = 20


@dataclass(frozen=True, eq=False)
class Opened:
    """A published network in eval mode on the CPU, and what is around it."""

    network: StagedNet
    card: NetworkCard
    checkpoint: str
    epoch: int | None
    """After which it was written; None for checkpoints of lab version 0.1."""
    identity: str
    """Changes when the checkpoint is written anew; part of the key of what is computed from it."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @functools.cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Its stages and convolutions. Like the network only for who is inside the block."""
        size = self.card.preprocess.image_size
        return list_layers(self.network, channels=self.card.preprocess.channels, image_size=size)

    @property
    def bytes(self) -> int:
        """What its weights take."""
        tensors = (*self.network.parameters(), *self.network.buffers())
        return sum(tensor.nbytes for tensor in tensors)


_kept: OrderedDict[tuple[str, str], Opened] = OrderedDict()
_guard = threading.Lock()


@contextmanager
def open_network(folder: Path, checkpoint: str = "best") -> Iterator[Opened]:
    """Checkpoint `checkpoint` of the run in `folder`, for this thread alone inside the block.

    The next caller waits for the lock, so the block is for work of a second or so. Raises
    NotFoundError when there is no such checkpoint (yet), naming those that are there; DataError
    when its file cannot be used.
    """
    key = (str(folder), checkpoint)
    identity = checkpoint_identity(folder, checkpoint)
    with _guard:
        found = _kept.get(key)
        if found is not None and found.identity == identity:
            _kept.move_to_end(key)
        else:
            _kept.pop(key, None)  # of an older write: let it go before the new one takes memory
            found = None
    if found is None:
        found = open_own_network(folder, checkpoint)
        with _guard:
            _kept[key] = found
            _kept.move_to_end(key)
            while len(_kept) > 1 and (len(_kept) > KEPT or _kept_bytes() > KEPT_BYTES):
                _kept.popitem(last=False)
    with found.lock:
        yield found


def open_own_network(folder: Path, checkpoint: str) -> Opened:
    """As `open_network`, but a network of the caller's own, for work that takes long.

    Weights, epoch and identity are of one and the same write: a run in training replaces the file.
    """
    for _ in range(TRIES):
        identity = checkpoint_identity(folder, checkpoint)
        try:
            network, card = load_network(folder, checkpoint)
            epoch = checkpoint_epoch(folder, checkpoint)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"Checkpoint {checkpoint!r} of run {folder.name} does not fit into the memory "
                "that is left. Wait until the run in training has ended, or close other programs, "
                "and try again."
            ) from error
        if checkpoint_identity(folder, checkpoint) == identity:
            network.requires_grad_(False)  # explaining wants gradients of activations only
            return Opened(network, card, checkpoint, epoch, identity)
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
    except FileNotFoundError:
        raise no_checkpoint(folder, checkpoint) from None
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


def open_data(
    card: NetworkCard, *, progress: Report = silent, cancel: Cancel = never
) -> tuple[Pack, Splits]:
    """The pack at the network's image size, and the splits that the run had.

    Raises NotFoundError or DataError when the data set is gone or is not the one that the run was
    trained on: figures of other images would be untrue.
    """
    size = card.preprocess.image_size
    pack = catalog.open_pack(card.config.dataset, image_size=size, progress=progress, cancel=cancel)
    if pack.meta.content_hash != card.dataset_hash:
        raise DataError(
            f"The data set {card.config.dataset!r} has changed since this run was trained, so its "
            "images are no longer the ones that the run was trained and tested on. Add the "
            "original again, or train a new run."
        )
    return pack, make_splits(pack, card.config)
