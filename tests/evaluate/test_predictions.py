"""Predictions of really trained tiny runs, saved, read again and not mistaken for others."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.config import RunConfig
from lab.data import catalog
from lab.errors import DataError, DivergedError, NotFoundError
from lab.evaluate import predictions as predictions_module
from lab.evaluate.opened import checkpoint_identity, open_own_network
from lab.evaluate.predictions import _probabilities, predict, saved_predictions
from lab.progress import Cancelled, Progress, never, silent
from lab.training.checkpoint import TEST_LOGITS, load_network, publish
from lab.training.control import Control
from lab.training.events import EpochDone, Event, RunEnded
from lab.training.fit import fit
from lab.training.plan import make_plan
from tests.tiny_data import make_tiny_pack


def train(folder: Path, **knobs: object) -> list[Event]:
    knobs = {"architecture": "sign-cnn", "batch_size": 16, "epochs": 3, **knobs}
    config = RunConfig(dataset=make_tiny_pack(test=31), learning_rate=3e-3, **knobs)  # type: ignore[arg-type]
    folder.mkdir()
    return list(fit(make_plan(config, folder=folder), Control()))


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, list[Event]]:
    folder = tmp_path / "r-1"
    return folder, train(folder, keep_every=1)


@pytest.mark.parametrize("architecture", ["sign-cnn", "mlp"])
def test_the_figures_are_those_of_the_training(tmp_path: Path, architecture: str) -> None:
    folder = tmp_path / "r-1"
    events = train(folder, architecture=architecture, keep_every=1)
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    tested = predict(folder, "best", "test")
    assert tested.right.mean() == ended.test["accuracy"]
    assert tested.losses.mean() == pytest.approx(ended.test["loss"], rel=1e-5)
    assert tested.epoch == ended.best_epoch
    assert len(tested) == 31
    for epoch in (e for e in events if isinstance(e, EpochDone)):
        validated = predict(folder, f"epoch-{epoch.epoch:04d}", "val")
        assert validated.right.mean() == epoch.val["accuracy"]
        assert validated.losses.mean() == pytest.approx(epoch.val["loss"], rel=1e-5)
        assert validated.epoch == epoch.epoch


def test_mirrored_answers_are_the_mean_of_both_and_kept_beside_the_plain_ones(
    run: tuple[Path, list[Event]],
) -> None:
    folder, _ = run
    plain = predict(folder, "best", "test")
    mirrored = predict(folder, "best", "test", mirrored=True)
    network, card = load_network(folder)
    images = card.preprocess(torch.from_numpy(catalog.open_pack("tiny").take(plain.indices)))
    with torch.inference_mode():
        expected = (network(images).softmax(1) + network(images.flip(3)).softmax(1)) / 2
    assert np.allclose(mirrored.probabilities, expected, atol=1e-6)
    own = expected[torch.arange(len(plain)), torch.from_numpy(plain.labels)]
    assert np.allclose(mirrored.losses, -own.log(), atol=1e-5)
    for kept, made in ((False, plain), (True, mirrored)):
        saved = saved_predictions(folder, "best", "test", mirrored=kept)
        assert saved is not None
        assert np.array_equal(saved.probabilities, made.probabilities)


def test_the_test_images_are_not_asked_twice(
    run: tuple[Path, list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, events = run
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    asked = predictions_module._ask
    again = asked(
        open_own_network(folder, "best"),
        catalog.open_pack("tiny"),
        catalog.open_pack("tiny").indices("test"),
        words="test",
        mirrored=False,
        progress=silent,
        cancel=never,
    )
    monkeypatch.setattr(predictions_module, "_ask", lambda *_: pytest.fail("asked again"))
    kept = predict(folder, "best", "test")
    assert kept.right.mean() == ended.test["accuracy"]
    np.testing.assert_allclose(kept.probabilities, again.softmax(1).numpy(), rtol=1e-5, atol=1e-7)
    # Other weights: what was kept says nothing of them.
    network, _ = load_network(folder, "epoch-0001")
    publish(network, folder, epoch=1, best=True, kept=False)
    monkeypatch.setattr(predictions_module, "_ask", asked)
    other = predict(folder, "best", "test")
    assert not np.allclose(other.probabilities, kept.probabilities)
    (folder / TEST_LOGITS).write_bytes(b"torn")
    assert (predict(folder, "best", "test").probabilities == other.probabilities).all()


def test_arrays_fit_the_pack_and_each_other(run: tuple[Path, list[Event]]) -> None:
    folder, _ = run
    predictions = predict(folder, "last", "test")
    pack = catalog.open_pack("tiny")
    assert (predictions.indices == pack.indices("test")).all()
    assert (predictions.labels == pack.labels[predictions.indices]).all()
    assert predictions.probabilities.shape == (31, 3)
    assert predictions.probabilities.dtype == predictions.losses.dtype == np.float32
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, rtol=1e-6)
    true = predictions.probabilities[np.arange(31), predictions.labels]
    np.testing.assert_allclose(predictions.losses, -np.log(true), rtol=1e-3, atol=1e-6)
    assert predictions.class_names == pack.meta.class_names
    # 90 training images, a part of each class held out for validation.
    assert predictions.train_counts.sum() + len(predict(folder, "last", "val")) == 90


def test_saved_predictions_come_back_as_they_were(run: tuple[Path, list[Event]]) -> None:
    folder, _ = run
    assert saved_predictions(folder, "best", "test") is None
    made = predict(folder, "best", "test")
    predictions = saved_predictions(folder, "best", "test")
    assert predictions is not None
    for name in ("indices", "labels", "probabilities", "losses", "train_counts", "predicted"):
        assert (getattr(predictions, name) == getattr(made, name)).all(), name
    for name in ("split", "checkpoint", "epoch", "class_names", "identity"):
        assert getattr(predictions, name) == getattr(made, name), name
    assert [file.name for file in (folder / "evaluation").iterdir()] == ["best-test.npz"]
    assert saved_predictions(folder, "best", "val") is None
    assert saved_predictions(folder, "last", "test") is None


def test_a_newer_write_of_the_checkpoint_makes_them_old(run: tuple[Path, list[Event]]) -> None:
    folder, _ = run
    made = predict(folder, "last", "val")
    network, _ = load_network(folder, "last")
    publish(network, folder, epoch=4, best=False, kept=False)
    os.utime(folder / "last.safetensors", ns=(1, 1))  # within the clock's grain it could be equal
    assert saved_predictions(folder, "last", "val") is None
    old = saved_predictions(folder, "last", "val", outdated=True)
    assert old is not None
    assert (old.epoch, old.identity) == (3, made.identity)
    new = predict(folder, "last", "val")
    assert new.epoch == 4
    assert new.identity == checkpoint_identity(folder, "last")
    (folder / "last.safetensors").unlink()
    assert saved_predictions(folder, "last", "val") is None


def test_a_damaged_file_is_as_good_as_none(run: tuple[Path, list[Event]]) -> None:
    folder, _ = run
    predict(folder, "best", "test")
    file = folder / "evaluation" / "best-test.npz"
    for damage in (file.read_bytes()[:300], b"", b"not a zip"):
        file.write_bytes(damage)
        assert saved_predictions(folder, "best", "test") is None
    np.savez(file, other=np.zeros(3))
    assert saved_predictions(folder, "best", "test") is None


def test_it_tells_how_far_it_is_and_can_be_cancelled(run: tuple[Path, list[Event]]) -> None:
    folder, _ = run
    told: list[Progress] = []
    predict(folder, "last", "test", progress=told.append)
    assert (told[-1].done, told[-1].total, told[-1].unit) == (31, 31, "images")
    shutil.rmtree(folder / "evaluation")
    with pytest.raises(Cancelled):
        predict(folder, "last", "test", cancel=lambda: True)
    assert not (folder / "evaluation").exists()


def test_what_is_not_there_is_said(tmp_path: Path, run: tuple[Path, list[Event]]) -> None:
    folder, _ = run
    with pytest.raises(NotFoundError, match=r"no checkpoint 'epoch-0009'; there are: best, last"):
        predict(folder, "epoch-0009", "test")
    shutil.copy(folder / "best.safetensors", tmp_path / "elsewhere.safetensors")
    with pytest.raises(NotFoundError):
        predict(folder, "../elsewhere", "test")
    make_tiny_pack(seed=1)
    with pytest.raises(DataError, match="has changed since"):
        predict(folder, "best", "test")
    catalog.remove_dataset("tiny")
    with pytest.raises(NotFoundError):
        predict(folder, "best", "test")


def test_a_split_without_images_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "r-1"
    folder.mkdir()
    config = RunConfig(dataset=make_tiny_pack(test=0), architecture="mlp", epochs=1)
    events = list(fit(make_plan(config, folder=folder), Control()))
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "completed"
    with pytest.raises(DataError, match="has no test images"):
        predict(folder, "best", "test")


def test_answers_that_are_no_numbers_are_not_shown(run: tuple[Path, list[Event]]) -> None:
    folder, _ = run
    network, _ = load_network(folder, "last")
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    publish(network, folder, epoch=4, best=False, kept=False)
    with pytest.raises(DivergedError, match="31 of 31 images"):
        predict(folder, "last", "test")
    assert saved_predictions(folder, "last", "test", outdated=True) is None


def test_logits_that_tie_as_probabilities_keep_their_winner() -> None:
    logits = torch.tensor([[1.0, 1.0 + 2e-7, -3.0], [40.0, 40.0 + 4e-6, 0.0], [2.0, 1.0, 0.0]])
    assert logits.argmax(1).tolist() == [1, 1, 0]
    probabilities = _probabilities(logits)
    assert probabilities.argmax(1).tolist() == [1, 1, 0]
    torch.testing.assert_close(probabilities, logits.softmax(1))
