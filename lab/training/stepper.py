"""One training step: forward, loss, backward, update.

Used by the training loop and by the learning-rate finder, so that a rate is tried by the very steps
it is meant for. Runs in the thread that trains.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import Precision, RunConfig
from lab.data.batches import Batch
from lab.models.staged import StagedNet
from lab.training.optim import make_optimizer, parameter_groups
from lab.training.source import Source
from lab.training.speed.compiling import Forward, compiled, compiler_errors
from lab.training.speed.precision import autocast

DROPOUT_STREAM = 0xD809
"""Tells the generator of dropout apart from the others that are seeded by the run's seed."""


class Stepper:
    """Steps on `network`; owns the optimizer, the scale of the loss and dropout's generator.

    `class_weights` (K,) are of the loss, None for equal ones. Where the config says so, steps of
    full batches run compiled (`lab.training.speed.compiling`).
    """

    def __init__(
        self,
        network: StagedNet,
        config: RunConfig,
        *,
        device: torch.device,
        precision: Precision,
        class_weights: npt.NDArray[np.float32] | None,
    ) -> None:
        self.network = network
        self.config = config
        self.device = device
        self.precision = precision
        self.class_weights = (
            None if class_weights is None else torch.from_numpy(class_weights).to(device)
        )
        self.generator = torch.Generator(device=device)
        self.generator.manual_seed(config.seed ^ (DROPOUT_STREAM << 32))
        network.use_generator(self.generator)
        # It hands everything through unless steps are in fp16, where small gradients would be lost
        # to zero without it.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.decay_all = False
        """Whether weight decay is for biases and norm layers, too (`Counters.decay_all`)."""
        self.sum_gradients: Callable[[], None] | None = None
        """Adds what other workers on this step found (`lab.training.workers`)."""
        self._compiled: Forward | None = None
        """This phase's forward pass, once a full batch came."""
        self._is_compiled_step = False

    def begin_phase(self) -> None:
        """Make a new optimizer for the parameters that are trained from now on. Comes before the
        first step, once the network is frozen as its phase wants it."""
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        groups = parameter_groups(self.config, self.network, decay_all=self.decay_all)
        self.optimizer = make_optimizer(self.config, groups, device=self.device)
        self.drop_compiled()

    def drop_compiled(self) -> None:
        """Forget what was compiled. torch keeps it for the whole process, and gives up on code of
        which there are eight variants: each phase begins with none. (What another run in this
        process still uses is compiled again at its next step.)"""
        self._compiled = None
        if self.config.compile_steps == "on":
            torch.compiler.reset()

    @property
    def is_compiled(self) -> bool:
        """Whether this phase's steps have been compiled."""
        return self._compiled is not None

    def must_compile(self, batch: Batch) -> bool:
        """Whether a step on `batch` compiles first, which takes seconds to minutes."""
        return not self.is_compiled and self._compiles(batch)

    def _compiles(self, batch: Batch) -> bool:
        is_full = len(batch.labels) == self.config.batch_size
        return self.config.compile_steps == "on" and is_full

    def forward(
        self, source: Source, batch: Batch, *, sampled: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The batch's mean loss, () and fp32, and its logits (N, K).

        `sampled`: hooks on the network watch this pass, so it does not run compiled.
        """
        forward: Forward = source.forward
        self._is_compiled_step = self._compiles(batch) and not sampled
        if self._is_compiled_step:
            forward = self._compiled = self._compiled or compiled(source.forward)
        images = source.ready(batch.images)
        with autocast(self.device, self.precision), self._compiler_errors():
            logits = forward(images)
        loss = self._loss(logits.float(), batch.labels)
        if batch.mix is not None:
            # Cross-entropy is linear in the label: the same as that of the mixed label.
            share = batch.mix.share
            loss = share * loss + (1 - share) * self._loss(logits.float(), batch.mix.others)
        return loss, logits

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        # Over the number of samples, not over the sum of their weights as "mean" would: the
        # weights are 1 on average, and the epoch's average over samples stays exact.
        smoothing = self.config.smoothing
        total = F.cross_entropy(
            logits, labels, self.class_weights, reduction="sum", label_smoothing=smoothing
        )
        return total / len(labels)

    def backward(self, loss: Tensor) -> None:
        """Afterwards gradients are what they are in fp32, neither scaled nor clipped."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._compiler_errors():
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.sum_gradients is not None:
            self.sum_gradients()
        self.scaler.unscale_(self.optimizer)

    def update(self, rate: float) -> None:
        """Move the weights along the gradients, clipped as the config says, at the rate `rate`."""
        if self.config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.trained, self.config.gradient_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _compiler_errors(self) -> AbstractContextManager[None]:
        return compiler_errors() if self._is_compiled_step else nullcontext()
