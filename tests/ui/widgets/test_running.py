"""What trains now, and who has which place."""

from types import SimpleNamespace

import pytest

from lab.config import RunConfig
from lab.runs.executors import Place
from lab.runs.store import store
from lab.ui.widgets import running
from lab.ui.widgets.running import running_panel


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
