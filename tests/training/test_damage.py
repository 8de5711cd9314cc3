"""Every kind of damage to every file of a run: told in a sentence, and never silently different."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lab.config import RunConfig
from lab.errors import DataError, LabError, NotFoundError
from lab.evaluate.opened import open_network
from lab.evaluate.predictions import predict, saved_predictions
from lab.home import home_folder
from lab.models.catalog import build_network
from lab.training import checkpoint
from lab.training.checkpoint import BEFORE, CARD, END, RESUME, CheckpointMetadata
from lab.training.control import Control
from lab.training.events import Event, LogWritten, RunStarted, StepDone
from lab.training.fit import fit
from lab.training.plan import make_plan
from lab.training.start import find_start
from lab.training.watch import class_map_files, film_files, layer_file
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train, assert_same_weights


def flipped(file: Path) -> None:
    """One bit in the middle of what the file says."""
    data = bytearray(file.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    file.write_bytes(data)


def first_flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[min(40, len(data) - 1)] ^= 4
    file.write_bytes(data)


def cut(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def foreign(file: Path) -> None:
    file.write_bytes(b"%PDF-1.7 nothing of ours" * 20)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def a_folder(file: Path) -> None:
    file.unlink()
    (file / "inside").mkdir(parents=True)


def null(file: Path) -> None:
    file.write_bytes(b"null")


DAMAGE = [flipped, first_flipped, cut, foreign, emptied, a_folder, null]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunConfig]:
    """(LAB_HOME, the config) of a lab with the runs "done" and, stopped at step 8, "begun"."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("damaged") / "home"
        patch.setenv("LAB_HOME", str(home))
        config = RunConfig(
            dataset=make_tiny_pack(), architecture="sign-cnn", batch_size=16, epochs=2, device="cpu"
        )
        steps(config, "done")
        steps(config, "begun", until=8)
        predict(home_folder("runs", "done"), "best", "val")
    return home, config


@pytest.fixture
def lab(trained: tuple[Path, RunConfig], lab_home: Path) -> RunConfig:
    """A copy of that lab for one test."""
    shutil.copytree(trained[0], lab_home)
    return trained[1]


def steps(config: RunConfig, run: str, *, until: int = 0) -> list[Event]:
    folder, control = home_folder("runs", run), Control()
    events = []
    for event in fit(make_plan(config, folder=folder), control):
        events.append(event)
        if isinstance(event, StepDone) and event.step == until:
            control.request_stop()
    return events


def uses(config: RunConfig, run: str) -> dict[str, Callable[[], object]]:
    """What pages and runs do with a run's folder."""
    folder = home_folder("runs") / run
    other = config.changed(start_from=run, epochs=5)
    return {
        "train": lambda: steps(config, run),
        "card": lambda: CheckpointMetadata.read(folder),
        "list": lambda: checkpoint.kept_epochs(folder),
        "open": lambda: open_network(folder, "best").__enter__(),
        "predict": lambda: predict(folder, "last", "val"),
        "kept": lambda: saved_predictions(folder, "best", "val"),
        "start": lambda: find_start(other.changed(start_with="stretched")),
        "weights": lambda: find_start(other.changed(start_with="weights")),
        "film": lambda: [film_files.read_snapshot(folder, epoch) for epoch in range(3)],
        "map": lambda: class_map_files.read_snapshots(folder),
        "layers": lambda: layer_file.layer_history(folder),
    }


