"""The map of a data set in a browser: a lasso around pictures brings exactly these below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.conftest import ROOT, SOON, settle


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


def test_fingers_zoom_move_and_choose(
    serve: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(
        f"{serve(ROOT / 'streamlit_app.py')}/data?dataset=drawn-signs", width=420, height=900
    )
    browser = page.context.new_cdp_session(page)
    browser.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    tab = page.get_by_role("tab", name="Map")
    tab.wait_for(timeout=SOON)
    settle(page, quiet=800)
    tab.click()
    status = page.get_by_role("status").filter(has_text="pictures in view")
    status.wait_for(timeout=SOON)
    canvas = page.get_by_role("application")
    canvas.scroll_into_view_if_needed()
    settle(page)
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def draw(*moments: tuple[tuple[float, float], ...]) -> str:
        """Fingers at these places about the middle, moment by moment; what the map then says."""
        for number, spots in enumerate(moments):
            points = [{"x": x + dx, "y": y + dy, "id": i} for i, (dx, dy) in enumerate(spots)]
            kind = "touchMove" if number else "touchStart"
            browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        browser.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_timeout(1000)
        text: str = status.inner_text()
        return text

    whole = status.inner_text()
    all_of_them = int(whole.split()[0].replace(",", ""))
    zoomed = draw(*[((-20 - 10 * k, 0), (20 + 10 * k, 0)) for k in range(9)])
    assert 0 < int(zoomed.split()[0].replace(",", "")) < all_of_them / 2
    scrolled = "document.querySelector('[data-testid=stMain]').scrollTop"
    before = page.evaluate(scrolled)
    assert draw(*[((8 * k, 8 * k),) for k in range(9)]) != zoomed
    assert page.evaluate(scrolled) == before  # the map moved, not the page
    page.get_by_role("button", name="Lasso").click()
    corners = ((-80, -80), (80, -80), (80, 80), (-80, 80), (-80, -40))
    assert "chosen" in draw(*[(corner,) for corner in corners])
    page.get_by_text("pictures chosen").wait_for(timeout=SOON)
