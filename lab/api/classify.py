"""POST /api/runs/{id}/classify: a run's answer to one picture.

    curl --data-binary @cat.jpg -H "X-Requested-With: lab" .../api/runs/r-1/classify?checkpoint=best
    {"answers": [{"class": "cat", "probability": 0.98}, ...], "unlike": false,
     "checkpoint": "best", "epoch": 4}

The body is a JPEG, PNG or WebP file. Without `checkpoint` the best weights answer, or the newest
while the run trains. Nothing is kept.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from lab.data.decode import UnreadableFile
from lab.errors import LabError, NotFoundError
from lab.evaluate.live import LiveAnswer, answer_frame
from lab.runs.store import store
from lab.training.checkpoint import checkpoints, no_checkpoint
from lab.words import size

MAX_BYTES = 10_000_000


async def classify(request: Request) -> JSONResponse:
    """Answers with the classes of the picture in the body; errors are one sentence in `error`."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BYTES:
            return _error(413, f"The picture is larger than {size(MAX_BYTES)}, the most allowed.")
    checkpoint = request.query_params.get("checkpoint")
    try:
        answer = await run_in_threadpool(
            _answer, request.path_params["id"], checkpoint, bytes(data)
        )
    except UnreadableFile as error:
        return _error(415, f"The picture {error.reason}.")
    except NotFoundError as error:
        return _error(404, str(error))
    except LabError as error:
        return _error(409, str(error))
    return JSONResponse(
        {
            "answers": [
                {"class": name, "probability": probability} for name, probability in answer.classes
            ],
            "unlike": answer.unlike,
            "checkpoint": answer.checkpoint,
            "epoch": answer.epoch,
        }
    )


def _answer(run_id: str, checkpoint: str | None, data: bytes) -> LiveAnswer:
    row = store().run(run_id)
    folder = store().folder(row.id)
    name = checkpoint or ("last" if row.is_live else "best")
    if name not in checkpoints(folder):  # a name from a URL is never part of a path unseen
        raise no_checkpoint(folder, name)
    return answer_frame(folder, name, data)


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status_code=status)
