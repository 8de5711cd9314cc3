"""Small questions about columns."""

from __future__ import annotations

import numpy as np

from lab.charts.series import LabelCounts, last_number


def test_small_questions_about_columns() -> None:
    assert last_number(np.array([1.0, np.nan])) == 1.0
    assert last_number(np.array([np.nan])) is None
    assert last_number(np.empty(0)) is None
    assert LabelCounts((), {}).class_names == ()
