"""What ONNX Runtime answers to all images of a part, beside what the lab's evaluation answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from lab.data import catalog
from lab.data.batches import eval_batch_size
from lab.data.pack import verify_images
from lab.evaluate.predictions import SPLIT_WORDS, Predictions, predict, saved_predictions
from lab.export.preprocessing import PIXELS
from lab.progress import Cancel, Progress, Report, check_cancel
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Proof:
    """How far ONNX Runtime and the lab agree."""

    part: str
    images: int
    differ: int
    """Images of which the answers are different classes."""
    largest: float
    """Difference of a probability."""
    accuracy: float
    """Of ONNX Runtime's answers."""
    lab_accuracy: float
    runtime: str
    """The version of ONNX Runtime."""

    @property
    def sentence(self) -> str:
        return (
            f"{self.differ:,} of {self.images:,} {SPLIT_WORDS[self.part]} answers differ; the "
            f"largest difference of a probability is {self.largest:.0e} (ONNX Runtime "
            f"{self.runtime} on the CPU, beside the lab's evaluation)."
        )

    def values(self) -> dict[str, Any]:
        return asdict(self)


def prove(
    model: bytes, run: RunRow, checkpoint: str, part: str, report: Report, cancel: Cancel
) -> Proof:
    """Asks `model` about every image of `part`, from the pictures as the data set holds them.

    What the lab answered is read, or asked once. Raises DataError, NotFoundError when the data set
    is gone.
    """
    folder = store().folder(run.id)
    expected = saved_predictions(folder, checkpoint, part) or predict(
        folder, checkpoint, part, progress=report, cancel=cancel
    )
    card = CheckpointMetadata.read(folder)
    answers = _answers(model, card, expected, report, cancel)
    predicted = answers.argmax(axis=1)
    return Proof(
        part=part,
        images=len(expected),
        differ=int(np.count_nonzero(predicted != expected.predicted)),
        largest=float(np.abs(answers - expected.probabilities).max()),
        accuracy=float((predicted == expected.labels).mean()),
        lab_accuracy=float(expected.right.mean()),
        runtime=onnxruntime.__version__,
    )


def rgb_batches(card: CheckpointMetadata, rows: npt.NDArray[np.int64]) -> Iterator[Pixels]:
    """Yields (n, 3, H, W): images of the data set at its own size."""
    pack = catalog.open_pack(card.config.dataset, version=card.dataset_hash)
    verify_images(pack)
    size = max(pack.meta.image_size, card.preprocess.image_size)
    step = eval_batch_size(card.config, size, "cpu")
    for first in range(0, len(rows), step):
        pixels = pack.take(rows[first : first + step]).transpose(0, 3, 1, 2)
        yield np.ascontiguousarray(np.broadcast_to(pixels, (len(pixels), 3, *pixels.shape[2:])))


def session(model: bytes) -> onnxruntime.InferenceSession:
    """Returns a session on the CPU with as many threads as torch takes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _answers(
    model: bytes,
    card: CheckpointMetadata,
    expected: Predictions,
    report: Report,
    cancel: Cancel,
) -> npt.NDArray[np.float32]:
    """(n, K) probabilities."""
    runtime = session(model)
    text = f"ONNX Runtime answers the {SPLIT_WORDS[expected.split]} images"
    answers: list[npt.NDArray[np.float32]] = []
    done = 0
    for pixels in rgb_batches(card, expected.indices):
        check_cancel(cancel, text)
        [probabilities] = runtime.run(["probabilities"], {PIXELS: pixels})
        answers.append(np.asarray(probabilities))
        done += len(pixels)
        report(Progress(done, len(expected), text, "images"))
    return np.concatenate(answers)
