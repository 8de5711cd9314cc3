"""How long a run will still take, from what was measured of it so far.

    what is left                    at which pace
    ------------------------------  ----------------------------------------------------------------
    training steps                  of the latest ones; without what the first step set up
    images for frozen layers        of those that went through them; later epochs then cost only
                                    their training steps
    epochs' validation, the test    of the latest validation; before it, from the training steps
    the rest of each epoch          as measured between the ends of the last two epochs

Early stopping is not in it: nobody can know it.
"""

from __future__ import annotations

from collections import deque

from lab.training.events import (
    ActivityProgressed,
    EpochDone,
    Event,
    LogWritten,
    ProbeTaken,
    RunStarted,
    StepDone,
)

WINDOW_SECONDS = 5.0
"""The pace is that of this much of the latest training."""

FORWARD_SHARE = 0.5
"""Of a training step that judging its images takes: a third where the whole network is trained,
nearly all where only the head is. Used until a validation was measured."""


def seconds_left(
    *,
    steps: int,
    step_seconds: float,
    frozen_images: int,
    frozen_seconds: float,
    judged_images: int,
    judged_seconds: float,
    epochs: int,
    epoch_seconds: float,
) -> float:
    """Returns the seconds that a run will still take.

    Training steps, images that must go through frozen layers, and images that are validated or
    tested, each with the seconds of one; `epochs` whose end is still to come, with the seconds that
    each takes beside all these.
    """
    return (
        steps * step_seconds
        + frozen_images * frozen_seconds
        + judged_images * judged_seconds
        + epochs * epoch_seconds
    )


class Pace:
    """Seconds of a step, and images a second, over the latest training."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int]] = deque()  # training seconds, samples
        self._samples = 0

    def restart(self) -> None:
        """Steps cost something else from now on."""
        self._steps.clear()
        self._samples = 0

    def add(self, step: StepDone) -> None:
        self._steps.append((step.seconds, step.samples))
        self._samples += step.samples
        while step.seconds - self._steps[0][0] > WINDOW_SECONDS and len(self._steps) > 2:
            self._samples -= self._steps.popleft()[1]

    # The first of the steps is only where the time begins: what it set up is not in it.
    @property
    def step_seconds(self) -> float | None:
        """None before the second step."""
        return self._seconds / (len(self._steps) - 1) if len(self._steps) > 1 else None

    @property
    def images_per_second(self) -> float | None:
        """None before the second step."""
        seconds = self._seconds
        return (self._samples - self._steps[0][1]) / seconds if seconds > 0 else None

    @property
    def _seconds(self) -> float:
        return self._steps[-1][0] - self._steps[0][0] if self._steps else 0.0


class TimeLeft:
    """Follows the events of one run and estimates when it will have ended.

    Not thread-safe: its owner locks.
    """

    def __init__(self) -> None:
        self.pace = Pace()
        self.activity: ActivityProgressed | None = None
        """What goes on beside training steps; None while they go on."""
        self._run: RunStarted | None = None
        self._step = 0
        self._phase = 0
        """The phase of the latest step, counted from 1."""
        self._epochs_done = 0
        self._judged = 0
        """Images of the validation or test that goes on now."""
        self._testing = False
        self._frozen_images = 0
        """That must still go through frozen layers."""
        self._frozen_seconds: float | None = None
        """Of one such image."""
        self._judged_seconds: float | None = None
        """Of one validation or test image."""
        self._epoch_seconds = 0.0
        """Of an epoch's checkpoints, film strip and the like."""
        self._activity_seconds: dict[str, float] = {}
        """Of the latest activity of each kind, so far."""
        self._measured_seconds = 0.0
        """Of all activities but film strips since the last epoch's end."""
        self._last_epoch: EpochDone | None = None

    def add(self, event: Event) -> None:
        """The run's events, in order."""
        if isinstance(event, StepDone):
            self._add_step(event)
        elif isinstance(event, ActivityProgressed):
            self._add_activity(event)
        elif isinstance(event, EpochDone):
            self._add_epoch(event)
        elif isinstance(event, ProbeTaken | LogWritten):
            if self.activity is not None and self.activity.kind == "film_strip":
                self.activity = None
        elif isinstance(event, RunStarted):
            self._run = event
            self._step = event.resumed_from_step
            self._epochs_done = self._step // max(1, event.steps_per_epoch)

    def seconds(self, *, finishing: bool = False) -> float | None:
        """Seconds left; None while something that matters was not measured yet. `finishing`: the
        run was asked to end with this epoch."""
        run = self._run
        if run is None or (self._frozen_images and self._frozen_seconds is None):
            return None
        if self._testing:
            steps = epochs = 0
        elif finishing:
            steps, epochs = 0, 1
        elif self._phase < len(run.phase_starts):
            return None  # nobody knows yet how fast the next phase's steps are
        else:
            steps = run.total_steps - self._step
            epochs = round(run.total_steps / max(1, run.steps_per_epoch)) - self._epochs_done
        step_seconds = self.pace.step_seconds
        if steps and step_seconds is None:
            return None
        return seconds_left(
            steps=steps,
            step_seconds=step_seconds or 0.0,
            frozen_images=self._frozen_images,
            frozen_seconds=self._frozen_seconds or 0.0,
            judged_images=epochs * run.val_samples + run.test_samples - self._judged,
            judged_seconds=self._seconds_to_judge(),
            epochs=epochs,
            epoch_seconds=self._epoch_seconds,
        )

    def _seconds_to_judge(self) -> float:
        if self._judged_seconds is not None:
            return self._judged_seconds
        images = self.pace.images_per_second
        return FORWARD_SHARE / images if images else 0.0

    def _add_step(self, event: StepDone) -> None:
        starts = self._run.phase_starts if self._run else (1,)
        phase = sum(first <= event.epoch for first in starts)
        if phase != self._phase:
            self._phase = phase
            self.pace.restart()
            self._judged_seconds = None
        self.pace.add(event)
        self._step = event.step
        if self.activity is not None and self.activity.kind != "frozen_layers":
            self.activity = None  # frozen layers run between the steps, too

    def _add_activity(self, event: ActivityProgressed) -> None:
        before = self._activity_seconds.get(event.kind, 0.0)
        self._activity_seconds[event.kind] = event.seconds
        if event.kind != "film_strip":
            again = before <= event.seconds
            self._measured_seconds += event.seconds - before if again else event.seconds
        self.activity = event
        if event.kind == "frozen_layers":
            self.activity = event if event.done < event.total else None
            self._frozen_images = max(0, event.total - event.done) + event.later
            if event.done:
                self._frozen_seconds = event.seconds / event.done
        elif event.kind in ("validation", "test"):
            self._testing = event.kind == "test"
            self._judged = event.done
            if event.done:
                self._judged_seconds = event.seconds / event.done

    def _add_epoch(self, event: EpochDone) -> None:
        before = self._last_epoch
        if before is not None and before.elapsed is not None and event.elapsed is not None:
            measured = event.seconds - before.seconds + self._measured_seconds
            self._epoch_seconds = max(0.0, event.elapsed - before.elapsed - measured)
        self._measured_seconds = 0.0
        self._last_epoch = event
        self._epochs_done = event.epoch
        self._judged = 0
        self.activity = None
