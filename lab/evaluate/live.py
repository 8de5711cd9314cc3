"""A trained network's answer to one camera frame, as quickly as it can be had.

    bytes of a picture ── answer_frame(folder, checkpoint, data) ──> LiveAnswer

The network and what was measured of its training pictures are opened once and kept. No map is made.
Any thread may ask; one network answers one thread at a time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch

from lab.errors import DataError
from lab.evaluate.classify import feature_stage, feature_vectors, pixels_of, uploaded
from lab.evaluate.familiarity import Familiarity, familiarity_file, saved_familiarity
from lab.evaluate.opened import open_network
from lab.explain.layers import captured

KEPT = 4
"""Measurements that are kept in memory: of one checkpoint each, up to 8 MB."""


@dataclass(frozen=True)
class LiveAnswer:
    """What one network says about one frame; plain values."""

    classes: tuple[tuple[str, float], ...]
    """All class names with their probabilities, the most probable first."""
    unlike: bool | None
    """Whether the frame is unlike what the network trained on; None where it was not measured."""
    checkpoint: str
    epoch: int | None


def answer_frame(folder: Path, checkpoint: str, data: bytes) -> LiveAnswer:
    """Classifies the bytes of a picture file with a checkpoint of the run in `folder`.

    Milliseconds for a small network once it is open. Raises UnreadableFile for what is no picture,
    NotFoundError without the checkpoint, DataError when the weights give no numbers.
    """
    with open_network(folder, checkpoint) as opened:
        picture = uploaded(data, opened.card, name="This frame")
        images = opened.tensor(picture)
        stage = feature_stage(opened)
        names = [] if stage is None else [stage]
        with captured(opened.network, names) as outputs, torch.inference_mode():
            logits = opened.network(images)[0]
    if not bool(torch.isfinite(logits).all()):
        raise DataError(
            f"The weights of checkpoint {checkpoint!r} answer with values that are no numbers: the "
            "training diverged. Choose another checkpoint."
        )
    shares = torch.softmax(logits.double(), 0)
    order = torch.argsort(shares, descending=True, stable=True).tolist()
    unlike = None
    familiarity = _familiarity(folder, checkpoint, opened.identity)
    if familiarity is not None:
        pixels = pixels_of(opened.card.preprocess.undo(images))
        features = feature_vectors(pixels if stage is None else outputs[stage])
        unlike = familiarity.judge(features[0]).unlike
    return LiveAnswer(
        classes=tuple((opened.card.class_names[i], float(shares[i])) for i in order),
        unlike=unlike,
        checkpoint=checkpoint,
        epoch=opened.epoch,
    )


_guard = threading.Lock()
_measured: OrderedDict[tuple[str, str, int], Familiarity | None] = OrderedDict()


def _familiarity(folder: Path, checkpoint: str, identity: str) -> Familiarity | None:
    """As `saved_familiarity`; the file is read again only when it has been written anew."""
    file = familiarity_file(folder, checkpoint)
    try:
        key = (str(file), identity, file.stat().st_mtime_ns)
    except OSError:
        return None
    with _guard:
        if key not in _measured:
            _measured[key] = saved_familiarity(folder, checkpoint, identity=identity)
            while len(_measured) > KEPT:
                _measured.popitem(last=False)
        _measured.move_to_end(key)
        return _measured[key]
