"""The routes of the lab beside its pages; see `lab.api.guard` for who may use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from lab.api import film
from lab.api.guard import Guard
from lab.api.layer_charts import layer_chart_values
from lab.api.run_values import run_values
from lab.api.topics import hub
from lab.errors import LabError, NotFoundError
from lab.runs.store import store
from lab.training.watch import film_files

Endpoint = Callable[[Request], Awaitable[Response]]
MOST_TOPICS = 64
KEPT = {"Cache-Control": "private, max-age=86400"}
"""Of what never changes under its address."""


def routes(hosts: Sequence[str] = ()) -> list[BaseRoute]:
    """Returns all routes, below /api; `hosts` are the names that this server goes by."""
    return [
        Mount(
            "/api",
            routes=[
                Route("/events", events),
                Route("/runs", _answering(runs)),
                Route("/runs/{run}", _answering(run)),
                Route("/runs/{run}/events", run_events),
                Route("/runs/{run}/layers", _answering(layers)),
                Route("/runs/{run}/film/{epoch:int}", _answering(film_maps)),
                Route("/runs/{run}/film/pictures/{index:int}.png", _answering(film_picture)),
            ],
            middleware=[Middleware(Guard, hosts=hosts)],
        )
    ]


def _answering(work: Callable[[Request], Response]) -> Endpoint:
    """Returns an endpoint that calls `work` in a thread; a LabError becomes its sentence."""

    @wraps(work)
    async def endpoint(request: Request) -> Response:
        try:
            return await run_in_threadpool(work, request)
        except NotFoundError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        except LabError as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return endpoint


# --- events ---------------------------------------------------------------------------------------
async def events(request: Request) -> Response:
    """The stream of several topics: ?topic=run:r-1@CURSOR&topic=..."""
    topics = []
    for text in request.query_params.getlist("topic")[:MOST_TOPICS]:
        topic, _, cursor = text.partition("@")
        topics.append((topic, cursor))
    return _stream(topics)


async def run_events(request: Request) -> Response:
    """The stream of one run; a browser that comes back goes on where it was."""
    topic = f"run:{request.path_params['run']}"
    return _stream([(topic, request.headers.get("last-event-id", ""))])


def _stream(topics: list[tuple[str, str]]) -> Response:
    return StreamingResponse(
        hub.stream(topics),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


# --- runs -----------------------------------------------------------------------------------------
def runs(request: Request) -> Response:
    query = request.query_params
    rows = store().runs(status=query.getlist("status") or None, search=query.get("search", ""))
    return JSONResponse({"runs": [run_values(row) for row in rows]})


def run(request: Request) -> Response:
    return JSONResponse(run_values(store().run(request.path_params["run"])))


def layers(request: Request) -> Response:
    row, query = store().run(request.path_params["run"]), request.query_params
    newest = query.get("window", "all")
    values = layer_chart_values(
        row,
        store().folder(row.id),
        chart=query.get("chart", "gradient"),
        newest=int(newest) if newest.isdecimal() else None,
        layer=query.get("layer", ""),
    )
    return JSONResponse(values)


def film_maps(request: Request) -> Response:
    row = store().run(request.path_params["run"])
    values = film.maps_values(
        store().folder(row.id),
        request.path_params["epoch"],
        request.query_params.get("stage", ""),
    )
    return JSONResponse(values, headers=KEPT)


def film_picture(request: Request) -> Response:
    row = store().run(request.path_params["run"])
    index = request.path_params["index"]
    data = film_files.picture_bytes(store().folder(row.id), index)
    if data is None:
        raise NotFoundError(f"Run {row.id} has kept no picture {index}.")
    return Response(data, media_type="image/png", headers=KEPT)
