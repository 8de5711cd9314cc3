"""The live chart in a real browser, on a history that grows by the clock (live_chart_demo.py)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.ui.run.live_feed import OVERLAP

DEMO = Path(__file__).with_name("live_chart_demo.py")
PLOT = ".live-chart .js-plotly-plot"
TICK = 1000  # milliseconds

Open = Callable[..., Any]


@pytest.fixture
def demo(serve: Callable[[Path], str], open_page: Open) -> Open:
    def open_(query: str, **how: Any) -> Any:
        return open_page(f"{serve(DEMO)}/?{query}", **how)

    return open_


def wait_for_points(page: Any, more_than: int = 0) -> None:
    page.wait_for_function(
        "([plot, n]) => document.querySelector(plot)?.data?.[0].x.length > n", arg=[PLOT, more_than]
    )


def steps(page: Any) -> list[int]:
    return list(page.evaluate("(plot) => document.querySelector(plot).data[0].x", PLOT))


def window(page: Any) -> list[float]:
    return list(
        page.evaluate("(plot) => document.querySelector(plot)._fullLayout.xaxis.range", PLOT)
    )


def drag_zoom(page: Any) -> None:
    box = page.locator(PLOT).first.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 102, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Reset zoom").first.wait_for()


def test_quiet_before_the_first_point_then_grows(demo: Open) -> None:
    page = demo("rate=20&wait")
    empty = page.get_by_text("The first point appears here").first
    empty.wait_for()
    height = page.locator(".live-chart").bounding_box()["height"]
    page.get_by_role("button", name="Start").click()
    wait_for_points(page, 5)
    assert not empty.is_visible()
    first = len(steps(page))
    wait_for_points(page, first)
    assert steps(page) == list(range(1, len(steps(page)) + 1))
    assert page.locator(".live-chart").bounding_box()["height"] == height


def test_zoom_and_hover_survive_the_ticks(demo: Open) -> None:
    page = demo("at=500&rate=20")
    wait_for_points(page, 500)
    whole = window(page)
    drag_zoom(page)
    zoomed = window(page)
    assert zoomed != whole
    box = page.locator(PLOT).first.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.locator(f"{PLOT} .hoverlayer .legend").first.wait_for()
    before = len(steps(page))
    for _ in range(4):
        page.wait_for_timeout(TICK)
        assert window(page) == zoomed
        assert page.locator(f"{PLOT} .hoverlayer .legend").count() == 1
    assert len(steps(page)) > before + 40

    page.get_by_role("button", name="Reset zoom").first.click()
    page.wait_for_function(
        "([plot, end]) => document.querySelector(plot)._fullLayout.xaxis.range[1] > end",
        arg=[PLOT, whole[1]],
    )


def test_zoom_survives_the_end_of_the_run_and_the_ticks_stop(demo: Open) -> None:
    page = demo("at=500&rate=30&end=600")
    wait_for_points(page, 500)
    drag_zoom(page)
    zoomed = window(page)
    wait_for_points(page, 599)
    page.wait_for_timeout(2 * TICK)
    frames: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framereceived", frames.append))
    page.wait_for_timeout(2 * TICK)
    assert window(page) == zoomed
    assert steps(page) == list(range(1, 601))
    assert not frames


def test_a_hidden_tab_draws_nothing_and_catches_up_when_seen(demo: Open) -> None:
    page = demo("at=50&rate=20&end=100")
    wait_for_points(page, 50)
    show = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true })
        document.dispatchEvent(new Event("visibilitychange"))
    }"""
    page.evaluate(show, True)
    drawn = len(steps(page))
    assert drawn < 100
    page.wait_for_timeout(
        5 * TICK
    )  # the run ends meanwhile: no later tick can draw what is missing
    assert len(steps(page)) == drawn
    page.evaluate(show, False)
    wait_for_points(page, 99)
    assert steps(page) == list(range(1, 101))


def test_a_hole_is_filled(demo: Open) -> None:
    page = demo("at=300&rate=20")
    wait_for_points(page, 300)
    page.get_by_role("button", name="Lose a message").click()
    wait_for_points(page, 450)
    assert steps(page) == list(range(1, len(steps(page)) + 1))


