"""Serves endpoints: checks what they are called with, and answers every error with one sentence.

{"error": "epochs is 0; allowed is 1 to 10000."}

400  what was sent does not fit          409  the run's state does not allow it
401  nobody has signed in                413  too large
403  not yours; see `lab.api.guard`      429  too many at once
404  no such run, data set, address      503  too little of something: disk, places to watch
405  no such method here                 500  a mistake of the lab's; its log has the rest
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from lab.api.endpoint import Call, Endpoint
from lab.errors import (
    ConfigError,
    LabError,
    NotAllowedError,
    NotFoundError,
    NotSignedInError,
    ResourceError,
    StateError,
    unknown_name,
)

logger = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Every address takes them all, so that it can say itself which it knows."""

MOST_BYTES = 1_000_000
"""Of a JSON body."""

STATUS_WORDS = {
    400: "What was sent does not fit.",
    401: "Nobody has signed in.",
    403: "The token is missing, another site asks, or it is somebody else's.",
    404: "There is no such run, data set or address.",
    405: "The address does not know this method.",
    409: "The run's state does not allow it.",
    413: "What was sent is too large.",
    429: "Too many requests; Retry-After says when to come back.",
    500: "A mistake of the lab's own; its log has the rest.",
    503: "The machine has too little of something.",
}


class TooLargeError(LabError):
    """What was sent is too large."""


_STATUSES: tuple[tuple[type[LabError], int], ...] = (
    (NotFoundError, 404),
    (NotSignedInError, 401),
    (NotAllowedError, 403),
    (StateError, 409),
    (TooLargeError, 413),
    (ResourceError, 503),
    (LabError, 400),
)


def endpoint_routes(endpoints: Sequence[Endpoint]) -> list[BaseRoute]:
    """Returns one route an address, and one for all addresses that there are not."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [
        *(Route(path, _answering(methods), methods=METHODS) for path, methods in by_path.items()),
        Route("/{path:path}", _nothing_there, methods=METHODS),
    ]


def _answering(methods: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    allowed = [*methods, "HEAD"] if "GET" in methods else list(methods)

    async def answer(request: Request) -> Response:
        endpoint = methods.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        call = await _call(endpoint, request)
        if inspect.iscoroutinefunction(endpoint.work):
            values = await endpoint.work(call)
        else:
            values = await run_in_threadpool(endpoint.work, call)
        if isinstance(values, Response):
            return values
        return JSONResponse(values, status_code=endpoint.answer.status)

    return answer


async def _nothing_there(request: Request) -> Response:
    raise NotFoundError(
        f"There is nothing at {request.url.path!r:.200}; GET /api/docs lists what there is."
    )


# --- what it is called with -----------------------------------------------------------------------
async def _call(endpoint: Endpoint, request: Request) -> Call:
    known = [p.name for p in endpoint.parameters if p.where == "query"]
    for name in request.query_params:
        if name not in known:
            raise ConfigError(unknown_name("parameter", name, known))
    values: dict[str, Any] = {}
    for parameter in endpoint.parameters:
        if parameter.where == "path":
            values[parameter.name] = parameter.read([request.path_params[parameter.name]])
        elif parameter.where == "header":
            values[parameter.name] = parameter.read(request.headers.getlist(parameter.name))
        else:
            values[parameter.name] = parameter.read(request.query_params.getlist(parameter.name))
    if endpoint.body is None or endpoint.body.media_type != "application/json":
        return Call(request, values)
    return Call(request, values, _json_object(await read_body(request, MOST_BYTES), endpoint))


async def read_body(request: Request, most: int) -> bytes:
    """Returns the body. Raises TooLargeError as soon as it has more than `most` bytes."""
    too_large = TooLargeError(f"What was sent is larger than {most / 1e6:g} MB, the most allowed.")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_large
    return bytes(body)


def _json_object(text: bytes, endpoint: Endpoint) -> dict[str, Any]:
    assert endpoint.body is not None
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"The body of {endpoint.method} /api{endpoint.path} must be JSON, and this is not: "
            f"{error}."
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"The body of {endpoint.method} /api{endpoint.path} must be a JSON object, such as "
            f"{json.dumps(endpoint.example.body)}."
        )
    known = endpoint.body.schema["properties"]
    for name in values:
        if name not in known:
            raise ConfigError(unknown_name("part of the body", name, known))
    return values


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


# --- errors ---------------------------------------------------------------------------------------
def status_of(error: LabError) -> int:
    """Returns the HTTP status of a refusal."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


async def _lab_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LabError)
    return _sentence(str(error), status_of(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = error.headers or {}
    if error.status_code != 405:
        return _sentence(f"{error.detail}.", error.status_code, headers)
    allowed = headers.get("Allow", "")
    return _sentence(
        f"{request.url.path!r:.200} does not know {request.method}; it knows: {allowed}.",
        405,
        headers,
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):  # nobody is there to be answered
        return Response(status_code=400)
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _sentence(
        f"The lab could not answer {request.method} {request.url.path!r:.200}, by a mistake of its "
        "own; its log has the details.",
        500,
    )


def _sentence(text: str, status: int, headers: Any = None) -> Response:
    return JSONResponse({"error": text}, status_code=status, headers=headers)


ERROR_HANDLERS: dict[Any, Any] = {
    LabError: _lab_error,
    HTTPException: _http_error,
    Exception: _unexpected,
}
"""For starlette's ExceptionMiddleware."""
