"""The live view's wait for a run's first point, and its words meanwhile.

(What it draws: tests/app/test_pages.py.)
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from lab.ui.run import live


class Rows:
    """Stands in for the store: a run that changes after so many reads."""

    def __init__(
        self, *, status: str, ends: int = 10**9, first_step: int = 10**9, progress: float = 0.0
    ) -> None:
        self.status, self.ends, self.first_step = status, ends, first_step
        self.progress = progress
        self.reads = 0

    def run(self, run_id: str) -> SimpleNamespace:
        status = self.status if self.reads < self.ends else "failed"
        return SimpleNamespace(status=status, progress=self.progress)

    def newest(self, run_id: str) -> SimpleNamespace:
        self.reads += 1
        return SimpleNamespace(step=1 if self.reads >= self.first_step else None)


def waited(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(live, "store", lambda: rows)
    monkeypatch.setattr(live, "WAIT", 5.0)
    monkeypatch.setattr(live, "POLL", 0.001)
    began = time.monotonic()
    live._wait_for_first_point("r-1")
    return time.monotonic() - began


@pytest.mark.parametrize("status", ["preparing", "running"])
def test_a_tick_waits_for_the_first_step_and_no_longer(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(status=status, first_step=4)
    assert waited(rows, monkeypatch) < live.WAIT
    assert rows.reads == 4


@pytest.mark.parametrize("status", ["queued", "paused", "completed", "failed"])
def test_where_no_step_is_on_its_way_nothing_waits(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(status=status)
    waited(rows, monkeypatch)
    assert rows.reads == 0


def test_nothing_waits_for_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(status="preparing", progress=0.2)
    waited(rows, monkeypatch)
    assert rows.reads == 0


def test_a_change_of_status_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(status="preparing", ends=3)
    assert waited(rows, monkeypatch) < live.WAIT
    assert rows.reads == 3


def test_the_wait_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(status="running")
    monkeypatch.setattr(live, "store", lambda: rows)
    monkeypatch.setattr(live, "WAIT", 0.05)
    began = time.monotonic()
    live._wait_for_first_point("r-1")
    assert time.monotonic() - began >= 0.05


def test_a_running_run_says_how_far_it_is() -> None:
    run = SimpleNamespace(step=40, seconds=3.0, status="running", requested="pause", activity="")
    text = "Step 40 of 2,000 · 3 s of training · pause requested"
    assert live._progress_text(run, 2000) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(("trained", "seconds"), [(0.0, 0.3), (60.0, 1.0)])
def test_the_first_points_are_looked_for_often(trained: float, seconds: float) -> None:
    run = SimpleNamespace(is_live=True, status="running", seconds=trained)
    assert live._pace(run) == seconds  # type: ignore[arg-type]
