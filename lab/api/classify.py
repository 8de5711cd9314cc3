"""A run's answers to a picture, or to a zip of pictures, over HTTP."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from lab.api.endpoint import Answer, Body, Call, Endpoint, Example, Parameter
from lab.api.runs import RUN
from lab.api.schemas import INTEGER, NUMBER, TEXT, about, array, or_null, structure
from lab.api.serving import TooLargeError, read_body
from lab.data.sources.archive import READ_ERRORS
from lab.errors import ConfigError, DataError
from lab.runs.store import store

if TYPE_CHECKING:
    from lab.evaluate.bulk import FileAnswer

MOST_BYTES = 10_000_000
MOST_ZIP_BYTES = 50_000_000
MOST_PICTURES = 500
"""In one zip."""


async def classify_picture(call: Call) -> Any:
    """Returns the classes of the picture in the body, the most probable first."""
    data = await read_body(call.request, MOST_BYTES)
    return await run_in_threadpool(_answer, call["run"], call["checkpoint"], data)


def _answer(run_id: str, checkpoint: str, data: bytes) -> dict[str, Any]:
    from lab.data.decode import UnreadableFile  # these bring torch, which no look may wait for
    from lab.evaluate.live import answer_frame

    folder, name = _checkpoint(run_id, checkpoint)
    try:
        answer = answer_frame(folder, name, data)
    except UnreadableFile as error:
        raise DataError(f"The picture {error.reason}.") from None
    return {
        "answers": _classes(answer.classes),
        "unlike": answer.unlike,
        "checkpoint": answer.checkpoint,
        "epoch": answer.epoch,
    }


async def classify_zip(call: Call) -> Any:
    """Returns an answer for each picture of the zip in the body."""
    data = await read_body(call.request, MOST_ZIP_BYTES)
    return await run_in_threadpool(_answers, call["run"], call["checkpoint"], data)


def _answers(run_id: str, checkpoint: str, data: bytes) -> dict[str, Any]:
    from lab.evaluate.bulk import classify_files  # these bring torch
    from lab.evaluate.familiarity import saved_familiarity
    from lab.evaluate.opened import open_own_network

    folder, name = _checkpoint(run_id, checkpoint)
    with open_zip(data) as archive:
        opened = open_own_network(folder, name)
        familiarity = saved_familiarity(folder, name, identity=opened.identity)
        answers = classify_files(opened, files_in(archive), familiarity=familiarity)
        pictures = [_picture(each) for each in answers]
    return {"pictures": pictures, "checkpoint": opened.checkpoint, "epoch": opened.epoch}


def open_zip(data: bytes) -> zipfile.ZipFile:
    """Returns the zip; raises DataError for what is none, ConfigError for one of too many files."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (*READ_ERRORS, ValueError):
        raise DataError("What was sent is no zip. Send a zip of picture files.") from None
    count = len(_members(archive))
    if not 0 < count <= MOST_PICTURES:
        raise ConfigError(
            f"The zip holds {count:,} files; allowed are 1 to {MOST_PICTURES}. Send several zips."
        )
    return archive


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [each for each in archive.infolist() if not each.is_dir()]


def files_in(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """Yields the names and bytes of the files; raises DataError for one that cannot be unpacked,
    TooLargeError."""
    for member in _members(archive):
        if member.file_size > MOST_BYTES:
            raise TooLargeError(
                f"{member.filename!r:.200} in the zip is larger than {MOST_BYTES / 1e6:g} MB, the "
                "most allowed for a picture."
            )
        try:
            with archive.open(member) as file:
                data = file.read(MOST_BYTES)
        except (*READ_ERRORS, ValueError) as error:
            raise DataError(
                f"{member.filename!r:.200} in the zip cannot be unpacked ({error})."
            ) from None
        yield member.filename, data


def _picture(answer: FileAnswer) -> dict[str, Any]:
    return {
        "name": answer.name,
        "answers": _classes(answer.top(len(answer.class_names))),
        "unlike": None if answer.familiarity is None else answer.familiarity.unlike,
        "error": f"The picture {answer.error}." if answer.error else None,
    }


def _classes(classes: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"class": name, "probability": probability} for name, probability in classes]


def _checkpoint(run_id: str, checkpoint: str) -> tuple[Path, str]:
    """Returns the run's folder and the checkpoint that is asked. Raises NotFoundError."""
    from lab.training.checkpoint import checkpoints, no_checkpoint  # it brings torch

    row = store().run(run_id)
    folder = store().folder(row.id)
    name = checkpoint or ("last" if row.is_live else "best")
    if name not in checkpoints(folder):  # a name from a URL is never part of a path unseen
        raise no_checkpoint(folder, name)
    return folder, name


_ANSWERS = array(structure({"class": TEXT, "probability": NUMBER}))
_UNLIKE = about(
    {"type": ["boolean", "null"]},
    "Whether the picture is unlike those that the network was trained on; null where that is not "
    "measured.",
)
_EPOCH = or_null(INTEGER)
_CHECKPOINT = Parameter("checkpoint", "Such as best or last.", default="")

ENDPOINTS = (
    Endpoint(
        "POST",
        "/runs/{run}/classify",
        "Classify a picture",
        "Asks the run's best weights, or the newest while it trains. Nothing is kept.",
        classify_picture,
        Answer(
            "All classes, the most probable first.",
            structure(
                {"answers": _ANSWERS, "unlike": _UNLIKE, "checkpoint": TEXT, "epoch": _EPOCH}
            ),
        ),
        parameters=(RUN, _CHECKPOINT),
        body=Body(
            "A picture file (JPEG, PNG, WebP and others), 10 MB at most.",
            {"type": "string"},
            media_type="image/*",
        ),
        example=Example({"run": "r-20261129-120000-ab12"}, file="cat.jpg"),
        errors=(400, 404, 413),
        group="Runs",
    ),
    Endpoint(
        "POST",
        "/runs/{run}/classify/zip",
        "Classify many pictures",
        "As one picture, but a zip of them, in batches: an answer for each file in the order of "
        "the zip, and for a file that is no picture the reason. Nothing is kept.",
        classify_zip,
        Answer(
            "An answer a file.",
            structure(
                {
                    "pictures": array(
                        structure(
                            {
                                "name": TEXT,
                                "answers": _ANSWERS,
                                "unlike": _UNLIKE,
                                "error": or_null(TEXT),
                            }
                        )
                    ),
                    "checkpoint": TEXT,
                    "epoch": _EPOCH,
                }
            ),
        ),
        parameters=(RUN, _CHECKPOINT),
        body=Body(
            f"A zip of at most {MOST_PICTURES} picture files, {MOST_ZIP_BYTES // 1_000_000} MB in "
            f"all and {MOST_BYTES // 1_000_000} MB each.",
            {"type": "string"},
            media_type="application/zip",
        ),
        example=Example({"run": "r-20261129-120000-ab12"}, file="pictures.zip"),
        errors=(400, 404, 413),
        group="Runs",
    ),
)
