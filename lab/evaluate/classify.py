"""What trained networks say about a person's own pictures.

    bytes ── uploaded(data, card) ──> Picture ── answer(opened, picture) ──> Answer

The Answer holds plain values only: the probabilities, where the network looked, and the pixels as
they were when they entered the network. Nothing here writes to disk.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from lab.data.decode import decode
from lab.errors import DataError
from lab.evaluate.opened import Opened
from lab.evaluate.pictures import Crop, Picture, upload_picture
from lab.evaluate.temperature import scaled
from lab.explain.grad_cam import METHODS, Cams, class_activation_maps
from lab.explain.layers import captured
from lab.models.staged import HEAD, StagedNet
from lab.names import csv_cell
from lab.progress import Cancel, Report, never, silent
from lab.training.checkpoint import CheckpointMetadata

MAX_GRID = 6
"""Places a side that features keep: where something is tells as much as what it is."""
MAX_FEATURES = 4096
"""Most numbers that are compared of a picture."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What one network says about one picture."""

    name: str
    """The picture's, as the person knows it; only to be shown."""
    class_names: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    """(K,) softmax: adds up to 1."""
    seen: npt.NDArray[np.uint8]
    """(H, W, C) what went into the network, turned back into pixels."""
    features: npt.NDArray[np.float32]
    """(D,) what `lab.evaluate.familiarity` compares; see `feature_vectors`."""
    layer: str | None
    """Which the map is of; None for a network without places."""
    cam: npt.NDArray[np.float32] | None
    """(h, w) the raw map of that layer, never negative."""
    target: int
    """The class that the map speaks for."""
    meaningful: bool
    """Whether the class score depends on the layer; see `lab.explain.grad_cam.Cams`."""
    method: str
    checkpoint: str
    epoch: int | None
    identity: str
    """Of the weights that answered; see `lab.evaluate.opened.checkpoint_identity`."""

    @property
    def predicted(self) -> int:
        return int(self.probabilities.argmax())

    @property
    def predicted_class(self) -> str:
        return self.class_names[self.predicted]

    def at_temperature(self, temperature: float) -> Answer:
        """Returns the same answer, as sure as at this temperature (`lab.evaluate.temperature`)."""
        smallest = np.finfo(np.float32).smallest_subnormal
        logits = np.log(np.maximum(self.probabilities.astype(np.float64), smallest))
        shares = scaled(logits, temperature).astype(np.float32)
        return dataclasses.replace(self, probabilities=shares)

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` most probable classes with their probabilities, the first one first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.class_names[i], float(self.probabilities[i])) for i in order]


def uploaded(
    data: bytes, card: CheckpointMetadata, *, name: str, crop: Crop | None = None
) -> Picture:
    """The bytes of a picture file as the run's data set would hold it; raises UnreadableFile.

    A large JPEG is read at the scale at which a data set's are: twice its size or more.
    """
    side = side_needed(card, crop)
    decoded = decode(data, name=name, at_least=side, value_range=card.value_range)
    return upload_picture(decoded.image, card, name=name, crop=crop)


def side_needed(card: CheckpointMetadata, crop: Crop | None = None) -> int:
    """The shorter side in pixels from which `crop` still has twice the data set's size."""
    share = 1.0 if crop is None else max(crop.side, 0.01)
    return math.ceil(2 * (card.data_image_size or card.preprocess.image_size) / share)


def answer(
    opened: Opened,
    picture: Picture,
    *,
    method: str = "grad-cam",
    layer: str | None = None,
    target: int | None = None,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Answer:
    """Show one picture to one network.

    The map is of `layer`, by default the architecture's own for Grad-CAM, and speaks for class
    `target`, by default the predicted one. Takes the network's lock while the network runs: for a
    forward and a backward pass, with a method of a pass a channel for long. Raises NotFoundError or
    ConfigError for a method or layer that cannot be, DataError when the weights give no numbers,
    Cancelled.
    """
    METHODS.get(method)
    network, card = opened.network, opened.card
    x = opened.tensor(picture)
    with opened.lock:
        if layer is None:
            layer = opened.layers.default_stage
        else:
            layer = opened.layers.cam_layer(layer).name
        stage = feature_stage(opened)
        cams, logits, outputs = _look(
            network, x, layer, stage, method=method, target=target, progress=progress, cancel=cancel
        )
    if not bool(torch.isfinite(logits).all()):
        raise DataError(
            f"The weights of checkpoint {opened.checkpoint!r} answer {picture.name!r} with values "
            "that are no numbers: the training diverged. Choose another checkpoint."
        )
    probabilities = torch.softmax(logits[0].double(), 0).float().numpy()
    seen = card.preprocess.undo(x)
    return Answer(
        name=picture.name,
        class_names=card.class_names,
        probabilities=probabilities,
        seen=seen[0].numpy(),
        features=feature_vectors(pixels_of(seen) if outputs is None else outputs)[0],
        layer=None if cams is None else cams.layer,
        cam=None if cams is None else cams.maps[0].numpy(),
        target=int(probabilities.argmax()) if target is None else target,
        meaningful=cams is not None and bool(cams.meaningful[0]),
        method=method,
        checkpoint=opened.checkpoint,
        epoch=opened.epoch,
        identity=opened.identity,
    )


def feature_stage(opened: Opened) -> str | None:
    """The stage whose output is compared: the last one with places, else the one before the head.

    None when the head is all there is.
    """
    with_places = [name for name in opened.layers.stages if name != HEAD]
    stages = with_places or opened.network.stage_names[:-1]
    return stages[-1] if stages else None


def feature_vectors(output: Tensor) -> npt.NDArray[np.float32]:
    """(N, C, h, w) or (N, D) -> (N, D) float32: the places of a map averaged to a coarse grid.

    The grid is as fine as the map, up to MAX_GRID, and coarser where there would be more than
    MAX_FEATURES numbers.
    """
    output = output.detach().float().cpu()
    if output.ndim == 4:
        channels, height, width = output.shape[1:]
        finest = min(height, width, MAX_GRID)
        grid = max(1, min(finest, math.isqrt(MAX_FEATURES // channels)))
        output = adaptive_avg_pool2d(output, (grid, grid))
    vectors: npt.NDArray[np.float32] = output.flatten(1).numpy()
    return vectors


def pixels_of(images: Tensor) -> Tensor:
    """(N, H, W, C) uint8 -> (N, H * W * C) float32 in [0, 1]: the features without any stage."""
    return images.flatten(1).float() / 255


def _look(
    network: StagedNet,
    x: Tensor,
    layer: str | None,
    stage: str | None,
    *,
    method: str,
    target: int | None,
    progress: Report,
    cancel: Cancel,
) -> tuple[Cams | None, Tensor, Tensor | None]:
    """The map of `layer`, the logits (1, K), and the output of `stage`."""
    cams = None
    with captured(network, [] if stage is None else [stage]) as outputs:
        if layer is None:
            with torch.inference_mode():
                logits = network(x).float().cpu()
        else:
            targets = None if target is None else [target]
            found, logits = class_activation_maps(
                network,
                x,
                targets=targets,
                layers=[layer],
                method=method,
                progress=progress,
                cancel=cancel,
            )
            cams = found[layer]
    return cams, logits, None if stage is None else outputs[stage]


# --- as a table ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    """One line of the table of answers."""

    run: str
    run_name: str
    answer: Answer
    crop: Crop | None = None
    distance: float | None = None
    """From the training pictures, where it was measured, with the limit that it is held against."""
    limit: float | None = None
    temperature: float | None = None
    """That the probabilities are shown with; None: they are the network's own."""
    level: float | None = None
    answer_set: tuple[str, ...] = ()
    """The classes one of which is right with chance `level`, where such sets were asked for."""


def answers_csv(rows: Iterable[Row]) -> str:
    """One line for each picture and run, a column for each class of any of the runs."""
    rows = list(rows)
    classes = list(dict.fromkeys(name for row in rows for name in row.answer.class_names))
    scaled_too = any(row.temperature is not None for row in rows)
    levels = sorted({row.level for row in rows if row.level is not None})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["picture", "crop", "run", "run name", "checkpoint", "epoch", "predicted", "probability"]
        + ["temperature"] * scaled_too
        + [f"one of these, {level:.0%}" for level in levels]
        + ["distance from training pictures", "limit", "unlike the training pictures"]
        + [f"probability of {name}" for name in classes]
    )
    for row in rows:
        said = row.answer
        chances = dict(zip(said.class_names, said.probabilities.tolist(), strict=True))
        measured = row.distance is not None and row.limit is not None
        writer.writerow(
            [
                csv_cell(said.name),
                "" if row.crop is None else f"{row.crop.x:g},{row.crop.y:g},{row.crop.side:g}",
                row.run,
                csv_cell(row.run_name),
                said.checkpoint,
                "" if said.epoch is None else said.epoch,
                csv_cell(said.predicted_class),
                f"{chances[said.predicted_class]:.6f}",
                *([f"{row.temperature:.4f}" if row.temperature else ""] if scaled_too else []),
                *(
                    csv_cell(", ".join(row.answer_set)) if row.level == each else ""
                    for each in levels
                ),
                f"{row.distance:.3f}" if measured else "",
                f"{row.limit:.3f}" if measured else "",
                ("yes" if (row.distance or 0) > (row.limit or 0) else "no") if measured else "",
                *(f"{chances[name]:.6f}" if name in chances else "" for name in classes),
            ]
        )
    return text.getvalue()
