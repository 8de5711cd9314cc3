"""The queue with the engine that trains: what the fakes leave out."""

import contextlib
import time

from lab.config import RunConfig
from lab.errors import ConfigError
from lab.runs.queue import queue
from lab.runs.store import Store
from tests.tiny_data import make_tiny_pack


def test_a_real_run_is_stopped_resumed_and_completed(runs: Store) -> None:
    config = RunConfig(
        dataset=make_tiny_pack(), architecture="sign-cnn", batch_size=16, epochs=12, device="cpu"
    )
    line = queue()
    first = line.submit(config)
    row = line.wait(first, 60)
    assert row.status == "completed", row.message
    assert row.total_steps == row.step == len(runs.steps(first))
    assert len(runs.epochs(first)) == 12
    assert row.test_accuracy is not None
    assert row.config == config
    assert (runs.folder(first) / "best.safetensors").exists()
    assert runs.log(first)

    again = line.submit(config)
    while runs.run(again).step == 0:
        time.sleep(0.005)
    with contextlib.suppress(ConfigError):  # a fast machine may have completed it by now
        line.stop(again)
    if line.wait(again, 60).status == "stopped":
        assert 0 < runs.run(again).step < row.step
        line.resume(again)
    assert line.wait(again, 60).status == "completed"
    # Stopped or not, the curve is the same: the resume is exact.
    assert list(runs.steps(again)["loss"]) == list(runs.steps(first)["loss"])
    assert list(runs.epochs(again)["val_loss"]) == list(runs.epochs(first)["val_loss"])
