"""Fifty short runs of five people of a class, all in the queue at once: who comes when, and how
long the machine waits between two of them."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx

from benchmarks.server import Server, lab_server

PEOPLE = ("Ada", "Ben", "Cem", "Dora", "Eva")
SETTINGS = {"dataset": "handwritten-digits", "architecture": "single-layer-perceptron", "epochs": 1}


def measure(home: Path, *, quick: bool) -> list[str]:
    each = 2 if quick else 10
    os.environ["LAB_HOME"] = str(home)
    from lab.api.sign_in import class_code
    from lab.runs.class_rules import change_rules
    from lab.runs.store import store

    change_rules(store().database, queue_limit=each)
    with lab_server(home, LAB_SHARED="class") as server:
        began = time.monotonic()
        asked = [0.0]
        for name in PEOPLE:  # the first one asks for all of theirs before the next one comes
            with closing(_signed_in(server, name, class_code())) as client:
                for _ in range(each):
                    sent = time.monotonic()
                    answer = client.post("/api/runs", json={"config": SETTINGS})
                    asked.append(time.monotonic() - sent)
                    assert answer.status_code == 201, answer.text
        all_asked = datetime.now(UTC)
        _wait(server, len(PEOPLE) * each)
        seconds = time.monotonic() - began
    rows = sorted(store().runs(), key=lambda row: row.started_at or all_asked)
    ends = Counter(row.status for row in rows)
    assert ends == {"completed": len(rows)}, ends
    gaps = [
        (second.started_at - first.ended_at).total_seconds()
        for first, second in itertools.pairwise(rows)
        if second.started_at and first.ended_at
    ]
    # One person's own pile comes first while nobody else has asked.
    later = [row.person_name for row in rows if row.started_at and row.started_at > all_asked]
    return [
        f"{len(rows)} runs of {len(PEOPLE)} people, all completed, in {seconds:.0f} s; the longest "
        f"answer to a press of Train {max(asked):.2f} s.",
        f"Once all had asked, {len(later)} waited: of people who still had some waiting, one was "
        f"ahead of another by at most {lead(later)} run{'s' * (lead(later) != 1)}.",
        f"From a run's end to the next one's start: median {statistics.median(gaps):.2f} s, "
        f"longest {max(gaps):.2f} s.",
    ]


def _signed_in(server: Server, name: str, code: str) -> httpx.Client:
    client = httpx.Client(
        base_url=server.url, timeout=60, trust_env=False, headers={"Origin": server.url}
    )
    answer = client.post("/sign-in", data={"code": code, "name": name})
    assert answer.status_code == 303, answer.text
    return client


def _wait(server: Server, count: int) -> None:
    from lab.runs.store import store

    until = time.monotonic() + 1200
    while sum(run.status == "completed" for run in store().runs()) < count:
        assert time.monotonic() < until, Counter(run.status for run in store().runs())
        time.sleep(0.5)


def lead(order: list[str]) -> int:
    """The most runs by which one person was served ahead of another who was still waiting."""
    left = Counter(order)
    served: Counter[str] = Counter()
    most = 0
    for name in order:
        served[name] += 1
        left[name] -= 1
        behind = [served[other] for other in left if left[other] > 0]
        if behind:
            most = max(most, served[name] - min(behind))
    return most
