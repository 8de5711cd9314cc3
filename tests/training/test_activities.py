"""What a run does beside its training steps: told, stoppable, and no training time."""

from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.config import RunConfig
from lab.data import batches
from lab.models.architecture import ARCHITECTURES
from lab.models.weights import weights_file
from lab.training import fit as fit_module
from lab.training import source
from lab.training.control import Control
from lab.training.events import (
    ActivityProgressed,
    EpochDone,
    Event,
    ProbeTaken,
    RunEnded,
    StepDone,
)
from lab.training.fit import fit
from lab.training.metrics import Tally
from lab.training.plan import make_plan
from lab.training.stopwatch import REPORT_SECONDS, Activity, Stopwatch
from tests.models.torchvision_states import random_state, reference
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train
from tests.training.test_fit import ended, of_kind
from tests.training.test_resume import assert_same_weights

TRAIN, VAL, TEST = 60, 12, 24
PIECE = 4
"""Images that go through the network together outside of training steps."""


class Time:
    """A clock that only goes on when the network works outside of training steps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Frozen layers take 1 s an image, validation and test 2 s."""
    clock = Time()
    monkeypatch.setattr(fit_module, "Stopwatch", lambda: Stopwatch(clock))
    monkeypatch.setattr(batches, "CACHED_PIXELS", PIECE * 32 * 32)
    add, make = Tally.add, source.frozen_part

    def slow_frozen_part(network: object, cut: object) -> torch.nn.Module:
        frozen: torch.nn.Module = make(network, cut)  # type: ignore[arg-type]

        def pass_by(module: object, given: tuple[torch.Tensor]) -> None:
            clock.now += len(given[0])

        frozen.register_forward_pre_hook(pass_by)
        return frozen

    def slow_add(self: Tally, logits_of: object, batch: batches.Batch) -> None:
        clock.now += 2 * len(batch.labels)
        add(self, logits_of, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(source, "frozen_part", slow_frozen_part)
    monkeypatch.setattr(Tally, "add", slow_add)
    return clock


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """A head trained on "pretrained" (random) weights: its frozen layers run once an image."""
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
        epochs=2,
    )


def told(events: list[Event]) -> list[tuple[str, int, int, int]]:
    """Each stretch of events of one activity: its text, the first and last `done`, the total."""
    activities = of_kind(events, ActivityProgressed)
    stretches = [list(group) for _, group in groupby(activities, key=lambda e: e.activity)]
    return [(s[0].activity, s[0].done, s[-1].done, s[-1].total) for s in stretches]


STRIP = ("Drawing the film strip", 0, 0, 0)
FROZEN = "Running the frozen layers once"
FROZEN_FOR_TEST = "Testing: running the frozen layers once"


def test_every_stretch_is_told_from_its_first_to_its_last_image(
    kept: RunConfig, train: Train
) -> None:
    assert told(train(kept)) == [
        (FROZEN, 0, 16, TRAIN + VAL),
        STRIP,  # of the untrained network, behind the first step
        (FROZEN, 20, TRAIN, TRAIN + VAL),
        ("Validating epoch 1", 0, 0, VAL),
        (FROZEN, TRAIN + PIECE, TRAIN + VAL, TRAIN + VAL),
        ("Validating epoch 1", PIECE, VAL, VAL),
        STRIP,
        ("Validating epoch 2", 0, VAL, VAL),
        STRIP,
        ("Testing the weights of epoch 2", 0, 0, TEST),
        (FROZEN_FOR_TEST, 0, TEST, TEST),
        ("Testing the weights of epoch 2", PIECE, TEST, TEST),
    ]


def test_only_training_steps_are_training_time(kept: RunConfig, train: Train) -> None:
    events = train(kept)
    assert {e.seconds for e in of_kind(events, StepDone)} == {0.0}
    first, second = of_kind(events, EpochDone)
    assert (first.seconds, second.seconds) == (0.0, 0.0)
    assert (first.elapsed, second.elapsed) == (TRAIN + VAL + 2 * VAL, TRAIN + VAL + 4 * VAL)
    end = ended(events)
    assert (end.seconds, end.elapsed) == (0.0, TRAIN + 5 * VAL + 3 * TEST)
    last = [e for e in of_kind(events, ActivityProgressed) if e.kind == "test"][-1]
    assert last.seconds == 2 * TEST  # frozen layers are another activity
    (begun, *_) = [e for e in of_kind(events, ActivityProgressed) if e.kind == "frozen_layers"]
    assert begun.later == TEST  # so that the time left knows of it


def test_features_that_are_there_take_no_pass(kept: RunConfig, train: Train) -> None:
    train(kept)
    events = train(kept)
    assert FROZEN not in {activity for activity, *_ in told(events)}


@pytest.mark.parametrize("views", [0, 2])
def test_views_have_a_pass_each(kept: RunConfig, train: Train, views: int) -> None:
    config = kept.changed(horizontal_flip=bool(views), kept_views=views, epochs=3)
    frozen = [e for e in of_kind(train(config), ActivityProgressed) if e.kind == "frozen_layers"]
    totals = [(e.total, e.later) for e in frozen if e.done == 0]
    first = [(TRAIN + VAL, TRAIN + TEST), (TRAIN, TEST)] if views else [(TRAIN + VAL, TEST)]
    assert totals == [*first, (TEST, 0)]


