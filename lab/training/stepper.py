"""One training step: forward, loss, backward, update.

Used by the training loop and by the learning-rate finder, so that a rate is tried by the very steps
it is meant for. Runs in the thread that trains.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.data.batches import Batch
from lab.training.optim import make_optimizer
from lab.training.plan import Plan
from lab.training.source import Source
from lab.training.speed import compiling
from lab.training.speed.precision import autocast


class Stepper:
    """Steps on `plan.network`; owns the optimizer and the scale of the loss.

    Steps of full batches run compiled where the plan says so (`lab.training.speed.compiling`).
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        weights = plan.splits.class_weights
        self.class_weights = None if weights is None else torch.from_numpy(weights).to(plan.device)
        # It hands everything through unless steps are in fp16, where small gradients would be lost
        # to zero without it.
        self.scaler = torch.amp.GradScaler(plan.device.type, enabled=plan.precision == "fp16")
        self._fast: compiling.Compiled | None = None
        """Of this phase."""

    def begin_phase(self) -> None:
        """Make a new optimizer for the parameters that are trained from now on. Comes before the
        first step, once the network is frozen as its phase wants it."""
        self.trained = [p for p in self.plan.network.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.plan.config, self.trained, device=self.plan.device)
        self.let_go()

    def let_go(self) -> None:
        """Of what was compiled."""
        if self._fast is not None:
            self._fast = None
            compiling.begin_afresh()

    def is_compiled(self, batch: Batch) -> bool:
        """Whether a step of this batch runs compiled: of its full size only, as another one would
        be compiled once more."""
        return self.plan.compiled and len(batch.labels) == self.plan.config.batch_size

    def must_compile(self, batch: Batch) -> bool:
        """Whether `compile_for` comes before a step of this batch: before the first full one of a
        phase."""
        return self.is_compiled(batch) and self._fast is None

    def compile_for(self, source: Source, batch: Batch) -> None:
        """Compile steps for batches of this size. Nothing is trained, moved or drawn by it.

        Takes seconds to minutes. Raises ConfigError when torch cannot.
        """
        network = self.plan.network
        with compiling.compiler_errors(), network.undisturbed():
            compiling.begin_afresh()
            self._fast = compiling.Compiled(network, source.forward)
            loss, _ = self.forward(source, batch)
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.zero_grad(set_to_none=True)

    def forward(self, source: Source, batch: Batch) -> tuple[Tensor, Tensor]:
        """The batch's mean loss, () and fp32, and its logits (N, K)."""
        fast = self._fast if self.is_compiled(batch) else None
        with autocast(self.plan.device, self.plan.precision):
            logits = (fast or source.forward)(source.ready(batch.images))
        # Over the number of samples, not over the sum of their weights as "mean" would: the
        # weights are 1 on average, and the epoch's average over samples stays exact.
        total = F.cross_entropy(logits.float(), batch.labels, self.class_weights, reduction="sum")
        return total / len(batch.labels), logits

    def rehearse(self, source: Source, batch: Batch) -> None:
        """The forward pass of a compiled step uncompiled, for hooks on the network to see. The step
        itself comes out as it does without."""
        with self.plan.network.undisturbed(), autocast(self.plan.device, self.plan.precision):
            source.logits(batch.images)

    def backward(self, loss: Tensor) -> None:
        """Afterwards gradients are what they are in fp32, neither scaled nor clipped."""
        self.optimizer.zero_grad(set_to_none=True)
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