def test_ten_thousand_points_are_few_in_the_browser_and_on_the_wire(demo: Open) -> None:
    page = demo("at=0&rate=0")
    frames: list[int] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda data: frames.append(len(data))),
    )
    page.goto(page.url.replace("at=0&rate=0", "at=10000&rate=20"))
    wait_for_points(page, 500)
    page.wait_for_timeout(TICK)
    assert len(steps(page)) < 2000
    frames.clear()
    page.wait_for_timeout(5 * TICK)
    assert sum(frames) / 5 < 8000
    assert steps(page)[0] == 1
    assert steps(page)[-1] > 10_000 + OVERLAP


def test_a_fast_run_stays_below_two_thousand_points(demo: Open) -> None:
    page = demo("at=5000&rate=400")
    wait_for_points(page, 500)
    most = 0
    for _ in range(9):
        page.wait_for_timeout(TICK)
        most = max(most, len(steps(page)))
    assert 1000 < most <= 2000
    known = steps(page)
    assert known == sorted(set(known))


def test_follows_light_and_dark(demo: Open) -> None:
    page = demo("at=300&rate=20", scheme="dark")
    wait_for_points(page, 300)

    def ink() -> str:
        return str(
            page.evaluate(
                "(p) => getComputedStyle(document.querySelector(p + ' .xtick text')).fill", PLOT
            )
        )

    dark = ink()
    assert brightness(dark) > 180
    drag_zoom(page)
    zoomed = window(page)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(
        "([p, was]) => getComputedStyle(document.querySelector(p + ' .xtick text')).fill !== was",
        arg=[PLOT, dark],
    )
    assert brightness(ink()) < 80
    assert window(page) == zoomed


def brightness(colour: str) -> float:
    numbers = [float(n) for n in re.findall(r"\d+", colour)[:3]]
    return sum(numbers) / 3


def test_leaves_nothing_behind_on_another_page_and_comes_back(demo: Open) -> None:
    page = demo("at=300&rate=20")
    wait_for_points(page, 300)
    for _ in range(2):
        page.get_by_role("link", name="Other").click()
        page.get_by_role("heading", name="Another page").wait_for()
        page.wait_for_function("() => !document.querySelector('.js-plotly-plot')")
        page.get_by_role("link", name="Demo").click()
        wait_for_points(page)
        assert page.locator(PLOT).count() == 2
    assert page.locator("script[src*='plotly-']").count() == 1
    assert page.locator("link[href*='live_chart-']").count() == 1


def test_reload_shows_the_same_run(demo: Open) -> None:
    page = demo("at=300&rate=0")
    wait_for_points(page, 299)
    page.reload()
    wait_for_points(page, 299)
    assert steps(page) == list(range(1, 301))


def test_one_above_the_other_on_a_phone(demo: Open) -> None:
    page = demo("at=300&rate=20", width=420)
    wait_for_points(page, 300)
    above, below = (plot.bounding_box() for plot in page.locator(PLOT).all())
    assert above["x"] == below["x"]
    assert above["y"] + above["height"] <= below["y"]
    assert above["x"] + above["width"] <= 420
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 420

    page.set_viewport_size({"width": 1440, "height": 900})
    page.wait_for_function(
        "(plot) => document.querySelector(plot)._fullLayout.width > 400", arg=PLOT
    )


def test_by_keyboard_and_for_screen_readers(demo: Open) -> None:
    page = demo("at=300&rate=20")
    wait_for_points(page, 300)
    loss = page.get_by_role("img", name=re.compile(r"^Loss after \d+ steps so far: .* epoch 3: "))
    assert loss.count() == 1
    button = page.get_by_role("button", name="Each batch")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    shown = "(plot) => document.querySelector(plot).data[0].visible"
    assert page.evaluate(shown, PLOT) is False
    page.wait_for_timeout(2 * TICK)
    assert page.evaluate(shown, PLOT) is False

    scale = page.get_by_role("button", name="Log scale")
    scale.focus()
    page.keyboard.press("Space")
    kind = "(plot) => document.querySelector(plot)._fullLayout.yaxis.type"
    assert page.evaluate(kind, PLOT) == "log"
    page.wait_for_timeout(2 * TICK)
    assert page.evaluate(kind, PLOT) == "log"