FILES = {
    "done": (CARD, "last.safetensors", "best.safetensors", END, "probes/epoch-0000.npz",
             "class-map/epoch-0001.npz", "layers/layers.json", "layers/samples.bin",
             "evaluation/best-val.npz"),
    "begun": (CARD, RESUME, BEFORE, "last.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.__name__)
@pytest.mark.parametrize(("run", "file"), [(run, f) for run in FILES for f in FILES[run]])
def test_only_sentences(
    lab: RunConfig, run: str, file: str, damage: Callable[[Path], None]
) -> None:
    damage(home_folder("runs") / run / file)
    for what, use in uses(lab, run).items():
        if what == "train" and (run == "done" or file == CARD):
            continue  # there is nothing to train, or it is a test of its own
        with contextlib.suppress(LabError):
            use()


@pytest.mark.parametrize("run", ["done", "begun"])
@pytest.mark.parametrize("gone", [shutil.rmtree, None], ids=["no folder", "a file"])
def test_a_run_folder_that_is_none(
    lab: RunConfig, run: str, gone: Callable[[Path], None] | None
) -> None:
    folder = home_folder("runs") / run
    shutil.rmtree(folder)
    if gone is None:
        folder.write_text("a file")
    for what, use in uses(lab, run).items():
        if what != "train":
            with contextlib.suppress(LabError):
                use()
    with pytest.raises(NotFoundError, match=r"Run \w+ has no network: it ended .* train it again"):
        CheckpointMetadata.read(folder)


@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors"])
@pytest.mark.parametrize("damage", [flipped, first_flipped, cut, foreign, a_folder])
def test_damaged_weights_are_refused(
    lab: RunConfig, name: str, damage: Callable[[Path], None]
) -> None:
    folder = home_folder("runs", "done")
    damage(folder / name)
    with pytest.raises(DataError, match=r"cannot be used .* Choose another checkpoint, or train"):
        checkpoint.read_weights(folder, name.partition(".")[0])


@pytest.mark.parametrize("text", ["{}", '{"config": {}}', "[1]", '{"config": {"epochs": -1}}'])
def test_a_card_without_a_key_is_a_sentence(lab: RunConfig, text: str) -> None:
    (home_folder("runs", "done") / CARD).write_text(text)
    with pytest.raises(
        DataError, match=r"Run done cannot be used: its network.json is damaged .* Train the"
    ):
        CheckpointMetadata.read(home_folder("runs", "done"))


def test_a_changed_letter_of_the_card_is_noticed(lab: RunConfig) -> None:
    file = home_folder("runs", "done") / CARD
    file.write_text(file.read_text().replace("middle", "muddle"))
    with pytest.raises(DataError, match="its checksum is another"):
        CheckpointMetadata.read(file.parent)


@pytest.mark.parametrize("damage", [*DAMAGE[:6], Path.unlink], ids=lambda d: d.__name__)
def test_a_damaged_state_is_told_and_the_one_before_it_ends_in_the_same_weights(
    lab: RunConfig, damage: Callable[[Path], None]
) -> None:
    folder = home_folder("runs", "begun")
    assert isinstance(steps(lab, "begun", until=11)[0], RunStarted)  # saved again: 8 and 11
    damage(folder / RESUME)
    if (folder / RESUME).is_dir():
        shutil.rmtree(folder / RESUME)  # as a person would
    events = steps(lab, "begun")
    started = events[0]
    assert isinstance(started, RunStarted)
    assert started.resumed_from_step == 8
    told = [e for e in events if isinstance(e, LogWritten) and e.level == "warning"]
    assert "The newest resume state cannot be used" in told[0].text
    assert "the one before it is used, of step 8" in told[0].text
    assert_same_weights(home_folder("runs", "done"), folder)


def test_where_no_state_can_be_used_the_run_says_so(lab: RunConfig) -> None:
    folder = home_folder("runs", "begun")
    for name in (RESUME, BEFORE):
        flipped(folder / name)
    events = steps(lab, "begun")
    assert "cannot be read" in events[-1].message  # type: ignore[union-attr]
    assert "Train the run again with its settings" in events[-1].message  # type: ignore[union-attr]
    for name in (RESUME, BEFORE):
        (folder / name).unlink()
    with pytest.raises(NotFoundError, match="Run begun cannot go on: its resume state is gone"):
        steps(lab, "begun")


def test_the_state_of_another_run_is_not_taken_for_ones_own(lab: RunConfig) -> None:
    steps(lab.changed(seed=5), "other", until=3)
    folder = home_folder("runs", "begun")
    shutil.copy(home_folder("runs", "other") / RESUME, folder / RESUME)
    shutil.copy(home_folder("runs", "other") / RESUME, folder / BEFORE)
    with pytest.raises(DataError, match="it belongs to run other"):
        make_plan(lab, folder=folder)


def test_a_state_of_another_network_is_a_sentence(lab: RunConfig) -> None:
    state = checkpoint.read_resume(home_folder("runs", "begun"), whole=True)
    assert state is not None
    network = build_network(lab.changed(architecture="mlp"), channels=1, image_size=16, classes=3)
    optimizer = torch.optim.SGD(network.parameters())
    with pytest.raises(DataError, match=r"does not fit its network .* Train the run again"):
        checkpoint.load_state(
            state, network=network, optimizer=optimizer, generator=torch.Generator()
        )


def test_a_run_that_died_before_its_first_save_begins_again_and_says_so(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    train(tiny, tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    events = fit(make_plan(tiny, folder=tmp_path / "parts"), Control())
    assert any(isinstance(event, StepDone) for event in events)
    del events
    again = train(tiny, tmp_path / "parts")
    assert any("Begins at its first step" in e.text for e in again if isinstance(e, LogWritten))
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_a_damaged_sample_of_layer_health_is_left_out(lab: RunConfig) -> None:
    folder = home_folder("runs", "done")
    before = layer_file.layer_history(folder)
    assert before is not None
    flipped(folder / "layers" / "samples.bin")
    after = layer_file.layer_history(folder)
    assert after is not None
    assert len(after.steps) == len(before.steps) - 1
