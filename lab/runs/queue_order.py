"""The order of the queued runs: positions 1, 2, ... without gaps, kept inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from lab.runs.schema import runs


def append(connection: sa.Connection, run_id: str, *, front: bool = False) -> None:
    """Give the queued run `run_id`, which has no position yet, the last or the first one."""
    others = [r for r in _order(connection) if r != run_id]
    _write(connection, [run_id, *others] if front else [*others, run_id])


def move(connection: sa.Connection, run_id: str, places: int) -> None:
    """Shift `run_id` by `places` (negative is earlier), as far as the queue goes."""
    order = _order(connection)
    index = order.index(run_id)
    order.insert(max(0, index + places), order.pop(index))
    _write(connection, order)


def renumber(connection: sa.Connection) -> None:
    """Close the gaps that runs left behind which are no longer queued."""
    _write(connection, _order(connection))


def _order(connection: sa.Connection) -> list[str]:
    return list(
        connection.execute(
            sa.select(runs.c.id)
            .where(runs.c.status == "queued")
            .order_by(runs.c.queue_position, runs.c.created_at, runs.c.id)
        ).scalars()
    )


def _write(connection: sa.Connection, order: Sequence[str]) -> None:
    if order:
        connection.execute(
            runs.update()
            .where(
                runs.c.id == sa.bindparam("run"),
                runs.c.queue_position.is_distinct_from(sa.bindparam("position")),
            )
            .values(queue_position=sa.bindparam("position")),
            [{"run": run_id, "position": n} for n, run_id in enumerate(order, start=1)],
        )
