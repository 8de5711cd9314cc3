"""The film strip's worker side: what is kept, what it costs, and that training does not feel it."""

import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lab.config import RunConfig
from lab.data import catalog
from lab.data import probes as pins
from lab.data.splits import make_splits
from lab.explain.grad_cam import class_activation_maps
from lab.models.staged import StagedNet
from lab.training import checkpoint
from lab.training import fit as loop
from lab.training.control import Control
from lab.training.counters import Counters
from lab.training.events import (
    ActivityProgressed,
    EpochDone,
    Event,
    LogWritten,
    ProbeTaken,
    RunEnded,
    RunStarted,
    StepDone,
)
from lab.training.fit import fit
from lab.training.plan import Plan, make_plan
from lab.training.watch import film_files
from lab.training.watch import film_strip as worker
from lab.training.watch.film_strip import Clock, FilmStrip
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of milliseconds would be thinned out; the cost rule has tests of its own."""
    monkeypatch.setattr(worker, "SHARE", 1e9)


def of_kind(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(
    "knobs",
    [{}, {"architecture": "mlp"}, {"architecture": "squeezenet1_1", "image_size": 32}],
    ids=lambda k: str(k.get("architecture", "sign-cnn")),
)
def test_training_is_bit_for_bit_the_same_with_and_without(
    tiny: RunConfig, train: Train, tmp_path: Path, knobs: dict[str, object]
) -> None:
    config = tiny.changed(epochs=2, **knobs)
    on, off = tmp_path / "on", tmp_path / "off"
    watched, alone = train(config, on), train(config.changed(film_strip=False), off)
    assert len(of_kind(watched, ProbeTaken)) == 3
    assert not of_kind(alone, ProbeTaken)
    assert not (off / film_files.FOLDER).exists()
    for name in ("last", "best"):
        one, two = (load_file(folder / f"{name}.safetensors") for folder in (on, off))
        assert all(torch.equal(one[key], two[key]) for key in two)
    assert [e.values["loss"] for e in of_kind(watched, StepDone)] == [
        e.values["loss"] for e in of_kind(alone, StepDone)
    ]


def test_a_column_before_training_and_one_after_each_epoch(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    events = train(tiny, folder)
    told = [e for e in events if isinstance(e, (StepDone, EpochDone, ProbeTaken))]
    assert isinstance(told[0], StepDone)
    assert isinstance(told[1], ProbeTaken)
    for place, event in enumerate(told):
        if isinstance(event, EpochDone):
            after = told[place + 1]
            assert isinstance(after, ProbeTaken)
            assert (after.epoch, after.count) == (event.epoch, 8)
            assert after.seconds > 0
    assert film_files.snapshot_epochs(folder) == (0, 1, 2, 3)
    snapshot = film_files.read_snapshot(folder, 3)
    assert snapshot is not None
    assert snapshot.stages == ("block1", "block2", "block3")
    assert snapshot.default_stage == "block3"
    assert snapshot.parts == ("val",) * 8
    assert snapshot.probabilities.sum(1) == pytest.approx(np.ones(8))
    assert (snapshot.targets == snapshot.labels).all()
    pack = catalog.open_pack("tiny")
    for index in snapshot.indices:
        assert (film_files.read_picture(folder, int(index)) == pack.images[index]).all()


def test_the_figures_are_those_of_the_published_weights(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train(tiny.changed(keep_every=1), folder)
    pack = catalog.open_pack("tiny")
    chosen = list(pins.default_probes(pack, make_splits(pack, tiny)))
    for epoch in (1, 2, 3):
        network, card = checkpoint.load_network(folder, f"epoch-{epoch:04d}")
        images = card.preprocess(torch.from_numpy(np.asarray(pack.images[chosen])))
        expected, logits = class_activation_maps(
            network, images, targets=pack.labels[chosen].tolist(), layers=["block1", "block3"]
        )
        snapshot = film_files.read_snapshot(folder, epoch)
        assert snapshot is not None
        assert snapshot.indices.tolist() == chosen
        assert snapshot.probabilities == pytest.approx(logits.softmax(1).numpy(), abs=1e-5)
        for stage in ("block1", "block3"):
            maps = film_files.read_maps(folder, epoch, stage)
            assert maps is not None
            raw = expected[stage].maps.numpy()
            assert np.abs(maps - raw).max() <= 1e-3 * raw.max()
            at = snapshot.stages.index(stage)
            assert snapshot.influence[at] == pytest.approx(
                expected[stage].influence.numpy(), rel=1e-3
            )
    assert film_files.read_maps(folder, 0, "block3") is not None


def strip_for(plan: Plan, *, clock: Clock = time.monotonic) -> FilmStrip:
    return FilmStrip(
        plan.folder,
        on=True,
        epochs=plan.config.epochs,
        default_stage=None,
        pack=plan.pack,
        splits=plan.splits,
        preprocess=plan.preprocess,
        device=plan.device,
        memory_format=plan.memory_format,
        clock=clock,
    )


def begun(strip: FilmStrip, network: StagedNet) -> list[Event]:
    """What is reported until the untrained network's snapshot is there."""
    return [*strip.begin(network, Counters()), *strip.after_first_step()]


