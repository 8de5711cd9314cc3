"""The API's paths, query strings, headers and bodies: every answer but a 500."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

from hypothesis import example, given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from lab.api.routes import ENDPOINTS
from lab.runs.queue import Queue
from lab.runs.store import Store
from tests.api.conftest import client, done, home, run_id, runs, token  # noqa: F401
from tests.fuzz.test_settings import KNOB, TEXTS, VALUES

TESTED = [e for e in ENDPOINTS if not e.path.endswith("events")]  # these do not end
SHORT = TEXTS.map(lambda text: text[:3000])


def _encoded(values: Any) -> bytes:
    try:
        return json.dumps(values, default=str).encode()
    except ValueError:  # a number of over 4,300 digits
        return b'{"name": ' + b"9" * 5000 + b"}"


BODIES = st.binary(max_size=60) | st.fixed_dictionaries(
    {},
    optional={
        "config": st.dictionaries(KNOB.map(lambda name: name[:200]), VALUES, max_size=3) | VALUES,
        "name": VALUES,
        "learning_rate": VALUES,
        "x": VALUES,
    },
).map(_encoded)


@given(st.sampled_from(TESTED), st.data())
@example(next(e for e in TESTED if e.path.endswith("learning-rate")), None)
def test_no_request_meets_a_bug(
    client: TestClient,  # noqa: F811
    runs: Store,  # noqa: F811
    done: str,  # noqa: F811
    token: dict[str, str],  # noqa: F811
    endpoint: Any,
    data: st.DataObject | None,
) -> None:
    idle = Queue(runs)
    path, query, body = endpoint.path, {}, b'{"learning_rate": 1' + b"0" * 400 + b"}"
    for parameter in endpoint.parameters:
        own = done if parameter.name == "run" else "1"
        value = own if data is None else data.draw(st.just(own) | SHORT)
        value = value.encode("utf-8", "replace").decode()
        if parameter.where == "path":
            quoted = value.replace("/", "%2F").replace("?", "%3F").replace("#", "%23")
            path = path.replace(f"{{{parameter.name}}}", quoted or "x")
        elif data is None or data.draw(st.booleans()):
            query[parameter.name] = value
    if data is not None:
        body = data.draw(BODIES)
    url = "/api" + "".join(c if c.isprintable() else "%00" for c in path)
    try:
        with mock.patch("lab.api.runs.queue", return_value=idle):
            answer = client.request(endpoint.method, url, params=query, content=body, headers=token)
    finally:
        idle.shutdown()
    assert answer.status_code != 500, answer.text
    if answer.status_code >= 400:
        assert len(answer.text) < 10_000
