"""The states of a run and who may change them: the one transition table.

queued ──> preparing ──> running ──> completed
  ^            │            ├──────> stopped ─────┐
  │            └────────────┼──────> paused ──────┤   resume: back to the front of the queue
  │                         ├──────> failed ──────┤
  │                         └──────> interrupted ─┤   (its process died)
  └───────────────────────────────────────────────┘
Beside the table: a run whose process was taken for dead, and was not, is taken back by it
(`lab.runs.store.Store.hold`), unless somebody else has it by now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from lab.errors import StateError

Request = Literal["stop", "pause", "finish"]
"""What a person can ask of a run; the names of `lab.training.control.Control.wanted`."""

ACTIVE = ("preparing", "running")
"""A living process works on the run: the row's owner, see `lab.runs.leases`."""

RESUMABLE = ("paused", "stopped", "interrupted", "failed")

ENDED = ("completed", *RESUMABLE)
"""The run does not change by itself."""

TRANSITIONS: dict[str, tuple[str, ...]] = {
    # A queued run is stopped when it leaves the queue, failed when its device is missing.
    "queued": ("preparing", "stopped", "failed"),
    "preparing": ("running", "completed", "stopped", "paused", "failed", "interrupted"),
    "running": ("completed", "stopped", "paused", "failed", "interrupted"),
    "paused": ("queued", "preparing", "stopped"),
    "stopped": ("queued", "preparing"),
    "completed": (),
    "failed": ("queued", "preparing"),
    "interrupted": ("queued", "preparing"),
}
STATUSES = tuple(TRANSITIONS)

REQUESTABLE: dict[Request, tuple[str, ...]] = {
    "stop": ("queued", *ACTIVE, "paused"),
    "pause": ACTIVE,
    "finish": ("running",),
}
REQUEST_VERBS: dict[Request, str] = {"stop": "stopped", "pause": "paused", "finish": "finished"}


def sources(status: str) -> tuple[str, ...]:
    """The states from which a run may become `status`."""
    return tuple(s for s, targets in TRANSITIONS.items() if status in targets)


def refusal(run_id: str, status: str, allowed: Iterable[str], verb: str) -> StateError:
    """ "Run r-1 is completed; only running runs can be stopped." """
    *most, last = allowed
    states = f"{', '.join(most)} or {last}" if most else last
    return StateError(f"Run {run_id} is {status}; only {states} runs can be {verb}.")