def test_the_first_snapshot_is_of_the_untrained_network(tiny: RunConfig, tmp_path: Path) -> None:
    """Although it comes behind the first step."""
    plan = make_plan(tiny, folder=tmp_path)
    untrained = copy.deepcopy(plan.network)
    strip = strip_for(plan)
    list(strip.begin(plan.network, Counters()))
    assert film_files.snapshot_epochs(tmp_path) == ()
    with torch.no_grad():
        for weights in plan.network.parameters():
            weights.add_(1.0)
    assert len(of_kind(list(strip.after_first_step()), ProbeTaken)) == 1
    assert list(strip.after_first_step()) == []  # only once
    snapshot = film_files.read_snapshot(tmp_path, 0)
    assert snapshot is not None
    images = plan.preprocess(torch.from_numpy(plan.pack.take(snapshot.indices)))
    with torch.inference_mode():
        expected = untrained.eval()(images).softmax(1).numpy()
    np.testing.assert_allclose(snapshot.probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("wish", ["request_pause", "request_finish"])
def test_a_run_that_ends_with_its_first_steps_has_its_first_snapshot(
    tiny: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    """Also where steps are reported in lots, as on an accelerator, and none has been yet."""
    made = loop._Run.__init__

    def in_lots(self: loop._Run, *given: Any) -> None:
        made(self, *given)
        self.steps_per_reading = 16

    monkeypatch.setattr(loop._Run, "__init__", in_lots)
    events = train(tiny, tmp_path, until=lambda e: isinstance(e, RunStarted), wish=wish)
    assert len(of_kind(events, StepDone)) == 1
    assert film_files.snapshot_epochs(tmp_path)[0] == 0


def test_a_strip_that_cannot_begin_is_left_out(
    tiny: RunConfig, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(self: FilmStrip, network: StagedNet) -> StagedNet:
        raise MemoryError

    monkeypatch.setattr(FilmStrip, "_make_copy", no_room)
    events = train(tiny)
    assert not of_kind(events, ProbeTaken)
    said = [e.text for e in of_kind(events, LogWritten) if e.level == "warning"]
    assert said == [
        "Film strip off: there is not enough memory for it beside the training. The training goes "
        "on."
    ]
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "completed"


def test_the_network_in_training_is_only_read(tiny: RunConfig, tmp_path: Path) -> None:
    plan = make_plan(tiny, folder=tmp_path)
    network = plan.network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.get_rng_state()
    assert len(of_kind(begun(strip_for(plan), network), ProbeTaken)) == 1
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_perceptron_has_answers_and_no_maps(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train(tiny.changed(architecture="mlp", epochs=1), folder)
    snapshot = film_files.read_snapshot(folder, 1)
    assert snapshot is not None
    assert snapshot.stages == ()
    assert snapshot.default_stage is None
    assert snapshot.probabilities.shape == (8, 3)
    assert film_files.read_maps(folder, 1, "block1") is None


def test_a_pin_made_during_the_run_joins_at_the_next_epoch(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    pack = catalog.open_pack("tiny")
    trained = int(make_splits(pack, tiny).train[0])

    def pin(event: Event) -> bool:
        if isinstance(event, StepDone) and event.epoch == 2:
            pins.pin("tiny", trained)
            pins.pin("tiny", 119)
        return False

    train(tiny, folder, until=pin)
    snapshots = [film_files.read_snapshot(folder, epoch) for epoch in (1, 2, 3)]
    assert [len(t.indices) for t in snapshots if t] == [8, 2, 2]
    assert snapshots[1] is not None
    assert snapshots[1].indices.tolist() == [trained, 119]
    assert snapshots[1].parts == ("train", "test")


def test_a_resumed_run_continues_the_strip(tiny: RunConfig, train: Train, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny, whole)
    train(tiny, parts, until=lambda e: isinstance(e, StepDone) and e.step == 8)
    assert film_files.snapshot_epochs(parts) == (0, 1)
    # As if the process had died after more epochs than were saved.
    (parts / "probes" / "epoch-0003.npz").write_bytes(b"of another day")
    resumed = train(tiny, parts)
    assert [e.epoch for e in of_kind(resumed, ProbeTaken)] == [2, 3]
    assert film_files.snapshot_epochs(parts) == (0, 1, 2, 3)
    for epoch in range(4):
        one, two = (film_files.read_snapshot(folder, epoch) for folder in (whole, parts))
        assert one is not None
        assert two is not None
        assert (one.probabilities == two.probabilities).all()
        assert (one.peaks == two.peaks).all()


def test_a_run_that_begins_anew_forgets_its_old_strip(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train(tiny, folder)
    (folder / "network.json").unlink()  # or it would be a run that has lost its resume state
    train(tiny.changed(epochs=1), folder)
    assert film_files.snapshot_epochs(folder) == (0, 1)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA error: out of memory"), "there is not enough memory"),
        (RuntimeError("shapes do not fit\nat all"), "RuntimeError: shapes do not fit."),
        (OSError(5, "Input/output error"), "OSError: [Errno 5] Input/output error."),
    ],
)
def test_what_goes_wrong_is_told_once_and_the_run_goes_on(
    tiny: RunConfig,
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    folder = tmp_path / "run"

    def refuse(*_: object, **__: object) -> None:
        raise error

    def spoil(event: Event) -> bool:
        if isinstance(event, EpochDone) and event.epoch == 1:
            if isinstance(error, OSError):
                monkeypatch.setattr(np, "savez_compressed", refuse)
            else:
                monkeypatch.setattr(worker, "class_activation_maps", refuse)
        return False

    events = train(tiny, folder, until=spoil)
    end = events[-1]
    assert isinstance(end, RunEnded)
    assert end.status == "completed"
    warnings = [e.text for e in of_kind(events, LogWritten) if e.level == "warning"]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"Film strip off: {said}")
    assert film_files.snapshot_epochs(folder) == (0,)
    assert not list((folder / "probes").glob(".*")), "nothing half-written is left"


def test_a_full_disk_pauses_the_run(
    tiny: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    end = train(tiny, tmp_path / "run")[-1]
    assert isinstance(end, RunEnded)
    assert end.status == "paused"
    assert end.message.startswith("The disk is full: ")


def test_memory_is_given_back_when_there_was_not_enough(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tiny, folder=tmp_path)
    strip = strip_for(plan)
    list(strip.begin(plan.network, Counters()))
    assert strip.copy is not None

    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(worker, "class_activation_maps", refuse)
    list(strip.after_epoch(plan.network, Counters(), last=False))
    assert strip.copy is None
    assert strip.probes is None


def test_a_damaged_file_is_left_out(
    tiny: RunConfig, train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    train(tiny, folder)
    whole = (folder / "probes" / "epoch-0003.npz").read_bytes()
    (folder / "probes" / "epoch-0001.npz").write_bytes(b"nonsense")
    (folder / "probes" / "epoch-0002.npz").write_bytes(whole[: len(whole) // 2])
    assert film_files.read_snapshot(folder, 1) is None
    assert film_files.read_maps(folder, 2, "block3") is None
    assert film_files.read_snapshot(folder, 9) is None
    assert "epoch-0001.npz is left out of the film strip" in caplog.text
    picture = next((folder / "probes").glob("image-*.png"))
    picture.write_bytes(picture.read_bytes()[:40])
    assert film_files.read_picture(folder, int(picture.stem[6:])) is None


# --- what it may cost ---------------------------------------------------------------------------


def strip_of(plan: Plan, seconds: list[float]) -> FilmStrip:
    """A strip whose snapshots cost `seconds`, by a clock that says so."""
    now = 0.0

    def ticks() -> Iterator[float]:
        nonlocal now
        for cost in seconds:
            yield now  # the snapshot begins
            yield now  # and asks in between
            now += cost
            yield now  # the snapshot ends

    return strip_for(plan, clock=ticks().__next__)


def test_a_dear_strip_is_taken_every_few_epochs_and_says_so_once(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SHARE", 0.03)
    plan = make_plan(tiny.changed(epochs=10), folder=tmp_path)
    strip = strip_of(plan, [0.9, 0.8, 0.8, 0.8, 0.8, 0.8])
    events = begun(strip, plan.network)
    for epoch in range(1, 11):
        counters = Counters(epoch=epoch, step=epoch, epoch_seconds=10.0)
        events += strip.after_epoch(plan.network, counters, last=epoch == 10)
    # ceil(0.8 / (0.03 * 10)) = 3
    assert [e.epoch for e in of_kind(events, ProbeTaken)] == [0, 1, 3, 6, 9, 10]
    said = [e.text for e in of_kind(events, LogWritten)]
    assert said == [
        "The film strip is taken every 3rd epoch from here: one snapshot costs 0.8 s, and 3% of "
        "the 10 s that an epoch trains are for it."
    ]
    last = film_files.read_snapshot(tmp_path, 10)
    assert last is not None
    assert last.every == 3


def test_a_measurement_that_was_spoiled_is_made_good(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SHARE", 0.03)
    plan = make_plan(tiny.changed(epochs=20), folder=tmp_path)
    strip = strip_of(plan, [2.8, 2.8, 0.2, 0.2, 0.2])  # something else was running at first
    events = begun(strip, plan.network)
    for epoch in range(1, 13):
        counters = Counters(epoch=epoch, step=epoch, epoch_seconds=10.0)
        events += strip.after_epoch(plan.network, counters, last=False)
    assert [e.epoch for e in of_kind(events, ProbeTaken)] == [0, 1, 10, 11, 12]
    said = [e.text.partition(":")[0] for e in of_kind(events, LogWritten)]
    assert said == [
        "The film strip is taken every 10th epoch from here",
        "The film strip is taken after every epoch from here",
    ]


def test_a_resumed_run_keeps_the_spacing_without_saying_it_again(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SHARE", 0.03)
    plan = make_plan(tiny.changed(epochs=10), folder=tmp_path)
    first = strip_of(plan, [0.9, 0.8, 0.8])
    begun(first, plan.network)
    for epoch in (1, 2, 3):
        list(first.after_epoch(plan.network, Counters(epoch, 0, epoch, 0, 10.0), last=False))
    again = strip_of(plan, [0.9])
    events: list[Event] = list(again.begin(plan.network, Counters(epoch=5, step=40)))
    for epoch in (5, 6):
        events += again.after_epoch(plan.network, Counters(epoch, 0, epoch, 0, 10.0), last=False)
    assert [type(e) for e in events] == [ActivityProgressed, ProbeTaken]
    assert film_files.snapshot_epochs(tmp_path) == (0, 1, 3, 6)


def test_a_long_run_keeps_about_a_hundred_snapshots(tiny: RunConfig, tmp_path: Path) -> None:
    plan = make_plan(tiny.changed(epochs=550), folder=tmp_path)
    strip = strip_for(plan)
    told = next(strip.begin(plan.network, Counters()))
    assert isinstance(told, LogWritten)
    assert told.text.startswith("The film strip is taken every 6th epoch")
    assert math.ceil(550 / strip.budget.every) <= 100


def test_early_stopping_and_finish_record_the_last_epoch(
    tiny: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MOST_SNAPSHOTS", 1)  # so only the first and the last are taken
    early = tiny.changed(epochs=50, early_stopping_patience=2, learning_rate=0.05)
    end = train(early, tmp_path / "early")[-1]
    assert isinstance(end, RunEnded)
    assert film_files.snapshot_epochs(tmp_path / "early") == (0, 1, end.epochs)
    end = train(
        tiny.changed(epochs=50),
        tmp_path / "finish",
        until=lambda e: isinstance(e, StepDone) and e.step == 20,
        wish="request_finish",
    )[-1]
    assert isinstance(end, RunEnded)
    assert film_files.snapshot_epochs(tmp_path / "finish") == (0, 1, end.epochs)


def test_a_run_without_probes_to_choose_from_still_trains(train: Train) -> None:
    """One validation image is one probe."""
    config = RunConfig(
        dataset=make_tiny_pack(train=9, val=1), architecture="simple-cnn", batch_size=4, epochs=1
    )
    taken = of_kind(train(config), ProbeTaken)
    assert [(e.epoch, e.count) for e in taken] == [(0, 1), (1, 1)]


def test_reading_the_files_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys, lab.training.watch.film_files, lab.data.probes; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_the_fit_generator_can_be_dropped_in_the_middle_of_a_snapshot(
    tiny: RunConfig, tmp_path: Path
) -> None:
    events = fit(make_plan(tiny, folder=tmp_path), Control())
    for event in events:
        if isinstance(event, ProbeTaken) and event.epoch == 1:
            break
    events.close()  # type: ignore[attr-defined]
    assert film_files.snapshot_epochs(tmp_path) == (0, 1)
