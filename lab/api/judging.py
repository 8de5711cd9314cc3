"""Judges a run for its viewers, in a thread of its own, no more often than the run can afford."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from lab.config import KNOBS, RunConfig
from lab.errors import LabError
from lab.evaluate.verdicts.judge import TITLES, Verdict
from lab.runs.judging import Judgement, judge
from lab.runs.rows import RunRow
from lab.runs.store import Store

logger = logging.getLogger(__name__)

REST = 33
"""Judging a training run rests so many times what it takes: reading a long curve takes a while, and
the run is to lose at most 3 % by it."""


@dataclass
class Judge:
    """Keeps the newest judgement of one run."""

    store: Store
    run_id: str
    judgement: Judgement | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _next_at: float = 0.0

    def look(self, run: RunRow, *, epoch: int | None) -> Judgement | None:
        """Returns the newest judgement and has the run judged anew when it has changed since, as
        at the end of `epoch`. Returns at once; None before the first judgement."""
        state = (run.revision, epoch, run.status)
        with self._guard:
            judged = self.judgement
            working = self._thread is not None and self._thread.is_alive()
            resting = run.is_live and time.monotonic() < self._next_at
            if not working and not resting and (judged is None or judged.state != state):
                self._thread = threading.Thread(
                    target=self._judge, args=(run, state), name=f"judge-{run.id}", daemon=True
                )
                self._thread.start()
        return judged

    def _judge(self, run: RunRow, state: tuple[object, ...]) -> None:
        began = time.monotonic()
        try:
            judgement = judge(self.store, run, state)
        except LabError as error:
            judgement = Judgement(state, problem=f"This run is not judged. {error}")
        except Exception:
            logger.exception("run %s could not be judged", run.id)
            judgement = Judgement(state, problem="This run could not be judged (see the log).")
        with self._guard:
            self.judgement = judgement
            now = time.monotonic()
            self._next_at = now + REST * (now - began)


def verdict_values(store: Store, run: RunRow, judgement: Judgement) -> dict[str, Any]:
    """Returns the judgement as plain JSON values."""
    return {
        "verdicts": [_verdict_values(store, run, verdict) for verdict in judgement.verdicts],
        "judged_by": judgement.judged_by,
        "problem": judgement.problem,
    }


def existing_fix(store: Store, run: RunRow, fixed: RunConfig) -> RunRow | None:
    """Returns the newest run that was started from a verdict on `run` with the settings `fixed`."""
    for other in store.runs(origin=f"fix:{run.id}"):
        try:
            # Settled there; perhaps not in the run it came from.
            settled: dict[str, Any] = {"dataset_version": other.config.dataset_version}
            if not fixed.image_size:
                settled["image_size"] = other.config.image_size
            if other.config == fixed.changed(**settled):
                return other
        except LabError:  # of another version of the lab
            continue
    return None


def _verdict_values(store: Store, run: RunRow, verdict: Verdict) -> dict[str, Any]:
    values: dict[str, Any] = {
        "kind": verdict.kind,
        "title": TITLES[verdict.kind],
        "sentence": verdict.sentence,
        "evidence": verdict.evidence,
        "suggestion": verdict.suggestion,
        "change": "",
        "button": "",
        "fixed_by": None,
    }
    if verdict.change:
        config = run.config
        values["change"] = change_text(config, verdict.change)
        honest = "split_by" in verdict.change
        values["button"] = "Train on the honest split" if honest else "Run it with this change"
        other = existing_fix(store, run, config.changed(**verdict.change))
        if other is not None:
            values["fixed_by"] = {"id": other.id, "name": other.name, "status": other.status}
    return values


def change_text(config: RunConfig, change: dict[str, Any]) -> str:
    """Returns the title of each changed knob with its old and new value."""
    knobs = [KNOBS[name] for name in change]
    return ", ".join(
        f"{k.title} {k.text(getattr(config, k.name))} → {k.text(change[k.name])}" for k in knobs
    )
