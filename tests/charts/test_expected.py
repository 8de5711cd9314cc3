"""The picture of what to expect: every value, escaped, with a true sentence."""

import re

from lab.charts.expected import ExpectedBar, expected_alt, expected_html


def widths(html: str) -> list[str]:
    return re.findall(r"left:([\d.]+%);width:([\d.]+%)", html)


def test_bars_have_the_length_of_their_values() -> None:
    bars = [ExpectedBar("a", "55-61%", 0.55, 0.61, here=0.5), ExpectedBar("b", "98%", 0.98, 0.98)]
    html = expected_html(bars, guessing=0.5, alt="x")
    assert widths(html) == [
        ("0.0%", "55.0%"),
        ("55.0%", "6.0%"),
        ("0.0%", "50.0%"),
        ("0.0%", "98.0%"),
    ]
    assert html.count("left:50.0%;top:0;bottom:0") == 2  # the line of guessing
    assert "guessing 50%" in html
    assert "here" in html


def test_words_without_a_number_are_an_arrow() -> None:
    above = expected_html(
        [ExpectedBar("a", "higher", 0.95, open_end="above")], guessing=None, alt=""
    )
    below = expected_html(
        [ExpectedBar("a", "lower", 0.95, open_end="below")], guessing=None, alt=""
    )
    assert "▶" in above
    assert widths(above) == [("95.0%", "5.0%")]
    assert "◀" in below
    assert widths(below) == [("0.0%", "95.0%")]
    assert "here" not in above
    assert "guessing" not in above


def test_nothing_known_is_an_empty_bar() -> None:
    html = expected_html([ExpectedBar("a", "only words")], guessing=None, alt="")
    assert widths(html) == []
    assert "only words" in html


def test_text_is_escaped_and_the_sentence_complete() -> None:
    bars = [ExpectedBar("<b>", "> 97%", 0.97, 1.0, here=0.931), ExpectedBar("c", "98%")]
    alt = expected_alt(bars)
    assert alt == "Accuracy in the document: <b>: > 97%; c: 98%. Here: <b>: 93.1%."
    html = expected_html(bars, guessing=None, alt=alt)
    assert 'role="img"' in html
    assert "&lt;b&gt;" in html
    assert "<b><b>" not in html
