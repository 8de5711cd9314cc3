"""A server of the lab without its pages: `python -m tests.runs.served`.

A queue that trains, in a process of its own, on the LAB_HOME and LAB_DATABASE_URL of its
environment. Runs rest before step HELD_AT until a line comes on its standard input, whose end is
its own.
"""

import json
import sys

from lab.runs import leases
from lab.runs.queue import Queue
from lab.runs.store import store

from .fakes import FakeEngine

HELD_AT = 8


def main() -> None:
    leases.LEASE_SECONDS, leases.RENEW_SECONDS, leases.SUSPECT_SECONDS = 1.5, 0.25, 0.5
    engine = FakeEngine(hold_at=HELD_AT)
    runs = store()
    queue = Queue(runs, engine=engine, resolve=lambda config: "cpu", poll_seconds=0.1)
    queue.start()
    print(json.dumps({"owner": runs.owner()}), flush=True)
    sys.stdin.readline()
    engine.release.set()
    sys.stdin.read()
    queue.shutdown()


if __name__ == "__main__":
    main()
