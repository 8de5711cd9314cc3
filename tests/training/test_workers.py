"""Several workers train one run as one would: here two, the other one a process of its own."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lab.config import RunConfig
from lab.data.batches import Batch
from lab.data.mixing import Mix
from lab.errors import ConfigError, PlaceLostError
from lab.training import devices, workers
from lab.training.events import EpochDone, Event, LogWritten, RunEnded, StepDone
from lab.training.plan import resolve
from tests.training.conftest import Train, assert_same_weights


def serve(connection: Connection) -> None:
    """What the other worker's process does: it follows one run after the other."""
    torch.set_num_threads(1)
    while True:
        address = connection.recv()
        os.environ["LAB_HOME"] = connection.recv()
        connection.send("follows")
        try:
            workers.follow(address, 1, 2, "cpu")
            connection.send("has followed")
        except Exception as error:
            connection.send(type(error).__name__)


@pytest.fixture(scope="module")
def other() -> Iterator[Connection]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    yield here
    process.kill()


@pytest.fixture
def together(
    train: Train, other: Connection, lab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[Event]]:
    """As `train`, with two workers."""
    monkeypatch.setattr(devices, "_devices", lambda: {"cpu": 2})

    def run(config: RunConfig, folder: Path | None = None, **options: Any) -> list[Event]:
        other.send(workers.invite("127.0.0.1", 2))
        other.send(str(lab_home))
        assert other.recv() == "follows"
        events = train(config.changed(workers=2), folder, **options)
        failed = isinstance(events[-1], RunEnded) and events[-1].status == "failed"
        assert other.recv() == ("PlaceLostError" if failed else "has followed")
        return events

    return run


def values(events: list[Event]) -> list[dict[str, float]]:
    """What was measured: of each step, each epoch, and at the end."""
    measured: list[dict[str, float]] = []
    for event in events:
        if isinstance(event, StepDone):
            measured.append(event.values)
        elif isinstance(event, EpochDone):
            measured += [event.train, event.val]
        elif isinstance(event, RunEnded):
            measured.append(event.test)
    return measured


def test_two_workers_have_the_losses_of_one(tiny: RunConfig, train: Train, together: Train) -> None:
    """Batches that two cannot halve, mixed and weighted labels, clipping, averaging, a schedule;
    81 images in batches of 13 leave 3 for the last one, too few for two."""
    config = tiny.changed(
        epochs=2, batch_size=13, optimizer="adamw", weight_decay=0.01, schedule="cosine",
        class_balancing="weighted_loss", smoothing=0.1, mixup=0.2, gradient_clip=1.0,
        model_ema_decay=0.9, dropout=0.0, precision="fp32",
    )  # fmt: skip
    one, two = train(config), together(config)
    assert [e.samples for e in two if isinstance(e, StepDone)] == 2 * [*[13] * 6, 3]
    for mine, theirs in zip(values(one), values(two), strict=True):
        assert theirs == pytest.approx(mine, abs=1e-4)
    assert any("Workers: 2 (" in e.text for e in two if isinstance(e, LogWritten))


def test_a_stopped_run_of_two_workers_resumes_bit_for_bit(
    tiny: RunConfig, train: Train, together: Train, lab_home: Path
) -> None:
    """With dropout, from another run's weights, in two phases, of which the second one begins at
    step 7."""
    folders = [lab_home / "runs" / name for name in ("base", "whole", "parts")]
    for folder in folders:
        folder.mkdir(parents=True)
    base, whole, parts = folders
    train(tiny.changed(epochs=1), base)
    config = tiny.changed(
        epochs=2, start_from="base", start_with="weights", freeze="two_phase", head_epochs=1
    )
    events = together(config, whole)
    assert sum("Phase 2" in e.text for e in events if isinstance(e, LogWritten)) == 1
    stopped = together(config, parts, until=lambda e: isinstance(e, StepDone) and e.step == 8)
    assert stopped[-1].status == "stopped"  # type: ignore[union-attr]
    resumed = together(config, parts)
    assert values(stopped)[:-1] + values(resumed) == values(events)
    assert_same_weights(whole, parts)


def test_a_loss_that_is_no_number_ends_both(tiny: RunConfig, together: Train) -> None:
    config = tiny.changed(learning_rate=10, optimizer="sgd", precision="fp32", epochs=9)
    ended = together(config)[-1]
    assert isinstance(ended, RunEnded)
    assert ended.status == "failed"
    assert "loss" in ended.message


def batch(count: int) -> Batch:
    labels = torch.arange(count)
    mix = Mix(0.7, labels.roll(1))
    return Batch(torch.arange(count)[:, None, None, None].float(), labels, np.arange(count), mix)


@pytest.mark.parametrize("count", [6, 7, 16])
def test_shares_make_up_the_batch(count: int) -> None:
    shares = [workers.share(batch(count), rank, 3) for rank in range(3)]
    parts = [own.batch for own in shares]
    assert torch.cat([part.labels for part in parts]).tolist() == list(range(count))
    assert torch.cat([part.images for part in parts]).ravel().tolist() == list(range(count))
    others = torch.cat([part.mix.others for part in parts if part.mix])
    assert others.tolist() == batch(count).mix.others.tolist()  # type: ignore[union-attr]
    assert min(len(part.labels) for part in parts) >= 2
    assert sum(own.of_means for own in shares) == pytest.approx(1)
    assert {own.of_sums for own in shares} == {1.0}


def test_a_batch_too_small_for_all_is_done_by_each() -> None:
    own = workers.share(batch(5), 2, 3)
    assert len(own.batch.labels) == 5
    assert own.of_means == own.of_sums == 1 / 3


def test_batch_normalisation_is_told() -> None:
    config = RunConfig(workers=2)
    network: Any = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    on = {kind: torch.device(kind) for kind in ("cpu", "cuda")}
    texts = {k: str(workers.decisions(config, network, device)[1]) for k, device in on.items()}
    assert "over each worker's share of a batch" in texts["cpu"]
    assert "over the whole batch" in texts["cuda"]
    assert len(workers.decisions(config, torch.nn.Sequential(), on["cpu"])) == 1  # type: ignore[arg-type]


def test_what_several_workers_cannot_do_is_refused(
    tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = tiny.changed(workers=2)
    with pytest.raises(ConfigError, match="workers is 2, and this lab trains a run in one process"):
        resolve(two)
    monkeypatch.setattr(devices, "_devices", lambda: {"cuda": 0, "mps": 0, "cpu": 2})
    assert resolve(two).workers == 2
    with pytest.raises(ConfigError, match="workers is 3, and the cluster has 2 places for cpu"):
        resolve(tiny.changed(workers=3))
    with pytest.raises(ConfigError, match="batch_size is 3: each worker needs at least 2"):
        resolve(two.changed(batch_size=3))


def test_a_connection_that_breaks_is_a_lost_worker() -> None:
    with (
        pytest.raises(PlaceLostError, match="one of the run's workers is lost"),
        workers._noticing_loss(),
    ):
        raise torch.distributed.DistNetworkError("reset by peer")
