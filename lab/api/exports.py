"""An export that is kept in a run's folder, over HTTP: sent piece by piece, however large it is."""

from __future__ import annotations

from typing import Any

from starlette.responses import FileResponse

from lab.api.endpoint import Answer, Call, Endpoint, Example, Parameter
from lab.errors import NotFoundError
from lab.export.formats import EXPORTS
from lab.runs.store import store


def read_export(call: Call) -> Any:
    from lab.export.exporting import kept_export  # these bring torch
    from lab.training.checkpoint import checkpoints, no_checkpoint

    run, name, checkpoint = store().run(call["run"]), call["format"], call["checkpoint"]
    entry, folder = EXPORTS.get(name), store().folder(run.id)
    if checkpoint not in checkpoints(folder):  # nor may a name such as "../x" become a path
        raise no_checkpoint(folder, checkpoint)
    export = kept_export(run, name, checkpoint=checkpoint)
    if export is None:
        raise NotFoundError(
            f"Run {run.id} has no {entry.title} of its checkpoint {checkpoint} yet; make it on the "
            "run's page, in the tab Take it away."
        )
    return FileResponse(export.file, media_type=entry.mime, filename=export.file_name)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/runs/{run}/exports/{format}",
        "Download an export of a run",
        "A file that was made in the tab Take it away of the run's page. `format`: "
        f"{', '.join(EXPORTS.names())}.",
        read_export,
        Answer("The file.", {"type": "string"}, media_type="application/octet-stream"),
        parameters=(
            Parameter("run", "The run's id.", where="path"),
            Parameter("format", "Which kind of file.", where="path"),
            Parameter("checkpoint", "best, last or a kept epoch-0005.", default="best"),
        ),
        example=Example({"run": "r-20261129-120000-ab12", "format": "safetensors"}),
        errors=(404,),
    ),
)
