"""One training step: forward, loss, backward, update.

Used by the training loop and by the learning-rate finder, so that a rate is tried by the very steps
it is meant for. Runs in the thread that trains.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.data.batches import Batch
from lab.training import compiling
from lab.training.optim import make_optimizer
from lab.training.plan import Plan
from lab.training.precision import Precision, autocast
from lab.training.source import Source


class Stepper:
    """Steps on `plan.network`, in `precision`; owns the optimizer and the scale of the loss.

    With `compiled`, steps of full batches run compiled (`lab.training.compiling`).
    """

    def __init__(self, plan: Plan, precision: Precision, *, compiled: bool = False) -> None:
        self.plan, self.precision, self.compiled = plan, precision, compiled
        weights = plan.splits.class_weights
        self.class_weights = None if weights is None else torch.from_numpy(weights).to(plan.device)
        # It hands everything through unless steps are in fp16, where small gradients would be lost
        # to zero without it.
        self.scaler = torch.amp.GradScaler(plan.device.type, enabled=precision == "fp16")
        self._fast: tuple[Source, compiling.Forward] | None = None
        """Of this phase, and the source that it is made for."""

    def begin_phase(self) -> None:
        """Make a new optimizer for the parameters that are trained from now on. Comes before the
        first step, once the network is frozen as its phase wants it."""
        self.trained = [p for p in self.plan.network.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.plan.config, self.trained, device=self.plan.device)
        self.close()

    def close(self) -> None:
        """Let go of what was compiled."""
        if self._fast is not None:
            self._fast = None
            compiling.begin_afresh()

    @property
    def is_to_compile(self) -> bool:
        """Whether the next step of a full batch is compiled first."""
        return self.compiled and self._fast is None

    def forward(self, source: Source, batch: Batch) -> tuple[Tensor, Tensor]:
        """The batch's mean loss, () and fp32, and its logits (N, K)."""
        with autocast(self.plan.device, self.precision), compiling.compiler_errors():
            logits = self._logits(source, batch)(batch.images)
        # Over the number of samples, not over the sum of their weights as "mean" would: the
        # weights are 1 on average, and the epoch's average over samples stays exact.
        total = F.cross_entropy(logits.float(), batch.labels, self.class_weights, reduction="sum")
        return total / len(batch.labels), logits

    def rehearse(self, source: Source, batch: Batch) -> None:
        """The forward pass of this step uncompiled, for hooks on the network to see. The step
        itself comes out as it does without."""
        with self.plan.network.undisturbed(), autocast(self.plan.device, self.precision):
            source.logits(batch.images)

    def _logits(self, source: Source, batch: Batch) -> compiling.Forward:
        if not self.compiled or len(batch.labels) < self.plan.config.batch_size:
            return source.logits
        if self._fast is None or self._fast[0] is not source:
            compiling.begin_afresh()
            self._fast = source, compiling.Compiled(self.plan.network, source.logits)
        return self._fast[1]

    def backward(self, loss: Tensor) -> None:
        """Afterwards gradients are what they are in fp32, neither scaled nor clipped."""
        self.optimizer.zero_grad(set_to_none=True)
        with compiling.compiler_errors():  # its own half is compiled when it is first needed
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)

    def update(self, rate: float) -> None:
        """Move the weights along the gradients, clipped as the config says, at the rate `rate`."""
        if self.plan.config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.trained, self.plan.config.gradient_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
