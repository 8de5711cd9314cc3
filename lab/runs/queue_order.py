"""The order of the queued runs: positions 1, 2, ... without gaps, kept inside one transaction.

Each person's runs keep their own order; persons take turns (`fair_order`). With one person that is
the order of arrival.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from lab.runs.class_rules import read_rules
from lab.runs.rows import RunRow
from lab.runs.schema import runs
from lab.runs.status import ACTIVE


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued run. Times are seconds since 1970."""

    run: str
    person: str
    since: float
    """When it was asked for."""
    seconds: float | None = None
    """How long it is expected to take; None where that is not known."""


def fair_order(
    waiting: Sequence[Waiting], served: Mapping[str, float], *, short_first: bool = False
) -> list[str]:
    """Returns the run ids in the order in which they train: one run a person in turn.

    `waiting` has each person's runs in that person's own order; `served` says when each person was
    served last (later than all times in `waiting` while a run of theirs trains). A person's turn
    begins when their first run was asked for or when they were served last, whichever is later, and
    nobody who was served since then goes before them: so a run waits for at most one run of each
    other person for each run of its own person. Among those who may go, the one whose turn began
    first; with `short_first` the one whose run is the shortest.
    """
    own: dict[str, list[Waiting]] = {}
    for run in waiting:
        own.setdefault(run.person, []).append(run)
    last = {person: served.get(person, -math.inf) for person in own}
    clock = max([run.since for run in waiting] + [t for t in last.values() if t > -math.inf] + [0])
    order = []
    while own:
        turn = {person: max(runs[0].since, last[person]) for person, runs in own.items()}
        first = min(turn.values())

        def key(person: str, turn: Mapping[str, float] = turn) -> tuple[float, float]:
            seconds = own[person][0].seconds
            length = math.inf if seconds is None else seconds
            return (length if short_first else 0.0, turn[person])

        chosen = min((person for person in own if last[person] <= first), key=key)
        order.append(own[chosen].pop(0).run)
        clock += 1
        last[chosen] = clock
        if not own[chosen]:
            del own[chosen]
    return order


def seconds_until(ahead: Iterable[RunRow], places: int = 1, workers: int = 1) -> float | None:
    """Returns when a run of so many workers begins that waits for these, on as many places, in
    seconds from now; None while nobody knows how long one of them takes."""
    free_at = [0.0] * places
    for run in ahead:
        left = run.seconds_left if run.status == "running" else run.expected_seconds
        if left is None:
            return None
        taken = min(run.settings.get("workers", 1), places)
        free_at[:taken] = [free_at[taken - 1] + left] * taken  # all of them at once
        free_at.sort()
    return free_at[min(workers, places) - 1]


def append(connection: sa.Connection, run_id: str, *, front: bool = False) -> None:
    """Give the queued run `run_id`, which has no position yet, the last or the first one of its
    person's."""
    others = [r for r in _order(connection) if r != run_id]
    _write(connection, [run_id, *others] if front else [*others, run_id])


def move(connection: sa.Connection, run_id: str, places: int) -> None:
    """Shift `run_id` by `places` (negative is earlier) among its person's, as far as they go."""
    order = _order(connection)
    persons = _persons(connection)
    own = [r for r in order if persons[r] == persons[run_id]]
    index = own.index(run_id)
    own.insert(max(0, index + places), own.pop(index))
    _write(connection, [*own, *(r for r in order if r not in own)])


def renumber(connection: sa.Connection) -> None:
    """Close the gaps that runs left behind which are no longer queued; arrange the rest anew."""
    _write(connection, _order(connection))


def _order(connection: sa.Connection) -> list[str]:
    return list(
        connection.execute(
            sa.select(runs.c.id)
            .where(runs.c.status == "queued")
            .order_by(runs.c.queue_position, runs.c.created_at, runs.c.id)
        ).scalars()
    )


def _persons(connection: sa.Connection) -> dict[str, str]:
    """Returns whose each queued run is."""
    query = sa.select(runs.c.id, runs.c.person).where(runs.c.status == "queued")
    return {run_id: person for run_id, person in connection.execute(query)}


def _write(connection: sa.Connection, order: Sequence[str]) -> None:
    """Number the queued runs; `order` has each person's in that person's own order."""
    query = sa.select(runs.c.id, runs.c.queue_position).where(runs.c.status == "queued")
    before = {run_id: position for run_id, position in connection.execute(query)}
    order = _in_turn(connection, order)
    changed = [(n, run_id) for n, run_id in enumerate(order, start=1) if before[run_id] != n]
    if not changed:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("UPDATE runs SET queue_position = ? WHERE id = ?", changed)
    else:  # a message to the server for all of them
        connection.exec_driver_sql(
            "UPDATE runs SET queue_position = new.position "
            "FROM unnest(%s::int[], %s::text[]) AS new(position, id) WHERE runs.id = new.id",
            tuple(map(list, zip(*changed, strict=True))),
        )


def _in_turn(connection: sa.Connection, order: Sequence[str]) -> Sequence[str]:
    query = sa.select(runs.c.id, runs.c.person, runs.c.created_at, runs.c.expected_seconds).where(
        runs.c.status == "queued"
    )
    waiting = {row[0]: Waiting(*row) for row in connection.execute(query)}
    if len({run.person for run in waiting.values()}) < 2:
        return order
    # A run that trains serves its person until it ends; one that never began served nobody.
    soon = time.time() + 1
    at = sa.case(
        (runs.c.status.in_(ACTIVE), soon),
        else_=sa.func.coalesce(runs.c.ended_at, runs.c.started_at),
    )
    began = runs.c.started_at.is_not(None)
    served = sa.select(runs.c.person, sa.func.max(at)).where(began).group_by(runs.c.person)
    return fair_order(
        [waiting[run_id] for run_id in order],
        {person: float(last) for person, last in connection.execute(served)},
        short_first=read_rules(connection).short_first,
    )
