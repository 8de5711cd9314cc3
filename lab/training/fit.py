"""The training loop: a generator of small frozen events.

In pseudocode:

    for epoch in the epochs that are left:
        freeze what this phase freezes
        for batch in training batches of this epoch, from where it stopped:
            where layers are frozen: their features, piece by piece, the first time
            forward, loss, backward, update          -> StepDone
            the first time: a snapshot of the probe
            images with the untrained weights        -> ProbeTaken
            now and then, before the state is saved  -> SaveReached
            a wish to stop or pause?  save, leave    -> RunEnded
        loss and accuracy on the validation images
        publish weights (last, best, kept)           -> EpochDone
        early stopping
        a snapshot of the probe images               -> ProbeTaken
    load the best weights, evaluate the test set once -> RunEnded, then the saved state is deleted

Whatever is no training step tells how far it is (-> ActivityProgressed) and looks for a wish to
stop between small pieces of work, and before each layer of a network. One stopwatch counts the laps
of steps as training time.

Runs wholly in the thread that iterates it (the queue's "trainer-<run id>"). It owns `plan.network`;
everyone else sees only what it publishes in `plan.folder`.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lab.data.batches import Batch
from lab.data.resize import own_image_size
from lab.errors import DiskFullError, DivergedError, LabError, PlaceLostError, ResourceError
from lab.metrics import metrics_of
from lab.models.architecture import ARCHITECTURES
from lab.models.freezing import Phase, apply_freeze
from lab.process import keep_freed_memory, trim_memory
from lab.training import announcements, checkpoint
from lab.training.averaging import WeightAverage, averaged, weights_kept
from lab.training.breaking_off import checked_before_layers
from lab.training.control import Control
from lab.training.counters import Counters
from lab.training.events import (
    ActivityKind,
    ActivityProgressed,
    EndStatus,
    Event,
    LogWritten,
    RateChanged,
    RunEnded,
    SaveReached,
    StepDone,
)
from lab.training.failures import diverged, is_out_of_memory, no_room, out_of_memory
from lab.training.metrics import StepMetrics, Tally, of_batch, read
from lab.training.optim import learning_rate
from lab.training.plan import Plan
from lab.training.source import Source, open_source
from lab.training.stopwatch import Activity, Stopwatch
from lab.training.watch.class_map import ClassMap
from lab.training.watch.film_strip import FilmStrip
from lab.training.watch.layer_health import LayerHealth
from lab.training.workers import FirstWorker

SAVE_AT_LEAST_EVERY = 2.0
SAVE_COST_FACTOR = 33.0
"""Between two saves of the resume state pass at least 2 s and 33 times what a save takes: a crash
costs little training, and saving at most about 3 % of the time."""

FROZEN = "Running the frozen layers once"
FROZEN_FOR_TEST = "Testing: running the frozen layers once"


def fit(plan: Plan, control: Control) -> Iterator[Event]:
    """Train as planned, or go on where `plan.folder` says that the run stopped.

    Events come as in `lab.training.events`; RunEnded exactly once and last. What a person can meet
    (a loss that is no number, too little memory) ends the run as failed with a sentence, a full
    disk as paused; an error that is a bug passes through, and PlaceLostError when another worker
    of the run is lost.
    """
    run = _Run(plan, control)
    keep_freed_memory(plan.reuse_memory)
    try:
        yield from run.train()
    except PlaceLostError:
        raise
    except DiskFullError as error:
        yield run.ended("paused", no_room(error))
    except LabError as error:
        yield run.ended("failed", str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = f" on {plan.device} at step {run.counters.step + 1:,}"
        config = plan.config
        sentence = out_of_memory(config.batch_size, config.image_size, where=where)
        yield run.ended("failed", sentence)
    finally:
        run.close()
        trim_memory()


class _Interrupted(Exception):
    """Raised between two pieces of work when a stop or pause is wanted."""


class _Run:
    """The state of one call of `fit`. Lives in the training thread only."""

    def __init__(self, plan: Plan, control: Control) -> None:
        self.plan = plan
        self.config = plan.config
        self.control = control
        self.network = plan.network
        self.counters = Counters(precision=plan.precision)
        self.metrics = metrics_of(len(plan.class_names))
        self.step_metrics = [metric for metric in self.metrics if metric.of_batches]
        self.stepper = plan.stepper()  # its optimizer is made by enter_phase
        self.workers = FirstWorker(plan, self.stepper)
        decay = plan.config.model_ema_decay
        self.average = WeightAverage(plan.network, decay=decay) if decay else None
        self.film_strip = FilmStrip(
            plan.folder,
            on=plan.config.film_strip,
            epochs=plan.config.epochs,
            default_stage=ARCHITECTURES.get(plan.config.architecture).default_cam_stage,
            pack=plan.pack,
            splits=plan.splits,
            preprocess=plan.preprocess,
            device=plan.device,
            memory_format=plan.memory_format,
        )
        self.class_map = ClassMap(
            plan.folder,
            on=plan.config.film_strip,
            epochs=plan.config.epochs,
            rows=plan.splits.val,
            labels=plan.pack.labels,
        )
        self.layer_health = LayerHealth(
            plan.network,
            plan.folder,
            on=plan.config.layer_statistics == "auto",
            total_steps=plan.total_steps,
            preprocess=plan.preprocess,
            device=plan.device,
            compiled=plan.config.compile_steps == "on",
            clock=lambda: self.counters.seconds + self.watch.lap_so_far,
        )
        self.resumed_from = 0
        self.phase: Phase | None = None
        self.source: Source | None = None
        self.frozen_layers: Activity | None = None
        """The pass over this epoch's images of frozen layers that run once."""
        self.filled_before = 0
        """On how many images frozen layers had run before that pass."""
        self.is_testing = False
        self.can_go_on = False
        """Whether its last state is saved for runs that go on from it."""
        self.watch = Stopwatch()
        self.elapsed_before = 0.0
        """In earlier sessions."""
        self.saved_at = time.monotonic()
        self.save_seconds = 0.0
        # Reading a number from an accelerator waits for all the work in flight, so there the
        # figures of several steps are read together. On a CPU there is nothing to wait for.
        self.steps_per_reading = 1 if plan.device.type == "cpu" else 16

    # --- the loop -------------------------------------------------------------------------------
    def train(self) -> Iterator[Event]:
        yield from self.begin()
        counters, config = self.counters, self.config
        try:
            while counters.epoch <= config.epochs and not counters.early_stopped:
                if entered := self.enter_phase():
                    yield announcements.phase_entered(entered, self.network)
                yield from self.train_epoch()
                with averaged(self.network, self.average):
                    yield from self.finish_epoch()
                if self.control.wanted == "finish":
                    break
            yield from self.test()
        except _Interrupted:
            yield from self.save()
            status: EndStatus = "paused" if self.control.wanted == "pause" else "stopped"
            message = announcements.interrupted(
                counters, status, testing=self.is_testing, total_steps=self.plan.total_steps
            )
            yield self.ended(status, message)

    def begin(self) -> Iterator[Event]:
        """Put the saved state back where there is one, and say what was decided."""
        plan = self.plan
        state = checkpoint.read_resume(plan.folder, whole=True)
        begun = state.counters if state else None
        if begun is None and plan.start is not None:
            self.counters = dataclasses.replace(
                plan.start.counters(plan.steps_per_epoch), precision=plan.precision
            )
        counters = self.counters = begun or self.counters
        self.resumed_from = counters.step
        self.elapsed_before = counters.elapsed
        if counters.loss_scaler:
            self.stepper.scaler.load_state_dict(counters.loss_scaler)
        self.stepper.decay_all = counters.decay_all
        self.enter_phase()
        if state is not None and begun is not None:
            checkpoint.load_state(
                state,
                network=self.network,
                optimizer=self.stepper.optimizer,
                generator=self.stepper.generator,
                average=self.average.state if self.average else None,
            )
        else:
            checkpoint.begin_resume(plan.folder, plan.precision)
            if plan.start is not None:
                plan.start.restore(
                    plan.folder,
                    network=self.network,
                    optimizer=self.stepper.optimizer,
                    generator=self.stepper.generator,
                    average=self.average.state if self.average else None,
                    counters=counters,
                )
            checkpoint.CheckpointMetadata(
                config=self.config,
                class_names=plan.class_names,
                preprocess=plan.preprocess,
                dataset_hash=plan.pack.meta.content_hash,
                data_channels=plan.pack.meta.channels,
                fit=plan.pack.meta.fit,
                value_range=plan.pack.meta.value_range,
                data_image_size=own_image_size(plan.pack),
                started_from=plan.start.record if plan.start else None,
                copies=plan.copies,
            ).write(plan.folder)
        yield announcements.run_started(
            self.network,
            plan.splits,
            device=plan.device,
            steps_per_epoch=plan.steps_per_epoch,
            epochs=self.config.epochs,
            class_names=plan.class_names,
            resumed_from=self.resumed_from,
            phase_starts=tuple(phase.first_epoch for phase in plan.phases),
            counters=counters,
        )
        yield from (LogWritten("decision", str(decision)) for decision in plan.decisions)
        if state is not None and state.warning:
            yield LogWritten("warning", state.warning)
        if begun is not None and self.resumed_from:
            yield LogWritten("info", f"Resumed after step {self.resumed_from:,}.")
        elif state is not None:
            yield LogWritten("info", "Begins at its first step: no state of it had been saved.")
        if begun is None and counters.rate_factor != 1:
            yield announcements.rate_inherited(counters.rate_factor)
        yield from self.film_strip.begin(self.network, counters)
        self.layer_health.begin(counters)
        self.class_map.begin(counters.epoch)

    def train_epoch(self) -> Iterator[Event]:
        """The training steps of the running epoch that are not done yet."""
        counters = self.counters
        is_new = self.source is None
        source = yield from self.open_source()
        missing = source.missing_in_epoch(counters.epoch) + source.missing(self.plan.splits.val)
        if missing or is_new:
            yield from self.begin_frozen_layers(source, missing, self.frozen_images_later(source))
        self.network.train()
        pending_steps: list[StepMetrics] = []
        batches = source.train(counters.epoch, counters.step_in_epoch)
        while True:
            self.watch.lap()
            try:
                batch = next(batches)
            except StopIteration:
                break
            except _Interrupted:  # amid a piece of work of frozen layers
                yield from self.report_steps(pending_steps)
                raise
            if batch is not None and (asked := self.control.take_rate()) is not None:
                yield from self.report_steps(pending_steps)
                yield from self.change_rate(asked)
            wanted = self.control.wanted
            if batch is None:  # frozen layers have run on some of its images
                if wanted == "finish" and counters.step_in_epoch:
                    break
                if wanted in ("stop", "pause"):
                    yield from self.report_steps(pending_steps)
                    self.stop_if_wanted()
                yield from self.frozen_layers_progressed(source)
                continue
            if self.stepper.must_compile(batch):
                yield ActivityProgressed("compiling", "Compiling the training steps", 0, 0, "", 0.0)
            compiled_before = self.stepper.is_compiled
            pending_steps.append(self.take_step(source, batch))
            seconds = self.watch.lap()
            if self.stepper.is_compiled == compiled_before:
                counters.add_training_time(seconds)
            counters.step_in_epoch += 1
            counters.step += 1
            yield from self.layer_health.pop_messages()
            if len(pending_steps) >= self.steps_per_reading:
                yield from self.report_steps(pending_steps)
            wanted = self.control.wanted
            if wanted == "finish":
                break
            if wanted != "run" or self.save_is_due():
                yield from self.report_steps(pending_steps)
                self.stop_if_wanted()
                yield from self.save()
        yield from self.report_steps(pending_steps)

    def take_step(self, source: Source, batch: Batch) -> StepMetrics:
        """Forward, loss, backward, update; figures stay on the device until they are read."""
        rate = self.rate()
        stepper = self.stepper
        assert self.phase is not None
        own = self.workers.begin_step(batch, self.counters, self.phase, rate).batch
        with self.layer_health.forward(self.counters.step + 1, len(own.labels)) as sampled:
            # Where steps run compiled, a sampled one does not: no hook is called in such code. The
            # training is the same up to rounding.
            loss, logits = stepper.forward(source, own, sampled=sampled)
        numbers = of_batch(self.step_metrics, loss, logits, own.counted_labels)
        numbers = self.workers.total(numbers)
        if self.steps_per_reading == 1 and not math.isfinite(numbers[0].item()):
            # Before the update: the weights stay as they were, and the resume state too.
            raise self.diverged("training loss", numbers[0].item())
        stepper.backward(loss)
        self.layer_health.before_update()
        stepper.update(rate)
        if self.average:
            self.average.update(self.counters.step + 1)
        self.layer_health.after_update()
        return StepMetrics(self.counters.step + 1, numbers, len(batch.labels), rate)

    def report_steps(self, pending_steps: list[StepMetrics]) -> Iterator[Event]:
        """Empties the list of unreported steps into events. Behind the first ones comes the film
        strip's snapshot of the untrained network."""
        yield from self.read(pending_steps)
        yield from self.film_strip.after_first_step()

    def read(self, pending_steps: list[StepMetrics]) -> Iterator[StepDone]:
        """Turn the figures that are still on the device into events, and add them up."""
        if not pending_steps:
            return
        counters = self.counters
        self.watch.lap()
        steps, all_sums = pending_steps[:], read(self.step_metrics, pending_steps)
        counters.add_training_time(self.watch.lap())  # an accelerator may still have worked on them
        pending_steps.clear()
        for step, sums in zip(steps, all_sums, strict=True):
            values = {name: total / step.samples for name, total in sums.items()}
            if not math.isfinite(values["loss"]):
                raise self.diverged("training loss", values["loss"], step.step)
            counters.add(sums, step.samples)
            yield StepDone(
                step=step.step,
                epoch=counters.epoch,
                values=values,
                samples=step.samples,
                learning_rate=step.learning_rate,
                seconds=counters.seconds,
            )

    def finish_epoch(self) -> Iterator[Event]:
        """Validate, publish, count; with averaged weights where the config wants them."""
        counters, config, plan = self.counters, self.config, self.plan
        source = yield from self.open_source()
        which = " (averaged weights)" if self.average else ""
        activity = f"Validating epoch {counters.epoch}{which}"
        val = yield from self.evaluate(source, plan.splits.val, "validation", activity)
        source.keep()
        if not math.isfinite(val["loss"]):
            raise self.diverged("validation loss", val["loss"])
        is_best = counters.validated(config, val)
        kept = bool(config.keep_every) and counters.epoch % config.keep_every == 0
        rate = self.rate(counters.step - 1)
        checkpoint.publish(
            self.network,
            plan.folder,
            epoch=counters.epoch,
            best=is_best,
            kept=kept,
            facts={
                "learning_rate": rate,
                "seconds": counters.seconds,
                "elapsed": self.elapsed(),
            },
        )
        yield announcements.epoch_done(
            counters,
            phase=self.phase,
            val=val,
            learning_rate=rate,
            elapsed=self.elapsed(),
            is_best=is_best,
        )
        follows = config.schedule == "on_plateau" and counters.last_rate is None
        if follows and counters.plateau(val["loss"], config.schedule_epochs):
            yield announcements.rate_dropped(config)
        patience = config.early_stopping_patience
        if patience and counters.epochs_without_improvement >= patience:
            counters.early_stopped = True
            yield announcements.stopped_early(config, counters)
        last = counters.early_stopped or counters.epoch == config.epochs
        last = last or self.control.wanted == "finish"
        yield from self.class_map.after_epoch(counters, last=last)
        yield from self.film_strip.after_epoch(self.network, counters, last=last)
        counters.next_epoch()

    def test(self) -> Iterator[Event]:
        """The only use of the test set: the best weights, once, at the end."""
        counters, plan = self.counters, self.plan
        test: dict[str, float] = {}
        yield from self.save_for_successors()
        if len(plan.splits.test):
            weights = "averaged weights" if self.average else "weights"
            activity = f"Testing the {weights} of epoch {counters.best_epoch}"
            yield announcements.testing(counters, activity)
            self.is_testing = True
            # A resume of a test that is broken off must find the weights of the last step again.
            with weights_kept(self.network):
                checkpoint.load_weights(self.network, plan.folder, "best")
                source = yield from self.open_source()
                logits: list[Tensor] = []
                rows = plan.splits.test
                test = yield from self.evaluate(source, rows, "test", activity, logits)
                checkpoint.save_test_logits(plan.folder, rows, logits)
        else:
            yield LogWritten("warning", "The data set has no test images: no test result.")
        counters.tested = bool(test)
        if self.can_go_on:
            checkpoint.keep_end(plan.folder, counters)
        message = announcements.completed(self.config, counters)
        yield self.ended("completed", message, test)
        # Only now: a process that dies before the ending is recorded leaves a run that goes on.
        checkpoint.drop_resume(plan.folder)

    # --- parts ----------------------------------------------------------------------------------
    def enter_phase(self) -> Phase | None:
        """Freeze and make the optimizer when the epoch belongs to another phase; returns it when
        it is not the first."""
        epoch = min(self.counters.epoch, self.config.epochs)
        phase = next(p for p in self.plan.phases if p.first_epoch <= epoch <= p.last_epoch)
        if phase == self.phase:
            return None
        self.phase = phase
        self.close_source()
        apply_freeze(self.network, self.config, phase=phase.number)
        self.stepper.begin_phase()
        return phase if phase.first_epoch > 1 else None

    def rate(self, step: int | None = None) -> float:
        """Of the next step, or of the one behind `step` others of the run: what is planned, times
        what a person made of it."""
        assert self.phase is not None
        config, counters, per_epoch = self.config, self.counters, self.plan.steps_per_epoch
        step = counters.step if step is None else step
        first = self.phase.first_epoch
        if counters.last_rate is not None and first <= config.start_epoch:
            return counters.last_rate * counters.rate_factor
        if config.goes_on and config.start_with == "restart":
            first = max(first, config.start_epoch + 1)
        planned = learning_rate(
            config,
            self.phase.learning_rate,
            step=step - (first - 1) * per_epoch,
            total=(self.phase.last_epoch - first + 1) * per_epoch,
            steps_per_epoch=per_epoch,
            drops=counters.plateau_drops,
        )
        return planned * counters.rate_factor

    def change_rate(self, asked: float) -> Iterator[Event]:
        """Change the rate of the next step, and all later ones by the same factor. Recorded, then
        saved at once, so that whatever happens a resume finds the change where it was made."""
        before, step = self.rate(), self.counters.step + 1
        self.counters.rate_factor *= asked / before
        yield RateChanged(step=step, epoch=self.counters.epoch, learning_rate=asked)
        yield announcements.rate_changed(step, asked, before)
        yield from self.save()

    def open_source(self) -> Generator[LogWritten, None, Source]:
        """Returns what this phase's batches come from; says how frozen layers are run. After a
        resume it is opened with the resumed weights."""
        if self.source is None:
            self.source, decision = open_source(
                self.plan.images(), before_layer=self.stop_if_wanted
            )
            if decision is not None:
                yield LogWritten("decision", str(decision))
        return self.source

    def close(self) -> None:
        self.workers.close()
        self.stepper.drop_compiled()
        self.layer_health.close()
        self.close_source()

    def close_source(self) -> None:
        if self.source is not None:
            self.source.close()
            self.source = None

    def evaluate(
        self,
        source: Source,
        rows: NDArray[np.int64],
        kind: ActivityKind,
        text: str,
        answers: list[Tensor] | None = None,
    ) -> Generator[Event, None, dict[str, float]]:
        """Returns every metric over the images `rows`; a stop or pause breaks it off.

        Each batch's logits (n, K) are added to `answers`.
        """
        self.stop_if_wanted()
        activity = Activity(self.watch, kind, text, total=len(rows))
        yield from activity.begin()
        if missing := source.missing(rows):
            if self.frozen_layers is None or self.control.wanted == "finish":
                later = 0 if kind == "test" else source.missing(self.plan.splits.test)
                words = FROZEN_FOR_TEST if kind == "test" else FROZEN
                yield from self.begin_frozen_layers(source, missing, later, words)
            self.watch.lap()
            for _ in source.fill(rows):
                yield from self.frozen_layers_progressed(source)
                self.stop_if_wanted()
        self.frozen_layers = None
        self.network.eval()
        tally = Tally(self.metrics, classes=len(self.plan.class_names))
        self.watch.lap()
        with (
            self.class_map.reading(self.network, on=kind == "validation") as read,
            checked_before_layers(self.network, self.stop_if_wanted),
        ):
            for batch in source.in_order(rows):
                logits_of = read(source.logits, batch)
                tally.add(logits_of if answers is None else _kept(logits_of, answers), batch)
                yield from activity.add(tally.samples)
                self.stop_if_wanted()
        return tally.values()

    def begin_frozen_layers(
        self, source: Source, total: int, later: int, text: str = FROZEN
    ) -> Iterator[Event]:
        """Announce the pass of frozen layers over `total` images on which they have not run;
        `later` more will follow."""
        self.frozen_layers = None
        if not total and not later:
            return
        self.filled_before = source.filled
        self.frozen_layers = Activity(self.watch, "frozen_layers", text, total=total, later=later)
        yield from self.frozen_layers.begin()

    def frozen_images_later(self, source: Source) -> int:
        """Images, and views of images, on which frozen layers have not run and that later epochs
        and the test need, as far as is known: in another phase other layers are frozen."""
        assert self.phase is not None
        epoch, views = self.counters.epoch, self.config.kept_views if self.config.augments else 1
        last = min(self.phase.last_epoch, epoch + views - 1)
        later = sum(source.missing_in_epoch(each) for each in range(epoch + 1, last + 1))
        if self.phase.last_epoch == self.config.epochs:
            later += source.missing(self.plan.splits.test)
        return later

    def frozen_layers_progressed(self, source: Source) -> Iterator[Event]:
        """After each piece of their work."""
        if self.frozen_layers is not None:
            yield from self.frozen_layers.add(source.filled - self.filled_before)

    def stop_if_wanted(self) -> None:
        if self.control.wanted in ("stop", "pause"):
            raise _Interrupted

    def save_is_due(self) -> bool:
        wait = max(SAVE_AT_LEAST_EVERY, SAVE_COST_FACTOR * self.save_seconds)
        return time.monotonic() - self.saved_at > wait

    def save(self) -> Iterator[SaveReached]:
        yield SaveReached(self.counters.step)
        began = time.monotonic()
        self.counters.elapsed = self.elapsed()
        self.counters.loss_scaler = self.stepper.scaler.state_dict() or None
        if self.source is not None:
            self.source.keep()  # first: a resumed run then reads what this one read
        checkpoint.save_resume(
            self.plan.folder,
            network=self.network,
            optimizer=self.stepper.optimizer,
            generator=self.stepper.generator,
            counters=self.counters,
            average=self.average.state if self.average else None,
        )
        self.saved_at = time.monotonic()
        self.save_seconds = self.saved_at - began

    def save_for_successors(self) -> Iterator[SaveReached | LogWritten]:
        """Save the last state of the training; a disk without room is no reason to lose a run."""
        self.can_go_on = True
        try:
            yield from self.save()
        except ResourceError as error:
            self.can_go_on = False
            yield LogWritten("warning", f"{error} No run can go on exactly from this one.")

    def elapsed(self) -> float:
        """Seconds of all sessions of this run so far, training and everything else."""
        return self.elapsed_before + self.watch.elapsed

    def ended(
        self,
        status: EndStatus,
        message: str,
        test: dict[str, float] | None = None,
    ) -> RunEnded:
        return announcements.run_ended(
            self.counters,
            status,
            message,
            elapsed=self.elapsed(),
            test=test or {},
        )

    def diverged(self, what: str, value: float, step: int | None = None) -> DivergedError:
        return diverged(
            what,
            value,
            step=self.counters.step + 1 if step is None else step,
            epoch=self.counters.epoch,
            learning_rate=self.rate(),
        )


def _kept(logits_of: Callable[[Tensor], Tensor], answers: list[Tensor]) -> Callable[..., Tensor]:
    """Returns `logits_of`, which now also adds what it answers to `answers`."""

    def keep(images: Tensor) -> Tensor:
        answers.append(logits_of(images))
        return answers[-1]

    return keep
