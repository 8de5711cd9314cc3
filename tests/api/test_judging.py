"""When a run is judged, by what, and what is said where it cannot be."""

from __future__ import annotations

import json
import time
from typing import Any, get_args

import pytest

from lab.api import judging
from lab.api.judging import Judge, change_text, existing_fix, verdict_values
from lab.config import RunConfig
from lab.evaluate.verdicts.evidence import Kind, Verdict
from lab.evaluate.verdicts.judge import TITLES
from lab.runs import judging as run_judging
from lab.runs.foreground import run_in_foreground
from lab.runs.judging import Judgement, judge
from lab.runs.rows import RunRow
from lab.runs.store import Store
from tests.runs.fakes import CONFIG, ended
from tests.tiny_data import make_tiny_pack

from .conftest import train

OVERFITS = Verdict(
    "overfitting", "It overfits.", "Epochs 1 to 3.", "More dropout.", {"dropout": 0.5}
)


class Judging:
    """Counts the judgements, which take as long as it says and find nothing."""

    def __init__(self) -> None:
        self.states: list[tuple[object, ...]] = []
        self.seconds = 0.0

    def __call__(self, store: Store, run: RunRow, state: tuple[object, ...]) -> Judgement:
        self.states.append(state)
        time.sleep(self.seconds)
        return Judgement(state)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judging:
    counting = Judging()
    monkeypatch.setattr(judging, "judge", counting)
    return counting


def look(one: Judge, *, epoch: int | None) -> Judgement | None:
    """Has the run judged if it is due, waits for that, and returns what there is then."""
    one.look(one.store.run(one.run_id), epoch=epoch)
    if one._thread is not None:
        one._thread.join(30)
    return one.judgement


def test_a_run_is_judged_once_an_epoch(runs: Store, run_id: str, judged: Judging) -> None:
    train(runs, run_id, range(1, 4))
    one = Judge(runs, run_id)
    assert one.look(runs.run(run_id), epoch=None) is None, "nothing is waited for"
    first = look(one, epoch=None)
    for _ in range(3):
        assert look(one, epoch=None) is first
    assert judged.states == [(0, None, "running")]
    one._next_at = 0
    assert look(one, epoch=1) is not first
    assert judged.states == [(0, None, "running"), (0, 1, "running")]


def test_judging_rests_in_proportion_to_what_it_took(
    runs: Store, run_id: str, judged: Judging
) -> None:
    train(runs, run_id, range(1, 2))
    judged.seconds = 0.05
    one = Judge(runs, run_id)
    began = time.monotonic()
    look(one, epoch=1)
    took = time.monotonic() - began
    look(one, epoch=2)
    assert len(judged.states) == 1
    assert 0.05 * judging.REST <= one._next_at - began <= took * (judging.REST + 1)
    one._next_at = time.monotonic()
    look(one, epoch=2)
    assert len(judged.states) == 2


def test_a_run_that_has_ended_does_not_wait(runs: Store, done: str, judged: Judging) -> None:
    one = Judge(runs, done)
    one._next_at = time.monotonic() + 1000
    assert look(one, epoch=2) is not None
    assert judged.states == [(0, 2, "completed")]


