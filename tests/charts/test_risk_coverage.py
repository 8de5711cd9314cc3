"""What is right among the answers that are given."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lab.charts.risk_coverage import risk_coverage_alt, risk_coverage_chart


@pytest.mark.parametrize("count", [0, 1, 20_000])
def test_of_any_length(count: int) -> None:
    answered, right = np.linspace(0.1, 1, count), np.linspace(1, 0.8, count)
    figure = risk_coverage_chart(answered, right, point=(0.9, 0.95))
    assert len(json.dumps(json.loads(figure.to_json())["data"])) < 100_000
    assert bool(figure.layout.annotations) == (count == 0)
    assert len(figure.data) == (2 if count else 0)


def test_the_sentences() -> None:
    assert "from 90.0% on 93.0% of the pictures are answered, and 99.1%" in (
        risk_coverage_alt(0.93, 0.991, 0.9)
    )
    assert "no picture is answered from 99.9% on" in risk_coverage_alt(0.0, np.nan, 0.999)
