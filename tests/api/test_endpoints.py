"""What each endpoint answers, and how it refuses."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from lab.api import serving, watching
from lab.api.routes import ENDPOINTS
from lab.errors import ResourceError
from lab.runs.queue import Queue
from lab.runs.store import Store
from lab.training.watch.film_files import write_picture
from tests.runs.fakes import CONFIG, ended, started, step
from tests.tiny_data import make_tiny_pack

from .test_layer_charts import write
from .test_run_feed import film

Token = dict[str, str]


@pytest.fixture
def idle(runs: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """A queue that trains nothing."""
    waiting = Queue(runs)
    monkeypatch.setattr("lab.api.runs.queue", lambda: waiting)
    yield waiting
    waiting.shutdown()


def refused(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    sentence: str = answer.json()["error"]
    assert "\n" not in sentence
    return sentence


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(f"/api{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- reading --------------------------------------------------------------------------------------
def test_runs_are_listed_newest_first(client: TestClient, runs: Store, done: str) -> None:
    other = runs.create_run(CONFIG, name="the other one")
    listed = get(client, "/runs")
    assert {run["id"] for run in listed["runs"]} == {done, other}
    assert listed["total"] == 2
    assert [r["id"] for r in get(client, "/runs", status="queued")["runs"]] == [other]
    assert [r["id"] for r in get(client, "/runs", search="OTHER one")["runs"]] == [other]
    assert len(get(client, "/runs", status=["queued", "completed"])["runs"]) == 2
    limited = get(client, "/runs", limit=1)
    assert len(limited["runs"]) == 1
    assert limited["total"] == 2


def test_one_run(client: TestClient, done: str) -> None:
    run = get(client, f"/runs/{done}")
    assert run["status"] == "completed"
    assert run["config"]["epochs"] == 2
    assert run["test"] == {"loss": 0.6, "accuracy": 0.7}
    assert run["class_names"] == ["Katze", "개"]


def test_history_as_columns(client: TestClient, done: str) -> None:
    history = get(client, f"/runs/{done}/history")
    assert history["steps"]["step"] == list(range(1, 11))
    assert history["steps"]["epoch"] == [1] * 5 + [2] * 5
    assert history["steps"]["loss"] == [1 / n for n in range(1, 11)], "all digits"
    assert history["epochs"]["epoch"] == [1, 2]
    assert history["epochs"]["val_accuracy"] == [0.5, 0.75]
    assert history["epochs"]["is_best"] == [True, True]
    assert (history["last_step"], history["last_epoch"]) == (10, 2)
    assert not history["thinned"]
    assert not history["more"]
    newer = get(client, f"/runs/{done}/history", after=8, after_epoch=1)
    assert newer["steps"]["step"] == [9, 10]
    assert newer["epochs"]["epoch"] == [2]
    none = get(client, f"/runs/{done}/history", after=10, after_epoch=2)
    assert none["steps"]["step"] == none["epochs"]["epoch"] == []
    assert (none["last_step"], none["last_epoch"]) == (10, 2)
    assert not none["thinned"]


def test_a_long_history_is_thinned_unless_all_is_asked_for(
    client: TestClient, runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.record(run_id, [started(per_epoch=1000)])
    runs.record(run_id, [step(n, per_epoch=1000) for n in range(1, 801)])
    thinned = get(client, f"/runs/{run_id}/history", points=50)
    assert thinned["thinned"]
    assert len(thinned["steps"]["step"]) <= 50
    assert thinned["steps"]["step"][-1] == thinned["last_step"] == 800
    assert get(client, f"/runs/{run_id}/history", after=500, points=50)["steps"]["step"][0] == 501
    whole = get(client, f"/runs/{run_id}/history", all="true", points=50)
    assert len(whole["steps"]["step"]) == 800
    assert not whole["thinned"]
    monkeypatch.setattr("lab.api.runs.MOST_STEPS", 300)
    told: list[int] = []
    more, after = True, 0
    while more:
        part = get(client, f"/runs/{run_id}/history", all="true", after=after)
        more, after = part["more"], part["last_step"]
        told += part["steps"]["step"]
    assert told == list(range(1, 801))


def test_what_is_no_number_is_null(client: TestClient, runs: Store, run_id: str) -> None:
    runs.record(run_id, [started(), step(1, loss=math.nan), step(2, loss=math.inf), step(3)])
    for query in ({}, {"all": "true"}):
        history = get(client, f"/runs/{run_id}/history", **query)
        assert history["steps"]["loss"][:2] == [None, None]
        assert history["steps"]["loss"][2] == pytest.approx(1 / 3)


def test_the_log(client: TestClient, runs: Store, run_id: str) -> None:
    for text in ("one", "two", "three"):
        runs.write_log(run_id, "info", text)
    lines = get(client, f"/runs/{run_id}/log")["lines"]
    assert [line["text"] for line in lines] == ["one", "two", "three"]
    newer = get(client, f"/runs/{run_id}/log", after=lines[0]["seq"])["lines"]
    assert [line["text"] for line in newer] == ["two", "three"]


def test_verdicts_are_read_and_nothing_is_predicted_for_them(
    client: TestClient, runs: Store, done: str
) -> None:
    judgement = get(client, f"/runs/{done}/verdicts")
    assert judgement["judged_by"].startswith("Judged by the curves of 2 finished epochs")
    assert not (runs.folder(done) / "evaluation").exists()


def test_layers_film_and_its_pictures(client: TestClient, runs: Store, run_id: str) -> None:
    write(runs, run_id, range(1, 5))
    film(runs, run_id, 1)
    chart = get(client, f"/runs/{run_id}/layers", chart="gradient", window="2")
    assert "the 2 that were sampled" in chart["caption"]
    maps = client.get(f"/api/runs/{run_id}/film/1", params={"stage": "conv1"})
    assert maps.json()["shape"] == [2, 3, 3]
    assert "max-age" in maps.headers["cache-control"]
    write_picture(runs.folder(run_id), 17, np.zeros((4, 4, 3), dtype=np.uint8))
    picture = client.get(f"/api/runs/{run_id}/film/pictures/17.png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


def test_data_sets_and_architectures(client: TestClient) -> None:
    make_tiny_pack()
    datasets = {d["name"]: d for d in get(client, "/datasets")["datasets"]}
    assert datasets["tiny"]["usable"]
    assert datasets["tiny"]["images"] == {"train": 90, "test": 30}
    assert not datasets["cats-dogs"]["usable"]
    assert datasets["cats-dogs"]["how_to_get"]
    architectures = {a["name"]: a for a in get(client, "/architectures")["architectures"]}
    assert architectures["simple-cnn"]["title"]
    assert not architectures["simple-cnn"]["pretrained"]
    assert "hidden_sizes" in architectures["mlp"]["knobs"]


# --- starting and steering ------------------------------------------------------------------------
def test_a_run_is_started_with_the_checks_of_the_pages(
    client: TestClient, runs: Store, token: Token, idle: Queue
) -> None:
    body = {"config": {"dataset": make_tiny_pack(), "epochs": 3}, "name": "from  a test"}
    answer = client.post("/api/runs", json=body, headers=token)
    assert answer.status_code == 201
    run = answer.json()
    assert answer.headers["location"] == f"/api/runs/{run['id']}"
    assert run["status"] == "queued"
    assert run["name"] == "from a test"
    assert run["config"]["epochs"] == 3
    assert run["config"]["image_size"] == 16, "settled, as by the Train page"
    assert runs.run(run["id"]).config.epochs == 3


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"config": {"epochs": 0}}, 400, "epochs"),
        ({"config": {"epoch": 3}}, 400, "Did you mean 'epochs'"),
        ({"config": {"epochs": "many"}}, 400, "epochs"),
        ({"config": {"dataset": "tiny", "nesterov": True}}, 400, "nesterov is on"),
        ({"config": {"dataset": "cats-dogs"}}, 400, "is not added"),
        ({"config": {"dataset": "tinny"}}, 404, "Did you mean 'tiny'"),
        ({"config": {"dataset": "../runs"}}, 400, "small letters a to z"),
        ({"config": {"dataset": "tiny", "architecture": "vgg99"}}, 404, "Unknown architecture"),
        ({"config": {"dataset": "tiny"}, "name": "x" * 81}, 400, "1 to 80 characters"),
        ({"config": {"dataset": "tiny"}, "name": 7}, 400, "name is 7"),
        ({"config": {"dataset": "tiny"}, "nam": "x"}, 400, "Did you mean 'name'"),
        ({"config": "tiny"}, 400, 'no "config"'),
        ({"dataset": "tiny"}, 400, "Unknown part of the body 'dataset'"),
        ({}, 400, 'no "config"'),
        ([], 400, "must be a JSON object, such as {"),
        ("{", 400, "must be JSON, and this is not"),
        ("", 400, "must be JSON, and this is not"),
        ('{"config": {"learning_rate": NaN}}', 400, "NaN is no JSON number"),
        (b"\xff\xfe", 400, "must be JSON"),
        ("[" * 100_000, 400, "must be JSON"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    client: TestClient, runs: Store, token: Token, idle: Queue, body: Any, status: int, words: str
) -> None:
    make_tiny_pack()
    content = {"content": body} if isinstance(body, str | bytes) else {"json": body}
    assert words in refused(client.post("/api/runs", headers=token, **content), status)
    assert runs.runs() == []


def test_a_run_is_steered(client: TestClient, runs: Store, token: Token, idle: Queue) -> None:
    run_id = runs.create_run(CONFIG)

    def ask(verb: str) -> Any:
        return client.post(f"/api/runs/{run_id}/{verb}", headers=token)

    assert refused(ask("pause"), 409).startswith(f"Run {run_id} is queued; only ")
    refused(ask("finish"), 409)
    refused(ask("resume"), 409)
    assert ask("stop").json()["status"] == "stopped"
    refused(ask("stop"), 409)
    assert ask("resume").json()["status"] == "queued"
    assert runs.claim(run_id)
    runs.record(run_id, [started(), step(1)])
    assert ask("finish").json()["requested"] == "finish"
    assert ask("pause").json()["requested"] == "pause"
    assert ask("stop").json()["requested"] == "stop"
    runs.record(run_id, [ended("stopped", steps=1)])
    refused(ask("finish"), 409)
    refused(client.post("/api/runs/r-no/stop", headers=token), 404)


def test_nothing_is_changed_without_the_token(client: TestClient, runs: Store, idle: Queue) -> None:
    run_id = runs.create_run(CONFIG)
    for verb in ("stop", "pause", "resume", "finish"):
        refused(client.post(f"/api/runs/{run_id}/{verb}"), 403)
    refused(client.post("/api/runs", json={"config": {"dataset": make_tiny_pack()}}), 403)
    assert [run.status for run in runs.runs()] == ["queued"]


def test_reading_writes_nothing(client: TestClient, runs: Store, done: str) -> None:
    before = runs.run(done)
    for endpoint in ENDPOINTS:
        if endpoint.method == "GET" and "events" not in endpoint.path:
            path = endpoint.path.replace("{run}", done).replace("{epoch}", "1")
            client.get(f"/api{path.replace('{index}', '1')}")
    assert runs.run(done) == before
    assert [run.id for run in runs.runs()] == [done]
    for endpoint in ENDPOINTS:
        if endpoint.writes:
            path = endpoint.path.replace("{run}", done)
            answer = client.get(f"/api{path}")
            assert answer.status_code in (200, 405), "a GET of an address to write to"
    assert runs.run(done) == before


# --- refusals -------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["", "/log", "/history", "/verdicts", "/events", "/layers",
                                  "/film/1", "/film/pictures/1.png"])  # fmt: skip
def test_a_run_that_is_not_there(client: TestClient, path: str) -> None:
    for run in ("r-20260101-000000-ffff", "r-1%00", "%2fetc", "x" * 3000):
        refused(client.get(f"/api/runs/{run}{path}"), 404)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/runs?status=busy", "status is 'busy'; allowed are: queued, "),
        ("/runs?limit=0", "limit is '0'; allowed are whole numbers from 1 to 1,000."),
        ("/runs?limit=1001", "limit is '1001'"),
        ("/runs?limit=ten", "limit is 'ten'"),
        ("/runs?limit=5&limit=6", "limit is there 2 times; once is allowed."),
        ("/runs?serach=x", "Unknown parameter 'serach'. Did you mean 'search'?"),
        ("/datasets?all=true", "Unknown parameter 'all'. There are: none."),
        ("/runs/{run}/history?after=-1", "after is '-1'; allowed are whole numbers from 0."),
        ("/runs/{run}/history?after=" + "9" * 5000, "after is '999"),
        ("/runs/{run}/history?after=99999999999999999999", "after is '999"),
        ("/runs/{run}/history?all=yes", "all is 'yes'; allowed are true and false."),
        ("/runs/{run}/history?points=49", "points is '49'; allowed are whole numbers from 50"),
        ("/runs/{run}/log?after=1.5", "after is '1.5'"),
        ("/runs/{run}/layers?chart=pie", "chart is 'pie'; allowed are: gradient"),
        ("/runs/{run}/layers?window=0", "window is '0'"),
        ("/runs/{run}/layers?window=-5", "window is '-5'"),
        ("/runs/{run}/film/one", "epoch is 'one'"),
        ("/runs/{run}/film/" + "9" * 5000, "epoch is '999"),
        ("/runs/{run}/film/pictures/x.png", "index is 'x'"),
        ("/events", "0 topics are named"),
        ("/events?" + "&".join(["topic=run:r-1"] * 65), "65 topics are named; allowed are 1 to 64"),
    ],
)
def test_parameters_that_do_not_fit(client: TestClient, done: str, path: str, words: str) -> None:
    assert words in refused(client.get(f"/api{path.replace('{run}', done)}"), 400)


def test_an_address_that_there_is_not(client: TestClient, token: Token) -> None:
    assert "GET /api/docs lists" in refused(client.get("/api/nothing"), 404)
    refused(client.get("/api/"), 404)
    refused(client.get("/api/runs/"), 404)
    refused(client.post("/api/nothing/at/all", headers=token), 404)


def test_a_method_that_there_is_not(client: TestClient, done: str, token: Token) -> None:
    answer = client.delete(f"/api/runs/{done}", headers=token)
    assert "does not know DELETE; it knows: GET" in refused(answer, 405)
    assert "GET" in answer.headers["allow"]
    assert set(client.put("/api/runs", headers=token).headers["allow"].split(", ")) == {
        "GET", "HEAD", "POST",
    }  # fmt: skip
    refused(client.get(f"/api/runs/{done}/stop"), 405)
    refused(client.options("/api/runs"), 405)


def test_heads_have_no_body_and_open_no_stream(client: TestClient, done: str) -> None:
    for path in ("/runs", f"/runs/{done}/events", f"/events?topic=run:{done}"):
        answer = client.head(f"/api{path}")
        assert answer.status_code == 200
        assert answer.content == b""
    assert watching.hub.viewers == 0


def test_a_large_body_is_refused_before_it_is_read(
    client: TestClient, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_BYTES", 1000)
    big = {"config": {}, "name": "x" * 2000}
    assert "larger than 0.001 MB" in refused(client.post("/api/runs", json=big, headers=token), 413)

    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield b" " * 200

    refused(client.post("/api/runs", content=chunks(), headers=token), 413)


def test_a_mistake_of_the_labs_own_is_a_sentence_and_a_line_in_its_log(
    client: TestClient,
    done: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("lab.api.runs.run_values", lambda run: 1 / 0)
    sentence = refused(client.get(f"/api/runs/{done}"), 500)
    assert "ZeroDivisionError" not in sentence
    assert "ZeroDivisionError" in caplog.text


def test_a_full_disk_is_a_503(
    client: TestClient, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ResourceError("The disk is full.")

    monkeypatch.setattr("lab.api.runs.run_values", full)
    assert refused(client.get(f"/api/runs/{done}"), 503) == "The disk is full."


def test_too_many_viewers_are_refused(
    client: TestClient, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST_VIEWERS", 0)
    refused(client.get(f"/api/runs/{done}/events"), 503)
    refused(client.get(f"/api/events?topic=run:{done}"), 503)


def test_an_event_stream_begins_with_a_snapshot(client: TestClient, done: str) -> None:
    answer = client.get("/api/events?topic=run:r-no&topic=weather:today")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("data: ") == 2
    assert '"gone":"There is no run' in answer.text


# --- imports --------------------------------------------------------------------------------------
def test_a_plain_look_imports_neither_torch_nor_streamlit_nor_plotly() -> None:
    script = """
import sys
from starlette.applications import Starlette
from starlette.testclient import TestClient
from lab.api.routes import routes
client = TestClient(Starlette(routes=routes()))
for path in ("runs", "datasets", "openapi.json", "docs"):
    assert client.get(f"/api/{path}").status_code == 200, path
assert client.get("/api/runs/r-1").status_code == 404
heavy = {"torch", "torchvision", "streamlit", "pandas", "plotly", "lab.training.fit"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
