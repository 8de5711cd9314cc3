"""Pictures of a data set over HTTP: the right ones, in their places, and no others."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from lab.api.pictures import COLUMNS, MOST_PICTURES
from lab.data import catalog
from tests.tiny_data import SIZE, make_tiny_pack


def test_each_picture_is_in_its_place(client: TestClient) -> None:
    pack = catalog.open_pack(make_tiny_pack())
    rows = [5, 0, 17, *range(20, 30)]
    answer = client.get(
        "/api/datasets/tiny/pictures",
        params={"rows": ",".join(map(str, rows)), "side": 32, "images": pack.meta.images_hash},
    )
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    sheet = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))
    assert sheet.shape == (2 * 32, COLUMNS * 32)
    for place, row in enumerate(rows):
        top, left = place // COLUMNS * 32, place % COLUMNS * 32
        seen = sheet[top : top + 32, left : left + 32].reshape(SIZE, 2, SIZE, 2).mean((1, 3))
        others = [np.abs(seen - pack.images[other, :, :, 0]).mean() for other in range(len(pack))]
        assert int(np.argmin(others)) == row


@pytest.mark.parametrize("rows", ["", "a", "-1", "1,,2", "1.5", ",".join(["1"] * 65), "9" * 12])
def test_rows_that_are_none_are_refused(client: TestClient, rows: str) -> None:
    make_tiny_pack()
    answer = client.get("/api/datasets/tiny/pictures", params={"rows": rows})
    assert answer.status_code == 400
    assert f"1 to {MOST_PICTURES} whole numbers" in answer.json()["error"]


def test_a_picture_that_is_not_there(client: TestClient) -> None:
    make_tiny_pack()
    answer = client.get("/api/datasets/tiny/pictures", params={"rows": "0,120"})
    assert answer.status_code == 404
    assert "numbered 0 to 119" in answer.json()["error"]
    assert client.get("/api/datasets/none/pictures").status_code == 404


def test_pictures_of_a_set_that_was_replaced_are_not_those_asked_for(client: TestClient) -> None:
    make_tiny_pack()
    answer = client.get("/api/datasets/tiny/pictures", params={"images": "another"})
    assert answer.status_code == 404
    assert "was replaced" in answer.json()["error"]
