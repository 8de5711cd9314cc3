"""Reading a ramp: curves whose answer is known."""

import numpy as np
import pytest

from lab.training.lr_finder.curve import read_curve

RATES = np.geomspace(1e-5, 1, 100)
X = np.log10(RATES)


def ramp(*, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """2.0 up to 1e-3, straight down to 1.0 at 1e-2, up again from 10^-1.5 on."""
    clean = np.interp(X, [-5, -3, -2, -1.5, -0.5, 0], [2, 2, 1, 1, 8, 1000])
    return clean + np.random.default_rng(seed).normal(0, noise, len(X))


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
def test_the_fall_is_found_where_it_is(noise: float) -> None:
    found = read_curve(RATES, ramp(noise=noise))
    assert found.low is not None
    assert found.high is not None
    assert found.suggested is not None
    assert np.log10(found.low) == pytest.approx(-2.9, abs=0.25)
    assert np.log10(found.high) == pytest.approx(-2.1, abs=0.25)
    assert found.suggested == pytest.approx(np.sqrt(found.low * found.high))
    assert f"{found.suggested:.1e}" in found.reason
    assert "rose again" in found.reason


def test_the_explosion_does_not_reach_back_over_the_fall() -> None:
    exploded = ramp()
    exploded[X > -1] = 1e9
    plain, wild = read_curve(RATES, ramp()), read_curve(RATES, exploded)
    before = X < -1.6
    np.testing.assert_allclose(wild.smoothed[before], plain.smoothed[before], rtol=0.05)
    assert wild.suggested == plain.suggested


def test_a_loss_that_is_no_number_at_the_end_is_read_over() -> None:
    ended = ramp()[: np.searchsorted(X, -1.2)]
    ended[-1] = np.nan
    found = read_curve(RATES[: len(ended)], ended)
    assert np.isfinite(found.smoothed).all()
    assert found.suggested is not None


def test_a_fall_to_the_end_is_not_said_to_rise_again() -> None:
    falling = np.interp(X, [-5, -2, 0], [2, 2, 1])
    found = read_curve(RATES, falling)
    assert found.suggested is not None
    assert "rose again" not in found.reason
    assert "the highest rate tried" in found.reason


def test_noise_alone_gives_no_suggestion() -> None:
    """400 flat curves of three strengths: at most one in a hundred may fool the reading."""
    rng = np.random.default_rng(0)
    fooled = [
        read_curve(RATES, 0.7 + rng.normal(0, 0.02 * (1 + i % 3), 100)).suggested is not None
        for i in range(400)
    ]
    assert sum(fooled) <= 4


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        (np.full(100, 0.7), "the curve is flat"),
        (0.7 + np.random.default_rng(1).normal(0, 0.001, 100), "the curve is flat"),
        (np.interp(X, [-5, -2, 0], [0.7, 0.7, 3]), "from about"),
        (ramp(noise=1.5), "may be chance"),
        (np.full(100, np.nan), "no number from the first step on"),
    ],
)
def test_why_there_is_no_suggestion(losses: np.ndarray, why: str) -> None:
    found = read_curve(RATES, losses)
    assert (found.low, found.suggested, found.high) == (None, None, None)
    assert found.reason.startswith("No suggestion")
    assert why in found.reason


def test_too_few_steps_are_not_read() -> None:
    found = read_curve(RATES[:5], np.array([0.7, 2, 8, 30, 200]))
    assert found.suggested is None
    assert "within 5 steps" in found.reason
