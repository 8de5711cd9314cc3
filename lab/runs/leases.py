"""Which processes live, over all machines that share a database: each has a lease in it.

A process that owns a run or drives a sweep says every RENEW_SECONDS that it lives, and until when,
by the database's clock; so a machine whose own clock is wrong or jumps does no harm. A lease that
ran out is only suspected at first, and the process counts as dead when SUSPECT_SECONDS later it has
still not been renewed: while the database is away nobody can renew one.

On the machine and in the LAB_HOME of the process itself its lock file (`lab.runs.locks`) decides,
which the system frees at once however a process ends, and not while the machine sleeps.

A process that was taken for dead and was not takes its run back, unless somebody else has it by now
(`lab.runs.store.Store.record`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from typing import Literal

import sqlalchemy as sa

from lab.errors import LabError
from lab.home import home_id, lab_home
from lab.runs import locks, schema
from lab.runs.database import Database, upsert

logger = logging.getLogger(__name__)

RENEW_SECONDS = 5.0
LEASE_SECONDS = 30.0
SUSPECT_SECONDS = 10.0


class Leases:
    """The leases in one database, with this process's own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._own = ""
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def owner(self) -> str:
        """This process's id, which lives from now on. Raises ResourceError while the database
        cannot be written."""
        name = locks.owner()
        with self._guard:
            if name != self._own:
                home = home_id()
                self._renew(name, home)
                self._own = name
                self._thread = threading.Thread(
                    target=self._renew_regularly,
                    args=(name, home),
                    name=f"lease-{name}",
                    daemon=True,
                )
                self._thread.start()
        return name

    def close(self) -> None:
        """Stop renewing."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(2)  # it may just have a connection

    def state(self, owner: str) -> Literal["alive", "silent", "dead"]:
        """How the process of that id is: "dead" for certain, or "silent" for so long that it is
        taken for dead."""
        leases = schema.owners
        query = sa.select(leases, self._database.clock.label("now")).where(leases.c.id == owner)
        with self._database.read() as connection:
            lease = connection.execute(query).first()
        if lease is None or (lease.home, lease.host) == (home_id(), host()):
            return "alive" if locks.is_alive(owner) else "dead"
        if lease.now <= lease.alive_until:
            return "alive"
        if lease.suspected_at is None:
            with self._database.write(alone=False) as connection:
                connection.execute(
                    leases.update()
                    .where(leases.c.id == owner, leases.c.alive_until == lease.alive_until)
                    .values(suspected_at=self._database.clock)
                )
            return "alive"
        return "silent" if lease.now > lease.suspected_at + SUSPECT_SECONDS else "alive"

    def absence(self, home: str) -> str:
        """Returns since when no process of the LAB_HOME `home` was heard of, in words for a run
        that waits for it; "" while one lives."""
        owners, homes = schema.owners.c, schema.homes.c
        until = sa.select(sa.func.max(owners.alive_until)).where(owners.home == home)
        place = sa.select(homes.host, homes.path).where(homes.id == home)
        with self._database.read() as connection:
            alive_until, now = connection.execute(
                sa.select(until.scalar_subquery(), self._database.clock)
            ).one()
            named = connection.execute(place).first()
        if alive_until is not None and now <= alive_until:
            return ""
        silence = "a day or more"  # ended leases are removed
        if alive_until is not None:
            minutes = max(1, round((now - alive_until + LEASE_SECONDS) / 60))
            silence = f"{minutes:,} minute{'s' * (minutes != 1)}"
        where = f"machine {named.host} ({named.path})" if named else "a machine nobody knows"
        return f"Waits for {where}, not seen for {silence}"

    def remove_ended(self) -> None:
        """Remove the leases of a day ago: no run of theirs is left to come back to."""
        leases = schema.owners
        with self._database.write(alone=False) as connection:
            connection.execute(
                leases.delete().where(leases.c.alive_until < self._database.clock - 86400.0)
            )

    def _renew_regularly(self, name: str, home: str) -> None:
        while not self._closed.wait(RENEW_SECONDS):
            if name != self._own:
                return
            with contextlib.suppress(LabError):  # a database that is away: again in five seconds
                self._renew(name, home)

    def _renew(self, name: str, home: str) -> None:
        database = self._database
        lease = {"home": home, "host": host(), "pid": os.getpid(), "suspected_at": None}
        with database.write(alone=False) as connection:
            if name != self._own:
                place = {"host": host(), "path": str(lab_home())}
                upsert(connection, schema.homes, {"id": home}, place)
            alive_until = database.clock + LEASE_SECONDS
            upsert(connection, schema.owners, {"id": name}, lease | {"alive_until": alive_until})


def host() -> str:
    """The name of this machine in its network."""
    return socket.gethostname()[:255]
