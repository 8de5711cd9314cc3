"""Endpoints for whoever watches a run: event streams, film strip, layers."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from lab.api import film
from lab.api.endpoint import Answer, Call, Endpoint, Example, Parameter
from lab.api.limits import visitor
from lab.api.runs import RUN
from lab.api.schemas import component
from lab.api.topics import hub
from lab.errors import ConfigError, NotFoundError, ResourceError
from lab.limits import STREAMS, limit
from lab.people import current_person, sharing
from lab.runs.store import store
from lab.training.watch import film_files

MOST_TOPICS = 64
MOST_VIEWERS = 200
"""Open streams: each is a connection and a queue of messages."""

KEPT = {"Cache-Control": "private, max-age=86400"}
"""Of what never changes under its address."""

CHARTS = ("gradient", "update", "quiet", "activations")
"""Those of `lab.api.layer_charts`, which brings Plotly; a test compares them."""

_STREAM = "text/event-stream"
_SOME_RUN = "r-20261129-120000-ab12"


# --- event streams --------------------------------------------------------------------------------
async def events(call: Call) -> Response:
    texts = call["topic"]
    if not 1 <= len(texts) <= MOST_TOPICS:
        raise ConfigError(
            f"{len(texts)} topics are named; allowed are 1 to {MOST_TOPICS}, such as "
            f"?topic=run:{_SOME_RUN}."
        )
    topics = []
    for text in texts:
        topic, _, cursor = text.partition("@")
        topics.append((topic, cursor))
    return _stream(call, topics)


async def run_events(call: Call) -> Response:
    run = await asyncio.to_thread(store().run, call["run"])
    return _stream(call, [(f"run:{run.id}", call["last-event-id"])])


def _stream(call: Call, topics: list[tuple[str, str]]) -> Response:
    if hub.viewers >= MOST_VIEWERS:
        raise ResourceError(
            f"{MOST_VIEWERS} pages and programs follow this lab already, the most allowed; close "
            "one and try again."
        )
    who, most = visitor(call.request, current_person()), limit(STREAMS)
    # In "open" everybody is the operator; one's own lab counts nobody.
    is_counted = sharing() == "open" or not current_person().is_admin
    if is_counted and hub.viewers_of(who) >= most:
        raise ResourceError(
            f"You follow this lab by {most} pages and programs already, the most that one person "
            f"may ({STREAMS[0]}); close one and try again."
        )
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    if call.request.method == "HEAD":  # no stream that nobody reads
        return Response(media_type=_STREAM, headers=headers)
    return StreamingResponse(hub.stream(topics, who), media_type=_STREAM, headers=headers)


# --- what is drawn --------------------------------------------------------------------------------
def read_layers(call: Call) -> Any:
    from lab.api.layer_charts import layer_chart_values  # brings Plotly, which takes a second

    run, window = store().run(call["run"]), call["window"]
    if window != "all" and not (window.isascii() and window.isdigit() and 0 < int(window) < 10**9):
        raise ConfigError(f'window is {window!r:.80}; allowed are "all" and numbers from 1.')
    return layer_chart_values(
        run,
        store().folder(run.id),
        chart=call["chart"],
        newest=None if window == "all" else int(window),
        layer=call["layer"],
    )


def read_film_maps(call: Call) -> Any:
    run = store().run(call["run"])
    values = film.maps_values(store().folder(run.id), call["epoch"], call["stage"])
    return JSONResponse(values, headers=KEPT)


def read_film_picture(call: Call) -> Any:
    run = store().run(call["run"])
    data = film_files.picture_bytes(store().folder(run.id), call["index"])
    if data is None:
        raise NotFoundError(f"Run {run.id} has kept no picture {call['index']}.")
    return Response(data, media_type="image/png", headers=KEPT)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/runs/{run}/events",
        "Follow a run",
        "Server-sent events: first all that there is, then what changes, up to twice a second, "
        "until you leave or the run is deleted. The data of an event is one JSON object: `run` as "
        "above, `progress`, `history` (new points), `log`, `judgement`, `film`. A client that "
        "comes back sends the last event's id and gets what it lacks.",
        run_events,
        Answer("The stream.", {"type": "string"}, media_type=_STREAM),
        parameters=(
            RUN,
            Parameter("last-event-id", "The id of the last event.", where="header", default=""),
        ),
        example=Example({"run": _SOME_RUN}),
        errors=(404, 503),
        group="Following",
    ),
    Endpoint(
        "GET",
        "/events",
        "Follow several runs",
        "One stream of several topics; the data of an event says which in `topic`. To go on after "
        "a break, add @ and the topic's last `cursor`.",
        events,
        Answer("The stream.", {"type": "string"}, media_type=_STREAM),
        parameters=(
            Parameter("topic", f"run:ID or run:ID@CURSOR; 1 to {MOST_TOPICS} times.", many=True),
        ),
        example=Example({"topic": [f"run:{_SOME_RUN}"]}),
        errors=(503,),
        group="Following",
    ),
    Endpoint(
        "GET",
        "/runs/{run}/layers",
        "Gradient health of a run",
        "One of the charts of its layers, as a Plotly figure with words.",
        read_layers,
        Answer("The chart.", component("LayerChart")),
        parameters=(
            RUN,
            Parameter("chart", "Which one.", choices=CHARTS, default="gradient"),
            Parameter("window", '"all", or the number of newest samples.', default="all"),
            Parameter("layer", "For activations: the layer; else the first.", default=""),
        ),
        example=Example({"run": _SOME_RUN, "chart": "gradient"}),
        errors=(404,),
        group="Following",
    ),
    Endpoint(
        "GET",
        "/runs/{run}/film/{epoch}",
        "Maps of the film strip",
        "Where the network looked after an epoch, one map a picture.",
        read_film_maps,
        Answer("The maps.", component("Maps")),
        parameters=(
            RUN,
            Parameter("epoch", "0 is before the first step.", "integer", where="path"),
            Parameter("stage", "One of the stages that the event stream names.", default=""),
            Parameter("revision", "The run's: a kept answer is of that.", default=""),
        ),
        example=Example({"run": _SOME_RUN, "epoch": 1, "stage": "conv2"}),
        errors=(404,),
        group="Following",
    ),
    Endpoint(
        "GET",
        "/runs/{run}/film/pictures/{index}.png",
        "A picture of the film strip",
        "As the network was given it.",
        read_film_picture,
        Answer("The picture.", {"type": "string"}, media_type="image/png"),
        parameters=(
            RUN,
            Parameter("index", "Its index in the data set.", "integer", where="path"),
        ),
        example=Example({"run": _SOME_RUN, "index": 17}),
        errors=(404,),
        group="Following",
    ),
)
