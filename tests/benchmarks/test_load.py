"""The short form of `make load`: one real server, and visitors who speak Streamlit's protocol."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load import clicks, steps, uploads
from benchmarks.load.queue import lead
from benchmarks.load.runs import copy_runs, train, wait_for_runs
from benchmarks.load.viewers import viewers
from benchmarks.page_session import PageSession
from benchmarks.server import Server, lab_server

LONG_RUN = "dataset=handwritten-digits&architecture=sign-cnn&epochs=1000"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with lab_server(home, warm=False, OMP_NUM_THREADS="1") as server:
        with PageSession(server.url) as visitor:
            train(visitor, clicks.SMALL_RUN)
        wait_for_runs(server)
        yield server


def test_a_robot_clicks_and_no_page_shows_an_error(server: Server) -> None:
    robot = clicks.Robot(server, random.Random(4))
    robot.begin(runs=1)
    for _ in range(20):
        robot.click()
    robot.end()
    assert robot.counts.total() == 20
    assert not robot.errors


def test_uploads_that_were_removed_are_not_kept(server: Server) -> None:
    lines = uploads.upload_many(server, count=2, every=2)
    assert lines[-1].startswith("| ... all removed |")


def test_six_people_watch_a_run_and_all_are_told(server: Server) -> None:
    with PageSession(server.url) as teacher:
        train(teacher, LONG_RUN)
        run = teacher.query.removeprefix("run=")
        while not server.runs("running"):
            time.sleep(0.2)
        with viewers(6, server.url, run) as seen:
            time.sleep(8)
            ticks = seen()
        assert [row["step"] for row in server.runs("running")] > [0]
        teacher.press("Stop")
    assert len({number for number, _ in ticks}) == 6
    assert max(seconds for _, seconds in ticks) < 8


def test_a_store_with_many_runs_opens_on_every_page(server: Server, home: Path) -> None:
    wait_for_runs(server)
    copy_runs(home, 60)
    assert len(server.runs("completed")) == 60
    with PageSession(server.url) as visitor:
        for page in ("", "runs", "compare", "train"):
            visitor.open(page)  # raises PageError where a page shows an exception


def test_a_long_run_is_sent_thinned(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home))
    run = steps.record_steps(12_000)
    message = json.loads(steps.first_message(server, run))
    assert message["run"]["step"] == 12_000
    assert len(json.dumps(message)) < 100_000


def test_the_line_through_samples() -> None:
    minutes = [float(minute) for minute in range(60)]
    middle, low, high = clicks.slope(minutes, [100 + minute / 10 for minute in minutes])
    assert (middle, low, high) == pytest.approx((6, 6, 6))
    noise = random.Random(1)
    middle, low, high = clicks.slope(minutes, [100 + noise.gauss(0, 5) for _ in minutes])
    assert low < 0 < high


def test_how_far_one_person_is_served_ahead_of_another() -> None:
    assert lead(["a", "b", "a", "b"]) == 1
    assert lead(["a", "a", "a", "b"]) == 3
    assert lead(["a", "b", "b", "b"]) == 1  # nobody else waits
