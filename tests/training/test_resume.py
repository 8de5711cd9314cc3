"""Exactness: the same seed gives the same weights, interrupted or not, watched or not."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lab.config import RunConfig
from lab.data import versions
from lab.data.versions import Edits
from lab.errors import DataError
from lab.models.catalog import build_network
from lab.training import checkpoint
from lab.training import fit as fit_module
from lab.training.control import Control
from lab.training.events import EpochDone, RunEnded, RunStarted, StepDone
from lab.training.fit import fit
from lab.training.plan import make_plan
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train, assert_same_weights, without_seal

OPTIMIZERS = [
    {"optimizer": "adam"},
    {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "cosine"},
    {"optimizer": "sgd", "nesterov": True, "schedule": "one_cycle"},
    {"optimizer": "rmsprop", "learning_rate": 1e-4, "schedule": "on_plateau", "schedule_epochs": 1},
    {
        "optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine", "warmup_epochs": 1,
        "smoothing": 0.1, "mixup": 0.2, "cutmix": 1.0, "auto_augment": "trivial",
        "crop_scale": 0.5, "random_erasing": 0.25, "model_ema_decay": 0.9,
    },
]  # fmt: skip


@pytest.mark.parametrize("knobs", OPTIMIZERS, ids=lambda k: f"{k['optimizer']}-{len(k)}")
@pytest.mark.parametrize("stop_at", [1, 6, 8], ids=["first step", "end of epoch", "middle"])
def test_a_stopped_run_resumes_bit_for_bit(
    tiny: RunConfig, train: Train, tmp_path: Path, knobs: dict[str, object], stop_at: int
) -> None:
    """Dropout, augmentation, a smaller last batch, optimizer moments and schedules all included."""
    config = tiny.changed(**knobs)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = train(config, whole)
    stopped = train(config, parts, until=lambda e: isinstance(e, StepDone) and e.step == stop_at)
    assert isinstance(stopped[-1], RunEnded)
    assert stopped[-1].status == "stopped"
    resumed = train(config, parts)
    started = resumed[0]
    assert isinstance(started, RunStarted)
    assert started.resumed_from_step == stop_at
    assert_same_weights(whole, parts)
    told = [e for e in (*stopped, *resumed) if isinstance(e, StepDone)]
    wanted = [e for e in expected if isinstance(e, StepDone)]
    assert [(e.step, e.values["loss"], e.learning_rate) for e in told] == [
        (e.step, e.values["loss"], e.learning_rate) for e in wanted
    ]
    epochs = [
        [
            (
                e.epoch,
                e.train["loss"],
                e.train["accuracy"],
                e.val["loss"],
                e.is_best,
                e.learning_rate,
            )
            for e in events
            if isinstance(e, EpochDone)
        ]
        for events in ((*stopped, *resumed), expected)
    ]
    assert epochs[0] == epochs[1]
    assert resumed[-1].test["accuracy"] == expected[-1].test["accuracy"]  # type: ignore[union-attr]


def test_a_stop_during_the_test_evaluation_leaves_it_to_the_resume(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = train(tiny, whole)
    stopped = train(tiny, parts, until=lambda e: isinstance(e, EpochDone) and e.epoch == 3)
    assert stopped[-1].status == "stopped"  # type: ignore[union-attr]
    assert stopped[-1].test == {}  # type: ignore[union-attr]
    resumed = train(tiny, parts)
    assert not [e for e in resumed if isinstance(e, StepDone)]
    assert resumed[-1].test["loss"] == expected[-1].test["loss"]  # type: ignore[union-attr]
    assert_same_weights(whole, parts)


def test_a_killed_run_resumes_from_its_last_save(
    tiny: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks the run to stop: it is dropped in the middle, like a process that dies."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny, whole)
    monkeypatch.setattr(fit_module, "SAVE_AT_LEAST_EVERY", 0.0)
    monkeypatch.setattr(fit_module, "SAVE_COST_FACTOR", 0.0)
    parts.mkdir()
    events = fit(make_plan(tiny, folder=parts), Control())
    for event in events:
        if isinstance(event, StepDone) and event.step == 10:
            break
    del events
    started = train(tiny, parts)[0]
    assert isinstance(started, RunStarted)
    assert 0 < started.resumed_from_step <= 10
    assert_same_weights(whole, parts)


def test_the_same_seed_gives_the_same_weights_while_other_threads_work(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    """Pages draw random numbers, build networks and run them while a run trains."""
    train(tiny, tmp_path / "quiet")
    done = threading.Event()

    def disturb() -> None:
        rng = np.random.default_rng()
        while not done.is_set():
            torch.rand(100)
            np.random.rand(10)
            other = build_network(tiny, channels=1, image_size=16, classes=3)
            with torch.inference_mode():
                other.eval()(torch.from_numpy(rng.random((4, 1, 16, 16), dtype=np.float32)))

    threads = [threading.Thread(target=disturb) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        train(tiny, tmp_path / "busy")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert_same_weights(tmp_path / "quiet", tmp_path / "busy")


def test_a_changed_data_set_is_not_mixed_in(tiny: RunConfig, train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(tiny, folder, until=lambda e: isinstance(e, StepDone))
    make_tiny_pack(seed=99)
    with pytest.raises(DataError, match="has changed since this run started"):
        train(tiny, folder)


def test_a_run_resumes_on_the_version_that_it_was_trained_on(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny, whole)
    train(tiny, parts, until=lambda e: isinstance(e, StepDone))
    versions.apply(tiny.dataset, Edits(exclude=frozenset([0, 1])))
    train(tiny, parts)
    assert_same_weights(whole, parts)


def test_a_run_of_version_0_1_resumes(tiny: RunConfig, train: Train, tmp_path: Path) -> None:
    """Its counters also said whether steps were compiled."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny, whole)
    train(tiny, parts, until=lambda e: isinstance(e, StepDone) and e.step == 8)
    file = parts / checkpoint.RESUME
    with safe_open(file, framework="pt") as opened:
        header = without_seal(opened.metadata())
    counters = json.loads(header["counters"]) | {"compiled": True}
    save_file(load_file(file), file, metadata=header | {"counters": json.dumps(counters)})
    train(tiny, parts)
    assert_same_weights(whole, parts)
