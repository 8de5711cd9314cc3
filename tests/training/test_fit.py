"""The training loop: what it tells, what it keeps, and how each kind of run ends."""

import errno
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file

from lab import process
from lab.config import RunConfig
from lab.data import catalog
from lab.data.splits import make_splits
from lab.errors import NotFoundError
from lab.training import checkpoint, tensor_file
from lab.training import fit as fit_module
from lab.training.control import Control
from lab.training.events import EpochDone, Event, LogWritten, RunEnded, RunStarted, StepDone
from lab.training.fit import fit
from lab.training.plan import make_plan
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train


def of_kind(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def ended(events: list[Event]) -> RunEnded:
    """RunEnded comes exactly once and is always last."""
    assert [i for i, e in enumerate(events) if isinstance(e, RunEnded)] == [len(events) - 1]
    return events[-1]  # type: ignore[return-value]


def test_a_whole_run(tiny: RunConfig, train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    events = train(tiny.changed(epochs=6), folder)
    started, end = events[0], ended(events)
    assert isinstance(started, RunStarted)
    assert started.class_names == ("top", "middle", "bottom")
    assert (started.train_samples, started.val_samples, started.test_samples) == (81, 9, 30)
    assert started.steps_per_epoch == math.ceil(81 / 16)
    steps = of_kind(events, StepDone)
    assert [s.step for s in steps] == list(range(1, started.total_steps + 1))
    assert end.status == "completed"
    assert end.test["accuracy"] == 1.0
    assert end.steps == started.total_steps
    epochs = of_kind(events, EpochDone)
    assert end.best_epoch == min(epochs, key=lambda e: e.val["loss"]).epoch
    assert any(e.level == "decision" for e in of_kind(events, LogWritten))
    assert checkpoint.checkpoints(folder) == ["best", "last"]
    assert not (folder / checkpoint.RESUME).exists()


def test_epoch_averages_are_weighted_by_sample_count(tiny: RunConfig, train: Train) -> None:
    events = train(tiny)
    for epoch in of_kind(events, EpochDone):
        steps = [s for s in of_kind(events, StepDone) if s.epoch == epoch.epoch]
        samples = [s.samples for s in steps]
        assert len(set(samples)) > 1, "the last batch must be smaller for this test to mean much"
        loss = np.average([s.values["loss"] for s in steps], weights=samples)
        assert epoch.train["loss"] == pytest.approx(loss)
        assert epoch.train["accuracy"] == pytest.approx(
            np.average([s.values["accuracy"] for s in steps], weights=samples)
        )


def test_published_weights_give_the_figures_that_were_told(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    """Validation and test recomputed by hand from the checkpoint files and the pack."""
    config = tiny.changed(batch_size=7)
    events = train(config, tmp_path / "run")
    pack = catalog.open_pack("tiny")
    splits = make_splits(pack, config)

    def by_hand(name: str, indices: np.ndarray) -> tuple[float, float]:
        network, card = checkpoint.load_network(tmp_path / "run", name)
        images = torch.from_numpy(np.asarray(pack.images[indices]))
        labels = torch.from_numpy(pack.labels[indices])
        with torch.inference_mode():
            logits = network(card.preprocess(images))
        accuracy = float((logits.argmax(1) == labels).float().mean())
        return float(F.cross_entropy(logits, labels)), accuracy

    last = of_kind(events, EpochDone)[-1]
    assert by_hand("last", splits.val) == pytest.approx((last.val["loss"], last.val["accuracy"]))
    end = ended(events)
    assert by_hand("best", splits.test) == pytest.approx((end.test["loss"], end.test["accuracy"]))


def test_kept_epochs_and_missing_checkpoints(tiny: RunConfig, train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(tiny.changed(epochs=4, keep_every=2), folder)
    assert checkpoint.checkpoints(folder) == ["best", "last", "epoch-0002", "epoch-0004"]
    with pytest.raises(NotFoundError, match="there are: best, last, epoch-0002, epoch-0004"):
        checkpoint.load_network(folder, "epoch-0003")


def test_another_seed_gives_another_curve(tiny: RunConfig, train: Train) -> None:
    first, second = (
        [s.values["loss"] for s in of_kind(train(tiny.changed(seed=seed)), StepDone)]
        for seed in (0, 1)
    )
    assert first != second


def test_validation_images_of_the_set_are_used(train: Train) -> None:
    config = RunConfig(
        dataset=make_tiny_pack(val=12), architecture="single-layer-perceptron", epochs=1
    )
    started = train(config)[0]
    assert isinstance(started, RunStarted)
    assert (started.train_samples, started.val_samples) == (90, 12)


def test_a_set_without_test_images_completes_without_a_test_figure(train: Train) -> None:
    config = RunConfig(dataset=make_tiny_pack(test=0), architecture="mlp", epochs=1)
    events = train(config)
    assert ended(events).status == "completed"
    assert ended(events).test == {}
    assert any("no test images" in e.text for e in of_kind(events, LogWritten))


@pytest.mark.parametrize("wish", ["request_stop", "request_pause"])
def test_stop_and_pause_take_effect_within_one_step(
    tiny: RunConfig, train: Train, wish: str
) -> None:
    events = train(tiny, until=lambda e: isinstance(e, StepDone) and e.step == 8, wish=wish)
    assert ended(events).status == ("stopped" if wish == "request_stop" else "paused")
    assert of_kind(events, StepDone)[-1].step == 8
    assert ended(events).test == {}


def test_finish_tests_what_is_best_so_far(tiny: RunConfig, train: Train) -> None:
    events = train(
        tiny.changed(epochs=50),
        until=lambda e: isinstance(e, StepDone) and e.step == 20,
        wish="request_finish",
    )
    assert ended(events).status == "completed"
    assert ended(events).test
    assert "of 50" in ended(events).message
    assert of_kind(events, StepDone)[-1].step == 20


def test_a_loss_that_is_no_number_ends_the_run(tiny: RunConfig, train: Train) -> None:
    config = tiny.changed(optimizer="sgd", learning_rate=10.0, momentum=0.99, epochs=40)
    end = ended(train(config.changed(architecture="deep-mlp", activation="relu", gradient_clip=0)))
    assert end.status == "failed"
    assert "learning rate of 10" in end.message
    assert "step" in end.message
    assert "ten times smaller" in end.message


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "Halve the batch size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Halve the batch size"),
        (OSError(errno.ENOSPC, "no space"), "The disk is full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "The disk is full"),
    ],
)
def test_lack_of_memory_or_disk_is_a_sentence(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    plan = make_plan(tiny, folder=tmp_path)
    if isinstance(error, OSError | SafetensorError):
        monkeypatch.setattr(tensor_file, "save_file", refuse)
    else:
        monkeypatch.setattr(plan.network, "forward", refuse)
    end = ended(list(fit(plan, Control())))
    assert end.status == ("paused" if "disk" in said else "failed")
    assert said in end.message


def test_a_bug_is_not_dressed_up(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    plan = make_plan(tiny, folder=tmp_path)
    monkeypatch.setattr(plan.network, "forward", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        list(fit(plan, Control()))


def test_early_stopping(tiny: RunConfig, train: Train) -> None:
    events = train(tiny.changed(epochs=50, early_stopping_patience=2, learning_rate=0.05))
    epochs = of_kind(events, EpochDone)
    end = ended(events)
    assert end.status == "completed"
    assert len(epochs) < 50
    assert len(epochs) == (end.best_epoch or 0) + 2
    assert any("Early stopping" in e.text for e in of_kind(events, LogWritten))


def test_plateau_lowers_the_rate(tiny: RunConfig, train: Train) -> None:
    config = tiny.changed(schedule="on_plateau", schedule_epochs=1, learning_rate=0.05, epochs=12)
    rates = {s.learning_rate for s in of_kind(train(config), StepDone)}
    assert len(rates) > 1
    assert max(rates) == 0.05


def test_weighted_loss_and_oversampling_help_the_rare_class(train: Train) -> None:
    """With a tenth of one class kept, balancing changes what is learned, and only on the training
    side: validation and test images stay as they are."""
    config = RunConfig(
        dataset=make_tiny_pack(train=300),
        architecture="single-layer-perceptron",
        epochs=1,
        reduced_class="top",
        reduced_class_keep=0.1,
    )
    started = {}
    for balancing in ("none", "weighted_loss", "oversampling"):
        events = train(config.changed(class_balancing=balancing))
        started[balancing] = events[0]
        assert ended(events).status == "completed"
    assert started["none"].train_samples == started["weighted_loss"].train_samples == 189
    assert started["oversampling"].steps_per_epoch > started["none"].steps_per_epoch
    assert len({e.val_samples for e in started.values()}) == 1


def test_gradient_clipping_bounds_the_step(tiny: RunConfig, train: Train, tmp_path: Path) -> None:
    config = tiny.changed(
        architecture="single-layer-perceptron",
        optimizer="sgd",
        momentum=0.0,
        learning_rate=1.0,
        gradient_clip=1e-3,
        steps_per_epoch=1,
        epochs=1,
    )
    before = make_plan(config, folder=tmp_path).network.state_dict()
    train(config, tmp_path / "run")
    after = load_file(tmp_path / "run" / "last.safetensors")
    moved = torch.cat([(after[k] - before[k]).flatten() for k in after]).norm()
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_freed_memory_is_kept_as_the_config_says(
    tiny: RunConfig, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(fit_module, "keep_freed_memory", calls.append)
    monkeypatch.setattr(fit_module, "trim_memory", lambda: calls.append("handed back"))
    train(tiny.changed(epochs=1, reuse_memory=False))
    assert calls == [False, "handed back"]
    calls.clear()
    train(tiny.changed(epochs=1, learning_rate=10, optimizer="sgd"))  # however it ends
    assert calls == [process.can_keep_freed_memory(), "handed back"]
