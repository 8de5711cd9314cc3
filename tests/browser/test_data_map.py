"""The map of a data set in a browser: a lasso around pictures brings exactly these below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOON = 120_000


def test_a_lasso_brings_the_pictures_below_the_map(
    serve: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(f"{serve(ROOT / 'streamlit_app.py')}/data?dataset=drawn-signs", height=1600)
    page.get_by_role("tab", name="Map").click(timeout=SOON)
    page.locator(".map-frame").wait_for(timeout=SOON)
    status = page.get_by_role("status").filter(has_text="pictures in view")
    status.wait_for(timeout=SOON)
    page.get_by_role("button", name="Lasso").click()
    canvas = page.get_by_role("application")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    left, top = box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"]
    right, low = left + 0.3 * box["width"], top + 0.3 * box["height"]
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, low), (left, low), (left, top + 5)):
        page.mouse.move(x, y, steps=3)
    page.mouse.up()
    page.get_by_text("pictures chosen").wait_for(timeout=SOON)
    chosen = page.get_by_role("group", name="Chosen pictures").locator("button")
    chosen.first.wait_for(timeout=SOON)
    status.filter(has_text="chosen").wait_for(timeout=SOON)
    number = int(status.inner_text().split("·")[1].split()[0].replace(",", ""))
    assert page.get_by_text(f"{number:,} pictures chosen").count() == 1
    assert chosen.count() == min(24, number)
    # One of them alone, by its place on the map's keyboard: Escape chooses none.
    canvas.focus()
    page.keyboard.press("Escape")
    page.get_by_text("Choose pictures with the lasso").wait_for(timeout=SOON)
