"""The OpenAPI 3.1 document of the API, made from its endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.api.endpoint import Endpoint
from lab.api.schemas import component, components
from lab.api.serving import STATUS_WORDS
from lab.installation import COMMAND

VERSION = "1"
"""Of the API; it grows when a program that uses it would have to change."""

ABOUT = (
    "Reading needs nothing. Whatever changes something needs the header `Authorization: Bearer "
    f"TOKEN`; `{COMMAND} api-token`, on the server, prints the token. Every refusal is "
    '`{"error": "one sentence"}`. Numbers that are not known, or not finite, are null.'
)


def openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Returns the document as plain JSON values."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    groups = dict.fromkeys(endpoint.group for endpoint in endpoints)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Epochlab", "version": VERSION, "description": ABOUT},
        "servers": [{"url": "/api"}],
        "tags": [{"name": name} for name in groups],
        "paths": paths,
        "components": {
            "schemas": components(),
            "responses": {
                f"Error{status}": {
                    "description": words,
                    "content": {"application/json": {"schema": component("Error")}},
                }
                for status, words in STATUS_WORDS.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    answer = endpoint.answer
    statuses = sorted({400, 401, 403, 429, 500, *endpoint.errors})
    operation: dict[str, Any] = {
        "operationId": endpoint.operation,
        "tags": [endpoint.group],
        "summary": endpoint.summary,
        "description": endpoint.description,
        "parameters": [
            {
                "name": parameter.name,
                "in": parameter.where,
                "required": parameter.where == "path",
                "description": parameter.about,
                "schema": parameter.schema(),
            }
            for parameter in endpoint.parameters
        ],
        "responses": {
            str(answer.status): {
                "description": answer.about,
                "content": {answer.media_type: {"schema": dict(answer.schema)}},
            },
            **{str(s): {"$ref": f"#/components/responses/Error{s}"} for s in statuses},
        },
        "security": [{"token": []}] if endpoint.writes else [],
    }
    if body := endpoint.body:
        content: dict[str, Any] = {"schema": dict(body.schema)}
        if endpoint.example.body is not None:
            content["example"] = endpoint.example.body
        operation["requestBody"] = {
            "description": body.about,
            "required": True,
            "content": {body.media_type: content},
        }
    return operation
