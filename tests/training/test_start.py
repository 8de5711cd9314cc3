"""A run that starts from another one: exact where it goes on, honest about what is not kept."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lab import home
from lab.config import RunConfig
from lab.data import versions
from lab.data.versions import Edits
from lab.errors import ConfigError, LabError, NotFoundError
from lab.home import lab_home
from lab.training import checkpoint
from lab.training.checkpoint import CheckpointMetadata
from lab.training.control import Control
from lab.training.events import (
    EpochDone,
    Event,
    LogWritten,
    RateChanged,
    RunEnded,
    RunStarted,
    SaveReached,
    StepDone,
)
from lab.training.fit import fit
from lab.training.plan import make_plan, resolve
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train, assert_same_weights


def run_folder(name: str) -> Path:
    folder = lab_home() / "runs" / name
    folder.mkdir(parents=True)
    return folder


def curve(events: list[Event]) -> list[object]:
    steps = [
        (e.step, e.epoch, e.values["loss"], e.learning_rate)
        for e in events
        if isinstance(e, StepDone)
    ]
    epochs = [
        (e.epoch, e.train["loss"], e.val["loss"], e.is_best)
        for e in events
        if isinstance(e, EpochDone)
    ]
    return [*steps, *epochs]


KNOBS = [
    {},
    {"optimizer": "adamw", "weight_decay": 0.01, "rotation_degrees": 5, "batch_size": 8},
    {"optimizer": "sgd", "schedule": "step", "schedule_epochs": 1, "schedule_factor": 0.5},
    {"schedule": "on_plateau", "schedule_epochs": 1, "learning_rate": 1e-2},
    {"optimizer": "rmsprop", "learning_rate": 1e-4, "class_balancing": "oversampling"},
    {"model_ema_decay": 0.9, "weight_decay": 0.01, "warmup_epochs": 1, "mixup": 0.2},
]


@pytest.mark.parametrize("knobs", KNOBS, ids=lambda k: "-".join(map(str, k.values())) or "adam")
def test_more_epochs_are_bit_for_bit_those_of_an_uninterrupted_run(
    tiny: RunConfig, train: Train, knobs: dict[str, object]
) -> None:
    """Dropout, augmentation, an odd last batch and the optimizer's moments included; the best
    epoch may lie before the end of the first run."""
    whole, first, more = run_folder("whole"), run_folder("first"), run_folder("more")
    config = tiny.changed(**knobs, epochs=5)
    expected = train(config, whole)
    before = train(config.changed(epochs=3), first)
    longer = resolve(config.changed(start_from="first"))
    assert longer.start_epoch == 3
    after = train(longer, more)
    both = [e for e in (*before, *after) if isinstance(e, (StepDone, EpochDone))]
    assert curve(both) == curve(expected)
    assert_same_weights(whole, more)
    end, wanted = after[-1], expected[-1]
    assert isinstance(end, RunEnded)
    assert isinstance(wanted, RunEnded)
    assert (end.best_epoch, end.best_val) == (wanted.best_epoch, wanted.best_val)
    assert end.test == wanted.test
    assert (wanted.test_looks, end.test_looks) == (1, 2)


def test_two_phases_go_on_in_the_second_and_into_it(tiny: RunConfig, train: Train) -> None:
    """Once from a run that ended in the second phase, and twice in a row."""
    source = run_folder("source")
    train(tiny.changed(epochs=1), source)
    two = resolve(
        tiny.changed(
            start_from="source",
            start_with="weights",
            freeze="two_phase",
            head_epochs=1,
            last_k=1,
            epochs=5,
        )
    )
    whole, first, second = run_folder("whole"), run_folder("first"), run_folder("second")
    third = run_folder("third")
    expected = train(two, whole)
    parts = train(two.changed(epochs=2), first)
    parts += train(resolve(two.changed(epochs=3, start_from="first", **GO_ON)), second)
    parts += train(resolve(two.changed(epochs=5, start_from="second", **GO_ON)), third)
    assert curve([e for e in parts if isinstance(e, (StepDone, EpochDone))]) == curve(expected)
    assert_same_weights(whole, third)


GO_ON = {"start_with": "stretched", "start_epoch": 0}


def test_a_run_that_goes_on_resumes_exactly_and_needs_its_parent_no_more(
    tiny: RunConfig, train: Train
) -> None:
    whole, first, more = run_folder("whole"), run_folder("first"), run_folder("more")
    train(tiny.changed(epochs=4), whole)
    train(tiny.changed(epochs=2), first)
    longer = resolve(tiny.changed(epochs=4, start_from="first"))
    train(longer, more, until=lambda e: isinstance(e, StepDone) and e.step == 14)
    first.rename(first.with_name("gone"))
    train(longer, more)
    assert_same_weights(whole, more)


def test_a_fork_at_a_kept_epoch_has_its_weights_and_a_fresh_optimizer(
    tiny: RunConfig, train: Train
) -> None:
    source, fork = run_folder("source"), run_folder("fork")
    train(tiny.changed(keep_every=1), source)
    config = resolve(tiny.changed(start_from="source", start_epoch=2, batch_size=32, epochs=4))
    plan = make_plan(config, folder=fork)
    kept = load_file(source / "epoch-0002.safetensors")
    for name, tensor in plan.network.state_dict().items():
        assert torch.equal(tensor, kept[name]), name
    events = train(config, fork)
    started = events[0]
    assert isinstance(started, RunStarted)
    assert started.resumed_from_step == 2 * started.steps_per_epoch
    assert [e.epoch for e in events if isinstance(e, EpochDone)] == [3, 4]
    said = [e.text for e in events if isinstance(e, LogWritten)]
    assert any(re.search(r"run source, epoch 2 \(goes on from the weights alone", t) for t in said)
    assert any("look number 2 at the test images" in text for text in said)
    digest = checkpoint.weights_digest(source, "epoch-0002")
    assert CheckpointMetadata.read(fork).started_from == {
        "run": "source",
        "epoch": 2,
        "sha256": digest,
    }


def rates(events: list[Event]) -> list[float]:
    return [e.learning_rate for e in events if isinstance(e, StepDone)]


def test_the_schedule_goes_on_as_chosen(tiny: RunConfig, train: Train) -> None:
    cosine = tiny.changed(schedule="cosine", epochs=2)
    train(cosine, run_folder("first"))
    longer = cosine.changed(epochs=4, start_from="first")
    straight = rates(train(cosine.changed(epochs=4)))
    stretched = rates(train(resolve(longer), run_folder("stretched")))
    assert stretched == straight[len(straight) // 2 :]
    anew = rates(train(resolve(longer.changed(start_with="restart")), run_folder("anew")))
    assert anew == rates(train(cosine))
    with pytest.raises(ConfigError, match=r"the last rate of run first was .* nothing moves"):
        resolve(longer.changed(start_with="constant"))
    step = tiny.changed(schedule="step", schedule_epochs=1, epochs=2)
    train(step, run_folder("steps"))
    tail = step.changed(epochs=4, start_from="steps", start_with="constant")
    assert set(rates(train(resolve(tail), run_folder("tail")))) == {3e-3 * 0.1}


WATCHED = {"early_stopping_metric": "val_accuracy", "learning_rate": 1e-9}


def test_an_early_stopped_and_a_finished_run_go_on(tiny: RunConfig, train: Train) -> None:
    patient = tiny.changed(epochs=30, early_stopping_patience=1, **WATCHED)
    events = train(patient, run_folder("early"))
    done = sum(isinstance(e, EpochDone) for e in events)
    assert done < 30
    more = resolve(patient.changed(start_from="early", epochs=done + 1))
    again = train(more, run_folder("more"))
    assert [e.epoch for e in again if isinstance(e, EpochDone)] == [done + 1]
    train(
        tiny,
        run_folder("finished"),
        until=lambda e: isinstance(e, StepDone) and e.step == 8,
        wish="request_finish",
    )
    on = train(resolve(tiny.changed(start_from="finished")), run_folder("on"))
    assert on[0].resumed_from_step == 2 * 6  # type: ignore[union-attr]
    assert [e.epoch for e in on if isinstance(e, EpochDone)] == [3]


def test_weights_of_a_run_start_another_training_with_another_head(
    tiny: RunConfig, train: Train
) -> None:
    """Frozen, so that after the training they are still those of the run."""
    source = run_folder("source")
    train(tiny, source)
    other = make_tiny_pack("other", seed=3, classes=("top", "middle"))
    config = resolve(
        tiny.changed(
            dataset=other,
            start_from="source",
            start_with="weights",
            freeze="head_only",
            epochs=1,
            seed=5,
        )
    )
    folder = run_folder("child")
    events = train(config, folder)
    before, after = load_file(source / "best.safetensors"), load_file(folder / "last.safetensors")
    for name, tensor in after.items():
        if not name.startswith("stages.head."):
            assert torch.equal(tensor, before[name]), name
    card = CheckpointMetadata.read(folder)
    assert card.preprocess == CheckpointMetadata.read(source).preprocess
    assert not card.config.pretrained
    network, _ = checkpoint.load_network(folder)
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 2)
    assert events[-1].test_looks == 1  # type: ignore[union-attr]
    said = " ".join(e.text for e in events if isinstance(e, LogWritten))
    assert "a new head for these classes" in said
    assert "ImageNet" not in said


def test_with_weights_only_all_are_trained_unless_said_otherwise(
    tiny: RunConfig, train: Train
) -> None:
    train(tiny, run_folder("source"))
    config = resolve(tiny.changed(start_from="source", start_with="weights"))
    assert (config.freeze, config.loads_imagenet, config.pretrained) == ("full", False, False)
    events = train(config, run_folder("child"))
    assert [e.epoch for e in events if isinstance(e, EpochDone)] == [1, 2, 3]
    assert events[-1].test_looks == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"start_from": "gone"}, "no such run with weights here; it may have been deleted"),
        ({"start_epoch": 2}, "start_epoch is 2; .* are kept of epoch 3. Choose"),
        ({"epochs": 3}, "Set epochs above 3"),
        ({"seed": 1}, "seed is 1, and in run first, .*, 0: .* validated on images of its training"),
        ({"activation": "tanh"}, "activation is 'tanh', and in run first"),
        ({"dataset": "other"}, "another data set"),
        ({"dataset": "other", "start_with": "weights", "image_size": 32}, "is 16"),
    ],
)
def test_what_cannot_go_on_is_a_sentence(
    tiny: RunConfig, train: Train, knobs: dict[str, object], sentence: str
) -> None:
    make_tiny_pack("other", seed=3)
    train(tiny.changed(best_metric="val_loss", learning_rate=1e-3), run_folder("first"))
    wrong = tiny.changed(**{"start_from": "first", "epochs": 9, **knobs})
    with pytest.raises(LabError, match=sentence):
        make_plan(resolve(wrong), folder=run_folder("child"))


def test_another_version_of_the_data_is_refused_where_the_cut_would_leak(
    tiny: RunConfig, train: Train
) -> None:
    train(tiny, run_folder("first"))
    versions.apply(tiny.dataset, Edits(exclude=frozenset([0, 1])))
    with pytest.raises(ConfigError, match="another version"):
        resolve(tiny.changed(start_from="first", epochs=9))
    with pytest.raises(ConfigError, match="another version"):
        resolve(tiny.changed(start_from="first", start_with="weights"))


def test_a_deleted_or_hidden_parent_is_a_sentence(
    tiny: RunConfig, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_folder("first")
    train(tiny, first)
    config = resolve(tiny.changed(start_from="first", epochs=4))
    with monkeypatch.context() as patch:  # another's, where others are hidden: as if not there
        patch.setattr(home, "run_is_hidden", lambda folder: folder == first)
        with pytest.raises(NotFoundError, match=r"start_from is 'first', .* deleted"):
            resolve(config)
    first.rename(first.with_name("gone"))
    with pytest.raises(NotFoundError, match=r"start_from is 'first', .* deleted"):
        make_plan(config, folder=run_folder("child"))


def test_the_end_costs_no_second_copy_of_the_weights(tiny: RunConfig, train: Train) -> None:
    folder = run_folder("first")
    train(tiny, folder)
    end, last = (folder / name for name in (checkpoint.END, "last.safetensors"))
    assert 1.9 * last.stat().st_size < end.stat().st_size < 2.3 * last.stat().st_size  # Adam's two
    assert checkpoint.checkpoints(folder) == ["best", "last"]
    assert not (folder / checkpoint.RESUME).exists()


def test_a_rate_changed_by_hand_is_repeated_exactly_by_a_resume(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    """Interrupted before and after the change, and killed right behind it."""
    config = tiny.changed(schedule="cosine")

    def changed_and(stop_at: int | None, folder: Path, *, kill: bool = False) -> list[Event]:
        folder.mkdir(exist_ok=True)
        control = Control()
        events: list[Event] = []
        for event in fit(make_plan(config, folder=folder), control):
            events.append(event)
            if isinstance(event, StepDone) and event.step == 8:
                control.request_rate(5e-4)
            if isinstance(event, StepDone) and event.step == stop_at:
                if kill:
                    break
                control.request_stop()
        return events

    whole = changed_and(None, tmp_path / "whole")
    made = [e for e in whole if isinstance(e, RateChanged)]
    assert made == [RateChanged(step=9, epoch=2, learning_rate=5e-4)]
    at = whole.index(made[0])
    assert next(e for e in whole[at:] if isinstance(e, SaveReached)).step == 8  # then it is saved
    told = rates(whole)
    assert told[7] > 2e-3
    assert told[8] == pytest.approx(5e-4, rel=1e-12)
    assert told[9] < told[8]
    assert any("by hand" in e.text for e in whole if isinstance(e, LogWritten))
    for name, stop_at, kill in (("later", 11, False), ("killed", 9, True)):
        parts = changed_and(stop_at, tmp_path / name, kill=kill)
        again = train(config, tmp_path / name)
        steps = {e.step: e.values["loss"] for e in (*parts, *again) if isinstance(e, StepDone)}
        assert list(steps.values()) == [e.values["loss"] for e in whole if isinstance(e, StepDone)]
        assert_same_weights(tmp_path / "whole", tmp_path / name)


def test_a_changed_rate_goes_on_in_a_run_that_goes_on(tiny: RunConfig, train: Train) -> None:
    """And not in one that has a rate of its own."""
    first = run_folder("first")
    control = Control()
    control.request_rate(1e-4)
    list(fit(make_plan(tiny, folder=first), control))
    longer = resolve(tiny.changed(epochs=4, start_from="first"))
    assert set(rates(train(longer, run_folder("more")))) == {3e-3 * (1e-4 / 3e-3)}
    own = resolve(tiny.changed(epochs=4, start_from="first", learning_rate=1e-3))
    assert set(rates(train(own, run_folder("own")))) == {1e-3}
