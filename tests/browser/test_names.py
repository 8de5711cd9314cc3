"""Names of classes are shown as they are typed, whatever Markdown or Plotly would make of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = (
    *("a*b*c", "_x_", ":smile:", "<b>bold", "$5 bill", "[red]", "x.y[0]", "1e5", "1. x", "# x"),
    *("a -- b", "x -> y", "<-> z", "x >= y", "~~s~~", "`code`", ":red[z]", "C & A &amp; B"),
    *("www.example.com", "me@example.com", "https://example.com", "![x](http://127.0.0.1:9/x.png)"),
)


def test_names_are_shown_as_typed(
    serve: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(Path(__file__).with_name("names_demo.py")))
    page.locator(".xtick text").first.wait_for(timeout=60_000)
    text = page.locator("[data-testid=stMain]").inner_text().replace("\u2060", "")
    for name in NAMES:
        # caption, bold, button, radio
        assert text.count(name) >= 4, name
    ticks = page.locator(".xtick text").all_text_contents()
    assert ticks == list(NAMES)
    main = page.locator("[data-testid=stMain]")
    assert main.locator("a, em, del, code, img, .katex").count() == 0
