"""The run store: the settings, progress, metrics and log of every run.

SQLite in WAL mode unless LAB_DATABASE_URL says otherwise; beside it a folder a run for weights.
Any thread and any process may read and write at any time; one process at a time records a run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lab import home as home_module
from lab.config import RunConfig
from lab.data.person_quota import count_use
from lab.errors import LabError, NotFoundError, ResourceError, RunLostError, StateError
from lab.home import home_folder, home_id, lab_home, move_away, recount, used_bytes
from lab.names import typed_name, typed_notes
from lab.people import current_person, may_see, others_hidden, require_owner
from lab.progress import Progress
from lab.runs import locks, queue_order, reading, schema
from lab.runs.assignments import assignments, require_open
from lab.runs.class_rules import results_hidden
from lab.runs.curves import curves
from lab.runs.database import BUSY_SECONDS, Database, database_url, lock_run, retried
from lab.runs.leases import Leases, host
from lab.runs.naming import LONGEST_NAME, NamedRun, run_name, title_of
from lab.runs.rows import Curve, EpochColumns, LogLine, Newest, RunRow, StepColumns
from lab.runs.spill import Spill
from lab.runs.status import (
    ACTIVE,
    REQUEST_VERBS,
    REQUESTABLE,
    RESUMABLE,
    STATUSES,
    Request,
    refusal,
)
from lab.runs.writing import (
    NO_ACTIVITY,
    Smoother,
    activity_columns,
    change_status,
    resume_smoother,
    unrecorded,
    write_events,
    write_log,
)
from lab.training.events import ActivityProgressed, Event, RunStarted

logger = logging.getLogger(__name__)

__all__ = [
    "STATUSES",
    "EpochColumns",
    "LogLine",
    "Newest",
    "RunRow",
    "StepColumns",
    "Store",
    "store",
]

LONGEST_TAG = 40
LONGEST_NOTES = 4000
RATE = "rate"
"""What `requested` says while a learning rate waits for `take_rate`."""

WAITING = "training goes on; the run store takes no changes at the moment"
"""The activity of a run whose events wait."""

_stores: dict[str, Store] = {}
_stores_lock = threading.Lock()


def store() -> Store:
    """This process's store for the LAB_HOME and LAB_DATABASE_URL of now; opened once each."""
    url = database_url()
    with _stores_lock:
        if url not in _stores:
            _stores[url] = Store(url)
        return _stores[url]


def bytes_of(person_id: str) -> int:
    """Returns what the person's runs take on the disk, without their exports."""
    runs, home = schema.runs, home_folder("runs")
    with store().database.read() as connection:
        mine = connection.execute(sa.select(runs.c.id).where(runs.c.person == person_id)).scalars()
        folders = [home / run_id for run_id in mine.all()]
    return sum(used_bytes(each) - used_bytes(each / "exports") for each in folders)


