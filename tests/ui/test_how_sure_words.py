"""The sentence about a calibration gap."""

from lab.ui.results.how_sure import gap_words


def test_a_gap_of_nothing_is_said_plainly() -> None:
    assert gap_words(0.0) == gap_words(-0.0004) == "On average as sure as it is right."
    assert gap_words(0.031) == "On average more sure than right, by 3.1%."
    assert gap_words(-0.0005) == "On average less sure than right, by 0.1%."
