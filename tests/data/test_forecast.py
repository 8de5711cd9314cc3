"""The forecast of a run's images is what the cut will give."""

import numpy as np
import pytest

from lab.config import RunConfig
from lab.data import catalog
from lab.data.forecast import expected_copies, expected_counts
from lab.data.pack import Pack
from lab.data.quality.duplicates import copy_groups
from lab.data.splits import make_splits, split_counts
from tests.data.quality.test_duplicates import make_pack, pictures

CONFIGS = [
    RunConfig(dataset="copies"),
    RunConfig(dataset="copies", split_by="group"),
    RunConfig(dataset="copies", split_by="group", validation_fraction=0.4, seed=3),
    RunConfig(dataset="copies", split_by="group", subset_per_class=6),
    RunConfig(dataset="copies", reduced_class="a", reduced_class_keep=0.5),
]


def with_copies(*, groups: list[int] | None = None) -> Pack:
    images = pictures(24)
    images[10:20] = images[1:11]  # of both classes
    return make_pack(images, groups=groups)


def as_cut(pack: Pack, config: RunConfig) -> tuple[dict[str, int], dict[str, int]]:
    splits = make_splits(pack, config, expected_copies(pack, config))
    train, val = (
        dict(zip(("a", "b"), np.bincount(pack.labels[rows], minlength=2).tolist(), strict=True))
        for rows in (splits.train, splits.val)
    )
    return train, val


@pytest.mark.parametrize("config", CONFIGS)
def test_as_the_cut(config: RunConfig) -> None:
    pack = with_copies()
    info = catalog.describe("copies")
    assert expected_counts(info, config) == as_cut(pack, config)  # nobody has looked yet
    copies = copy_groups(pack)
    assert expected_counts(info, config) == as_cut(pack, config)
    if config.split_by == "group":
        found = expected_copies(pack, config)
        assert found is not None
        assert found.tolist() == copies.tolist()


def test_bursts_count_without_looking() -> None:
    pack = with_copies(groups=[i // 8 for i in range(24)])
    config = RunConfig(dataset="copies")
    counts = expected_counts(catalog.describe("copies"), config)
    assert counts == as_cut(pack, config)
    assert counts != split_counts(catalog.describe("copies").counts, config)


def test_what_is_not_here_is_counted_from_its_numbers() -> None:
    info = catalog.describe("drawn-signs")
    config = RunConfig(dataset="drawn-signs", split_by="group")
    assert expected_counts(info, config) == split_counts(info.counts, config)
