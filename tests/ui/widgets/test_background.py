"""Slow work of a page: what the person sees before, while and after it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.errors import DataError
from lab.progress import Cancel, Progress, Report, check_cancel
from lab.ui.widgets import background
from tests.components import blocks

SCRIPT = """
import streamlit as st
from lab.ui.widgets.background import computed
from tests.ui.widgets import test_background as page

answer = computed(page.key, "Reading *images*", page.work)
if answer is not None:
    st.markdown(f"answer {answer}")
"""

key = "test:1"
work: jobs.Work = lambda report, cancel: 1  # noqa: E731  # replaced by each test


@pytest.fixture(autouse=True)
def no_jobs_left_over() -> Iterator[None]:
    yield
    for job in jobs.jobs():
        jobs.cancel(job.id)
        jobs.wait(job.id, timeout=60)
    with jobs._lock:
        jobs._jobs.clear()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Work that waits for it is slow; it opens at the end whatever happens."""
    monkeypatch.setattr(background, "PATIENCE", 0.01)
    event = threading.Event()
    yield event
    event.set()


def open_page(
    monkeypatch: pytest.MonkeyPatch, new_work: jobs.Work, *, new_key: str = "test:1"
) -> AppTest:
    import tests.ui.widgets.test_background as page

    monkeypatch.setattr(page, "work", new_work)
    monkeypatch.setattr(page, "key", new_key)
    app = AppTest.from_string(SCRIPT, default_timeout=20).run()
    assert not app.exception
    return app


def markdown(app: AppTest) -> list[str]:
    return [element.value for element in app.markdown]


def until_ended() -> jobs.JobView:
    job = jobs.latest("test:1")
    assert job is not None
    ended = jobs.wait(job.id, timeout=60)
    assert ended is not None
    return ended


def test_quick_work_appears_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Patience for a machine with much else to do: this is not about time.
    monkeypatch.setattr(background, "PATIENCE", 20)
    app = open_page(monkeypatch, lambda report, cancel: 42)
    assert markdown(app) == ["answer 42"]
    assert not blocks(app, "bar")


def test_it_is_done_once_however_often_and_wherever_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "PATIENCE", 20)
    calls: list[int] = []

    def counting(report: Report, cancel: Cancel) -> int:
        calls.append(1)
        return len(calls)

    first = open_page(monkeypatch, counting)
    first.run()
    second = open_page(monkeypatch, counting)
    assert markdown(first) == markdown(second) == ["answer 1"]
    assert markdown(open_page(monkeypatch, counting, new_key="test:2")) == ["answer 2"]


def test_slow_work_shows_how_far_it_is_and_then_the_answer(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    reported = threading.Event()

    def slow(report: Report, cancel: Cancel) -> str:
        report(Progress(300, 1200, "Predicting", "images"))
        reported.set()
        gate.wait(60)
        return "there"

    app = open_page(monkeypatch, slow)
    assert markdown(app) == []
    assert reported.wait(60)
    app.run()
    (bar,) = blocks(app, "bar")
    assert "Predicting · 300 of 1,200 images" in bar["text"]
    assert bar["share"] == 0.25
    gate.set()
    until_ended()
    app.run()
    assert markdown(app) == ["answer there"]
    assert not blocks(app, "bar")


def test_a_title_and_a_sentence_are_text_not_markup(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    app = open_page(monkeypatch, lambda report, cancel: gate.wait(60))
    (bar,) = blocks(app, "bar")
    assert bar["text"] == "Reading *images*"


def test_a_failure_is_its_sentence_and_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "PATIENCE", 20)
    outcomes = iter([DataError("a*b*.png is empty (0 bytes)."), None])

    def failing(report: Report, cancel: Cancel) -> int:
        error = next(outcomes)
        if error is not None:
            raise error
        return 7

    app = open_page(monkeypatch, failing)
    assert app.error[0].value.replace("\\", "") == "a*b*.png is empty (0 bytes)."
    assert r"\*b\*" in app.error[0].value
    app.run()  # it does not start again by itself
    assert len(app.error) == 1
    app.button(key="background_test:1_again").click().run()
    assert not app.exception
    until_ended()
    app.run()
    assert markdown(app) == ["answer 7"]


def test_a_bug_is_a_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PATIENCE", 20)

    def broken(report: Report, cancel: Cancel) -> int:
        raise KeyError("label")

    app = open_page(monkeypatch, broken)
    assert "did not foresee" in app.error[0].value
    assert "Traceback" not in app.error[0].value


def test_what_was_cancelled_is_started_anew(
    monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    def patient(report: Report, cancel: Cancel) -> int:
        while not gate.is_set():
            check_cancel(cancel, "The work")
            time.sleep(0.005)
        return 3

    app = open_page(monkeypatch, patient)
    first = jobs.latest("test:1")
    assert first is not None
    jobs.cancel(first.id)
    assert until_ended().state == "cancelled"
    gate.set()
    monkeypatch.setattr(background, "PATIENCE", 20)
    app.run()
    assert markdown(app) == ["answer 3"]
