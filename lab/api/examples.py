"""How an endpoint is called, as a line for a shell and as Python."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import quote, urlencode

from lab.api.endpoint import Endpoint

PYTHON_START = """\
import json, requests
LAB = {base!r}
AUTH = {{"Authorization": "Bearer " + TOKEN}}
"""
"""What every Python example begins with."""


def curl(endpoint: Endpoint, base: str) -> str:
    """Returns the call for a shell; $TOKEN is the token."""
    line = "curl -N" if _is_stream(endpoint) else "curl -s"
    if endpoint.writes:
        line += ' -X POST -H "Authorization: Bearer $TOKEN"'
    if endpoint.example.file:
        line += f" --data-binary @{shlex.quote(endpoint.example.file)}"
    elif endpoint.body is not None:
        line += f" -H 'Content-Type: application/json' -d {shlex.quote(_body(endpoint))}"
    if endpoint.answer.media_type.startswith("image/"):
        line += " -o picture.png"
    elif endpoint.answer.media_type == "application/octet-stream":
        line += " -o run.safetensors"
    query = urlencode(_query(endpoint), doseq=True)
    return f"{line} {shlex.quote(base + _path(endpoint) + (f'?{query}' if query else ''))}"


def python(endpoint: Endpoint) -> str:
    """Returns the call with `requests`, after PYTHON_START."""
    arguments = [f'LAB + "{_path(endpoint)}"']
    if query := _query(endpoint):
        arguments.append(f"params={query!r}")
    if endpoint.example.file:
        arguments.append(f'data=open("{endpoint.example.file}", "rb")')
    elif endpoint.body is not None:
        arguments.append(f"json={endpoint.example.body!r}")
    if endpoint.writes:
        arguments.append("headers=AUTH")
    call = f"requests.{endpoint.method.lower()}({', '.join(arguments)}"
    if _is_stream(endpoint):
        return (
            f"with {call}, stream=True, timeout=60) as answer:\n"
            "    for line in answer.iter_lines():\n"
            '        if line.startswith(b"data: "):\n'
            "            event = json.loads(line[6:])\n"
            '            print(event["run"]["status"], event["run"]["step"])'
        )
    is_file = endpoint.answer.media_type.startswith(("image/", "application/octet-stream"))
    return f"{call}).{'content' if is_file else 'json()'}"


def _path(endpoint: Endpoint) -> str:
    path = f"/api{endpoint.path}"
    for parameter in endpoint.parameters:
        if parameter.where == "path":
            value = quote(str(endpoint.example.values[parameter.name]), safe="")
            path = path.replace(f"{{{parameter.name}}}", value)
    return path


def _query(endpoint: Endpoint) -> dict[str, Any]:
    names = [parameter.name for parameter in endpoint.parameters if parameter.where == "query"]
    values = {name: v for name in names if (v := endpoint.example.values.get(name)) is not None}
    return {name: str(v).lower() if isinstance(v, bool) else v for name, v in values.items()}


def _body(endpoint: Endpoint) -> str:
    return json.dumps(endpoint.example.body, ensure_ascii=False)


def _is_stream(endpoint: Endpoint) -> bool:
    return endpoint.answer.media_type == "text/event-stream"
