"""What trains now, and who has which place."""

from types import SimpleNamespace

import pytest

from lab.config import RunConfig
from lab.runs.executors import Place
from lab.runs.store import store
from lab.ui.widgets import running
from lab.ui.widgets.running import running_panel
from tests.runs.fakes import started, step


@pytest.fixture
def idle_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing begins by itself."""
    monkeypatch.setattr(running, "queue", lambda: SimpleNamespace(places=dict))


def test_a_run_of_several_workers_takes_as_many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Place(f"cluster cpu {number}", "cpu") for number in range(1, 6)]
    pair = store().create_run(RunConfig(workers=3), name="together")
    alone = store().create_run(RunConfig(), name="alone")
    assert store().claim(pair)
    assert store().claim(alone)
    users = dict.fromkeys(places) | {places[0]: pair, places[2]: alone}
    monkeypatch.setattr(running, "queue", lambda: SimpleNamespace(places=lambda: users))
    told = running_panel()["blocks"][-1]["text"]
    assert told == (
        "cluster cpu 1: together on 3 places · cluster cpu 3: alone · "
        "1 of 5 places unused by this server"
    )


def test_one_place_is_not_worth_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    run = store().create_run(RunConfig(), name="alone")
    assert store().claim(run)
    users = {Place("cpu", "cpu"): run}
    monkeypatch.setattr(running, "queue", lambda: SimpleNamespace(places=lambda: users))
    assert [block["kind"] for block in running_panel()["blocks"]] == ["bar"]


@pytest.mark.usefixtures("idle_queue")
def test_waiting_runs_say_when_they_start_and_the_panel_follows() -> None:
    """The hub makes this panel each second, so the time moves while one only watches."""
    first = store().create_run(RunConfig(), name="first")
    assert store().claim(first)
    for number in range(7):
        store().create_run(RunConfig(device="cpu"), name=f"next {number}")
    told = []
    for events, seconds_left in (([started(), step(1)], 90.0), ([step(2)], 30.0)):
        store().record(first, events, seconds_left=seconds_left)
        told.append(running_panel()["blocks"][1]["text"])
    # Nobody knows how long "next 0" takes, so not when "next 1" starts.
    names = "next 1, next 2, next 3, next 4, 2 more."
    assert told == [
        f"7 in line: next 0 (starts in about 1 min 30 s), {names}",
        f"7 in line: next 0 (starts in about 30 s), {names}",
    ]


@pytest.mark.usefixtures("idle_queue")
def test_a_run_whose_device_is_not_chosen_yet_says_no_time() -> None:
    first = store().create_run(RunConfig(), name="first")
    assert store().claim(first)
    store().record(first, [started(), step(1)], seconds_left=90.0)
    store().create_run(RunConfig(device="auto"), name="just pressed")
    assert running_panel()["blocks"][1]["text"] == "1 in line: just pressed."
