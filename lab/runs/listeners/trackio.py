"""trackio, in LAB_HOME unless TRACKIO_DIR says otherwise: TRACKIO_DIR=... trackio show

A server is named with trackio's own variables (TRACKIO_SERVER_URL, TRACKIO_SPACE_ID). trackio says
of a server that is gone only on standard error, so the run's log cannot say it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lab.home import home_folder
from lab.runs.listeners import scalars
from lab.runs.rows import RunRow
from lab.training.events import Event, RunStarted

os.environ.setdefault("TRACKIO_DIR", str(home_folder("listeners", "trackio")))
import trackio  # it reads TRACKIO_DIR once, when it is imported
import trackio.run
import trackio.utils


def _silent(*_: object, **__: object) -> None:
    """In place of the print of trackio's modules: the command line's JSON lines are on standard
    output."""


for _module in (trackio, trackio.run, trackio.utils):
    vars(_module)["print"] = _silent


class Trackio:
    """The lab's run id is the name of trackio's run, which a resumed run goes on with."""

    def __init__(self, run: RunRow) -> None:
        self._run = run
        self._tracked: Any = None

    def receive(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, RunStarted):
                self._tracked = trackio.init(
                    os.environ.get("TRACKIO_PROJECT", "epochlab"),
                    name=self._run.id,
                    config=self._run.settings,
                    resume="allow",
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
            step, values = scalars(event)
            if values and self._tracked is not None:
                self._tracked.log(dict(values), step=step)

    def close(self) -> None:
        if self._tracked is not None:
            self._tracked.finish()
