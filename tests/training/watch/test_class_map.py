"""How the classes come apart: what is kept of each epoch, and that training does not feel it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lab.config import RunConfig
from lab.data import catalog
from lab.data.batches import eval_images
from lab.data.splits import make_splits
from lab.training.checkpoint import load_network
from lab.training.watch import class_map, class_map_files
from lab.training.watch.class_map import MOST_PICTURES, chosen_rows, last_layer
from tests.training.conftest import Train


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of milliseconds would be thinned out."""
    monkeypatch.setattr(class_map, "SHARE", 1e9)


NETWORKS = [{}, {"architecture": "mlp"}, {"architecture": "squeezenet1_1", "image_size": 32}]


@pytest.mark.parametrize("knobs", NETWORKS, ids=lambda k: str(k.get("architecture", "sign-cnn")))
def test_each_epoch_is_kept_and_training_is_bit_for_bit_the_same(
    tiny: RunConfig, train: Train, tmp_path: Path, knobs: dict[str, object]
) -> None:
    config = tiny.changed(epochs=3, **knobs)
    on, off = tmp_path / "on", tmp_path / "off"
    train(config, on)
    train(config.changed(film_strip=False), off)
    assert class_map_files.snapshot_epochs(on) == (1, 2, 3)
    assert class_map_files.snapshot_epochs(off) == ()
    one, two = (load_file(folder / "last.safetensors") for folder in (on, off))
    assert all(torch.equal(one[key], two[key]) for key in two)


def test_what_is_kept_is_what_the_published_network_says(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    train(tiny.changed(epochs=2), tmp_path)
    snapshot = class_map_files.read_snapshots(tmp_path)[-1]
    network, card = load_network(tmp_path, "last")
    pack = catalog.open_pack(card.config.dataset)
    splits = make_splits(pack, card.config)
    assert set(snapshot.rows.tolist()) == set(splits.val.tolist())
    assert (snapshot.labels == pack.labels[snapshot.rows]).all()
    seen: list[torch.Tensor] = []
    last_layer(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        logits = network(eval_images(pack, snapshot.rows, card.preprocess, device="cpu"))
    assert (snapshot.predicted == logits.argmax(1).numpy()).all()
    # All pairs are as far apart on the kept directions as they are in the features.
    far = torch.cdist(seen[0].flatten(1), seen[0].flatten(1)).numpy()
    kept = torch.cdist(*[torch.from_numpy(snapshot.features)] * 2).numpy()
    assert snapshot.kept_share > 0.9
    assert np.corrcoef(far.ravel(), kept.ravel())[0, 1] > 0.99


def test_a_run_that_is_trained_anew_begins_with_none(tmp_path: Path) -> None:
    rows = np.arange(4)
    watch = class_map.ClassMap(tmp_path, on=True, epochs=9, rows=rows, labels=rows % 2)
    for epoch in (1, 2, 3):
        watch._write(epoch, rows, np.eye(4, dtype="f4"), np.eye(4, 2, dtype="f4"))
    watch.begin(epoch=3)
    assert class_map_files.snapshot_epochs(tmp_path) == (1, 2)


def test_each_class_has_its_share_of_the_pictures() -> None:
    labels = np.repeat([0, 1, 2], [3000, 900, 100])
    rows = chosen_rows(np.arange(4000), labels)
    assert len(rows) == MOST_PICTURES == len(set(rows.tolist()))
    assert np.bincount(labels[rows]).tolist() == pytest.approx([192, 58, 6], abs=1)
    assert (rows == chosen_rows(np.arange(4000), labels)).all()


def test_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    rows = np.arange(4)
    watch = class_map.ClassMap(tmp_path, on=True, epochs=9, rows=rows, labels=rows % 2)
    for epoch in (1, 2):
        watch._write(epoch, rows, np.eye(4, dtype="f4"), np.eye(4, 2, dtype="f4"))
    (tmp_path / class_map_files.FOLDER / "epoch-0001.npz").write_bytes(b"no zip")
    assert [s.epoch for s in class_map_files.read_snapshots(tmp_path)] == [2]
