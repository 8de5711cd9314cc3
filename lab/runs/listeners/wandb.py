"""Weights & Biases, offline unless WANDB_MODE says otherwise:

wandb sync LAB_HOME/listeners/wandb/wandb/offline-run-*
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import wandb

from lab.home import home_folder
from lab.runs.listeners import scalars
from lab.runs.rows import RunRow
from lab.training.events import Event, RunEnded, RunStarted


class WandB:
    """The lab's run id is the one of W&B's run, which a resumed run goes on with."""

    def __init__(self, run: RunRow) -> None:
        self._run = run
        self._tracked: Any = None
        self._failed = False

    def receive(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, RunStarted):
                self._tracked = self._open()
            step, values = scalars(event)
            if self._tracked is None:
                continue
            if values:
                self._tracked.log(dict(values), step=step)
            if isinstance(event, RunEnded):
                self._tracked.summary.update({"status": event.status, "message": event.message})
                self._failed = event.status == "failed"

    def _open(self) -> Any:
        init: Any = wandb.init  # which checks the mode itself
        return init(
            project=os.environ.get("WANDB_PROJECT", "epochlab"),
            id=self._run.id,
            name=self._run.name,
            config=self._run.settings,
            dir=home_folder("listeners", "wandb"),
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
            reinit="create_new",  # runs may train beside one another
            settings=wandb.Settings(
                silent=True,
                console="off",  # it would catch all that the lab prints
                disable_git=True,
                x_disable_stats=True,  # its samples of the machine cost the run time
            ),
        )

    def close(self) -> None:
        if self._tracked is not None:
            self._tracked.finish(exit_code=int(self._failed))
