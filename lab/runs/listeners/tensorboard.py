"""TensorBoard's event files, a folder a run: tensorboard --logdir LAB_HOME/listeners/tensorboard"""

from __future__ import annotations

import json
from collections.abc import Sequence

from torch.utils.tensorboard.writer import SummaryWriter

from lab.home import home_folder
from lab.runs.listeners import scalars
from lab.runs.rows import RunRow
from lab.training.events import Event, RunEnded, RunStarted

FLUSH_SECONDS = 10


class TensorBoard:
    """A resumed run goes on in its folder: later steps of an earlier session are taken back."""

    def __init__(self, run: RunRow) -> None:
        self._run = run
        self._writer: SummaryWriter | None = None

    def receive(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, RunStarted):
                self._writer = self._open(event)
            if self._writer is None:
                continue
            step, values = scalars(event)
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            if isinstance(event, RunEnded):
                self._writer.add_text("end", f"{event.status}: {event.message}", step)

    def _open(self, event: RunStarted) -> SummaryWriter:
        folder = home_folder("listeners", "tensorboard", self._run.id)
        resumed = event.resumed_from_step
        writer = SummaryWriter(
            str(folder), purge_step=resumed + 1 if resumed else None, flush_secs=FLUSH_SECONDS
        )
        settings = json.dumps(self._run.settings, indent=2)
        writer.add_text("settings", f"{self._run.name}\n\n```json\n{settings}\n```", resumed)
        return writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
