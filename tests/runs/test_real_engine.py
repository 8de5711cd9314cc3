"""The queue with the engine that trains: what the fakes leave out."""

import contextlib
import hashlib
import io
import re
import time
from pathlib import Path

import pytest
import torch

from lab.config import RunConfig
from lab.errors import ConfigError
from lab.models.weights_source import TorchvisionWeights
from lab.runs.queue import queue as process_queue
from lab.runs.store import Store
from tests.download.scripted_server import scripted_server, serve
from tests.models.torchvision_states import random_state, reference
from tests.tiny_data import make_tiny_pack

PATIENCE = 300
"""Seconds; other programs may be busy, and what is waited for ends the wait."""


def test_a_real_run_is_stopped_resumed_and_completed(runs: Store) -> None:
    config = RunConfig(
        dataset=make_tiny_pack(), architecture="sign-cnn", batch_size=16, epochs=12, device="cpu"
    )
    queue = process_queue()
    first = queue.submit(config)
    row = queue.wait(first, PATIENCE)
    assert row.status == "completed", row.message
    assert row.total_steps == row.step == len(runs.steps(first))
    assert len(runs.epochs(first)) == 12
    assert row.test_accuracy is not None
    assert row.config == config
    assert (runs.folder(first) / "best.safetensors").exists()
    assert runs.log(first)

    again = queue.submit(config)
    while runs.run(again).step == 0:
        time.sleep(0.005)
    with contextlib.suppress(ConfigError):  # a fast machine may have completed it by now
        queue.stop(again)
    if queue.wait(again, PATIENCE).status == "stopped":
        assert 0 < runs.run(again).step < row.step
        queue.resume(again)
    assert queue.wait(again, PATIENCE).status == "completed"
    # Stopped or not, the curve is the same: the resume is exact.
    assert list(runs.steps(again)["loss"]) == list(runs.steps(first)["loss"])
    assert list(runs.epochs(again)["val_loss"]) == list(runs.epochs(first)["val_loss"])


def test_weights_arrive_in_sight_stop_at_once_and_go_on(
    runs: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    torch.save(random_state(reference("squeezenet1_1")), buffer)
    content = buffer.getvalue()
    name = f"squeezenet-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    config = RunConfig(
        dataset=make_tiny_pack(),
        architecture="squeezenet1_1",
        freeze="head_only",
        image_size=32,
        epochs=1,
        device="cpu",
    )
    queue = process_queue()
    with scripted_server() as server:
        url = server.on(f"/{name}", serve(content, seconds_a_piece=0.2), serve(content))
        monkeypatch.setattr(TorchvisionWeights, "url", url)
        run_id = queue.submit(config)
        shown = re.compile(
            r"Downloading the ImageNet weights file of squeezenet1_1 · .* [kM]B of 5.0 MB · "
            r".* kB/s · \d+ s left"
        )
        until = time.monotonic() + PATIENCE
        while not shown.fullmatch(text := runs.run(run_id).progress_text):
            assert time.monotonic() < until, text
            time.sleep(0.05)
        assert runs.run(run_id).status == "preparing"
        assert 0 < runs.run(run_id).progress < 1
        queue.stop(run_id)
        assert queue.wait(run_id, PATIENCE).status == "stopped"
        queue.resume(run_id)
        row = queue.wait(run_id, PATIENCE)
        assert row.status == "completed", row.message
        first, second = server.ranges()  # a second one: the first was broken off at once
        assert (first, str(second)[:6]) == (None, "bytes=")
    assert (tmp_path / "hub" / "checkpoints" / name).read_bytes() == content
