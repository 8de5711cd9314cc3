"""Uploads of pictures over HTTP: a zip, or a folder file by file, streamed to disk."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool

from lab.api.endpoint import Answer, Body, Call, Endpoint, Example, Parameter
from lab.api.schemas import structure
from lab.api.serving import TooLargeError
from lab.data.uploads import IncomingFile, UploadTooLargeError, discard, most_bytes, sweep

_PIECE = 1_000_000
"""Bytes that are written at a time, by a thread: a slow disk must not stop the server."""
UPLOAD = Parameter("upload", "32 hexadecimal digits of your own, such as a UUID's.", where="path")


async def receive_file(call: Call) -> Any:
    """Writes the body to disk while it comes; what breaks off leaves nothing behind."""
    length = call.request.headers.get("content-length", "")
    try:
        if not call["path"]:
            await run_in_threadpool(sweep)
        incoming = await run_in_threadpool(
            lambda: IncomingFile(
                call["upload"], call["path"], length=int(length) if length.isdigit() else None
            )
        )
        received = 0
        with incoming as file:
            piece = bytearray()
            async for chunk in call.request.stream():  # raises ClientDisconnect
                received += len(chunk)
                piece += chunk
                if len(piece) >= _PIECE:
                    await run_in_threadpool(file.write, bytes(piece))
                    piece.clear()
            await run_in_threadpool(file.write, bytes(piece))
    except UploadTooLargeError as error:
        raise TooLargeError(str(error)) from None
    return {"bytes": received}


def discard_upload(call: Call) -> Any:
    """Deletes what has come of an upload."""
    discard(call["upload"])
    return {"discarded": call["upload"]}


def read_limit(call: Call) -> Any:
    """Returns how much may be uploaded."""
    return {"most_bytes": most_bytes()}


ENDPOINTS = (
    Endpoint(
        "GET",
        "/uploads",
        "How much may be uploaded",
        "All files of one upload together; 0 where the operator allows none.",
        read_limit,
        Answer("The limit.", structure({"most_bytes": {"type": "integer"}})),
        group="Data sets and architectures",
    ),
    Endpoint(
        "POST",
        "/uploads/{upload}",
        "Upload a file",
        "A zip, or one file of a folder: it lies in LAB_HOME/downloads until it is imported, a day "
        "at most.",
        receive_file,
        Answer("How many bytes came.", structure({"bytes": {"type": "integer"}})),
        parameters=(
            UPLOAD,
            Parameter("path", "Where it lies in the folder; without it, it is a zip.", default=""),
        ),
        body=Body("The file.", {"type": "string"}, media_type="application/octet-stream"),
        example=Example({"upload": "0123456789abcdef0123456789abcdef"}, file="pictures.zip"),
        errors=(400, 413),
        group="Data sets and architectures",
    ),
    Endpoint(
        "POST",
        "/uploads/{upload}/discard",
        "Give an upload up",
        "Deletes what has come of it.",
        discard_upload,
        Answer("Which one.", structure({"discarded": {"type": "string"}})),
        parameters=(UPLOAD,),
        example=Example({"upload": "0123456789abcdef0123456789abcdef"}),
        errors=(400,),
        group="Data sets and architectures",
    ),
)
