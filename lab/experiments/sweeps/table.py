"""The table of sweeps: the config and status of each, and its driver's notes on its trials.

What its trials measured is in their runs (`Store.runs(origin="sweep:<id>")`), and how they were
drawn and judged in Optuna's study of the same name, in the same database.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from lab.errors import ConfigError, LabError, NotFoundError
from lab.names import visible
from lab.people import Person, current_person, may_see, require_owner
from lab.runs import schema
from lab.runs.database import retried
from lab.runs.status import ACTIVE
from lab.runs.store import Store

WORKING = ("running", "resuming")
"""A driver should work on it. "resuming": it first queues the runs again that a stop ended."""

_CHANGES: dict[str, tuple[str, ...]] = {
    "resuming": ("stopped", "failed"),
    "running": ("resuming",),
    "stopped": WORKING,
    "completed": WORKING,
    "failed": WORKING,
}
"""For each state, those from which a sweep may get there."""


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One sweep at the time it was read."""

    id: str
    name: str
    status: str
    """running, resuming, stopped, completed or failed."""
    config_json: str
    """`lab.experiments.sweeps.config.SweepConfig`."""
    created_at: datetime
    ended_at: datetime | None
    message: str
    driver: str
    """The process that drives it (`lab.runs.leases`); "" where none does."""
    notes: dict[int, dict[str, Any]]
    """The driver's notes on its trials, by number."""
    person: str
    """As of a run: who started it, and whose its runs are."""
    person_name: str

    @property
    def owner(self) -> Person:
        """Who its runs belong to, with no more than a member's rights."""
        return Person(self.person, self.person_name, "member" if self.person else "admin")

    @property
    def is_working(self) -> bool:
        return self.status in WORKING

    @property
    def origin(self) -> str:
        """The origin of all its runs, up to the trial's number."""
        return f"sweep:{self.id}"


@retried
def create_sweep(runs: Store, *, name: str, config_json: str) -> str:
    """Enter a sweep that a driver may take up at once; returns its id."""
    now, person = time.time(), current_person()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
    sweep_id = f"s-{stamp}-{secrets.token_hex(3)}"
    with runs.database.write() as connection:
        connection.execute(
            schema.sweeps.insert().values(
                id=sweep_id,
                name=name,
                status="running",
                config=config_json,
                created_at=now,
                person=person.id,
                person_name=person.name if person.id else "",
            )
        )
    return sweep_id


def sweep(runs: Store, sweep_id: str) -> SweepRow:
    """Returns the sweep; raises NotFoundError."""
    with runs.database.read() as connection:
        query = sa.select(schema.sweeps).where(schema.sweeps.c.id == sweep_id)
        row = connection.execute(query).mappings().first()
    if row is None or not may_see(row["person"]):
        raise NotFoundError(
            f"There is no sweep {sweep_id!r} here. The Experiments page lists what there is."
        )
    return _row(row)


def sweeps(runs: Store, *, status: Sequence[str] | None = None) -> list[SweepRow]:
    """All sweeps, the newest first."""
    query = sa.select(schema.sweeps).order_by(schema.sweeps.c.created_at.desc())
    if status is not None:
        query = query.where(schema.sweeps.c.status.in_(status))
    with runs.database.read() as connection:
        rows = [_row(row) for row in connection.execute(query).mappings()]
    return [row for row in rows if may_see(row.person)]


@retried
def set_sweep_status(runs: Store, sweep_id: str, status: str, message: str = "") -> None:
    """Change the sweep's status. Raises ConfigError when its state does not allow it."""
    table, before = schema.sweeps, sweep(runs, sweep_id)
    require_owner(before.person, before.person_name, f"Sweep {sweep_id}")
    ended = None if status in WORKING else time.time()
    with runs.database.write() as connection:
        changed = connection.execute(
            table.update()
            .where(table.c.id == sweep_id, table.c.status.in_(_CHANGES[status]))
            .values(status=status, message=message, ended_at=ended)
        )
    if changed.rowcount == 0:
        now = sweep(runs, sweep_id).status
        raise ConfigError(f"Sweep {sweep_id} is {now} and cannot become {status}.")


@retried
def take_sweep(runs: Store, sweep_id: str) -> bool:
    """Make this process the sweep's driver; False while another one that lives is."""
    table, owner = schema.sweeps, runs.owner()
    driver = sweep(runs, sweep_id).driver
    if driver not in ("", owner) and runs.leases.state(driver) == "alive":
        return False
    with runs.database.write() as connection:
        taken = connection.execute(
            table.update()
            .where(table.c.id == sweep_id, table.c.driver == driver)
            .values(driver=owner)
        )
    return taken.rowcount == 1


def leave_sweep(runs: Store, sweep_id: str) -> None:
    """Leave the sweep to another driver, if it is still this process's."""
    table = schema.sweeps
    with contextlib.suppress(LabError), runs.database.write() as connection:
        connection.execute(
            table.update()
            .where(table.c.id == sweep_id, table.c.driver == runs.owner())
            .values(driver="")
        )


@retried
def note_trial(runs: Store, sweep_id: str, trial: int, **note: Any) -> None:
    """Write the driver's note on a trial, replacing an older one."""
    table = schema.sweeps
    with runs.database.write() as connection:
        query = sa.select(table.c.notes).where(table.c.id == sweep_id)
        notes = json.loads(connection.execute(query).scalar_one())
        notes[str(trial)] = note
        connection.execute(
            table.update().where(table.c.id == sweep_id).values(notes=json.dumps(notes))
        )


@retried
def delete_sweep(runs: Store, sweep_id: str) -> None:
    """Forget the sweep; its runs stay. One that works is refused."""
    row = sweep(runs, sweep_id)
    require_owner(row.person, row.person_name, f"Sweep {sweep_id}")
    if row.is_working or runs.runs(origin=row.origin, status=ACTIVE):
        raise ConfigError(f"Sweep {sweep_id} still works; stop it first, then delete it.")
    with runs.database.write() as connection:
        connection.execute(schema.sweeps.delete().where(schema.sweeps.c.id == sweep_id))


def trial_of(origin: str) -> int | None:
    """Returns the trial's number from a run's origin; None for a run of no sweep."""
    match = re.fullmatch(r"sweep:[^:]+:(\d+)", origin)
    return int(match[1]) if match else None


def _row(row: sa.RowMapping) -> SweepRow:
    return SweepRow(
        id=row["id"],
        name=visible(row["name"]),
        status=row["status"],
        config_json=row["config"],
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        ended_at=None if row["ended_at"] is None else datetime.fromtimestamp(row["ended_at"], UTC),
        message=row["message"],
        notes={int(number): note for number, note in json.loads(row["notes"]).items()},
        driver=row["driver"],
        person=row["person"],
        person_name=row["person_name"],
    )
