"""Classifies many picture files: in batches, with reading and decoding beside the network.

    names ──> threads: read, decode, bring to the network's size ──> network, a batch at a time
          <── one FileAnswer for each name, in the order of the names

At most a few batches are in memory, however many names there are. A file that cannot be read has an
answer too, which says why. Each picture goes the way of one that is classified alone
(`lab.evaluate.classify.uploaded`), so the answers are the same.
"""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.data.batches import eval_batch_size
from lab.data.decode import FORMAT_WORDS, SUFFIXES, UnreadableFile, read_picture
from lab.errors import DataError, NotFoundError
from lab.evaluate.classify import feature_stage, feature_vectors, pixels_of, uploaded
from lab.evaluate.familiarity import Familiarity, Verdict
from lab.evaluate.opened import Opened
from lab.evaluate.pictures import Crop, Picture

AHEAD = 2
"""Batches that each decoding thread may be ahead of the network."""
MOST_THREADS = 8

Source = str | Path | tuple[str, bytes]
"""A picture file's path, or a name and the file's bytes."""


@dataclass(frozen=True, eq=False)
class FileAnswer:
    """What a network says about one picture file, or why the file could not be read."""

    name: str
    error: str = ""
    """A sentence without the file's name, such as "is not there"; empty when it was read."""
    class_names: tuple[str, ...] = ()
    probabilities: npt.NDArray[np.float32] | None = None
    """(K,) softmax: adds up to 1; None with an error."""
    familiarity: Verdict | None = None
    """How far it is from the training pictures, where that was measured."""

    @property
    def predicted_class(self) -> str:
        """The most probable class; empty with an error."""
        top = self.top(1)
        return top[0][0] if top else ""

    def top(self, count: int) -> list[tuple[str, float]]:
        """Returns the `count` most probable classes with their probabilities, best first."""
        if self.probabilities is None:
            return []
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.class_names[i], float(self.probabilities[i])) for i in order]


def find_pictures(names: Iterable[str | Path]) -> list[str]:
    """Returns the paths of the picture files that `names` mean, in their order.

    A folder means all pictures in it and below, by their suffixes and sorted; a pattern such as
    `scans/**/*.png` what matches it; anything else is a file, whether it is there or not. Raises
    NotFoundError for a folder without pictures.
    """
    paths: list[str] = []
    for name in map(str, names):
        if os.path.isdir(name):
            inside = list(_pictures_below(name))
            if not inside:
                raise NotFoundError(f"There is no picture in {name}; {FORMAT_WORDS} are read.")
            paths += inside
        elif glob.has_magic(name) and not os.path.lexists(name):
            paths += sorted(filter(os.path.isfile, glob.iglob(name, recursive=True))) or [name]
        else:
            paths.append(name)
    return paths


def _pictures_below(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for file in sorted(files):
            if os.path.splitext(file)[1].lower() in SUFFIXES and not file.startswith("."):
                yield os.path.join(place, file)


def classify_files(
    opened: Opened,
    sources: Iterable[Source],
    *,
    crop: Crop | None = None,
    familiarity: Familiarity | None = None,
) -> Iterator[FileAnswer]:
    """Yields the answer of the network to each of `sources`, in their order.

    `opened` belongs to the caller alone until the last answer (`open_own_network`). `familiarity`
    is that of the same weights; with it each answer says how far the picture is from the training
    pictures. Who stops asking ends the work. Raises DataError when the weights give no numbers.
    """
    size = opened.card.preprocess.image_size
    batch_size = eval_batch_size(opened.card.config, size, "cpu")
    # One core is the network's: threads that wait for it only take turns with each other.
    threads = max(1, min(MOST_THREADS, (os.cpu_count() or 1) - 1))
    opened.network.to(memory_format=torch.channels_last)
    remaining = iter(sources)
    waiting: deque[Future[list[Picture | FileAnswer]]] = deque()
    with ThreadPoolExecutor(threads, "decode") as pool:

        def begin() -> None:
            if batch := list(islice(remaining, batch_size)):
                waiting.append(pool.submit(_decoded, batch, opened, crop))

        try:
            for _ in range(AHEAD * threads):
                begin()
            while waiting:
                decoded = waiting.popleft().result()
                begin()
                yield from _answers(opened, decoded, familiarity)
        finally:
            for each in waiting:
                each.cancel()


def _decoded(
    sources: Sequence[Source], opened: Opened, crop: Crop | None
) -> list[Picture | FileAnswer]:
    """Returns the pictures at the network's size, in their places the files that are none."""
    decoded: list[Picture | FileAnswer] = []
    for source in sources:
        name, data = source if isinstance(source, tuple) else (str(source), None)
        try:
            data = read_picture(name) if data is None else data
            decoded.append(uploaded(data, opened.card, name=name, crop=crop))
        except UnreadableFile as error:
            decoded.append(FileAnswer(name, error=error.reason))
    return decoded


def _answers(
    opened: Opened, decoded: Sequence[Picture | FileAnswer], familiarity: Familiarity | None
) -> list[FileAnswer]:
    pictures = [each for each in decoded if isinstance(each, Picture)]
    if not pictures:
        return [each for each in decoded if isinstance(each, FileAnswer)]
    pixels = torch.from_numpy(np.stack([picture.pixels for picture in pictures]))
    images = opened.card.preprocess(pixels)
    logits, features = _forward(opened, images, familiarity)
    finite = torch.isfinite(logits).all(1)
    if not bool(finite.all()):
        first = pictures[int(finite.int().argmin())].name
        raise DataError(
            f"The weights of checkpoint {opened.checkpoint!r} answer {first!r} with values that "
            "are no numbers: the training diverged. Choose another checkpoint."
        )
    shares = iter(torch.softmax(logits.double(), 1).float().numpy())
    verdicts = iter(
        [] if familiarity is None or features is None else familiarity.judge_all(features)
    )
    return [
        each
        if isinstance(each, FileAnswer)
        else FileAnswer(
            each.name,
            class_names=opened.card.class_names,
            probabilities=next(shares),
            familiarity=next(verdicts, None),
        )
        for each in decoded
    ]


def _forward(
    opened: Opened, images: Tensor, familiarity: Familiarity | None
) -> tuple[Tensor, npt.NDArray[np.float32] | None]:
    """Returns the logits (N, K), and where they are compared the features (N, D)."""
    network = opened.network
    with torch.inference_mode():
        if familiarity is None:
            return network(images).float(), None
        stage = feature_stage(opened)
        if stage is None:
            pixels = pixels_of(opened.card.preprocess.undo(images))
            return network(images).float(), feature_vectors(pixels)
        output = network.run(images, last=stage)
        features = feature_vectors(output)
        after = network.stage_names.index(stage) + 1
        logits = network.run(output, first=network.stage_names[after])
        return logits.float(), features
