"""Reads runs and their histories from the database.

Rows of a history come from the driver as plain tuples: numpy turns them into arrays 40 times faster
than SQLAlchemy's row objects.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa

from lab.people import may_see
from lab.runs import schema
from lab.runs.rows import EpochColumns, LogLine, Newest, RunRow, StepColumns

Order = Literal[
    "newest", "oldest", "name", "best_val_accuracy", "test_accuracy", "seconds", "queue"
]

_ORDERS: dict[Order, sa.ColumnElement[Any]] = {
    "newest": schema.runs.c.created_at.desc(),
    "oldest": schema.runs.c.created_at.asc(),
    "name": sa.func.lower(schema.runs.c.name).asc(),
    "best_val_accuracy": schema.runs.c.best_val_accuracy.desc().nulls_last(),
    "test_accuracy": schema.runs.c.test_accuracy.desc().nulls_last(),
    "seconds": schema.runs.c.seconds.desc(),
    "queue": schema.runs.c.queue_position.asc().nulls_last(),
}

FETCH_ROWS = 2000
"""Rows read from the driver at a time: 100,000 at once are some 30 MB of Python objects."""

_STEP_FIELDS = ("step", "epoch", "learning_rate", "seconds", *schema.STEP_METRICS)
_EPOCH_FIELDS = (
    "epoch", "step", "learning_rate", "seconds", "elapsed", "images_per_second", "is_best",
    *schema.EPOCH_METRICS,
)  # fmt: skip


def run(connection: sa.Connection, run_id: str) -> RunRow | None:
    query = sa.select(schema.runs).where(schema.runs.c.id == run_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else RunRow.from_database(row)


def runs(
    connection: sa.Connection,
    *,
    status: str | Iterable[str] | None,
    search: str,
    order: Order,
    origin: str | None = None,
    message: str = "",
    limit: int | None = None,
) -> list[RunRow]:
    """See `Store.runs`. Always one query."""
    runs = schema.runs.c
    query = sa.select(schema.runs).order_by(_ORDERS[order], runs.created_at.desc(), runs.id)
    if status is not None:
        query = query.where(runs.status.in_([status] if isinstance(status, str) else status))
    if origin is not None:
        # substr and not LIKE: LIKE knows wildcards, and in SQLite ignores capitals.
        start = f"{origin}:"
        query = query.where(
            sa.or_(runs.origin == origin, sa.func.substr(runs.origin, 1, len(start)) == start)
        )
    if message:
        query = query.where(runs.message.startswith(message, autoescape=True))
    words = search.casefold().split()
    result = connection.execute(query).mappings()
    rows = (RunRow.from_database(row) for row in result if may_see(row["person"]))
    # Not in SQL: SQLite knows the capitals of English only.
    matching = (row for row in rows if all(word in _search_text(row) for word in words))
    return list(itertools.islice(matching, limit))


def _search_text(row: RunRow) -> str:
    texts = (
        row.id,
        row.name,
        row.tag,
        row.notes,
        row.person_name,
        row.parent,
        row.dataset,
        row.architecture,
        row.status,
    )
    return " ".join(texts).casefold()


def baseline(connection: sa.Connection, person: str) -> RunRow | None:
    """That of the person with this id, else the operator's."""
    runs = schema.runs
    query = sa.select(runs).where(runs.c.is_baseline, runs.c.person.in_([person, ""]))
    query = query.order_by((runs.c.person == person).desc())
    row = connection.execute(query).mappings().first()
    return None if row is None else RunRow.from_database(row)


def children(connection: sa.Connection, run_id: str) -> list[RunRow]:
    """See `Store.children`."""
    runs = schema.runs.c
    query = sa.select(schema.runs).where(runs.parent == run_id).order_by(runs.created_at)
    return [RunRow.from_database(row) for row in connection.execute(query).mappings()]


def runs_like(
    connection: sa.Connection, architecture: str, dataset: str, *, at_most: int = 300
) -> list[tuple[str, str]]:
    """The names and configs (JSON) of runs of this architecture and data set, the newest first."""
    runs = schema.runs.c
    query = (
        sa.select(runs.name, runs.config)
        .where(runs.architecture == architecture, runs.dataset == dataset)
        .order_by(runs.created_at.desc())
        .limit(at_most)
    )
    return [(name, text) for name, text in _fetch(connection, query)]


