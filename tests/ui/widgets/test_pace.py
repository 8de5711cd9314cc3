"""Looks at a run grow rarer as it gets longer, and end with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from lab.runs.rows import RunRow
from lab.ui.widgets.pace import REFRESH_SECONDS, SHARE, pace


def run(seconds: float, *, live: bool = True) -> RunRow:
    return cast("RunRow", SimpleNamespace(is_live=live, seconds=seconds))


@pytest.mark.parametrize(
    ("trained", "expected"),
    [(0, 1.0), (60, 1.0), (61, 2.0), (300, 2.0), (301, 3.0), (1200, 3.0), (1201, 5.0), (1e6, 5.0)],
)
def test_looks_grow_rarer(trained: float, expected: float) -> None:
    assert pace(run(trained), 1.0, cores=16) == expected
    assert pace(run(trained), 2.5, cores=16) == 2.5 * expected


@pytest.mark.parametrize("cores", [1, 2, 4, 8])
@pytest.mark.parametrize("trained", [61, 301, 1201])
def test_after_the_first_minute_a_page_takes_no_more_than_its_share(
    cores: int, trained: float
) -> None:
    seconds = pace(run(trained), 1.0, cores=cores)
    assert seconds is not None
    assert REFRESH_SECONDS / seconds / cores <= SHARE * 1.0001


def test_in_the_first_minute_a_small_machine_looks_as_often() -> None:
    assert pace(run(30), 1.0, cores=1) == 1.0


def test_and_end_with_the_run() -> None:
    assert pace(run(10, live=False), 1.0) is None
