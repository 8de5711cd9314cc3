"""Predictions of one checkpoint for every image of a split; computed once, then read from disk.

<run folder>/evaluation/
├── best-test.npz          the fields of Predictions
├── best-test-mirrored.npz the same, each answer the mean of the picture's and its mirror image's
└── last-val.npz

A file names the write of the checkpoint that it belongs to, so that after more training an old file
is not taken for the newer weights.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import RunConfig
from lab.data.array_file import BROKEN
from lab.data.batches import eval_batch_size, eval_batches
from lab.data.pack import Pack
from lab.errors import DataError, DivergedError, NotFoundError
from lab.evaluate.opened import Opened, checkpoint_identity, open_data, open_own_network
from lab.home import atomic_file, writing
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.training.checkpoint import checkpoints, no_checkpoint, read_test_logits
from lab.training.failures import out_of_memory_as

logger = logging.getLogger(__name__)

SPLIT_WORDS = {"val": "validation", "test": "test"}
FORMAT = 1
"""Raise it when files written by older code can no longer be read."""
_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of one checkpoint for one split: n images, K classes."""

    split: str
    """"val" or "test"."""
    checkpoint: str
    epoch: int | None
    """The epoch after which the checkpoint was written; None for checkpoints of lab version 0.1."""
    class_names: tuple[str, ...]
    indices: npt.NDArray[np.int64]
    """(n,) the images' indexes in the pack."""
    labels: npt.NDArray[np.int64]
    """(n,) the true classes."""
    probabilities: npt.NDArray[np.float32]
    """(n, K) softmax of the logits."""
    losses: npt.NDArray[np.float32]
    """(n,) cross-entropy in nats, unweighted; finite also where the probability rounds to 0."""
    train_counts: npt.NDArray[np.int64]
    """(K,) how many images of each class the run was trained on."""
    identity: str
    """Names this write of the checkpoint: see `lab.evaluate.opened.checkpoint_identity`."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(n,) the most probable class."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def log_probabilities(self) -> npt.NDArray[np.float64]:
        """(n, K) the logits up to a number an image, which softmax does not see.

        Where a probability is too small for float32 it counts as the smallest that is not; that of
        the true class is exact also there.
        """
        logs = np.log(np.maximum(self.probabilities.astype(np.float64), _SMALLEST))
        logs[np.arange(len(logs)), self.labels] = -self.losses.astype(np.float64)
        return np.asarray(logs)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the most probable class is the true one."""
        return np.asarray(self.predicted == self.labels)


def saved_predictions(
    folder: Path, checkpoint: str, split: str, *, outdated: bool = False, mirrored: bool = False
) -> Predictions | None:
    """Returns what `predict` saved for this checkpoint of the run in `folder`.

    None when nothing was saved, or only for an older write of the checkpoint; with `outdated` that
    is returned too, for a run in training, whose newest checkpoint is always another; `epoch` and
    `identity` say which write it belongs to.
    """
    saved = _read(_file(folder, checkpoint, split, mirrored))
    if saved is None or outdated:
        return saved
    try:
        current = checkpoint_identity(folder, checkpoint)
    except NotFoundError:
        return None
    return saved if saved.identity == current else None