def exported_bytes_of(person_id: str) -> int:
    """Returns what the exports take that the person made (`lab.export.exporting`), of any run: who
    presses for another's run does not fill the other's quota."""
    total = 0
    for facts in home_folder("runs").glob("*/exports/*/facts.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # gone, or damaged
            if json.loads(facts.read_text(encoding="utf-8")).get("person") == person_id:
                total += used_bytes(facts.parent)
    return total


count_use("Runs", bytes_of)
count_use("Exports", exported_bytes_of)


def close_stores() -> None:
    """Close what `store` opened and release this process's runs. For tests, after
    `shutdown_queues`."""
    with _stores_lock:
        for opened in _stores.values():
            opened.close()
        _stores.clear()
    locks.release_owners()


class Store:
    """One database of runs. Methods raise NotFoundError for a run that is not there (or that the
    current person may not see), NotAllowedError for a change of a run that belongs to somebody
    else, ResourceError when the database cannot be written, ConfigError for what the run's state
    does not allow."""

    def __init__(self, url: str | None = None) -> None:
        self.database = Database(url or database_url())
        """Also for tables that others keep beside the runs: sweeps, Optuna's studies."""
        self.url = self.database.url
        self.leases = Leases(self.database)
        self.waiting: dict[str, Spill] = {}
        """By run of this process: events that the database could not take yet."""

    def close(self) -> None:
        self.leases.close()
        self.database.close()

    def owner(self) -> str:
        """This process's id in this store, as the owner of runs; it counts as alive from now on."""
        return self.leases.owner()

    # --- runs -----------------------------------------------------------------------------------
    @retried
    def create_run(
        self,
        config: RunConfig,
        *,
        name: str | None = None,
        status: str = "queued",
        origin: str = "",
        assignment: str = "",
        most_seconds: float | None = None,
    ) -> str:
        """Add a run, by default at the end of the queue; returns its id, like
        "r-20261122-013455-7f3a" (UTC, so ids sort by age). A run that is added as active belongs
        to this process, and any to the current person. `origin` says what created it; see `runs`.
        Without a `name` it gets the one of `lab.runs.naming`."""
        now, person = time.time(), current_person()
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
        title = _checked_name(name or self._default_name(config))
        values = {
            "name": title,
            "origin": origin,
            "assignment": assignment,
            "most_seconds": most_seconds,
            "person": person.id,
            "person_name": person.name if person.id else "",
            "status": status,
            "config": config.to_json(),
            "dataset": config.dataset,
            "architecture": config.architecture,
            "parent": config.start_from,
            "parent_epoch": config.start_epoch or None,
            "created_at": now,
            "started_at": None if status == "queued" else now,
            "owner": self.owner() if status in ACTIVE else "",
            "home": home_id(),
            "device": "" if config.device == "auto" else config.device,
        }
        for _ in range(100):
            run_id = f"r-{stamp}-{secrets.token_hex(2)}"
            try:
                with self.database.write() as connection:
                    connection.execute(schema.runs.insert().values(id=run_id, **values))
                    if status == "queued":
                        queue_order.append(connection, run_id)
                return run_id
            except IntegrityError:  # the same four characters within one second
                continue
        raise RuntimeError("no free run id")

    def run(self, run_id: str) -> RunRow:
        """Returns the run as it is now."""
        with self.database.read() as connection:
            row = reading.run(connection, run_id)
        if row is None or not may_see(row.person):
            raise _not_found(run_id)
        return self._seen([row])[0]

    def run_for_all(self, run_id: str) -> RunRow:
        """Returns the run as everybody who may look at it sees it."""
        row = self.run(run_id)
        return _without_test(row) if results_hidden(self.database, from_anybody=True) else row

    def runs(
        self,
        status: str | Iterable[str] | None = None,
        search: str = "",
        order: reading.Order = "newest",
        origin: str | None = None,
        message: str = "",
        limit: int | None = None,
    ) -> list[RunRow]:
        """Runs in any of the states `status` whose id, name, tag, data set, architecture or status
        contain every word of `search` (capitals do not matter), and whose closing sentence begins
        with `message`; the first `limit` of them.

        `origin` is exact or a beginning up to a colon: "recipe:sl-cnn" finds "recipe:sl-cnn:quick"
        and not "recipe:sl-cnn-aug"; "" finds the runs that a person started.
        """
        with self.database.read() as connection:
            rows = reading.runs(
                connection,
                status=status,
                search=search,
                order=order,
                origin=origin,
                message=message,
                limit=limit,
            )
        return self._seen(rows)

    def _default_name(self, config: RunConfig) -> str:
        with self.database.read() as connection:
            rows = reading.runs_like(connection, config.architecture, config.dataset)
        return run_name(
            title_of(config), config, [NamedRun(name, json.loads(text)) for name, text in rows]
        )

    def rename(self, run_id: str, name: str) -> None:
        """Raises ConfigError unless `name` has 1 to 80 characters."""
        self._update(run_id, by_owner=True, name=_checked_name(name))

    @retried
    def set_tag(self, run_ids: Iterable[str], tag: str) -> None:
        """Label the runs, or with "" take their label away. Raises ConfigError above 40
        characters; runs that are no longer there are left out."""
        clean = typed_name(tag, "A tag", LONGEST_TAG, least=0)
        runs = schema.runs
        ids = list(run_ids)
        with self.database.write() as connection:
            _require_owner(connection, *ids)
            connection.execute(runs.update().where(runs.c.id.in_(ids)).values(tag=clean))

    def set_notes(self, run_id: str, notes: str) -> None:
        """Raises ConfigError above 4,000 characters."""
        clean = typed_notes(notes, "Notes", LONGEST_NOTES)
        self._update(run_id, by_owner=True, notes=clean)

    def set_star(self, run_id: str, starred: bool) -> None:
        self._update(run_id, by_owner=True, starred=starred)

    @retried
    def set_baseline(self, run_id: str | None) -> None:
        """Make the run the one that others are compared with, instead of the one before; None: no
        run is. Everybody has a baseline of their own, among their runs."""
        runs = schema.runs
        with self.database.write() as connection:
            owner = current_person().id
            if run_id is not None:
                self._status(connection, run_id)
                owner = _require_owner(connection, run_id)
            connection.execute(
                runs.update()
                .where(runs.c.person == owner)
                .values(is_baseline=runs.c.id == (run_id or ""))
            )

    def baseline(self) -> RunRow | None:
        with self.database.read() as connection:
            row = reading.baseline(connection, current_person().id)
        return None if row is None else self._seen([row])[0]

    def children(self, run_id: str) -> list[RunRow]:
        """Returns the runs that start from this one, the oldest first."""
        with self.database.read() as connection:
            rows = reading.children(connection, run_id)
        return self._seen(rows)

    @retried
    def set_forecast(self, run_id: str, forecast: str) -> None:
        """Keep what a person expects of the run. Raises StateError when the run has results already
        or something was predicted before: a prediction stands."""
        runs = schema.runs
        with self.database.write(alone=False) as connection:
            _require_owner(connection, run_id)
            changed = connection.execute(
                runs.update()
                .where(runs.c.id == run_id, runs.c.forecast == "", runs.c.best_epoch.is_(None))
                .values(forecast=forecast)
            )
            if changed.rowcount == 0:
                self._status(connection, run_id)
                raise StateError(
                    f"Run {run_id} has results or a prediction already; predict before a run "
                    "starts, once."
                )

    @retried
    def delete(self, run_id: str) -> None:
        """Remove the run, its history and its folder. A run that a process works on is refused."""
        self.write_waiting(run_id)
        runs, folder, trash = schema.runs, home_folder("runs") / run_id, None
        try:
            with self.database.write() as connection:
                _require_owner(connection, run_id)
                deleted = connection.execute(
                    runs.delete().where(runs.c.id == run_id, runs.c.status.not_in(ACTIVE))
                )
                if deleted.rowcount == 0:
                    status = self._status(connection, run_id)
                    raise StateError(f"Run {run_id} is {status}; stop it first, then delete it.")
                queue_order.renumber(connection)
                # Renamed before the row is gone: whenever this process is killed, what is left is
                # a temporary folder, which the next start sweeps. A folder without a row is never
                # swept: it may be another store's with the same LAB_HOME.
                if os.path.lexists(folder):
                    trash = move_away(folder)
        except BaseException:
            if trash is not None:
                os.replace(trash / "gone", folder)
                trash.rmdir()
            raise
        if trash is not None:
            shutil.rmtree(trash, ignore_errors=True)
        recount()

    def folder(self, run_id: str) -> Path:
        """The run's folder for weights, made when it is not there; but not that of a deleted run:
        what still works on one would leave it for ever."""
        if not re.fullmatch(r"[\w-]{1,40}", run_id):  # run ids come from URLs
            raise _not_found(run_id)
        if not (folder := home_folder("runs") / run_id).exists():
            query = sa.select(schema.runs.c.id).where(schema.runs.c.id == run_id)
            with self.database.read() as connection:
                if connection.execute(query).scalar() is None:
                    return folder
        try:
            return home_folder("runs", run_id)
        except ResourceError:
            if folder.is_file():
                return folder  # whoever reads or writes in it says that it is none
            raise

    @retried
    def set_device(
        self, run_id: str, device: str, *, expected_seconds: float | None = None
    ) -> None:
        """Record on which device a queued run will train, and how long that is expected to take."""
        self._update(run_id, device=device, expected_seconds=expected_seconds)
        if expected_seconds is not None:
            with self.database.write() as connection:
                queue_order.renumber(connection)  # short ones may go first

    def report(
        self,
        run_id: str,
        progress: Progress,
        *,
        seconds_left: float | None = None,
        owner: str | None = None,
        patience: float = BUSY_SECONDS,
    ) -> str | None:
        """Record what a preparing run does, how far that is and the seconds left of it; returns a
        pending request. `owner`: see `record`."""
        values = activity_columns(progress, seconds_left)
        if progress.fraction is not None:
            values["progress"] = progress.fraction
        self._update(run_id, patience=patience, of_owner=owner, **values)
        with self.database.read() as connection:
            return self._requested(connection, run_id)

    @retried
    def request(self, run_id: str, request: Request) -> None:
        """Ask the trainer of an active run to stop, pause or finish. A run that nobody works on
        (queued, paused) is stopped at once. Raises ConfigError when its state does not allow it."""
        with self.database.write() as connection:
            status = self._status(connection, run_id)
            _require_owner(connection, run_id)
            if status not in REQUESTABLE[request]:
                raise refusal(run_id, status, REQUESTABLE[request], REQUEST_VERBS[request])
            if status in ACTIVE:
                runs = schema.runs
                row = runs.update().where(runs.c.id == run_id)
                connection.execute(row.values(requested=request))
            else:
                self._stop_idle(connection, run_id, status)

    @retried
    def request_rate(self, run_id: str, rate: float) -> None:
        """Ask the trainer of a running run for another learning rate, from its next step on. Raises
        ConfigError for a rate that is not allowed, StateError in another state and where the run's
        assignment has fixed it."""
        rate = RunConfig().changed(learning_rate=rate).learning_rate
        with self.database.write(alone=False) as connection:
            status = self._status(connection, run_id)
            _require_owner(connection, run_id)
            if status != "running":
                raise refusal(run_id, status, ["running"], "given another learning rate")
            if not current_person().is_admin:
                require_open(connection, run_id, "learning_rate")
            row = schema.runs.update().where(schema.runs.c.id == run_id)
            connection.execute(row.values(wanted_rate=rate))

    @retried
    def take_rate(self, run_id: str) -> float | None:
        """Returns the learning rate that was asked for, once; for the run's trainer."""
        runs = schema.runs
        with self.database.write(alone=False) as connection:
            lock_run(connection, run_id)
            wanted = sa.select(runs.c.wanted_rate).where(runs.c.id == run_id)
            rate = connection.execute(wanted).scalar()
            connection.execute(runs.update().where(runs.c.id == run_id).values(wanted_rate=None))
            return rate

    @retried
    def report_waiting(self, run_id: str, text: str) -> None:
        """Record what a run waits for, if it is still queued."""
        runs = schema.runs
        with self.database.write(alone=False) as connection:
            connection.execute(
                runs.update()
                .where(runs.c.id == run_id, runs.c.status == "queued")
                .values(activity=text)
            )

    def requested(self, run_id: str) -> str | None:
        """Returns the request that an active run has not answered yet; RATE for a learning rate."""
        with self.database.read() as connection:
            return self._requested(connection, run_id)

    def hold(self, run_id: str, owner: str, status: str) -> str | None:
        """Like `requested`, and make sure that the process `owner` has the run, which is in the
        active state `status`: it takes the run back if it was taken for dead. Raises RunLostError
        when somebody else has it, NotFoundError when it was deleted."""
        runs = schema.runs
        query = sa.select(runs.c.status, runs.c.owner, runs.c.requested, runs.c.wanted_rate).where(
            runs.c.id == run_id
        )
        with self.database.read() as connection:
            row = connection.execute(query).first()
        if row is None or row.owner != owner or row.status not in ACTIVE:
            with self.database.write(alone=False) as connection:
                _hold(connection, run_id, owner, status)
                return self._requested(connection, run_id)
        return row.requested or (None if row.wanted_rate is None else RATE)

    # --- the queue ------------------------------------------------------------------------------
    def queued(self, device: str | None = None, *, here: bool = False) -> list[RunRow]:
        """Queued runs, the next one first; of one device, or of all ("" is: not resolved yet). With
        a device, or `here`, those that train in this LAB_HOME: each does where it was submitted."""
        with self.database.read() as connection:
            rows = [row for row in reading.queued(connection, device) if may_see(row.person)]
        if here or device is not None:
            return [row for row in rows if row.home in ("", home_id())]
        return self._with_absence(rows)

    def owned(self) -> list[RunRow]:
        """Runs that a process works on, or may come back to."""
        with self.database.read() as connection:
            query = sa.select(schema.runs).where(schema.runs.c.owner != "")
            return [RunRow.from_database(row) for row in connection.execute(query).mappings()]

    @retried
    def enqueue(self, run_id: str, *, front: bool = True) -> None:
        """Put a stopped, paused, interrupted or failed run back into the queue. The device of one
        that has not trained yet is resolved anew: the machine may be another one."""
        self.write_waiting(run_id)
        with self.database.write() as connection:
            status = self._status(connection, run_id)
            _require_owner(connection, run_id)
            if status not in RESUMABLE:
                raise refusal(run_id, status, RESUMABLE, "resumed")
            runs = schema.runs.c
            query = sa.select(runs.config, runs.step, runs.device).where(runs.id == run_id)
            config, step, last = connection.execute(query).one()
            setting = json.loads(config).get("device", "auto")
            device = (last if step else "") if setting == "auto" else setting
            change_status(connection, run_id, "queued", message="", device=device)
            queue_order.append(connection, run_id, front=front)

    @retried
    def move(self, run_id: str, places: int) -> None:
        """Move a queued run by `places`: negative is earlier, positive later."""
        with self.database.write() as connection:
            status = self._status(connection, run_id)
            _require_owner(connection, run_id)
            if status != "queued":
                raise refusal(run_id, status, ["queued"], "moved in the queue")
            queue_order.move(connection, run_id, places)

    @retried
    def renumber(self) -> None:
        """Close the gap in the queue that a run left which ended without its turn."""
        with self.database.write() as connection:
            queue_order.renumber(connection)

    @retried
    def remove(self, run_id: str) -> None:
        """Take a queued run out of the queue. It stays as a stopped run and can be resumed."""
        with self.database.write() as connection:
            status = self._status(connection, run_id)
            _require_owner(connection, run_id)
            if status != "queued":
                raise refusal(run_id, status, ["queued"], "taken out of the queue")
            self._stop_idle(connection, run_id, status)

    @retried
    def claim(self, run_id: str, *, statuses: Sequence[str] = ("queued",)) -> bool:
        """Take a run in one of `statuses` for this process; False when somebody was faster. The
        claimed run is "preparing". Raises NotFoundError when its files are on another machine."""
        self.write_waiting(run_id)
        runs, owner = schema.runs, self.owner()
        with self.database.read() as connection:
            row = reading.run(connection, run_id)
        if row is not None and row.step and (elsewhere := self.elsewhere(row)):
            raise NotFoundError(elsewhere)
        with self.database.write() as connection:
            claimed = connection.execute(
                runs.update()
                .where(runs.c.id == run_id, runs.c.status.in_(statuses))
                .values(
                    status="preparing",
                    owner=owner,
                    home=home_id(),
                    requested=None,
                    wanted_rate=None,
                    queue_position=None,
                    message="",
                    progress=0.0,
                    **NO_ACTIVITY,
                    started_at=sa.func.coalesce(runs.c.started_at, time.time()),
                    ended_at=None,
                )
            )
            # The waiting texts of the others are outdated: they now wait for this run.
            connection.execute(
                runs.update()
                .where(runs.c.status == "queued", runs.c.activity != "")
                .values(activity="")
            )
            queue_order.renumber(connection)
            return claimed.rowcount == 1

    @retried
    def interrupt(self, run_id: str, owner: str, message: str, *, may_return: bool = False) -> bool:
        """Mark a run whose process `owner` has died; False when it is no longer that process's.
        `may_return`: nothing was heard of the process, which takes the run back if it lives."""
        runs = schema.runs
        with self.database.write() as connection:
            lock_run(connection, run_id)
            query = sa.select(runs.c.status).where(runs.c.id == run_id, runs.c.owner == owner)
            if connection.execute(query).scalar() not in ACTIVE:
                return False
            left = owner if may_return else ""
            change_status(connection, run_id, "interrupted", message=message, owner=left)
            write_log(connection, run_id, [("warning", message)], at=time.time())
            return True

    # --- history --------------------------------------------------------------------------------
    def record(
        self,
        run_id: str,
        events: Sequence[Event],
        *,
        smoother: Smoother | None = None,
        images_per_second: float | None = None,
        seconds_left: float | None = None,
        activity: ActivityProgressed | None = None,
        at: float | None = None,
        owner: str | None = None,
        patience: float = BUSY_SECONDS,
    ) -> str | None:
        """Append events in one transaction; returns a pending request. For the rest see
        `lab.runs.writing.write_events`.

        `owner` is the process that trained them. If it had been taken for dead it takes the run
        back; if another one has the run by now nothing is recorded, and RunLostError raised.

        `smoother` carries the smoothed curves from one batch to the next; without it, or where it
        is behind, they go on from the last recorded step. The run must be preparing for RunStarted
        (which makes it running) and active for RunEnded (which ends it). Raises NotFoundError when
        the run was deleted. `Recorder` is the usual caller.
        """
        with self.database.write(alone=False, patience=patience) as connection:
            self._status(connection, run_id)
            if owner is not None:
                _hold(connection, run_id, owner, _active_status(events))
            smoother = smoother or Smoother(is_behind=True)
            if smoother.is_behind:
                resume_smoother(connection, run_id, smoother)
            write_events(
                connection,
                run_id,
                events,
                smoother=smoother,
                images_per_second=images_per_second,
                seconds_left=seconds_left,
                activity=activity,
                at=at,
            )
            return self._requested(connection, run_id)

    def write_waiting(self, run_id: str, *, patience: float = BUSY_SECONDS) -> None:
        """Record what waits of a run of this process. Raises ResourceError when that cannot be done
        yet, NotFoundError when the run was deleted."""
        if (spill := self.waiting.get(run_id)) is not None:
            self.record_spill(run_id, spill, owner=self.owner(), patience=patience)

    def record_spill(
        self, run_id: str, spill: Spill, *, owner: str, patience: float = BUSY_SECONDS
    ) -> None:
        """Record the waiting events of a run that the process `owner` trains, or trained, in one
        transaction, and remove them. Where the run is no longer that process's nothing is recorded.

        A process that died between the two left events that are recorded: they do no harm.
        """
        runs = schema.runs
        with spill.lock:
            with self.database.write(alone=False, patience=patience) as connection:
                lock_run(connection, run_id)
                query = sa.select(runs.c.status, runs.c.owner).where(runs.c.id == run_id)
                row = connection.execute(query).first()
                if (
                    row is not None
                    and row.status in (*ACTIVE, "interrupted")
                    and row.owner == owner
                ):
                    waiting = [event for _, events in spill.batches() for event in events]
                    _hold(connection, run_id, owner, _active_status(waiting))
                    smoother = Smoother()
                    resume_smoother(connection, run_id, smoother)
                    for at, events in spill.batches():
                        write_events(
                            connection,
                            run_id,
                            unrecorded(connection, run_id, at, events),
                            smoother=smoother,
                            images_per_second=None,
                            seconds_left=None,
                            activity=None,
                            at=at,
                        )
                elif row is not None:
                    logger.warning("what waited of run %s is recorded, or was replaced", run_id)
            spill.clear()
            self.waiting.pop(run_id, None)
        if row is None:
            raise _not_found(run_id)

    @retried
    def write_log(self, run_id: str, level: str, text: str) -> None:
        """Append one line to the run's log."""
        with self.database.write(alone=False) as connection:
            lock_run(connection, run_id)
            write_log(connection, run_id, [(level, text)], at=time.time())

    def steps(self, run_id: str, *, after: int = 0, limit: int | None = None) -> StepColumns:
        """The first `limit` steps with a number above `after`. Costs what it returns."""
        with self.database.read() as connection:
            return reading.steps(connection, run_id, after=after, limit=limit)

    def epochs(self, run_id: str, *, after: int = 0, after_step: int = 0) -> EpochColumns:
        """The epochs with a number above `after` that ended after step `after_step`."""
        with self.database.read() as connection:
            return reading.epochs(connection, run_id, after=after, after_step=after_step)

    def curves(self, run_ids: Sequence[str], column: str, *, points: int = 150) -> dict[str, Curve]:
        """Returns one column of many runs by run id, without runs that do not have it.

        Of a column of steps at most `points` a run, evenly spread with the first and the last; of a
        column of epochs all."""
        with self.database.read() as connection:
            return curves(connection, run_ids, column, points=points)

    def newest(self, run_id: str) -> Newest:
        """Returns the metrics of the last step and the last finished epoch."""
        with self.database.read() as connection:
            return reading.newest(connection, run_id)

    def log(self, run_id: str, *, after: int = 0) -> list[LogLine]:
        """The run's log lines with a `seq` above `after`."""
        with self.database.read() as connection:
            return reading.log(connection, run_id, after=after)

    # --- several machines -----------------------------------------------------------------------
    def elsewhere(self, run: RunRow) -> str:
        """Returns a sentence that says where the run's files are; "" where they are here."""
        folder = lab_home() / "runs" / run.id
        if run.home in ("", home_id()) or (folder.is_dir() and any(folder.iterdir())):
            return ""
        homes = schema.homes.c
        with self.database.read() as connection:
            query = sa.select(homes.host, homes.path).where(homes.id == run.home)
            place = connection.execute(query).first()
        if place is None:
            return ""
        return (
            f"The files of run {run.id} are on {place.host}, in {place.path}/runs/{run.id}, and "
            f"not on this machine ({host()}). Open the lab there, or copy that folder to {folder}."
        )

    # --- parts ----------------------------------------------------------------------------------
    def _with_waiting(self, row: RunRow) -> RunRow:
        """Returns what is true of a run whose events wait, which its row does not say yet."""
        spill = self.waiting.get(row.id)
        if spill is None or not row.is_active:
            return row
        if (ended := spill.ending) is not None:
            return replace(
                row,
                status=ended.status,
                message=ended.message,
                step=ended.steps,
                seconds=ended.seconds,
                elapsed=ended.elapsed,
                seconds_left=None,
                **NO_ACTIVITY,
            )
        return replace(row, seconds_left=None, **NO_ACTIVITY | {"activity": WAITING})

    @retried
    def _update(
        self,
        run_id: str,
        *,
        by_owner: bool = False,
        of_owner: str | None = None,
        patience: float = BUSY_SECONDS,
        **values: Any,
    ) -> None:
        """`of_owner`: nothing is changed of a run that another process has taken over."""
        runs = schema.runs
        with self.database.write(alone=False, patience=patience) as connection:
            if by_owner:
                _require_owner(connection, run_id)
            row = runs.update().where(runs.c.id == run_id)
            if of_owner is not None:
                row = row.where(runs.c.owner == of_owner)
            if connection.execute(row.values(**values)).rowcount == 0 and of_owner is None:
                raise _not_found(run_id)

    def _seen(self, rows: list[RunRow]) -> list[RunRow]:
        """The rows that the current person may see, with what they may see of them."""
        rows = [self._with_waiting(row) for row in rows if may_see(row.person)]
        rows = self._with_absence(rows)
        return list(map(_without_test, rows)) if rows and results_hidden(self.database) else rows

    def _with_absence(self, rows: list[RunRow]) -> list[RunRow]:
        """The rows; those that wait for a machine which is gone say so."""
        here = ("", home_id())
        homes = {row.home for row in rows if row.status == "queued"}.difference(here)
        absences = {home: self.leases.absence(home) for home in homes}
        return [
            replace(row, **NO_ACTIVITY | {"activity": text})
            if row.status == "queued" and (text := absences.get(row.home))
            else row
            for row in rows
        ]

    @staticmethod
    def _status(connection: sa.Connection, run_id: str) -> str:
        """The run's status, which nobody else changes until the transaction ends."""
        lock_run(connection, run_id)
        runs = schema.runs
        status = connection.execute(sa.select(runs.c.status).where(runs.c.id == run_id)).scalar()
        if status is None:
            raise _not_found(run_id)
        return str(status)

    @staticmethod
    def _requested(connection: sa.Connection, run_id: str) -> str | None:
        runs = schema.runs
        query = sa.select(runs.c.requested, runs.c.wanted_rate).where(runs.c.id == run_id)
        row = connection.execute(query).first()
        if row is None:
            return None
        return row.requested or (None if row.wanted_rate is None else RATE)

    @staticmethod
    def _stop_idle(connection: sa.Connection, run_id: str, status: str) -> None:
        """Stop a run that nobody works on: there is no trainer to answer."""
        how = "taken out of the queue" if status == "queued" else f"stopped while {status}"
        message = f"It was {how}; it can be resumed."
        change_status(connection, run_id, "stopped", message=message)
        queue_order.renumber(connection)


def _hold(connection: sa.Connection, run_id: str, owner: str, status: str) -> None:
    """See `Store.hold`."""
    runs = schema.runs
    lock_run(connection, run_id)
    query = sa.select(runs.c.status, runs.c.owner).where(runs.c.id == run_id)
    row = connection.execute(query).first()
    if row is None:
        raise _not_found(run_id)
    if row.owner != owner or row.status not in (*ACTIVE, "interrupted"):
        raise RunLostError(
            f"Run {run_id} is {row.status} and no longer trains here: nothing was heard of this "
            "process for long, so it was taken for dead. What it trained since then is dropped."
        )
    if row.status == "interrupted":
        changes = {"status": status, "message": "", "ended_at": None}
        connection.execute(runs.update().where(runs.c.id == run_id).values(**changes))
        text = "The process that trains it was only silent for long: the run goes on."
        write_log(connection, run_id, [("warning", text)], at=time.time())


def _active_status(events: Iterable[Event]) -> str:
    """The state of a run of which these events are not recorded yet."""
    return "preparing" if any(isinstance(event, RunStarted) for event in events) else "running"


def _require_owner(connection: sa.Connection, *run_ids: str) -> str:
    """Raises NotAllowedError unless the current person may change these runs; returns the id of
    their owner, of the last one's. Runs that are not there are left out."""
    runs, owner = schema.runs.c, ""
    query = sa.select(runs.id, runs.person, runs.person_name).where(runs.id.in_(run_ids))
    for run_id, owner, owner_name in connection.execute(query):
        require_owner(owner, owner_name, f"Run {run_id}")
    return owner


def _without_test(row: RunRow) -> RunRow:
    return replace(row, test={}, test_samples=None, test_looks=0)


def _not_found(run_id: str) -> NotFoundError:
    return NotFoundError(
        f"There is no run {run_id!r} here. It may have been deleted; the Runs page lists what "
        "there is."
    )


def _checked_name(name: str) -> str:
    return typed_name(name, "A run's name", LONGEST_NAME)


def _elsewhere(folder: Path) -> str:
    if folder.parent != lab_home() / "runs":
        return ""
    try:
        return store().elsewhere(store().run(folder.name))
    except LabError:
        return ""


def _hidden(folder: Path) -> bool:
    """A run that an assignment starts from is handed out to all."""
    if current_person().is_admin or not others_hidden():
        return False
    try:
        store().run(folder.name)
    except NotFoundError:
        given = assignments(store().database)
        return folder.name not in {each.config.start_from for each in given}
    return False


home_module.files_elsewhere = _elsewhere
home_module.run_is_hidden = _hidden
