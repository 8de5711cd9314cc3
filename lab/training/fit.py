"""The training loop: a generator of small frozen events.

In pseudocode:

    for epoch in the epochs that are left:
        freeze what this phase freezes
        for batch in training batches of this epoch, from where it stopped:
            forward, loss, backward, update          -> StepDone
            a wish to stop or pause?  save, leave    -> RunEnded
        loss and accuracy on the validation images
        publish weights (last, best, kept)           -> EpochDone
        early stopping
    load the best weights, evaluate the test set once -> RunEnded

Runs wholly in the thread that iterates it (the queue's "trainer-<run id>"). It owns `plan.network`;
everyone else sees only what it publishes in `plan.folder`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.data.batches import Batch, eval_batches, train_batches
from lab.errors import DataError, DivergedError, LabError
from lab.models.freezing import Phase, apply_freeze
from lab.training import checkpoint
from lab.training.control import Control
from lab.training.events import (
    EndStatus,
    EpochDone,
    Event,
    LogWritten,
    RunEnded,
    RunStarted,
    StepDone,
)
from lab.training.optim import Plateau, learning_rate, make_optimizer
from lab.training.plan import Plan

SAVE_AT_LEAST_EVERY = 2.0
SAVE_COST_FACTOR = 33.0
"""Between two saves of the resume state pass at least 2 s and 33 times what a save takes: a crash
costs little training, and saving at most about 3 % of the time."""

DROPOUT_STREAM = 0xD809
"""Tells the generator of dropout apart from the others that are seeded by the run's seed."""


def fit(plan: Plan, control: Control) -> Iterator[Event]:
    """Train as planned, or go on where `plan.folder` says that the run stopped.

    Events come as in `lab.training.events`; RunEnded exactly once and last. What a person can meet
    (a loss that is no number, too little memory, a full disk) ends the run as failed with a
    sentence; an error that is a bug passes through.
    """
    run = _Run(plan, control)
    try:
        yield from run.train()
    except LabError as error:
        yield run.ended("failed", str(error))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        yield run.ended("failed", _out_of_memory(plan, run.progress.step))


class _Interrupted(Exception):
    """Raised between two pieces of work when a stop or pause is wanted."""


