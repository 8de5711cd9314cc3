"""An engine without torch: same events, same obedience to Control, a resume state on disk."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path

from lab.config import RunConfig
from lab.progress import Progress, Report
from lab.training.control import Control
from lab.training.events import (
    EndStatus,
    EpochDone,
    Event,
    LogWritten,
    RunEnded,
    RunStarted,
    SaveReached,
    StepDone,
)

CONFIG = RunConfig(device="cpu", epochs=2)


def started(resumed_from_step: int = 0, *, per_epoch: int = 5, epochs: int = 2) -> RunStarted:
    return RunStarted(
        device="cpu",
        train_samples=per_epoch * 32,
        val_samples=20,
        test_samples=10,
        steps_per_epoch=per_epoch,
        total_steps=per_epoch * epochs,
        total_parameters=1000,
        trainable_parameters=900,
        class_names=("Katze", "개"),
        resumed_from_step=resumed_from_step,
    )


def step(
    number: int,
    *,
    per_epoch: int = 5,
    loss: float | None = None,
    values: dict[str, float] | None = None,
) -> StepDone:
    return StepDone(
        step=number,
        epoch=(number - 1) // per_epoch + 1,
        values=values
        or {
            "loss": 1.0 / number if loss is None else loss,
            "accuracy": 1.0 - 1.0 / number,
        },
        samples=32,
        learning_rate=1e-3,
        seconds=number * 0.01,
    )


def epoch(number: int, *, per_epoch: int = 5, is_best: bool = True) -> EpochDone:
    return EpochDone(
        epoch=number,
        step=number * per_epoch,
        phase="all",
        train={"loss": 1.0 / number, "accuracy": 0.5},
        val={"loss": 2.0 / number, "accuracy": 1.0 - 0.5 / number},
        learning_rate=1e-3,
        seconds=number * per_epoch * 0.01 + 0.001,
        images_per_second=3200.0,
        is_best=is_best,
    )


def ended(status: EndStatus = "completed", *, steps: int = 10, message: str = "") -> RunEnded:
    done = status == "completed"
    return RunEnded(
        status=status,
        message=message or f"{status} after {steps} steps",
        epochs=steps // 5,
        steps=steps,
        best_epoch=steps // 5 or None,
        best_val={"loss": 0.5, "accuracy": 0.75} if steps >= 5 else {},
        test={"loss": 0.6, "accuracy": 0.7} if done else {},
        seconds=steps * 0.01,
    )


class FakeEngine:
    """`hold_at`: waits before that step until `release` is set or a stop or pause is wanted.
    `fail_at`: raises `error` before that step. `held` tells that it waits."""

    def __init__(
        self,
        *,
        epochs: int = 2,
        per_epoch: int = 5,
        hold_at: int = 0,
        fail_at: int = 0,
        error: BaseException | None = None,
    ) -> None:
        self.epochs = epochs
        self.per_epoch = per_epoch
        self.hold_at = hold_at
        self.fail_at = fail_at
        self.error = error
        self.held = threading.Event()
        self.release = threading.Event()
        self.finished_cleanly = threading.Event()
        self.trained: list[tuple[str, str]] = []  # (run id, thread name), in order

    def __call__(
        self, config: RunConfig, folder: Path, control: Control, report: Report
    ) -> Iterator[Event]:
        self.trained.append((folder.name, threading.current_thread().name))
        report(Progress(1, 2, "Reading", "images"))
        state = folder / "resume.json"
        done = json.loads(state.read_text()) if state.exists() else 0
        try:
            yield started(done, per_epoch=self.per_epoch, epochs=self.epochs)
            yield LogWritten("decision", "Device: cpu (asked for)")
            for number in range(done + 1, self.per_epoch * self.epochs + 1):
                if number == self.hold_at:
                    self.held.set()
                    while not self.release.wait(0.005) and control.wanted == "run":
                        pass
                if number == self.fail_at and self.error is not None:
                    raise self.error
                yield step(number, per_epoch=self.per_epoch)
                yield SaveReached(number)
                written = folder / "resume.new"
                written.write_text(json.dumps(number))
                written.replace(state)  # whole even if the process is killed here
                wanted = control.wanted
                if wanted == "stop" or wanted == "pause":
                    yield ended("stopped" if wanted == "stop" else "paused", steps=number)
                    return
                if wanted == "finish":
                    break
                if number % self.per_epoch == 0:
                    yield epoch(number // self.per_epoch, per_epoch=self.per_epoch)
            yield ended(steps=number)
            state.unlink()
        finally:
            self.finished_cleanly.set()


def smoothed(values: list[float], *, per_epoch: int = 5) -> list[float]:
    """The documented average, written out: half-life of a twentieth of an epoch, 2 steps at least,
    corrected for its start."""
    keep = 0.5 ** (1 / max(2, per_epoch / 20))
    result = []
    for count in range(1, len(values) + 1):
        weights = [keep ** (count - 1 - i) for i in range(count)]
        seen = [(w, v) for w, v in zip(weights, values, strict=False) if math.isfinite(v)]
        result.append(sum(w * v for w, v in seen) / sum(w for w, _ in seen))
    return result
