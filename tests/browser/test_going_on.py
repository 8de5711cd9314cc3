"""A run that has ended goes on in a real browser, its new curve beside the old one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PLOT = ".live-plot"
SOON = 150_000  # milliseconds; generous: two cores may be busy with the drawings


def shot(page: Any, name: str) -> None:
    """For whoever wants to look: LAB_SCREENSHOTS names the folder."""
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"going-on-{name}.png"))


def last_step(page: Any) -> int:
    columns = "(p) => [...document.querySelector(p).uplot.data[0]]"
    return int(page.evaluate(columns, PLOT)[-1])


def test_more_epochs_are_drawn_beside_the_old_curve(
    serve: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(
        serve(ROOT / "streamlit_app.py")
        + "/train?dataset=drawn-signs&architecture=sign-cnn&epochs=2&subset_per_class=20"
    )
    page.get_by_role("button", name="Train", exact=True).click(timeout=SOON)
    page.get_by_role("button", name="More epochs").click(timeout=SOON)
    shot(page, "more")
    first, end = re.search(r"run=([\w-]+)", page.url).group(1), last_step(page)  # type: ignore[union-attr]
    page.get_by_label("Epochs more").fill("3")
    page.get_by_label("Epochs more").press("Enter")
    page.get_by_text("to epoch 5").wait_for(timeout=SOON)
    page.get_by_role("button", name="Go on", exact=True).click()
    page.wait_for_url(lambda url: "run=r-" in url and first not in url, timeout=SOON)
    page.get_by_text("Completed after epoch 5").first.wait_for(timeout=SOON)
    page.get_by_role("button", name="Run before").wait_for(timeout=SOON)
    # Its own three lines, and two of the run before, which end where it begins.
    lines = page.evaluate("(p) => document.querySelector(p).uplot.data.map((c) => [...c])", PLOT)
    steps, own, before = lines[0], lines[2], lines[4]
    assert len(lines) == 6
    assert max(x for x, y in zip(steps, before, strict=True) if y is not None) == end
    assert min(x for x, y in zip(steps, own, strict=True) if y is not None) == end + 1
    page.get_by_text("looked at twice").wait_for(timeout=SOON)  # the one place that says so
    shot(page, "branch")
    page.get_by_role("button", name="Run before").click()
    shown = "(p) => document.querySelector(p).uplot.series.map((s) => s.show)"
    assert page.evaluate(shown, PLOT)[-2:] == [False, False]
