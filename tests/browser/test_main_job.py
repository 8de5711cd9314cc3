"""The lab's main job in a real browser, as a person does it: press, watch, reload, stop, find."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT, SOON, settle

PLOT = ".live-plot"

Open = Callable[..., Any]


@pytest.fixture
def lab(serve: Callable[[Path], str], open_page: Open) -> Open:
    """`lab()` is Home; `lab("/?run=...")` a link. One server for all tests of this file."""
    return lambda path="/", **how: open_page(serve(ROOT / "streamlit_app.py") + path, **how)


def points(page: Any) -> int:
    return int(page.evaluate("(p) => document.querySelector(p)?.uplot?.data[0].length ?? 0", PLOT))


def wait_for_points(page: Any, more_than: int = 0) -> None:
    page.wait_for_function(
        "([plot, n]) => document.querySelector(plot)?.uplot?.data[0].length > n",
        arg=[PLOT, more_than],
        timeout=SOON,
    )


def go_to(page: Any, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()


def run_in_url(page: Any) -> str:
    page.wait_for_url(re.compile(r"[?&]run=r-"), timeout=SOON)
    return str(re.search(r"run=([\w-]+)", page.url).group(1))  # type: ignore[union-attr]


def test_the_main_job(lab: Open) -> None:
    page = lab()
    # One press on Home, and the curve moves.
    page.get_by_role("button", name="Start", exact=True).first.click(timeout=SOON)
    run_in_url(page)
    wait_for_points(page, 3)
    page.close()
    # One on Train, for a run that is long enough for what comes; it waits for the first one's end.
    page = lab("/train?dataset=drawn-signs&architecture=sign-cnn&epochs=1000")
    page.get_by_role("button", name="Train", exact=True).click(timeout=SOON)
    run = run_in_url(page)
    wait_for_points(page, 3)
    wait_for_points(page, points(page))
    # A reload keeps the run; it pauses, and a second tab sees the same one.
    page.reload()
    wait_for_points(page, 3)
    assert run_in_url(page) == run
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_text("Paused after step").first.wait_for(timeout=SOON)
    second = lab(f"/?run={run}")
    go_to(second, "Train")
    second.get_by_text("Paused after step").first.wait_for(timeout=SOON)
    wait_for_points(second, 3)
    assert run_in_url(second) == run
    # It goes on and is stopped; the other tab learns of it by itself.
    before = points(page), points(second)
    page.get_by_role("button", name="Resume", exact=True).click()
    wait_for_points(page, before[0])
    wait_for_points(second, before[1])
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped after step").first.wait_for(timeout=SOON)
    second.get_by_text("Stopped after step").first.wait_for(timeout=SOON)
    # The run is found again later.
    go_to(page, "Runs")
    page.get_by_role("button", name="Use these settings").wait_for(timeout=SOON)
    wait_for_points(page, 3)
    assert run_in_url(page) == run


def test_a_link_to_a_run_is_the_first_thing_a_new_server_sees(
    serve: Callable[..., str], open_page: Open
) -> None:
    """After a restart of the server a bookmark or a reload opens /train?run=... before anything
    else; Streamlit would run that page without the entrance."""
    page = open_page(serve(ROOT / "streamlit_app.py", fresh=True) + "/train?epochs=3")
    page.get_by_role("link", name="Runs", exact=True).first.wait_for(timeout=SOON)
    page.get_by_role("button", name="Train", exact=True).wait_for(timeout=SOON)
    assert page.get_by_role("link", name="streamlit app").count() == 0


def test_every_page_fits_a_phone(lab: Open) -> None:
    """Nothing is wider than 420 pixels and nothing throws."""
    page = lab(width=420)
    page.get_by_role("button", name="Start", exact=True).first.wait_for(timeout=SOON)
    for path in ("data", "train", "runs", ""):
        page.goto(f"{page.url.split('/', 3)[0]}//{page.url.split('/', 3)[2]}/{path}")
        page.locator("h1, h2").first.wait_for(timeout=SOON)
        settle(page)
        widest = page.evaluate("document.scrollingElement.scrollWidth")
        assert widest <= 420, path
        assert page.get_by_text("Traceback").count() == 0
        menu = page.get_by_test_id("stExpandSidebarButton")
        words = menu.evaluate("(button) => getComputedStyle(button, '::after').content")
        assert words == ('"Menu and settings"' if path == "train" else '"Menu"'), path

    # The settings cover the page; they make way for the run that they started.
    url = page.url.rpartition("/")[0]
    page.goto(f"{url}/train?dataset=drawn-signs&architecture=single-layer-perceptron&epochs=1")
    settle(page)
    page.get_by_test_id("stExpandSidebarButton").click(timeout=SOON)
    page.get_by_role("button", name="Train", exact=True).click(timeout=SOON)
    run_in_url(page)
    page.locator("[data-testid=stSidebar][data-collapsed=true]").wait_for(
        state="attached", timeout=SOON
    )


def test_the_whole_way_by_keyboard(lab: Open) -> None:
    """Tab reaches the first start and Enter presses it."""
    page = lab()
    start = page.get_by_role("button", name="Start", exact=True).first
    start.wait_for(timeout=SOON)
    for _ in range(30):
        page.keyboard.press("Tab")
        if start.evaluate("(button) => button === document.activeElement"):
            break
    else:
        pytest.fail("Tab never reached the first Start")
    page.keyboard.press("Enter")
    run_in_url(page)
    wait_for_points(page, 1)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped after step").first.wait_for(timeout=SOON)


def test_pictures_have_alternative_texts(lab: Open) -> None:
    page = lab()
    go_to(page, "Data")
    pictures = page.locator("[data-testid='stMain'] img")
    pictures.nth(11).wait_for(timeout=SOON)
    settle(page)  # the rest of them
    assert all(pictures.evaluate_all("(images) => images.map((image) => image.alt)"))


def test_a_picture_can_be_fetched_although_the_page_has_moved_on(lab: Open) -> None:
    page = lab()
    go_to(page, "Data")
    picture = page.locator("[data-testid='stMain'] img[src*='/media/']").first
    picture.wait_for(timeout=SOON)
    url = picture.evaluate("(image) => image.src")
    go_to(page, "Home")
    page.get_by_role("button", name="Start", exact=True).first.wait_for(timeout=SOON)
    page.locator(".stApp[data-test-script-state='notRunning']").wait_for(timeout=SOON)
    page.wait_for_timeout(500)  # at the end of a script's run Streamlit forgets pictures
    assert page.request.get(url).status == 200