def queued(connection: sa.Connection, device: str | None) -> list[RunRow]:
    """See `Store.queued`."""
    runs = schema.runs.c
    query = sa.select(schema.runs).where(runs.status == "queued").order_by(runs.queue_position)
    if device is not None:
        query = query.where(runs.device == device)
    return [RunRow.from_database(row) for row in connection.execute(query).mappings()]


def steps(
    connection: sa.Connection, run_id: str, *, after: int = 0, limit: int | None = None
) -> StepColumns:
    """The first `limit` steps with a number above `after`."""
    steps = schema.steps.c
    query = (
        sa.select(*(steps[name] for name in _STEP_FIELDS))
        .where(steps.run_id == run_id, steps.step > after)
        .order_by(steps.step)
        .limit(limit)
    )
    cursor = connection.execute(query).cursor
    assert cursor is not None  # a SELECT always has one
    parts = [np.empty((0, len(_STEP_FIELDS)))]
    while rows := cursor.fetchmany(FETCH_ROWS):
        parts.append(np.array(rows, dtype=np.float64))
    columns = _columns(_STEP_FIELDS, np.concatenate(parts))
    return StepColumns(
        step=columns["step"].astype(np.int64),
        epoch=columns["epoch"].astype(np.int64),
        learning_rate=columns["learning_rate"],
        seconds=columns["seconds"],
        metrics={name: columns[name] for name in schema.STEP_METRICS},
    )


def epochs(
    connection: sa.Connection, run_id: str, *, after: int = 0, after_step: int = 0
) -> EpochColumns:
    """The epochs with a number above `after` that ended after step `after_step`."""
    epochs = schema.epochs.c
    query = (
        sa.select(epochs.phase, *(epochs[name] for name in _EPOCH_FIELDS))
        .where(epochs.run_id == run_id, epochs.epoch > after, epochs.step > after_step)
        .order_by(epochs.epoch)
    )
    rows = _fetch(connection, query)
    table = np.array([row[1:] for row in rows], dtype=np.float64)
    columns = _columns(_EPOCH_FIELDS, table.reshape(-1, len(_EPOCH_FIELDS)))
    return EpochColumns(
        epoch=columns["epoch"].astype(np.int64),
        step=columns["step"].astype(np.int64),
        learning_rate=columns["learning_rate"],
        seconds=columns["seconds"],
        elapsed=columns["elapsed"],
        images_per_second=columns["images_per_second"],
        is_best=columns["is_best"].astype(np.bool_),
        phase=tuple(row[0] for row in rows),
        metrics={name: columns[name] for name in schema.EPOCH_METRICS},
    )


def newest(connection: sa.Connection, run_id: str) -> Newest:
    """The last step and the last finished epoch."""
    step = _last(connection, schema.steps, run_id, by="step")
    epoch = _last(connection, schema.epochs, run_id, by="epoch")
    columns = {name: step.get(name) for name in schema.STEP_METRICS}
    columns |= {name: epoch.get(name) for name in schema.EPOCH_METRICS}
    return Newest(
        step=step.get("step"),
        learning_rate=step.get("learning_rate"),
        epoch=epoch.get("epoch"),
        metrics={name: value for name, value in columns.items() if value is not None},
    )


def _last(connection: sa.Connection, table: sa.Table, run_id: str, *, by: str) -> Mapping[str, Any]:
    """The run's row with the largest `by`; empty when there is none."""
    query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c[by].desc()).limit(1)
    return dict(connection.execute(query).mappings().first() or {})


def log(connection: sa.Connection, run_id: str, *, after: int = 0) -> list[LogLine]:
    """The log lines with a `seq` above `after`."""
    log = schema.log.c
    query = (
        sa.select(log.seq, log.at, log.level, log.text)
        .where(log.run_id == run_id, log.seq > after)
        .order_by(log.seq)
    )
    return [
        LogLine(seq, datetime.fromtimestamp(at, UTC), level, text)
        for seq, at, level, text in _fetch(connection, query)
    ]


def _fetch(connection: sa.Connection, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    cursor = connection.execute(query).cursor
    assert cursor is not None  # a SELECT always has one
    return list(cursor.fetchall())


def _columns(names: tuple[str, ...], table: Any) -> dict[str, Any]:
    """One contiguous float64 array a column; NULL has become NaN."""
    return dict(zip(names, np.ascontiguousarray(table.T), strict=True))