class _Run:
    """The state of one call of `fit`. Lives in the training thread only."""

    def __init__(self, plan: Plan, control: Control) -> None:
        self.plan = plan
        self.config = plan.config
        self.control = control
        self.network = plan.network
        self.generator = torch.Generator(device=plan.device)
        self.generator.manual_seed(plan.config.seed ^ (DROPOUT_STREAM << 32))
        self.network.use_generator(self.generator)
        self.progress = checkpoint.Progress()
        self.resumed_from = 0
        self.phase: Phase | None = None
        self.optimizer: torch.optim.Optimizer
        self.class_weights = (
            None
            if plan.splits.class_weights is None
            else torch.from_numpy(plan.splits.class_weights).to(plan.device)
        )
        self.clock = time.monotonic()
        self.saved_at = self.clock
        self.save_seconds = 0.0
        # Reading a number from an accelerator waits for all the work in flight, so there the
        # figures of several steps are read together. On a CPU there is nothing to wait for.
        self.steps_per_reading = 1 if plan.device.type == "cpu" else 16

    # --- the loop -------------------------------------------------------------------------------
    def train(self) -> Iterator[Event]:
        plan = self.plan
        progress = self.progress = checkpoint.read_progress(plan.folder) or self.progress
        self.resumed_from = progress.step
        self.enter_phase()
        if self.resumed_from:
            self.refuse_changed_data()
            checkpoint.load_resume(
                plan.folder,
                network=self.network,
                optimizer=self.optimizer,
                generator=self.generator,
            )
        else:
            checkpoint.NetworkCard(
                config=self.config,
                class_names=plan.class_names,
                preprocess=plan.preprocess,
                dataset_hash=plan.pack.meta.content_hash,
            ).write(plan.folder)
        yield self.started()
        yield from (LogWritten("decision", str(decision)) for decision in plan.decisions)
        if self.resumed_from:
            yield LogWritten("info", f"Resumed after step {self.resumed_from:,}.")
        try:
            while progress.epoch <= self.config.epochs and not progress.early_stopped:
                if self.enter_phase():
                    yield LogWritten("info", self.phase_text())
                yield from self.train_epoch()
                yield from self.finish_epoch()
                if self.control.wanted == "finish":
                    break
            yield from self.test()
        except _Interrupted:
            self.save()
            status: EndStatus = "paused" if self.control.wanted == "pause" else "stopped"
            yield self.ended(
                status,
                f"{status.capitalize()} after step {progress.step:,} "
                f"of {plan.steps_per_epoch * self.config.epochs:,}; "
                "the test set was not touched. Resume goes on exactly here.",
            )

    def train_epoch(self) -> Iterator[Event]:
        """The training steps of the running epoch that are not done yet."""
        progress = self.progress
        self.network.train()
        batches = train_batches(
            self.plan.pack,
            self.plan.splits,
            self.config,
            self.plan.preprocess,
            epoch=progress.epoch,
            start_step=progress.step_in_epoch,
            device=self.plan.device,
        )
        unread: list[_Step] = []
        entered = time.monotonic()
        for batch in batches:
            unread.append(self.take_step(batch))
            progress.step_in_epoch += 1
            progress.step += 1
            if len(unread) >= self.steps_per_reading:
                yield from self.read(unread)
            wanted = self.control.wanted
            if wanted == "finish":
                break
            if wanted != "run" or self.save_is_due():
                yield from self.read(unread)
                progress.epoch_seconds += time.monotonic() - entered
                self.stop_if_wanted()
                self.save()
                entered = time.monotonic()
        yield from self.read(unread)
        progress.epoch_seconds += time.monotonic() - entered

    def take_step(self, batch: Batch) -> _Step:
        """Forward, loss, backward, update; figures stay on the device until they are read."""
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images = batch.images.contiguous(memory_format=self.plan.memory_format)
        logits = self.network(images)
        # Over the number of samples, not over the sum of their weights as "mean" would: the
        # weights are 1 on average, and the epoch's average over samples stays exact.
        total = F.cross_entropy(logits, batch.labels, self.class_weights, reduction="sum")
        loss = total / len(batch.labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.gradient_clip:
            trained = [p for p in self.network.parameters() if p.requires_grad]
            torch.nn.utils.clip_grad_norm_(trained, self.config.gradient_clip)
        if self.steps_per_reading == 1 and not math.isfinite(loss.item()):
            # Before the update: the weights stay as they were, and the resume state too.
            raise self.diverged("training loss", loss.item())
        self.optimizer.step()
        correct = (logits.detach().argmax(1) == batch.labels).sum()
        return _Step(self.progress.step + 1, loss.detach(), correct, len(batch.labels), rate)

    def read(self, unread: list[_Step]) -> Iterator[StepDone]:
        """Turn the figures that are still on the device into events, and add them up."""
        if not unread:
            return
        losses = torch.stack([s.loss for s in unread]).tolist()
        corrects = torch.stack([s.correct for s in unread]).tolist()
        steps = list(unread)
        unread.clear()
        progress = self.progress
        for step, loss, correct in zip(steps, losses, corrects, strict=True):
            if not math.isfinite(loss):
                raise self.diverged("training loss", loss, step.number)
            progress.loss_sum += loss * step.samples
            progress.correct += int(correct)
            progress.samples += step.samples
            yield StepDone(
                step=step.number,
                epoch=progress.epoch,
                loss=loss,
                accuracy=correct / step.samples,
                samples=step.samples,
                learning_rate=step.learning_rate,
                seconds=self.seconds(),
            )

    def finish_epoch(self) -> Iterator[Event]:
        """Validate, publish, count."""
        progress, config, plan = self.progress, self.config, self.plan
        val_loss, val_accuracy = self.evaluate(plan.splits.val)
        if not math.isfinite(val_loss):
            raise self.diverged("validation loss", val_loss)
        is_best = self.improved(val_loss, val_accuracy)
        if is_best:
            progress.best_epoch = progress.epoch
            progress.best_val_loss, progress.best_val_accuracy = val_loss, val_accuracy
            progress.epochs_without_improvement = 0
        else:
            progress.epochs_without_improvement += 1
        kept = bool(config.keep_every) and progress.epoch % config.keep_every == 0
        checkpoint.publish(self.network, plan.folder, epoch=progress.epoch, best=is_best, kept=kept)
        yield EpochDone(
            epoch=progress.epoch,
            step=progress.step,
            phase=self.phase.name if self.phase else "",
            train_loss=progress.loss_sum / max(1, progress.samples),
            train_accuracy=progress.correct / max(1, progress.samples),
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            seconds=self.seconds(),
            images_per_second=progress.samples / max(1e-9, progress.epoch_seconds),
            is_best=is_best,
        )
        if config.schedule == "on_plateau":
            yield from self.count_plateau(val_loss)
        patience = config.early_stopping_patience
        if patience and progress.epochs_without_improvement >= patience:
            progress.early_stopped = True
            yield LogWritten(
                "info",
                f"Early stopping: {config.best_metric} has not improved for {patience} epochs "
                f"(best was epoch {progress.best_epoch}).",
            )
        progress.epoch += 1
        progress.step_in_epoch = 0
        progress.loss_sum, progress.correct, progress.samples = 0.0, 0, 0
        progress.epoch_seconds = 0.0

    def test(self) -> Iterator[Event]:
        """The only look at the test set: the best weights, once, at the end."""
        progress, plan = self.progress, self.plan
        test_loss = test_accuracy = None
        if len(plan.splits.test):
            yield LogWritten("info", f"Testing the weights of epoch {progress.best_epoch}, once.")
            checkpoint.load_weights(self.network, plan.folder, "best")
            try:
                test_loss, test_accuracy = self.evaluate(plan.splits.test)
            except _Interrupted:
                # A resume must find the weights of the last epoch again, not the best ones.
                checkpoint.load_weights(self.network, plan.folder, "last")
                raise
        else:
            yield LogWritten("warning", "The data set has no test images: no test figure.")
        (plan.folder / checkpoint.RESUME).unlink(missing_ok=True)
        done = progress.epoch - 1
        early = "early stopping" if progress.early_stopped else "as asked"
        how = "" if done == self.config.epochs else f" of {self.config.epochs} ({early})"
        yield self.ended(
            "completed", f"Completed after epoch {done}{how}.", test_loss, test_accuracy
        )

    # --- parts ----------------------------------------------------------------------------------
    def enter_phase(self) -> bool:
        """Freeze and make the optimizer when the epoch belongs to another phase; True if so."""
        epoch = min(self.progress.epoch, self.config.epochs)
        phase = next(p for p in self.plan.phases if p.first_epoch <= epoch <= p.last_epoch)
        if phase == self.phase:
            return False
        self.phase = phase
        apply_freeze(self.network, self.config, phase=phase.number)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.config, trained, device=self.plan.device)
        return phase.first_epoch > 1

    def refuse_changed_data(self) -> None:
        card = checkpoint.NetworkCard.read(self.plan.folder)
        if card.dataset_hash != self.plan.pack.meta.content_hash:
            raise DataError(
                f"The data set {self.config.dataset!r} has changed since this run started, so it "
                "cannot go on exactly. Start a new run with its settings."
            )

    def phase_text(self) -> str:
        assert self.phase is not None
        trained = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        return (
            f"Phase {self.phase.number}, {self.phase.name}: {trained:,} parameters are trained "
            f"at a learning rate of {self.phase.learning_rate:g}."
        )

    def rate(self) -> float:
        assert self.phase is not None
        per_epoch = self.plan.steps_per_epoch
        return learning_rate(
            self.config,
            self.phase.learning_rate,
            step=self.progress.step - (self.phase.first_epoch - 1) * per_epoch,
            total=(self.phase.last_epoch - self.phase.first_epoch + 1) * per_epoch,
            steps_per_epoch=per_epoch,
            drops=self.progress.plateau_drops,
        )

    def count_plateau(self, val_loss: float) -> Iterator[Event]:
        progress = self.progress
        best = math.inf if progress.plateau_best is None else progress.plateau_best
        plateau = Plateau(best, progress.plateau_epochs_without, progress.plateau_drops)
        if plateau.epoch_done(val_loss, self.config.schedule_epochs):
            yield LogWritten(
                "info",
                f"Validation loss stalled for {self.config.schedule_epochs} epochs: the learning "
                f"rate is multiplied by {self.config.schedule_factor:g}.",
            )
        progress.plateau_best = plateau.best
        progress.plateau_epochs_without = plateau.epochs_without
        progress.plateau_drops = plateau.drops

    def improved(self, val_loss: float, val_accuracy: float) -> bool:
        """By the chosen figure; ties in accuracy go to the lower loss."""
        best_loss, best_accuracy = self.progress.best_val_loss, self.progress.best_val_accuracy
        if best_loss is None or best_accuracy is None:
            return True
        if self.config.best_metric == "val_loss":
            return val_loss < best_loss
        return (val_accuracy, -val_loss) > (best_accuracy, -best_loss)

    def evaluate(self, indices: object) -> tuple[float, float]:
        """Mean loss and accuracy over the images at `indices`, eval mode, unweighted."""
        batches = eval_batches(
            self.plan.pack,
            indices,  # type: ignore[arg-type]
            self.plan.preprocess,
            batch_size=max(
                self.config.batch_size, 256 if self.plan.pack.meta.image_size < 64 else 64
            ),
            device=self.plan.device,
        )
        self.network.eval()
        loss = torch.zeros((), dtype=torch.float64, device="cpu")
        correct = samples = 0
        with torch.inference_mode():
            for batch in batches:
                self.stop_if_wanted()
                images = batch.images.contiguous(memory_format=self.plan.memory_format)
                logits = self.network(images)
                loss += F.cross_entropy(logits, batch.labels, reduction="sum").cpu()
                correct += int((logits.argmax(1) == batch.labels).sum())
                samples += len(batch.labels)
        return float(loss) / max(1, samples), correct / max(1, samples)

    def stop_if_wanted(self) -> None:
        if self.control.wanted in ("stop", "pause"):
            raise _Interrupted

    def save_is_due(self) -> bool:
        wait = max(SAVE_AT_LEAST_EVERY, SAVE_COST_FACTOR * self.save_seconds)
        return time.monotonic() - self.saved_at > wait

    def save(self) -> None:
        self.progress.seconds = self.seconds()
        self.clock = time.monotonic()
        checkpoint.save_resume(
            self.plan.folder,
            network=self.network,
            optimizer=self.optimizer,
            generator=self.generator,
            progress=self.progress,
        )
        self.saved_at = time.monotonic()
        self.save_seconds = self.saved_at - self.clock

    def seconds(self) -> float:
        """Training time of all sessions of this run so far."""
        return self.progress.seconds + time.monotonic() - self.clock

    def started(self) -> RunStarted:
        plan = self.plan
        return RunStarted(
            device=str(plan.device),
            train_samples=len(plan.splits.train),
            val_samples=len(plan.splits.val),
            test_samples=len(plan.splits.test),
            steps_per_epoch=plan.steps_per_epoch,
            total_steps=plan.steps_per_epoch * self.config.epochs,
            total_parameters=sum(p.numel() for p in self.network.parameters()),
            trainable_parameters=sum(
                p.numel() for p in self.network.parameters() if p.requires_grad
            ),
            class_names=plan.class_names,
            resumed_from_step=self.resumed_from,
        )

    def ended(
        self,
        status: EndStatus,
        message: str,
        test_loss: float | None = None,
        test_accuracy: float | None = None,
    ) -> RunEnded:
        progress = self.progress
        return RunEnded(
            status=status,
            message=message,
            epochs=progress.epoch - 1,
            steps=progress.step,
            best_epoch=progress.best_epoch,
            best_val_loss=progress.best_val_loss,
            best_val_accuracy=progress.best_val_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            seconds=self.seconds(),
        )

    def diverged(self, what: str, value: float, step: int | None = None) -> DivergedError:
        number = self.progress.step + 1 if step is None else step
        return DivergedError(
            f"The {what} became {value} at step {number:,} (epoch {self.progress.epoch}) with a "
            f"learning rate of {self.rate():g}. Try a rate ten times smaller, "
            "gradient clipping of 1, or pixel scaling 'standard'."
        )


class _Step:
    """Figures of one step that may still be on the device."""

    __slots__ = ("correct", "learning_rate", "loss", "number", "samples")

    def __init__(
        self, number: int, loss: Tensor, correct: Tensor, samples: int, learning_rate: float
    ) -> None:
        self.number = number
        self.loss = loss
        self.correct = correct
        self.samples = samples
        self.learning_rate = learning_rate


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        "out of memory" in text or "can't allocate memory" in text
    )


def _out_of_memory(plan: Plan, step: int) -> str:
    config = plan.config
    return (
        f"Out of memory on {plan.device} at step {step + 1:,} with batch size {config.batch_size} "
        f"and images of {config.image_size} pixels. Halve the batch size, or choose smaller images "
        "or a smaller architecture."
    )
