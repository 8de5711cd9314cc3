"""The routes of the lab beside its pages, below /api; see `lab.api.guard` for who may use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Mount

from lab.api import catalogs, classify, exports, pictures, runs, uploads, watching
from lab.api.docs_page import POLICY, docs_page
from lab.api.endpoint import Answer, Call, Endpoint
from lab.api.guard import Guard, forwarded_prefix
from lab.api.openapi import openapi
from lab.api.serving import ERROR_HANDLERS, endpoint_routes


def read_openapi(call: Call) -> Any:
    return openapi(ENDPOINTS)


def read_docs(call: Call) -> Any:
    # The Host header has passed the guard; the page escapes it.
    url, prefix = call.request.url, forwarded_prefix(call.request.headers)
    base = f"{url.scheme}://{url.netloc}{prefix}"
    return HTMLResponse(docs_page(ENDPOINTS, base), headers={"Content-Security-Policy": POLICY})


ENDPOINTS: tuple[Endpoint, ...] = (
    *runs.ENDPOINTS,
    *classify.ENDPOINTS,
    *exports.ENDPOINTS,
    *watching.ENDPOINTS,
    *catalogs.ENDPOINTS,
    *uploads.ENDPOINTS,
    *pictures.ENDPOINTS,
    Endpoint(
        "GET",
        "/openapi.json",
        "This API as an OpenAPI document",
        "Version 3.1; for generators of clients.",
        read_openapi,
        Answer("The document.", {"type": "object"}),
        group="About the API",
    ),
    Endpoint(
        "GET",
        "/docs",
        "This API with examples",
        "For people: curl and Python for every call.",
        read_docs,
        Answer("The page.", {"type": "string"}, media_type="text/html"),
        group="About the API",
    ),
)
"""All that can be asked of the lab; routes, document and page of examples are made from it."""


def routes(hosts: Sequence[str] = ()) -> list[BaseRoute]:
    """Returns all routes; `hosts` are the names that this server goes by."""
    middleware = [
        Middleware(ExceptionMiddleware, handlers=ERROR_HANDLERS),
        Middleware(Guard, hosts=hosts),
    ]
    return [Mount("/api", routes=endpoint_routes(ENDPOINTS), middleware=middleware)]