@pytest.mark.parametrize("wish", ["request_stop", "request_pause"])
@pytest.mark.parametrize("kind", ["frozen_layers", "validation", "test"])
def test_a_stop_waits_for_one_piece_of_work_and_a_resume_is_exact(
    kept: RunConfig, train: Train, tmp_path: Path, clock: Time, kind: str, wish: str
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    asked: list[float] = []

    def is_halfway(event: Event) -> bool:
        found = isinstance(event, ActivityProgressed) and event.kind == kind and event.done == 8
        if found:
            asked.append(clock.now)
        return found

    events = train(kept, folder, until=is_halfway, wish=wish)
    end = ended(events)
    assert end.status == ("stopped" if wish == "request_stop" else "paused")
    assert end.test == {}
    assert clock.now - asked[0] <= 2 * PIECE  # seconds
    assert end.message.count("the test was broken off") == (kind == "test")
    again = train(kept, folder)
    assert ended(again).status == "completed"
    train(kept, whole)
    assert_same_weights(whole, folder)
    # Training and everything else of both sessions.
    assert (ended(again).elapsed or 0.0) >= (end.elapsed or 0.0)


def test_finish_does_not_wait_for_the_frozen_layers(kept: RunConfig, train: Train) -> None:
    """Asked for in the second batch: the steps so far are the epoch, validated and tested."""
    events = train(
        kept,
        until=lambda e: isinstance(e, ActivityProgressed) and e.done == 20,
        wish="request_finish",
    )
    assert len(of_kind(events, StepDone)) == 1
    assert ended(events).status == "completed"
    assert ended(events).test
    passes = [s[1:] for s in told(events) if s[0] in (FROZEN, FROZEN_FOR_TEST)]
    assert passes[-2:] == [(0, VAL, VAL), (0, TEST, TEST)]


@pytest.mark.parametrize("kind", ["validation", "test"])
def test_the_whole_network_is_validated_in_small_pieces(
    tiny: RunConfig, train: Train, clock: Time, kind: str
) -> None:
    asked: list[float] = []

    def is_under_way(event: Event) -> bool:
        found = isinstance(event, ActivityProgressed) and event.kind == kind and event.done > 0
        if found:
            asked.append(clock.now)
        return found

    events = train(tiny.changed(epochs=1), until=is_under_way)
    assert ended(events).status == "stopped"
    assert clock.now - asked[0] == 0.0


@pytest.mark.parametrize("kind", ["frozen_layers", "validation", "test"])
def test_a_stop_amid_a_batch_runs_no_further_layer(
    kept: RunConfig,
    tiny: RunConfig,
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """As of a network of which a batch takes seconds: the wish comes while its first layer runs."""
    config = kept if kind == "frozen_layers" else tiny.changed(epochs=1)
    folder, control = tmp_path / "stopped", Control()
    folder.mkdir()
    plan = make_plan(config, folder=folder)
    asked: list[str] = []
    ran_later: list[bool] = []

    def ask(*_: object) -> None:
        if here == kind:
            asked.append(here)
            control.request_stop()

    def watch_layers(network: torch.nn.Module) -> None:
        layers = [module for module in network.modules() if not list(module.children())]
        layers[0].register_forward_hook(ask)
        for layer in layers[1:]:
            layer.register_forward_hook(lambda *_: ran_later.append(control.wanted == "stop"))

    if kind == "frozen_layers":
        make = source.frozen_part

        def watched(*given: Any) -> torch.nn.Module:
            frozen = make(*given)
            watch_layers(frozen)
            return frozen

        monkeypatch.setattr(source, "frozen_part", watched)
    else:
        watch_layers(plan.network)
    here, events = "", []
    for event in fit(plan, control):
        events.append(event)
        here = event.kind if isinstance(event, ActivityProgressed) else ""
    assert ended(events).status == "stopped"
    assert asked == [kind]
    assert not any(ran_later)
    whole = tmp_path / "whole"
    train(config, whole)
    assert ended(train(config, folder)).status == "completed"
    assert_same_weights(whole, folder)


def test_an_activity_is_told_four_times_a_second_and_at_its_ends(clock: Time) -> None:
    activity = Activity(Stopwatch(clock), "test", "Testing", total=100)
    events = list(activity.begin())
    for done in range(1, 101):
        clock.now += REPORT_SECONDS / 10
        events += activity.add(done)
    assert [e.done for e in events[:3]] == [0, 10, 20]
    assert len(events) <= 12
    assert events[-1].done == 100
    assert events[-1].seconds == pytest.approx(10 * REPORT_SECONDS)


def test_laps_miss_nothing(clock: Time) -> None:
    watch = Stopwatch(clock)
    laps = []
    for seconds in (1.0, 0.0, 2.5):
        clock.now += seconds
        laps.append(watch.lap())
    clock.now += 4.0
    assert laps == [1.0, 0.0, 2.5]
    assert watch.lap_so_far == 4.0
    assert watch.elapsed == sum(laps) + 4.0


def test_the_order_of_a_run(tiny: RunConfig, train: Train) -> None:
    events = train(tiny.changed(epochs=1))
    kinds = [type(e) for e in events if isinstance(e, StepDone | ActivityProgressed | EpochDone
             | ProbeTaken | RunEnded)]  # fmt: skip
    order = [kind.__name__ for kind, _ in groupby(kinds)]
    assert order == [
        "StepDone", "ActivityProgressed", "ProbeTaken", "StepDone", "ActivityProgressed",
        "EpochDone", "ActivityProgressed", "ProbeTaken", "ActivityProgressed", "RunEnded",
    ]  # fmt: skip
