"""The audit of a run's maps, on really trained tiny runs and on figures made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lab.errors import ConfigError
from lab.evaluate import audit as rooms
from lab.evaluate.audit import audit
from lab.evaluate.audit_result import (
    Audit,
    MapShare,
    Mean,
    Share,
    audit_values,
    keep_audit,
    saved_audit,
)
from lab.evaluate.opened import open_own_network
from lab.evaluate.trust import trust_of
from lab.explain.grad_cam import FORMULAS, class_activation_maps, formula_maps
from lab.progress import Cancelled, Progress
from tests.evaluate.test_trust import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("home")
    patch.setenv("LAB_HOME", str(home))
    try:
        return train(home / "r-1", epochs=4)
    finally:
        patch.undo()


@pytest.fixture(autouse=True)
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(folder.parent))
    monkeypatch.setattr(rooms, "FAITHFUL", 2)


@pytest.fixture(scope="module")
def found(folder: Path) -> Audit:
    patch = pytest.MonkeyPatch()
    patch.setenv("LAB_HOME", str(folder.parent))
    patch.setattr(rooms, "FAITHFUL", 2)
    try:
        return audit(folder, pictures=12)
    finally:
        patch.undo()


def test_every_layer_and_method_has_its_shares(found: Audit) -> None:
    assert found.pictures == 12
    assert found.split == "test"
    places = [(cell.layer, cell.method) for cell in found.cells]
    assert places == [(layer, m) for layer in ("block1", "block2", "block3") for m in FORMULAS]
    for cell in found.cells:
        assert cell.right.images + cell.wrong.images == 12
        assert 0 <= cell.right.low <= cell.right.share <= cell.right.high <= 1
        assert cell.right.count + cell.wrong.count + cell.refused <= 12
        assert cell.pointing is None  # these bars do not say where they are
    assert (found.layer, found.method) in places
    assert found.sentence
    assert "Grad-CAM in Block 3 passes on" in found.why
    assert {one.deletion.images for one in found.faithful} == {2}


def test_it_is_kept_for_this_write_of_the_checkpoint(folder: Path, found: Audit) -> None:
    assert saved_audit(folder, "best") == found
    assert saved_audit(folder, "last") is None
    values = json.loads(json.dumps(audit_values(found), allow_nan=False))
    assert values["layer"] == found.layer
    file = folder / "evaluation" / "best-audit.json"
    text = file.read_text()
    file.write_text(text.replace(found.identity, "another write"))
    assert saved_audit(folder, "best") is None
    file.write_text(text[:50])
    assert saved_audit(folder, "best") is None
    file.write_text(text)


def test_the_same_seed_gives_the_same_shares(folder: Path, found: Audit) -> None:
    assert audit(folder, pictures=12).cells == found.cells


def test_a_verdict_is_the_single_tests_own(folder: Path, found: Audit) -> None:
    """One picture audited is that picture tested: same halves, same rule."""
    opened = open_own_network(folder, "best")
    pack, splits = rooms.open_data(opened.card)
    index = int(splits.test[0])
    picture = rooms.pack_picture(pack, index)
    answer = opened.network(opened.tensor(picture)).argmax(1)
    run = rooms._Run(
        opened, pack, np.array([index]), answer.numpy(), np.array([True]), ["block2"],
        lambda p: None, lambda: False,
    )  # fmt: skip
    _, gains = run.verdicts({("block2", m): np.zeros((2, 1)) for m in FORMULAS}, 1e18)
    network = rooms_network(folder)
    for method in ("hirescam", "grad-cam"):
        alone = trust_of(network, picture, target=int(answer), layer="block2", method=method)
        own = 0.0 if alone.placement is None else alone.placement.gain
        assert gains["block2", method] == pytest.approx([own])


def rooms_network(folder: Path) -> object:
    from lab.evaluate.opened import PublishedNetwork

    return PublishedNetwork.newest(folder, "best")


def test_one_pass_draws_what_a_pass_a_method_draws(folder: Path) -> None:
    opened = open_own_network(folder, "best")
    pack, splits = rooms.open_data(opened.card)
    images = rooms.torch.cat(
        [opened.tensor(rooms.pack_picture(pack, int(i))) for i in splits.test[:3]]
    )
    targets = rooms.torch.tensor([0, 1, 2])
    layers = ["block1", "block3"]
    together = formula_maps(opened.network, images, targets=targets, layers=layers)
    for method in FORMULAS:
        alone, _ = class_activation_maps(
            opened.network, images, targets=targets, layers=layers, method=method
        )
        for layer in layers:
            assert rooms.torch.equal(together[layer, method].maps, alone[layer].maps)
            assert rooms.torch.equal(together[layer, method].meaningful, alone[layer].meaningful)


def test_it_can_be_cancelled_and_tells_how_far_it_is(folder: Path) -> None:
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        audit(folder, pictures=8, progress=told.append, cancel=lambda: len(told) > 6)
    assert {step.text for step in told} >= {"Asking the network", "Maps with random weights"}


def test_a_network_without_places_is_a_sentence(folder: Path) -> None:
    mlp = train(folder.parent / "r-2", architecture="mlp", epochs=1)
    with pytest.raises(ConfigError, match="no layer with places"):
        audit(mlp)


# --- the sample and what follows -----------------------------------------------------------------
def test_the_sample_has_both_kinds_mixed() -> None:
    right = np.array([True] * 95 + [False] * 25)
    rows = rooms._sample(right, 40)
    assert len(set(rows.tolist())) == 40
    assert (~right[rows]).sum() == 10
    assert 3 <= (~right[rows][:20]).sum() <= 7  # an audit that ends early has both
    assert right[rooms._sample(np.array([True] * 9), 40)].sum() == 9
    few = np.array([True] * 3 + [False] * 60)
    assert len(rooms._sample(few, 40)) == 40


def cell(layer: str, method: str, passed: int) -> MapShare:
    share = Share(passed, 30, 0, 1)
    return MapShare(layer, method, share, Share(0, 0, 0, 1), 0, Mean(0.1, 0, 1, 30))


@pytest.mark.parametrize(("passes", "wins"), [(22, True), (12, False), (8, False), (3, False)])
def test_only_what_beats_the_habit_by_more_than_chance_is_proposed(passes: int, wins: bool) -> None:
    habit, other = ("dense", "grad-cam"), ("block2", "layercam")
    verdicts = {
        place: ["depends"] * count + ["cannot_tell"] * (30 - count)
        for place, count in ((habit, 8), (other, passes))
    }
    cells = [cell(*habit, 8), cell(*other, passes)]
    chosen = rooms._proposal(cells, verdicts, np.ones(30, bool), habit)
    assert chosen == (other if wins else habit)


def test_pointing_counts_the_highest_place() -> None:
    maps = rooms.torch.zeros(1, 4, 4)
    maps[0, 0, 3] = 1  # upper right
    assert rooms._points_into(maps, (0.6, 0.0, 1.0, 0.4))
    assert not rooms._points_into(maps, (0.0, 0.0, 0.5, 1.0))


def test_means_have_intervals_by_group() -> None:
    values = np.array([0.1, 0.1, 0.3, 0.3, 0.5, 0.5])
    alone = rooms._mean(values, None)
    together = rooms._mean(values, np.array([0, 0, 1, 1, 2, 2]))
    assert alone is not None
    assert together is not None
    assert alone.value == together.value == pytest.approx(0.3)
    # Student's t of 5 degrees times the standard error, by hand: 2.5706 * 0.1789 / sqrt(6).
    assert alone.high - alone.value == pytest.approx(0.1877, abs=1e-3)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert rooms._mean(values[:2], np.array([4, 4])) is None


def test_plain_values_survive_being_written(found: Audit, folder: Path) -> None:
    pointing = replace(found.cells[0], pointing=Share(3, 12, 0.1, 0.5))
    changed = replace(found, cells=(pointing,), pointing_chance=0.2)
    keep_audit(folder, changed)
    assert saved_audit(folder, "best") == changed
    keep_audit(folder, replace(found, format=0))  # of another version of the lab
    assert saved_audit(folder, "best") is None
    keep_audit(folder, found)
