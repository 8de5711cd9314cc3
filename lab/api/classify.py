"""A run's answer to one picture, over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool

from lab.api.endpoint import Answer, Body, Call, Endpoint, Example, Parameter
from lab.api.runs import RUN
from lab.api.schemas import structure
from lab.api.serving import read_body
from lab.errors import DataError
from lab.runs.store import store

MOST_BYTES = 10_000_000


async def classify_picture(call: Call) -> Any:
    """Returns the classes of the picture in the body, the most probable first."""
    data = await read_body(call.request, MOST_BYTES)
    return await run_in_threadpool(_answer, call["run"], call["checkpoint"], data)


def _answer(run_id: str, checkpoint: str, data: bytes) -> dict[str, Any]:
    from lab.data.decode import UnreadableFile  # these bring torch, which no look may wait for
    from lab.evaluate.live import answer_frame
    from lab.training.checkpoint import checkpoints, no_checkpoint

    row = store().run(run_id)
    folder = store().folder(row.id)
    name = checkpoint or ("last" if row.is_live else "best")
    if name not in checkpoints(folder):  # a name from a URL is never part of a path unseen
        raise no_checkpoint(folder, name)
    try:
        answer = answer_frame(folder, name, data)
    except UnreadableFile as error:
        raise DataError(f"The picture {error.reason}.") from None
    return {
        "answers": [
            {"class": class_name, "probability": probability}
            for class_name, probability in answer.classes
        ],
        "unlike": answer.unlike,
        "checkpoint": answer.checkpoint,
        "epoch": answer.epoch,
    }


ENDPOINTS = (
    Endpoint(
        "POST",
        "/runs/{run}/classify",
        "Classify a picture",
        "Asks the run's best weights, or the newest while it trains. Nothing is kept.",
        classify_picture,
        Answer(
            "The most probable classes; `unlike` tells whether the picture is unlike those that "
            "the network was trained on, null where that is not measured.",
            structure(
                {
                    "answers": {
                        "type": "array",
                        "items": structure(
                            {"class": {"type": "string"}, "probability": {"type": "number"}}
                        ),
                    },
                    "unlike": {"type": ["boolean", "null"]},
                    "checkpoint": {"type": "string"},
                    "epoch": {"type": ["integer", "null"]},
                }
            ),
        ),
        parameters=(RUN, Parameter("checkpoint", "Such as best or last.", default="")),
        body=Body(
            "A picture file (JPEG, PNG, WebP and others), 10 MB at most.",
            {"type": "string"},
            media_type="image/*",
        ),
        example=Example({"run": "r-20261129-120000-ab12"}, file="cat.jpg"),
        errors=(400, 404, 413),
        group="Runs",
    ),
)