def predict(
    folder: Path,
    checkpoint: str,
    split: str,
    *,
    mirrored: bool = False,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Predictions:
    """Predict every image of `split` with a checkpoint of the run in `folder`, and save the result.

    With `mirrored` the probabilities are the means of those for the image and for its mirror image
    (test-time augmentation); these are saved beside the plain ones.

    What the run's own test answered is taken from there: the test images are not asked twice.
    With the batch size and memory layout of the training's own evaluation, so that on the same
    device the accuracy is exactly the one that the run recorded. Loads a network of its own and may
    run in any thread; `cancel` is asked between batches. Raises NotFoundError without such a
    checkpoint or data set, DataError when the split has no images or the data set is another one,
    DivergedError when the answers are no numbers, ResourceError, Cancelled.
    """
    _check_names(folder, checkpoint, split)
    opened = open_own_network(folder, checkpoint)
    card = opened.card
    pack, splits = open_data(card, progress=progress, cancel=cancel)
    indices = splits.val if split == "val" else splits.test
    if not len(indices):
        raise DataError(
            f"{pack.meta.title} has no {SPLIT_WORDS[split]} images, so nothing can be measured on "
            "them. Look at the other part."
        )
    logits = None
    if (checkpoint, split) == ("best", "test") and not mirrored:
        logits = read_test_logits(folder, indices)  # the run's own test asked already
    if logits is None:
        logits = _ask(opened, pack, indices, SPLIT_WORDS[split], mirrored, progress, cancel)
    labels = torch.from_numpy(pack.labels[indices])
    predictions = Predictions(
        split=split,
        checkpoint=checkpoint,
        epoch=opened.epoch,
        class_names=card.class_names,
        indices=indices,
        labels=pack.labels[indices],
        probabilities=_probabilities(logits).numpy(),
        losses=F.cross_entropy(logits, labels, reduction="none").numpy(),
        train_counts=np.bincount(pack.labels[splits.train], minlength=len(card.class_names)),
        identity=opened.identity,
    )
    if not np.isfinite(predictions.losses).all():
        raise DivergedError(
            f"Checkpoint {checkpoint} of run {folder.name} answers with values that are no "
            f"numbers for {np.count_nonzero(~np.isfinite(predictions.losses)):,} of "
            f"{len(indices):,} images. Choose another checkpoint, or train with a smaller "
            "learning rate."
        )
    _write(_file(folder, checkpoint, split, mirrored), predictions)
    return predictions


def _ask(
    opened: Opened,
    pack: Pack,
    indices: npt.NDArray[np.int64],
    words: str,
    mirrored: bool,
    progress: Report,
    cancel: Cancel,
) -> Tensor:
    """(n, K) the network's logits for these images, on the CPU; with `mirrored` the logarithms of
    the mean probabilities, of which the softmax is the mean itself."""
    card = opened.card
    device = _device(card.config)
    batch_size = eval_batch_size(card.config, pack.meta.image_size, device)
    logits: list[Tensor] = []
    done, text = 0, f"Predicting the {words} images"
    batches = eval_batches(pack, indices, card.preprocess, batch_size=batch_size, device=device)
    with out_of_memory_as(
        f"Out of memory on {device} with batches of {batch_size} images. Wait until the run in "
        "training has ended, or close other programs, and try again."
    ):
        network = opened.network.to(device).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            for batch in batches:
                check_cancel(cancel, text)
                answers = network(batch.images).float()
                if mirrored:
                    both = torch.stack([answers, network(batch.images.flip(3)).float()])
                    answers = both.double().log_softmax(2).logsumexp(0) - math.log(2)
                logits.append(answers.float().cpu())
                done += len(batch.indices)
                progress(Progress(done, len(indices), text, "images"))
    return torch.cat(logits)


def _probabilities(logits: Tensor) -> Tensor:
    """(N, K) logits -> softmax as float32 on the CPU, whose largest entry is the logits' largest.

    Two logits that differ by less than float32 can tell in a probability would tie, and the tie
    might be decided for the other class; the winner then gets one unit in the last place more.
    """
    probabilities = logits.double().softmax(dim=1).float()
    winner = logits.argmax(dim=1)
    tied = torch.nonzero(probabilities.argmax(dim=1) != winner).flatten()
    if len(tied):
        largest = probabilities[tied].max(dim=1).values
        probabilities[tied, winner[tied]] = torch.nextafter(largest, torch.full_like(largest, 2.0))
    return probabilities.cpu()


def _device(config: RunConfig) -> torch.device:
    """A graphics card if there is one, unless the run's settings say to leave it alone."""
    use_cuda = config.device in ("auto", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if use_cuda else "cpu")


def _check_names(folder: Path, checkpoint: str, split: str) -> None:
    if split not in SPLIT_WORDS:
        raise ValueError(f"split is {split!r}; allowed are 'val' and 'test'")
    if checkpoint not in checkpoints(folder):  # nor may a name such as "../x" become a path
        raise no_checkpoint(folder, checkpoint)


def _file(folder: Path, checkpoint: str, split: str, mirrored: bool) -> Path:
    return folder / "evaluation" / f"{checkpoint}-{split}{'-mirrored' * mirrored}.npz"


_ARRAYS = ("indices", "labels", "probabilities", "losses", "train_counts")


def _write(file: Path, predictions: Predictions) -> None:
    head = {
        "format": FORMAT,
        "split": predictions.split,
        "checkpoint": predictions.checkpoint,
        "epoch": predictions.epoch,
        "class_names": predictions.class_names,
        "identity": predictions.identity,
    }
    with writing(file):
        file.parent.mkdir(exist_ok=True)  # not its parents: a deleted run stays deleted
    with atomic_file(file) as temporary, temporary.open("wb") as output:
        np.savez(
            output,
            allow_pickle=False,
            head=np.array(json.dumps(head)),
            **{name: getattr(predictions, name) for name in _ARRAYS},
        )


def _read(file: Path) -> Predictions | None:
    """None when there is no such file, or one that cannot be used: it is then made anew."""
    try:
        with file.open("rb") as source, np.load(source, allow_pickle=False) as saved:
            head = json.loads(str(saved["head"]))
            if head["format"] != FORMAT:
                return None
            arrays = {name: saved[name] for name in _ARRAYS}
        return Predictions(
            split=head["split"],
            checkpoint=head["checkpoint"],
            epoch=head["epoch"],
            class_names=tuple(head["class_names"]),
            identity=head["identity"],
            **arrays,
        )
    except FileNotFoundError:
        return None
    except BROKEN as error:
        logger.warning("%s cannot be read (%s); it will be made anew", file, error)
        return None
