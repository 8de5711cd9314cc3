"""What lies far from all pictures, or from those of its class, is found with what is nearest."""

import dataclasses

import numpy as np
import pytest

from lab.data import catalog
from lab.data.pack import EXCLUDED, Pack
from lab.data.quality import outliers
from lab.data.quality.features import Features
from lab.data.quality.findings import CHECKS, CheckResult
from lab.data.quality.outliers import distances, outer_fence
from lab.progress import Cancelled, never, silent
from tests.tiny_data import make_tiny_pack


@pytest.fixture
def pack() -> Pack:
    return catalog.open_pack(make_tiny_pack(train=240, test=60))


@pytest.fixture
def rows(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 16))
    made = centres[pack.labels] + 0.2 * rng.normal(size=(len(pack), 16))
    made[10] = -centres.sum(axis=0)  # unlike everything
    made[11] = centres[(pack.labels[11] + 1) % 3]  # like another class
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    unit = made.astype(np.float32)
    monkeypatch.setattr(
        outliers, "set_features", lambda pack, **options: Features(unit, "toy", "toy")
    )
    return unit


def run(pack: Pack) -> CheckResult:
    return CHECKS.get("outliers").run(pack, silent, never)


def test_both_kinds_are_found_once_each(pack: Pack, rows: np.ndarray) -> None:
    result = run(pack)
    kinds = {finding.row: finding.kind for finding in result.findings}
    assert kinds[10] == "alone"
    assert kinds[11] == "in_class"
    assert len(kinds) == len(result.findings) <= 5
    odd = next(finding for finding in result.findings if finding.row == 11)
    assert len(odd.others) == 3
    assert (pack.labels[list(odd.others)] == pack.labels[11]).all()
    assert odd.score > 1
    assert "far from all others" in result.notes[0]
    assert "toy" in result.notes[1]


def test_excluded_pictures_and_tiny_classes_are_left_alone(pack: Pack, rows: np.ndarray) -> None:
    split = pack.split.copy()
    split[10] = EXCLUDED
    result = run(dataclasses.replace(pack, split=split))
    assert all(10 not in finding.rows for finding in result.findings)
    split[12:] = EXCLUDED
    assert run(dataclasses.replace(pack, split=split)).findings == ()


def test_a_sample_stands_for_the_set(
    pack: Pack, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outliers, "REFERENCES", 60)
    assert {finding.row for finding in run(pack).findings} >= {10, 11}


def test_identical_pictures_are_no_outliers(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    same = np.tile(np.float32([0.6, 0.8]), (len(pack), 1))
    monkeypatch.setattr(
        outliers, "set_features", lambda pack, **options: Features(same, "toy", "toy")
    )
    result = run(pack)
    assert result.findings == ()
    assert result.notes[0] == "No picture lies far from the others."


def test_distances_leave_the_picture_itself_out() -> None:
    rows = np.eye(8, dtype=np.float32)
    rows[1] = rows[0]
    everything = np.arange(8)
    mean, nearest = distances(rows, everything, everything, never)
    assert mean[0] == pytest.approx(1 - 1 / 5)
    assert nearest[0, 0] == 1
    assert all(place not in found for place, found in enumerate(nearest.tolist()))


def test_fence_and_cancel(pack: Pack, rows: np.ndarray) -> None:
    assert outer_fence(np.arange(101.0)) == 75 + 3 * 50
    with pytest.raises(Cancelled):
        CHECKS.get("outliers").run(pack, silent, lambda: True)
