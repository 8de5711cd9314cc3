"""Runs whose frozen layers run once: the same training, fewer forward passes."""

from pathlib import Path

import pytest
import torch

from lab.config import RunConfig
from lab.data import batches
from lab.errors import ResourceError
from lab.models.architecture import ARCHITECTURES
from lab.models.weights import weights_file
from lab.training import source
from lab.training.events import Event, LogWritten, RunEnded, StepDone
from lab.training.speed import compiling
from tests.models.torchvision_states import random_state, reference
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train
from tests.training.test_resume import assert_same_weights

TRAIN, VAL, TEST = 60, 12, 12


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """A head trained on "pretrained" (random) weights, with dropout in the head."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    file = weights_file(ARCHITECTURES.get("squeezenet1_1"))
    file.parent.mkdir(parents=True)
    torch.save(random_state(reference("squeezenet1_1")), file)
    return RunConfig(
        dataset=make_tiny_pack(train=TRAIN, val=VAL, test=TEST),
        architecture="squeezenet1_1",
        freeze="head_only",
        image_size=32,
        batch_size=16,
        epochs=3,
        film_strip=False,
    )


@pytest.fixture
def images_seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each forward pass through the frozen layers had."""
    seen: list[int] = []

    def counted(network: object, cut: object) -> torch.nn.Module:
        frozen: torch.nn.Module = make(network, cut)  # type: ignore[arg-type]
        frozen.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
        return frozen

    make = source.frozen_part
    monkeypatch.setattr(source, "frozen_part", counted)
    return seen


def losses(events: list[Event]) -> list[float]:
    return [e.values["loss"] for e in events if isinstance(e, StepDone)]


def decision(events: list[Event]) -> str:
    texts = [e.text for e in events if isinstance(e, LogWritten) and e.level == "decision"]
    return next((text for text in texts if text.startswith(source.WHAT)), "")


def test_the_curve_is_that_of_a_run_without(frozen: RunConfig, train: Train) -> None:
    once, always = train(frozen), train(frozen.changed(frozen_features="off"))
    assert "run once an image" in decision(once)
    assert "run at every step (as asked)" in decision(always)
    assert losses(once) == pytest.approx(losses(always), rel=1e-4)
    first, second = once[-1], always[-1]
    assert isinstance(first, RunEnded)
    assert isinstance(second, RunEnded)
    assert first.test["accuracy"] == second.test["accuracy"]
    assert first.test["loss"] == pytest.approx(second.test["loss"], rel=1e-4)


@pytest.mark.parametrize("knobs", [{}, {"freeze": "two_phase", "head_epochs": 1, "last_k": 2}])
def test_what_is_behind_the_frozen_layers_can_be_compiled(
    frozen: RunConfig, train: Train, monkeypatch: pytest.MonkeyPatch, knobs: dict[str, object]
) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    monkeypatch.setattr(compiling, "BACKEND", backend)
    frozen = frozen.changed(layer_statistics="off", **knobs)
    plain, fast = train(frozen), train(frozen.changed(compile_steps="on"))
    assert losses(fast) == losses(plain)
    assert len(graphs) == (2 if knobs else 1)  # one a phase


def test_every_image_goes_through_once(
    frozen: RunConfig, train: Train, images_seen: list[int]
) -> None:
    train(frozen)
    assert sum(images_seen) == TRAIN + VAL + TEST
    images_seen.clear()
    again = train(frozen.changed(learning_rate=1e-2, batch_size=32))
    assert images_seen == []
    assert f"{TRAIN + VAL + TEST} are there from earlier" in decision(again)


@pytest.mark.parametrize("stop_at", [2, 4, 7], ids=["first epoch", "its end", "second epoch"])
def test_a_stopped_run_resumes_bit_for_bit(
    frozen: RunConfig, train: Train, tmp_path: Path, stop_at: int
) -> None:
    other = frozen.changed(learning_rate=2e-3)
    train(frozen, tmp_path / "whole")
    for bank in (tmp_path / "lab-home" / "features").iterdir():
        for file in bank.glob("*.npy"):
            file.unlink()  # the stopped run makes its own
    parts = tmp_path / "parts"
    train(frozen, parts, until=lambda e: isinstance(e, StepDone) and e.step == stop_at)
    train(other, tmp_path / "meanwhile")  # another run fills the bank in its own order
    train(frozen, parts)
    assert_same_weights(tmp_path / "whole", parts)


def test_augmentation_needs_new_pictures(
    frozen: RunConfig, train: Train, images_seen: list[int]
) -> None:
    events = train(frozen.changed(width_shift=0.1))
    assert "run at every step (augmentation makes another picture" in decision(events)
    assert images_seen == []


def test_kept_views_come_round_again(
    frozen: RunConfig, train: Train, images_seen: list[int]
) -> None:
    config = frozen.changed(width_shift=0.2, kept_views=2, epochs=4)
    events = train(config)
    assert "once for each of 2 augmented views" in decision(events)
    assert sum(images_seen) == 2 * TRAIN + VAL + TEST
    fresh = losses(train(config.changed(frozen_features="off")))
    steps = len(fresh) // 4
    told = losses(events)
    # The two epochs in which the views are made are those of a run without; then they repeat.
    assert told[: 2 * steps] == pytest.approx(fresh[: 2 * steps], rel=1e-4)
    assert told[2 * steps :] != pytest.approx(fresh[2 * steps :], rel=1e-4)


def test_each_phase_has_its_own_cut(
    frozen: RunConfig, train: Train, tmp_path: Path, images_seen: list[int]
) -> None:
    config = frozen.changed(freeze="two_phase", head_epochs=1, last_k=1)
    once = train(config)
    banks = [p for p in (tmp_path / "lab-home" / "features").iterdir() if p.is_dir()]
    assert len(banks) == 2
    always = train(config.changed(frozen_features="off"))
    assert losses(once) == pytest.approx(losses(always), rel=1e-3)


def test_no_room_is_said_and_the_run_goes_on(
    frozen: RunConfig, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ResourceError("The disk is full.")

    monkeypatch.setattr(source, "FeatureBank", full)
    events = train(frozen)
    assert decision(events) == "Frozen layers: run at every step (The disk is full)"
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "completed"


def test_large_batches_go_through_in_parts(
    frozen: RunConfig, train: Train, images_seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(frozen.changed(epochs=1))
    images_seen.clear()
    monkeypatch.setattr(batches, "CACHED_PIXELS", 5 * 32 * 32)
    # Another data set, so that nothing is there from earlier.
    make_tiny_pack(train=TRAIN, val=VAL, test=TEST, seed=1)
    parts = train(frozen.changed(epochs=1))
    assert max(images_seen) == 5
    assert sum(images_seen) == TRAIN + VAL + TEST
    assert len(losses(parts)) == len(losses(whole))
