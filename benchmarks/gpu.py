"""Does everything hold on a graphics card, and how fast is it there?

    python -m benchmarks gpu             at most ten minutes on one card
    python -m benchmarks gpu --quick     a minute or two; what the lab's tests run on a processor

Needs no data and no network: the pictures are drawn, the weights random. Without a card all of it
runs on the processor, and the section says so.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.plain import IMAGENET, ArrayDataset
from benchmarks.results import write
from lab.config import RunConfig
from lab.data import catalog
from lab.data.batches import Batch, labels_of
from lab.models.catalog import build_network
from lab.training.control import Control
from lab.training.events import EpochDone, Event, RunEnded, StepDone
from lab.training.fit import fit
from lab.training.plan import make_plan
from lab.training.speed.compiling import what_is_missing
from lab.training.speed.trials import wait_for

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHORT = RunConfig(
    dataset="drawn-signs",
    architecture="sign-cnn",
    batch_size=64,
    epochs=2,
    steps_per_epoch=20,
    learning_rate=1e-3,
    width_shift=0.1,
    precision="fp32",
    device=DEVICE.type,  # type: ignore[arg-type]
    film_strip=False,
)
"""A run of seconds, with augmentation and dropout: every kind of chance is in play."""


@dataclass(frozen=True)
class Load:
    """A network, trained at one size with one batch size, for images a second."""

    architecture: str
    image_size: int
    batch_size: int


LOADS = (
    Load("resnet18", 224, 32),
    Load("resnet18", 224, 128),
    Load("resnet18", 224, 256),
    Load("vit_small", 224, 64),
    Load("vit_small", 224, 256),
)
QUICK_LOADS = (Load("resnet18", 32, 4),)


def main(*, quick: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_HOME"] = str(Path(folder) / "lab")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "compiled")
        text = "\n".join(
            [*checks(Path(folder), quick=quick), "", *throughput(Path(folder), quick=quick)]
        )
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "no card: on the processor"
    write("Graphics card" + (", quick" if quick else ""), [], text=text, how=f"Device: {name}")


# --- does it hold -------------------------------------------------------------------------------
def checks(folder: Path, *, quick: bool) -> Iterator[str]:
    """The lines of a table: what was tried, and what came of it."""
    yield from ("| tried | outcome |", "|---|---|")
    base = train(SHORT, folder / "base")
    yield _line("pinned memory", pinned_memory())
    again = _difference(base, train(SHORT, folder / "again"))
    yield _line("the same run again", f"largest difference of a weight {again:.2g}")
    resumed = _difference(base, train_with_a_stop(SHORT, folder / "resumed"))
    yield _line("stopped within an epoch and resumed", f"largest difference {resumed:.2g}")
    # A processor has no units for fp16: hundreds of times as slow.
    for precision in ("bf16", "fp16")[: 2 if DEVICE.type == "cuda" else 1]:
        yield _line(f"{precision} against fp32", _beside(base, {"precision": precision}, folder))
    first = {"memory_layout": "channels_first"}
    yield _line("channels first against channels last", _beside(base, first, folder))
    if not quick:
        missing = what_is_missing(DEVICE.type)
        compiled = f"not tried: needs {missing}" if missing else ""
        compiled = compiled or _beside(base, {"compile_steps": "on"}, folder)
        yield _line("compiled against eager", compiled)
    yield _line("runs one after the other", memory_of_runs(folder, count=2 if quick else 8))


def _line(tried: str, outcome: str) -> str:
    print(f"{tried}: {outcome}", flush=True)
    return f"| {tried} | {outcome} |"


@dataclass(frozen=True)
class Trained:
    """How a run ended."""

    end: RunEnded
    epochs: tuple[EpochDone, ...]
    steps: int
    weights: dict[str, Tensor]


def train(config: RunConfig, folder: Path, stop_after: int = 0) -> Trained:
    """Trains in `folder`, where a stopped run goes on; `stop_after` is the step to stop it at."""
    folder.mkdir(exist_ok=True)
    plan, control = make_plan(config, folder=folder), Control()
    events: list[Event] = []
    for event in fit(plan, control):
        events.append(event)
        if isinstance(event, StepDone) and event.step == stop_after:
            control.request_stop()
    end = events[-1]
    assert isinstance(end, RunEnded), end
    if end.status != ("stopped" if stop_after else "completed"):
        raise RuntimeError(f"the run ended {end.status}: {end.message}")
    weights = {name: w.detach().float().cpu() for name, w in plan.network.state_dict().items()}
    epochs = tuple(e for e in events if isinstance(e, EpochDone))
    return Trained(end, epochs, sum(isinstance(e, StepDone) for e in events), weights)


def train_with_a_stop(config: RunConfig, folder: Path) -> Trained:
    """Trains with a stop in the middle of the first epoch."""
    train(config, folder, stop_after=5)
    return train(config, folder)


def _difference(one: Trained, other: Trained) -> float:
    return max(float((one.weights[n] - other.weights[n]).abs().max()) for n in one.weights)


def _beside(base: Trained, knobs: dict[str, str], folder: Path) -> str:
    """Final validation loss with and without some knobs, which must not change what is learned."""
    other = train(SHORT.changed(**knobs), folder / "-".join(knobs.values()))
    losses = [run.epochs[-1].val["loss"] for run in (base, other)]
    if not np.isfinite(losses).all():
        raise RuntimeError(f"with {knobs} the validation loss is {losses[1]}")
    return f"validation loss {losses[1]:.4f} against {losses[0]:.4f} after {SHORT.epochs} epochs"


def pinned_memory() -> str:
    """Whether labels that travel without being waited for arrive as they were sent."""
    pack = catalog.open_pack(SHORT.dataset)
    rows = np.random.default_rng(0).permutation(len(pack))
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        if not np.array_equal(labels_of(pack, part, DEVICE).cpu().numpy(), pack.labels[part]):
            raise RuntimeError("labels changed on their way to the card")
    return "used, all labels arrive" if DEVICE.type == "cuda" else "not used without a card"


def memory_of_runs(folder: Path, count: int) -> str:
    """Memory of the card that is still in use after the first and the last of so many runs."""
    used = []
    for number in range(count):
        train(SHORT.changed(epochs=1, seed=number), folder / f"short-{number}")
        used.append(torch.cuda.memory_allocated() / 1e6 if DEVICE.type == "cuda" else 0.0)
    in_use = f"{used[0]:.1f} MB in use on the card after one, {used[-1]:.1f} after all"
    return f"{count} completed; {in_use}"


# --- how fast is it -----------------------------------------------------------------------------
def throughput(folder: Path, *, quick: bool) -> Iterator[str]:
    """The lines of a table: images a second of training steps."""
    workers = 0 if quick else min(8, (os.cpu_count() or 2) - 1)
    yield f"Images a second of training steps; the plain script loads with {workers} workers."
    yield ""
    yield (
        "| network | plain, fp32 | plain, AMP, channels last | lab, fp32 | lab, bf16 | "
        "bf16 against AMP | share of the lab's input |"
    )
    yield "|---|---|---|---|---|---|---|"
    for number, load in enumerate(QUICK_LOADS if quick else LOADS):
        seconds = 0.2 if quick else 8.0
        plain = [plain_rate(load, amp=amp, workers=workers, seconds=seconds) for amp in (0, 1)]
        shares, own = [], []
        for precision in ("fp32", "bf16"):
            config = _config(load).changed(precision=precision)
            rate, share = lab_rate(config, folder / f"load-{number}-{precision}", seconds)
            own.append(rate)
            shares.append(share)
        name = f"{load.architecture}, {load.image_size}, batch {load.batch_size}"
        rates = " | ".join(f"{rate:,.0f}" for rate in (*plain, *own))
        line = f"| {name} | {rates} | {own[1] / plain[1]:.2f} | {shares[1]:.0%} |"
        print(line, flush=True)
        yield line


def _config(load: Load) -> RunConfig:
    return RunConfig(
        dataset="drawn-cats-dogs",
        architecture=load.architecture,
        image_size=load.image_size,
        batch_size=load.batch_size,
        device=DEVICE.type,  # type: ignore[arg-type]
    )


def lab_rate(config: RunConfig, folder: Path, seconds: float) -> tuple[float, float]:
    """Images a second of the lab's steps, and the share of that time that making the batches takes
    alone."""
    folder.mkdir()
    plan = make_plan(config, folder=folder)
    source, stepper = plan.images(), plan.stepper()
    stepper.begin_phase()
    plan.network.train()

    def batches() -> Iterator[Batch]:
        epoch = 0
        while True:
            epoch += 1
            for batch in source.train(epoch, 0):
                if batch is not None and len(batch.labels) == config.batch_size:
                    yield batch

    endless = batches()

    def step() -> None:
        loss, _ = stepper.forward(source, next(endless))
        stepper.backward(loss)
        stepper.update(1e-4)

    whole = _seconds_each(step, seconds)
    return config.batch_size / whole, _seconds_each(lambda: next(endless), seconds / 4) / whole


def plain_rate(load: Load, *, amp: int, workers: int, seconds: float) -> float:
    """Images a second of a plain script on the same drawings."""
    network: nn.Module = build_network(
        _config(load), channels=3, image_size=load.image_size, classes=2
    ).to(DEVICE)
    layout = torch.channels_last if amp else torch.contiguous_format
    network = network.to(memory_format=layout).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    pack = catalog.open_pack("drawn-cats-dogs", image_size=load.image_size)
    transform = transforms.Compose([transforms.ToTensor(), IMAGENET])
    drawings = ArrayDataset(np.asarray(pack.images), pack.labels, transform)
    loader = DataLoader(
        drawings,
        batch_size=load.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=DEVICE.type == "cuda",
        persistent_workers=workers > 0,
    )

    def batches() -> Iterator[list[Tensor]]:
        while True:
            yield from loader

    endless = batches()

    def step() -> None:
        images, labels = (each.to(DEVICE, non_blocking=True) for each in next(endless))
        images = images.contiguous(memory_format=layout)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bool(amp)):
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return load.batch_size / _seconds_each(step, seconds)


def _seconds_each(work: Callable[[], object], seconds: float) -> float:
    """The mean over about so many seconds, after three times that warm up."""
    for _ in range(3):
        work()
    wait_for(DEVICE)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work()
        count += 1
    wait_for(DEVICE)
    return (time.perf_counter() - began) / count
