"""The OpenAPI document is valid, complete, and true of what the API answers."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.testclient import TestClient

from lab.api.openapi import openapi
from lab.api.routes import ENDPOINTS
from lab.api.run_values import run_values
from lab.api.schemas import RUN, run_config_schema
from lab.config import KNOBS, RunConfig
from lab.runs.store import Store
from tests.tiny_data import make_tiny_pack

from .test_layer_charts import write
from .test_run_feed import film


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/openapi.json").json()
    return found


def test_it_is_a_valid_document(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    assert document == json.loads(json.dumps(openapi(ENDPOINTS)))


def test_every_endpoint_is_in_it_once(document: dict[str, Any]) -> None:
    listed = [(m.upper(), p) for p, item in document["paths"].items() for m in item]
    assert sorted(listed) == sorted((e.method, e.path) for e in ENDPOINTS)
    names = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(set(names)) == len(names)
    for endpoint in ENDPOINTS:
        in_path = [p.name for p in endpoint.parameters if p.where == "path"]
        assert re.findall(r"{(\w+)}", endpoint.path) == in_path
        assert set(endpoint.example.values) <= {p.name for p in endpoint.parameters}
        assert endpoint.summary[-1] != "."
        assert endpoint.description[-1] == "."


def test_only_what_writes_needs_the_token(document: dict[str, Any]) -> None:
    for item in document["paths"].values():
        for method, operation in item.items():
            assert operation["security"] == ([] if method == "get" else [{"token": []}])


def checked(document: dict[str, Any], path: str, answer: Any) -> None:
    schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(answer.json(), {**schema["schema"], "components": document["components"]})


def test_answers_are_as_it_says(
    client: TestClient, document: dict[str, Any], runs: Store, done: str
) -> None:
    make_tiny_pack()
    write(runs, done, range(1, 5))
    film(runs, done, 1)
    queries = {"/runs/{run}/film/{epoch}": {"stage": "conv1"}}
    asked = 0
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET" or endpoint.answer.media_type != "application/json":
            continue
        path = endpoint.path.replace("{run}", done).replace("{epoch}", "1")
        answer = client.get(f"/api{path}", params=queries.get(endpoint.path))
        assert answer.status_code == 200, answer.text
        checked(document, endpoint.path, answer)
        asked += 1
    assert asked >= 9
    queued = runs.create_run(RunConfig())
    checked(document, "/runs/{run}", client.get(f"/api/runs/{queued}"))


def test_a_run_has_exactly_the_values_that_it_says(runs: Store, done: str) -> None:
    assert set(run_values(runs.run(done))) == set(RUN["properties"])


def test_settings_that_it_allows_are_allowed() -> None:
    schema = run_config_schema()
    assert set(schema["properties"]) == set(KNOBS)
    jsonschema.validate(RunConfig().model_dump(mode="json"), schema)
    jsonschema.validate({}, schema)
    for wrong in ({"epochs": 0}, {"optimizer": "magic"}, {"moon_phase": 1}, {"dropout": 2}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
