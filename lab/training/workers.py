"""Several workers train one run together: each takes its share of every batch.

    the first worker    runs `lab.training.fit` as ever: it decides, evaluates, saves and reports
    each other one      runs `follow`: it repeats the training steps, on another share

    before a step       epoch, step and rate go from the first worker to the others
    forward, backward   each on its share of the very same batch, which all of them make
    before the update   metrics and gradients are summed, so that all workers hold the same weights

They speak by torch.distributed: gloo between processors and for all that is said, nccl between
graphics cards. A worker that is lost, or that the first one has left, shows as PlaceLostError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import TCPStore

from lab.config import Precision, RunConfig
from lab.data import catalog as datasets
from lab.data.batches import Batch
from lab.data.mixing import Mix
from lab.data.preprocess import Preprocess
from lab.data.splits import Splits, Stream, random_seed
from lab.errors import ConfigError, PlaceLostError
from lab.metrics import Metric, metrics_of
from lab.models.catalog import build_network
from lab.models.freezing import Phase, apply_freeze
from lab.models.staged import StagedNet
from lab.training.counters import Counters
from lab.training.metrics import of_batch
from lab.training.source import Images
from lab.training.speed.decisions import Decision
from lab.training.stepper import Stepper

if TYPE_CHECKING:
    from lab.training.plan import Plan

LEAST_IMAGES = 2
"""Of a batch for each worker: batch normalisation cannot train on one."""

SILENCE = timedelta(days=7)
"""For which a worker waits for another one: the first may evaluate for hours. One that dies is
noticed by its connection."""

END, STEP, PHASE = range(3)
"""What the first worker says: that it is done, a step, or a phase, whose state follows."""

_store: TCPStore | None = None
"""Where the workers of this process's run meet, from `invite` until they have."""


def check_workers(config: RunConfig) -> None:
    """Raises ConfigError for what several workers cannot do."""
    if config.workers == 1:
        return
    if config.batch_size < LEAST_IMAGES * config.workers:
        raise ConfigError(
            f"workers is {config.workers}, and batch_size is {config.batch_size}: each worker "
            f"needs at least {LEAST_IMAGES} images of a batch. Set batch_size to "
            f"{LEAST_IMAGES * config.workers} or more, or fewer workers."
        )
    if config.compile_steps == "on":
        raise ConfigError(
            f"Compile is on, and workers is {config.workers}: only one worker alone can run its "
            "steps compiled. Switch Compile off, or set workers to 1."
        )


def decisions(config: RunConfig, network: StagedNet, device: torch.device) -> list[Decision]:
    """What several workers mean for the run, in words."""
    if config.workers == 1:
        return []
    reason = "each takes its share of every batch; validation and test run on the first one"
    made = [Decision("Workers", str(config.workers), reason)]
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules()):
        if device.type == "cuda":
            how, why = "over the whole batch", "the graphics cards add up their statistics"
        else:
            how = "over each worker's share of a batch"
            why = "so the figures differ a little from those of one worker; kept are the first's"
        made.append(Decision("Batch normalisation", how, why))
    return made


def invite(host: str, workers: int) -> str:
    """Open the place where the workers meet, in the first one's process, which is reached as
    `host`; returns the address for the others."""
    global _store
    store = TCPStore(host, 0, workers, is_master=True, timeout=SILENCE, wait_for_workers=False)
    _store = store
    return f"{host}:{store.port}"


@dataclass(frozen=True, eq=False)
class Share:
    """What one worker does of a batch."""

    batch: Batch
    of_means: float
    """The weight of its mean loss and gradients among the workers'; they add up to 1."""
    of_sums: float
    """That of its sums over samples."""