def test_judging_that_fails_is_said_and_not_repeated(
    runs: Store, done: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(judging, "judge", lambda *_: 1 / 0)
    one = Judge(runs, done)
    first = look(one, epoch=2)
    assert first is not None
    assert first.problem == "This run could not be judged (see the log)."
    assert "ZeroDivisionError" in caplog.text
    assert look(one, epoch=2) is first


def test_a_run_of_another_version_says_why_it_is_not_judged(runs: Store, done: str) -> None:
    settings = {**json.loads(runs.run(done).config_json), "moon_phase": 3}
    runs._update(done, config=json.dumps(settings))
    judgement = look(Judge(runs, done), epoch=2)
    assert judgement is not None
    assert judgement.problem.startswith("This run is not judged. Unknown knob 'moon_phase'")
    assert verdict_values(runs, runs.run(done), judgement)["verdicts"] == []


def test_it_says_what_it_was_judged_by(runs: Store, run_id: str) -> None:
    train(runs, run_id, range(1, 6))
    text = judge(runs, runs.run(run_id), may_predict=False).judged_by
    assert text.startswith("Judged by the curves of 1 finished epoch, no layer samples, ")
    assert text.endswith("Most signs show only after three to five epochs.")
    train(runs, run_id, range(6, 11))
    text = judge(runs, runs.run(run_id), may_predict=False).judged_by
    assert "2 finished epochs" in text


# --- the answers to single images -----------------------------------------------------------------
@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The predictions that are asked for, instead of predicting. The pictures are 16 x 16."""
    from lab.evaluate import predictions
    from lab.training.checkpoint import CheckpointMetadata

    calls: list[Any] = []

    class Metadata:
        class preprocess:
            image_size = 16

    monkeypatch.setattr(CheckpointMetadata, "read", lambda folder: Metadata)
    monkeypatch.setattr(predictions, "saved_predictions", lambda *_, **__: None)
    monkeypatch.setattr(predictions, "predict", lambda *call: calls.append(call))
    return calls


def test_the_validation_images_of_an_ended_run_are_predicted(
    runs: Store, done: str, asked: list[Any]
) -> None:
    judge(runs, runs.run(done))
    assert asked == [(runs.folder(done), "best", "val")]


def test_a_large_set_is_not_predicted_unasked(
    runs: Store, done: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_judging, "AUTOMATIC_PIXELS", 20 * 16 * 16 - 1)
    assert "no answers to single images yet" in judge(runs, runs.run(done)).judged_by
    assert asked == []
    monkeypatch.setattr(run_judging, "AUTOMATIC_PIXELS", 20 * 16 * 16)
    judge(runs, runs.run(done))
    assert len(asked) == 1


def test_a_run_that_trains_or_that_only_is_read_is_not_predicted(
    runs: Store, run_id: str, asked: list[Any]
) -> None:
    train(runs, run_id, range(1, 6))
    judge(runs, runs.run(run_id))
    train(runs, run_id, range(6, 11))
    runs.record(run_id, [ended("paused")])
    judge(runs, runs.run(run_id))
    assert asked == []


def test_a_run_without_its_weights_is_judged_by_its_curves(runs: Store, done: str) -> None:
    judgement = judge(runs, runs.run(done))  # the fake engine left no weights
    assert judgement.problem.startswith("The answers to single images are not judged. ")
    assert "2 finished epochs" in judgement.judged_by


def test_a_real_run_with_its_answers_and_with_a_damaged_file_of_them(runs: Store) -> None:
    config = RunConfig(
        dataset=make_tiny_pack(val=30), architecture="mlp", epochs=1, batch_size=32, device="cpu",
        film_strip=False, layer_statistics="off", precision="fp32",
    )  # fmt: skip
    run = run_in_foreground(config)
    assert run.status == "completed"
    file = runs.folder(run.id) / "evaluation" / "best-val.npz"
    assert "no answers to single images yet" in judge(runs, run, may_predict=False).judged_by
    assert not file.exists()
    assert "the answers to 30 validation images" in judge(runs, run).judged_by
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    judgement = judge(runs, run, may_predict=False)
    assert "no answers to single images yet" in judgement.judged_by
    assert judgement.problem == ""
    assert "the answers to 30 validation images" in judge(runs, run).judged_by


# --- words ----------------------------------------------------------------------------------------
def test_every_verdict_has_a_title() -> None:
    assert set(TITLES) == set(get_args(Kind))


def test_a_verdict_names_the_knobs_to_change_and_the_run_that_did_it(
    runs: Store, done: str
) -> None:
    run = runs.run(done)
    [values] = verdict_values(runs, run, Judgement((), (OVERFITS,)))["verdicts"]
    assert values["title"] == TITLES["overfitting"]
    assert values["change"] == "Dropout automatic → 0.5"
    assert values["fixed_by"] is None
    fixed = run.config.changed(dropout=0.5)
    other = runs.create_run(fixed.changed(image_size=64), origin=f"fix:{done}", name="less")
    [values] = verdict_values(runs, run, Judgement((), (OVERFITS,)))["verdicts"]
    assert values["fixed_by"] == {"id": other, "name": "less", "status": "queued"}
    json.dumps(values, allow_nan=False)


def test_a_fix_of_other_settings_or_of_another_version_is_none(runs: Store, done: str) -> None:
    run = runs.run(done)
    fixed = run.config.changed(dropout=0.5)
    runs.create_run(fixed.changed(epochs=9), origin=f"fix:{done}")
    broken = runs.create_run(fixed, origin=f"fix:{done}")
    runs._update(broken, config='{"moon_phase": 3}')
    assert existing_fix(runs, run, fixed) is None


def test_a_change_is_told_in_the_words_of_the_form() -> None:
    text = change_text(CONFIG, {"activation": "relu", "batch_size": 64})
    assert text == "Activation Automatic → ReLU, Batch size 32 → 64"
