"""A collection of single pictures and bursts, and the data set that it becomes."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from lab.data.catalog import add_dataset, open_pack
from lab.ui.data.burst import MOST_PICTURES, burst_pictures
from lab.ui.data.collect import Collection
from tests.data.pictures import jpeg


def data_url(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def test_only_jpegs_of_a_burst_are_taken() -> None:
    good = jpeg(1)
    urls = [data_url(good), "data:text/html;base64,PHA+", "data:image/jpeg;base64,###", 7, None]
    assert burst_pictures(urls) == [good]
    assert burst_pictures("data:image/jpeg;base64,") == []
    assert len(burst_pictures([data_url(good)] * (MOST_PICTURES + 5))) == MOST_PICTURES


def with_bursts(*bursts: int) -> Collection:
    pictures = Collection()
    for k, name in enumerate(("cat", "dog")):
        for burst in bursts:
            for i in range(4):
                data = jpeg(10_000 * k + 100 * burst + i)
                pictures.add(name, "camera.jpg", data, burst=10 * k + burst)
    return pictures


def test_a_class_needs_three_bursts_or_single_pictures() -> None:
    pictures = with_bursts(1, 2)
    assert pictures.missing() == "Missing: 1 more burst of cat, 1 more burst of dog."
    for i, name in enumerate(("cat", "dog")):
        pictures.add(name, "one.jpg", jpeg(900 + i))
    assert pictures.missing() == ""
    assert pictures.groups("cat") == 3


def test_in_a_shared_lab_a_page_keeps_no_more_pictures_than_one_may_have_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_MAX_SESSION_MB", "1")
    large = jpeg(5) + bytes(600_000)  # what follows a JPEG's end is ignored
    for shared, taken in (("", 2), ("class", 1)):
        monkeypatch.setenv("LAB_SHARED", shared)
        pictures = Collection()
        assert [
            pictures.add("cat", "1.jpg", large),
            pictures.add("cat", "2.jpg", large + b"2"),
        ] == [
            True,
            taken == 2,
        ]
    assert pictures.refused == ["2.jpg: more than 1.0 MB in all; add a folder or zip instead."]


@pytest.mark.usefixtures("lab_home")
def test_a_burst_becomes_a_group_on_one_side() -> None:
    pictures = with_bursts(1, 2, 3)
    pictures.add("cat", "one.png", jpeg(77))
    add_dataset("shot", pictures.write(), image_size=16)
    pack = open_pack("shot")
    assert len(pack) == 25
    assert pack.groups is not None
    assert sorted(np.unique(pack.groups, return_counts=True)[1].tolist()) == [1, *[4] * 6]
    for group in np.unique(pack.groups):
        assert len(set(pack.split[pack.groups == group].tolist())) == 1
