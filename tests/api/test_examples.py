"""Every example that is shown to people works, against a real server."""

from __future__ import annotations

import json
import re
import shlex
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.api import hub as hub_module
from lab.api import watching
from lab.api.docs_page import FOLLOW_PYTHON
from lab.api.endpoint import Endpoint
from lab.api.examples import PYTHON_START, curl, python
from lab.api.guard import api_token
from lab.api.hub import Hub
from lab.api.routes import ENDPOINTS, routes
from lab.api.topics import make_feed
from lab.config import RunConfig
from lab.runs.queue import Queue
from lab.runs.store import Store
from lab.training.watch.film_files import write_picture
from tests.runs.fakes import CONFIG, FakeEngine, ended, started, step

from .conftest import train
from .test_exports import write_export
from .test_layer_charts import write
from .test_run_feed import film

SAMPLE = "r-20261129-120000-ab12"
DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


class Server(uvicorn.Server):
    def install_signal_handlers(self) -> None: ...


@pytest.fixture
def queue(runs: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """A queue without torch; settings are not checked against data sets."""
    started = Queue(runs, engine=FakeEngine(), resolve=lambda config: "cpu", poll_seconds=60)
    started.start()
    monkeypatch.setattr("lab.api.runs.queue", lambda: started)
    monkeypatch.setattr("lab.training.plan.resolve", lambda config: config)
    monkeypatch.setattr("lab.runs.judging.verdicts", lambda *_, **__: ())
    yield started
    started.shutdown()


@pytest.fixture
def lab(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server."""
    hub = Hub(make_feed)
    monkeypatch.setattr(watching, "hub", hub)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        Starlette(routes=routes()), port=port, log_level="warning", ws="none", lifespan="off"
    )
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    hub.close()
    thread.join(60)
    assert not thread.is_alive(), "a server that ends does not wait for its viewers"


@pytest.fixture
def samples(runs: Store, done: str) -> dict[str, str]:
    """Runs by what can be done with them, with all that the examples ask for."""
    write(runs, done, range(1, 5))
    film(runs, done, 1)
    write_picture(runs.folder(done), 17, np.zeros((2, 2, 3), dtype=np.uint8))
    write_export(runs.folder(done), "safetensors", b"weights")
    stopped = runs.create_run(CONFIG, status="preparing")
    runs.record(stopped, [started(), step(1), ended("stopped", steps=1)])
    running = runs.create_run(CONFIG, status="preparing")
    runs.record(running, [started(), step(1)])
    return {"done": done, "resume": stopped, "running": running}


def sample_of(endpoint_path: str, samples: dict[str, str]) -> str:
    verb = endpoint_path.rsplit("/", 1)[-1]
    if verb == "resume":
        return samples["resume"]
    return samples["running" if verb in ("stop", "pause", "finish", "learning-rate") else "done"]


def shown(text: str, run_id: str) -> str:
    """The example for the runs that there are here."""
    return (
        text.replace(SAMPLE, run_id)
        .replace("stage=conv2", "stage=conv1")
        .replace("'stage': 'conv2'", "'stage': 'conv1'")
    )


def perform(line: str, lab: str) -> requests.Response:
    """What curl would do with that line."""
    words = shlex.split(line.replace("$TOKEN", api_token()))
    assert words.pop(0) == "curl"
    method, headers, data, url, stream = "GET", {}, None, "", False
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            data = words.pop(0).encode()
        elif word == "-o":
            words.pop(0)
        elif word in ("-s", "-N"):
            stream = word == "-N"
        else:
            assert url == ""
            url = word.replace("http://localhost:8501", lab)
    answer = requests.request(method, url, headers=headers, data=data, stream=stream, timeout=60)
    if stream:
        lines = answer.iter_lines()
        assert next(lines).startswith((b"data: ", b"id: "))
        answer.close()
    return answer


WITHOUT_FILES = [endpoint for endpoint in ENDPOINTS if not endpoint.example.file]
"""What sends a picture asks real weights, in a test of its own."""


@pytest.mark.parametrize("endpoint", WITHOUT_FILES, ids=lambda e: e.operation)
def test_the_examples_of_an_endpoint(endpoint: Endpoint, lab: str, samples: dict[str, str]) -> None:
    run_id = sample_of(endpoint.path, samples)
    answer = perform(shown(curl(endpoint, "http://localhost:8501"), run_id), lab)
    assert answer.status_code == endpoint.answer.status, answer.text
    assert answer.headers["content-type"].split(";")[0] == endpoint.answer.media_type
    if endpoint.path.endswith("/resume") or (endpoint.writes and endpoint.body is None):
        return  # its state does not allow it twice
    start = f"TOKEN = {api_token()!r}\n{PYTHON_START.format(base=lab)}"
    code = shown(python(endpoint), run_id)
    if code.startswith("with"):
        code += "\n            break"
    elif endpoint.answer.media_type == "text/html":
        return  # a page to look at
    exec(start + code, {})


def test_a_run_is_started_and_followed_to_its_end(
    lab: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start = f"TOKEN = {api_token()!r}\n{PYTHON_START.format(base=lab)}"
    exec(start + FOLLOW_PYTHON, {})
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "epoch 1: 50.0% of the validation images",
        "epoch 2: 75.0% of the validation images",
        "completed after 10 steps",
    ]


def blocks(language: str) -> list[str]:
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_documents_python(
    lab: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.check_output", lambda *_, **__: f"{api_token()}\n")
    names: dict[str, Any] = {}
    code = "\n".join(blocks("python")).replace("http://localhost:8501", lab)
    exec(code, names)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "epoch 1: 50.0% of the validation images are right"
    assert out[-1] == "completed {'loss': 0.6, 'accuracy': 0.7}"
    assert names["steps"] == list(range(1, 11))
    assert len(names["losses"]) == 10


def test_the_documents_curl(lab: str, samples: dict[str, str]) -> None:
    [block] = blocks("bash")
    lines = block.splitlines()
    assert len(lines) >= 5
    for line in lines:
        run_id = sample_of(line.split()[-1], samples)
        assert perform(line.replace("RUN", run_id), lab).ok, line


def test_the_document_names_what_there_is() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    paths = {endpoint.path for endpoint in ENDPOINTS}
    for line in re.findall(r"^\| `(?:GET|POST) .*$", text, flags=re.MULTILINE):
        previous = ""
        for path in re.findall(r"`(?:GET |POST )?(/[^`]*)`", line):
            full = path.removeprefix("/api") if path.startswith("/api") else previous + path
            if path.startswith("/api"):
                previous = full.rsplit("/", 1)[0]
            assert full in paths, full


def test_the_page_of_examples(client: TestClient) -> None:
    answer = client.get("/api/docs", headers={"Host": "localhost:1234"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "script" not in answer.headers["content-security-policy"]
    html = answer.text
    assert "<script" not in html
    assert not re.search(r"(src|href)=['\"]https?:", html), "it fetches nothing"
    for endpoint in ENDPOINTS:
        assert html.count(f"id='{endpoint.operation}'") == 1
        assert html.count(f"href='#{endpoint.operation}'") == 1
    assert "http://localhost:1234/api/runs" in html
    evil = client.get("/api/docs", headers={"Host": "<b>"})
    assert "<b>" not in evil.text


def test_a_stream_over_http_goes_on_where_it_was(
    lab: str, runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.05)
    train(runs, run_id, range(1, 4))

    def first(last: str) -> dict[str, Any]:
        headers = {"Last-Event-ID": last} if last else {}
        url = f"{lab}/api/runs/{run_id}/events"
        with requests.get(url, headers=headers, stream=True, timeout=5) as answer:
            for line in answer.iter_lines():
                if line.startswith(b"data: "):
                    message: dict[str, Any] = json.loads(line[6:])
                    return message
        raise AssertionError("the stream ended")

    begin = first("")
    assert begin["history"]["whole"]
    train(runs, run_id, range(4, 6))
    more = first(begin["cursor"])
    assert not more["history"]["whole"]
    assert more["history"]["step"] == 4
    assert more["history"]["epoch"] == [1]


def test_the_settings_of_the_examples_are_settings() -> None:
    for endpoint in ENDPOINTS:
        if endpoint.example.body:
            body = endpoint.example.body
            RunConfig.from_mapping(body.get("config", body))