def share(batch: Batch, rank: int, workers: int) -> Share:
    """The part of `batch` that is worker `rank`'s, counted from 0. A batch with less than two
    images for each is done by all of them, each for its part of the result."""
    count = len(batch.labels)
    if count < LEAST_IMAGES * workers:
        return Share(batch, 1 / workers, 1 / workers)
    own = slice(count * rank // workers, count * (rank + 1) // workers)
    mix = batch.mix and Mix(batch.mix.share, batch.mix.others[own])
    part = Batch(batch.images[own], batch.labels[own], batch.indices[own], mix)
    return Share(part, len(part.labels) / count, 1.0)


class Workers:
    """One run's workers, as each of them sees them; one worker alone has nobody to speak to.

    At every step, in this order: `share` its batch, `total` its metrics, `sum_gradients` (which the
    stepper calls).
    """

    def __init__(self, stepper: Stepper, config: RunConfig) -> None:
        self.count = config.workers
        self.rank = dist.get_rank() if self.count > 1 else 0
        self._stepper = stepper
        self._share = Share(None, 1.0, 1.0)  # type: ignore[arg-type]
        if self.count > 1:
            stepper.sum_gradients = self.sum_gradients
            if stepper.device.type == "cuda":
                convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
                convert(stepper.network)

    def share(self, batch: Batch, step: int) -> Share:
        """The own part of the batch of `step`, counted from 1 in the run."""
        if self.count == 1:
            return Share(batch, 1.0, 1.0)
        seed = random_seed(self._stepper.config.seed, Stream.DROPOUT, self.rank, step)
        self._stepper.generator.manual_seed(seed)
        self._share = share(batch, self.rank, self.count)
        return self._share

    def total(self, numbers: Tensor) -> Tensor:
        """Of the whole batch what `numbers` (1 + M,) are of the own share: see `of_batch`."""
        if self.count > 1:
            numbers[0] *= self._share.of_means
            numbers[1:] *= self._share.of_sums
            with _noticing_loss():
                dist.all_reduce(numbers)
        return numbers

    def sum_gradients(self) -> None:
        """Makes the gradients those of the whole batch's mean loss."""
        gradients = [p.grad for p in self._stepper.trained if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        flat *= self._share.of_means
        with _noticing_loss():
            dist.all_reduce(flat)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, total in zip(gradients, torch.split(flat, sizes), strict=True):
            gradient.copy_(total.view_as(gradient))


@dataclass(frozen=True)
class _Setup:
    """What the others need to know of the first worker's plan."""

    config: RunConfig
    dataset_hash: str
    splits: Splits
    preprocess: Preprocess
    classes: int
    device: str
    memory_format: torch.memory_format
    precision: Precision


class FirstWorker(Workers):
    """Says what the others do."""

    def __init__(self, plan: Plan, stepper: Stepper) -> None:
        """Waits for the others, where there are any."""
        if plan.config.workers > 1:
            _join(_store, 0, plan.config.workers, plan.device.type)
        super().__init__(stepper, plan.config)
        self._phase: Phase | None = None
        self._is_heard = True
        """Whether the others wait for what comes next."""
        if self.count > 1:
            _say_object(
                _Setup(
                    config=plan.config,
                    dataset_hash=plan.pack.meta.content_hash,
                    splits=plan.splits,
                    preprocess=plan.preprocess,
                    classes=len(plan.class_names),
                    device=plan.device.type,
                    memory_format=plan.memory_format,
                    precision=plan.precision,
                )
            )

    def begin_step(self, batch: Batch, counters: Counters, phase: Phase, rate: float) -> Share:
        """Tell the others of the next step, which is on `batch`; returns the own share of it."""
        if self.count > 1:
            if phase != self._phase:  # a new one, or the first step of this session
                self._phase = phase
                _say(PHASE)
                _say_object((phase, counters.decay_all, _states(self._stepper)))
            self._is_heard = False
            _say(STEP, counters.epoch, counters.step_in_epoch, counters.step + 1, rate)
        return self.share(batch, counters.step + 1)

    def sum_gradients(self) -> None:
        super().sum_gradients()
        self._is_heard = True

    def close(self) -> None:
        """Let the others go."""
        if self.count == 1 or not dist.is_initialized():
            return
        with contextlib.suppress(PlaceLostError):
            if self._is_heard:
                _say(END)
        _leave()


def follow(address: str, rank: int, workers: int, device: str) -> None:
    """Work as one of the `workers` of a run, `rank` counted from 0, until the first one, at
    `address`, is done. Raises LabError; PlaceLostError when another worker is lost."""
    host, _, port = address.rpartition(":")
    try:
        with _noticing_loss():
            store = TCPStore(host, int(port), workers, timeout=timedelta(minutes=5))
        _join(store, rank, workers, device)
        _follow(_hear_object())
    finally:
        _leave()


def _follow(setup: _Setup) -> None:
    config, device = setup.config, torch.device(setup.device)
    pack = datasets.open_pack(
        config.dataset, version=setup.dataset_hash, image_size=config.image_size
    )
    network = build_network(
        config,
        channels=setup.preprocess.channels,
        image_size=setup.preprocess.image_size,
        classes=setup.classes,
        device="meta",  # the weights come from the first worker: nothing is downloaded
    )
    network = network.to_empty(device=device).to(memory_format=setup.memory_format)
    stepper = Stepper(
        network,
        config,
        device=device,
        precision=setup.precision,
        class_weights=setup.splits.class_weights,
    )
    workers = Workers(stepper, config)
    source = Images(
        network=network,
        config=config,
        pack=pack,
        splits=setup.splits,
        preprocess=setup.preprocess,
        device=device,
        memory_format=setup.memory_format,
    )
    metrics = [metric for metric in metrics_of(setup.classes) if metric.of_batches]
    batches: Iterator[Batch | None] = iter(())
    following = (0, 0)
    while True:
        kind, epoch, step_in_epoch, step, rate = _hear()
        if kind == END:
            return
        if kind == PHASE:
            phase, stepper.decay_all, states = _hear_object()
            apply_freeze(network, config, phase=phase.number)
            stepper.begin_phase()
            _load_states(stepper, states)
            network.train()
            continue
        at = int(epoch), int(step_in_epoch)
        if at != following:
            batches = source.train(*at)
        following = at[0], at[1] + 1
        batch = next(batches)
        assert batch is not None
        _repeat_step(workers, stepper, source, workers.share(batch, int(step)), metrics, rate)


def _repeat_step(
    workers: Workers,
    stepper: Stepper,
    source: Images,
    own: Share,
    metrics: list[Metric],
    rate: float,
) -> None:
    """As `fit` takes it."""
    loss, logits = stepper.forward(source, own.batch)
    numbers = workers.total(of_batch(metrics, loss, logits, own.batch.counted_labels))
    if stepper.device.type == "cpu" and not numbers[0].isfinite():
        return  # the first one ends the run here
    stepper.backward(loss)
    stepper.update(rate)


def _states(stepper: Stepper) -> tuple[Any, ...]:
    tensors = {**stepper.network.state_dict(), **dict(stepper.network.named_buffers())}
    return tensors, stepper.optimizer.state_dict(), stepper.scaler.state_dict()


def _load_states(stepper: Stepper, states: tuple[Any, ...]) -> None:
    tensors, optimizer, scaler = states
    own = {**stepper.network.state_dict(), **dict(stepper.network.named_buffers())}
    for name, tensor in own.items():  # buffers that are not part of the state, too
        tensor.copy_(tensors[name])
    stepper.optimizer.load_state_dict(optimizer)
    if scaler:
        stepper.scaler.load_state_dict(scaler)


# --- what goes between them ---------------------------------------------------------------------
def _join(store: TCPStore | None, rank: int, workers: int, device: str) -> None:
    if store is None:
        raise ConfigError(f"workers is {workers}, and there is nobody to train with but this one.")
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    with _noticing_loss():
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=workers, timeout=SILENCE
        )


def _leave() -> None:
    global _store
    _store = None
    if dist.is_initialized():
        dist.destroy_process_group()


def _say(kind: int, *numbers: float) -> None:
    message = torch.zeros(5, dtype=torch.float64)
    message[: 1 + len(numbers)] = torch.tensor([kind, *numbers], dtype=torch.float64)
    with _noticing_loss():
        dist.broadcast(message, 0)


def _hear() -> tuple[float, ...]:
    message = torch.zeros(5, dtype=torch.float64)
    with _noticing_loss():
        dist.broadcast(message, 0)
    return tuple(message.tolist())


def _say_object(value: object) -> None:
    with _noticing_loss():
        dist.broadcast_object_list([value], 0, device=torch.device("cpu"))


def _hear_object() -> Any:
    values: list[Any] = [None]
    with _noticing_loss():
        dist.broadcast_object_list(values, 0, device=torch.device("cpu"))
    return values[0]


@contextlib.contextmanager
def _noticing_loss() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # dist.DistError among them
        raise PlaceLostError("Interrupted: one of the run's workers is lost.") from error
