"""The film strip as JSON: columns as they were measured, maps as bytes."""

from __future__ import annotations

import base64
import math
from pathlib import Path

import numpy as np
import pytest

from lab.api.film import film_values, maps_values
from lab.errors import NotFoundError
from lab.training.watch.film_files import read_maps, write_snapshot

from .test_run_feed import snapshot_of


def test_columns_are_what_was_measured() -> None:
    first, second = snapshot_of(0, probability=0.25), snapshot_of(3)
    values = film_values([first, second])
    assert values["stages"] == ["conv1"]
    assert values["pictures"] == [
        {"index": 3, "name": "a", "label": 0, "part": "train"},
        {"index": 9, "name": "b", "label": 1, "part": "val"},
    ]
    assert [column["epoch"] for column in values["columns"]] == [0, 3]
    column = values["columns"][0]
    assert column["predicted"] == [1, 1]
    assert column["probability"] == [0.75, 0.75], "of the class that was predicted"
    assert column["true_probability"] == [0.25, 0.75], "of the class that it is"
    assert column["peaks"] == [[2.0, 2.0]]
    assert column["meaningful"] == [[True, True]]


def decoded(folder: Path, epoch: int) -> np.ndarray:
    values = maps_values(folder, epoch, "conv1")
    data = base64.b64decode(values["data"])
    return np.frombuffer(data, dtype=np.uint8).reshape(values["shape"])


def test_maps_are_shares_of_their_peaks(tmp_path: Path) -> None:
    maps = np.zeros((2, 3, 3), dtype=np.float32)
    maps[0] = np.arange(9).reshape(3, 3) / 4
    write_snapshot(tmp_path, snapshot_of(1), [maps])
    shown = decoded(tmp_path, 1)
    raw = read_maps(tmp_path, 1, "conv1")
    assert raw is not None
    assert shown.shape == raw.shape == (2, 3, 3)
    assert shown[0].max() == 255
    np.testing.assert_allclose(shown[0] / 255 * raw[0].max(), raw[0], atol=raw[0].max() / 255)
    assert not shown[1].any(), "an empty map stays empty"


def test_what_is_no_number_is_no_evidence(tmp_path: Path) -> None:
    maps = np.full((2, 2, 2), math.nan, dtype=np.float32)
    maps[0] = [[1, 2], [math.inf, math.nan]]
    write_snapshot(tmp_path, snapshot_of(1), [maps])
    shown = decoded(tmp_path, 1)
    assert shown[0].tolist() == [[128, 255], [0, 0]]
    assert not shown[1].any()


@pytest.mark.parametrize(("epoch", "stage"), [(2, "conv1"), (1, "conv9"), (1, ""), (10**14, "x")])
def test_maps_that_are_not_there(tmp_path: Path, epoch: int, stage: str) -> None:
    write_snapshot(tmp_path, snapshot_of(1), [np.ones((2, 2, 2), dtype=np.float32)])
    with pytest.raises(NotFoundError):
        maps_values(tmp_path, epoch, stage)
