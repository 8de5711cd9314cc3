"""The live view in a real browser, on a run whose steps come by the clock (live_demo.py)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.api.history import WHOLE
from tests.browser.conftest import served

DEMO = Path(__file__).with_name("live_demo.py")
SECOND = 1000  # milliseconds
PLOT = ".live-plot"

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def server(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(DEMO, tmp_path_factory.mktemp("demo")) as url:
        yield url


@pytest.fixture
def demo(server: str, open_page: Open) -> Open:
    def open_(query: str, **how: Any) -> Any:
        return open_page(f"{server}/?{query}", **how)

    return open_


def wait_for_points(page: Any, more_than: int = 0) -> None:
    page.wait_for_function(
        "([plot, n]) => document.querySelector(plot)?.uplot?.data[0].length > n",
        arg=[PLOT, more_than],
    )


def wait_for_step(page: Any, step: int) -> None:
    page.wait_for_function(
        "([plot, n]) => document.querySelector(plot)?.uplot?.data[0].at(-1) >= n",
        arg=[PLOT, step],
    )


def steps(page: Any) -> list[int]:
    return list(page.evaluate("(plot) => [...document.querySelector(plot).uplot.data[0]]", PLOT))


def window(page: Any) -> list[float]:
    script = """(plot) => {
        const { min, max } = document.querySelector(plot).uplot.scales.x
        return [min, max]
    }"""
    return list(page.evaluate(script, PLOT))


def drag_zoom(page: Any) -> None:
    box = page.locator(PLOT).first.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 102, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Reset zoom").first.wait_for()


def frames_of(page: Any) -> list[Any]:
    """What Streamlit sends from now on: one message and more for every run of the script."""
    frames: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda f: frames.append(f)))
    page.reload()
    wait_for_points(page)
    page.wait_for_timeout(2 * SECOND)
    frames.clear()
    return frames


def test_quiet_before_the_first_point_then_grows(demo: Open) -> None:
    page = demo("rate=20&wait")
    empty = page.get_by_text("The first point appears here").first
    empty.wait_for()
    height = page.locator(".live-curves").bounding_box()["height"]
    page.get_by_role("button", name="Begin").click()
    wait_for_points(page, 5)
    assert not empty.is_visible()
    wait_for_points(page, len(steps(page)))
    assert steps(page) == list(range(1, len(steps(page)) + 1))
    assert page.locator(".live-curves").bounding_box()["height"] == pytest.approx(height, abs=40)


def test_no_script_runs_while_one_only_watches(demo: Open) -> None:
    page = demo("at=150&rate=60")
    wait_for_step(page, 150)
    frames = frames_of(page)
    before = steps(page)[-1]
    page.wait_for_timeout(1.5 * SECOND)
    assert steps(page)[-1] > before + 30  # it moved
    assert not frames


def test_zoom_and_hover_stay_while_points_come(demo: Open) -> None:
    page = demo("at=500&rate=60")
    wait_for_step(page, 500)
    drag_zoom(page)
    zoomed = window(page)
    assert zoomed[1] - zoomed[0] < 300
    box = page.locator(PLOT).first.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    tip = page.locator(".live-tip").first
    tip.wait_for()
    before = steps(page)[-1]
    page.wait_for_timeout(1.5 * SECOND)
    assert window(page) == zoomed
    assert tip.is_visible()
    assert "step" in tip.inner_text()
    assert steps(page)[-1] > before + 30
    page.get_by_role("button", name="Reset zoom").first.click()
    assert window(page)[1] >= steps(page)[-1] - 1


def test_zoom_survives_the_end_of_the_run(demo: Open) -> None:
    page = demo("at=500&rate=30&end=600")
    wait_for_step(page, 500)
    drag_zoom(page)
    zoomed = window(page)
    page.get_by_text("Completed").first.wait_for()
    page.get_by_text("test images are right").first.wait_for()  # the page followed
    assert window(page) == zoomed
    assert steps(page) == list(range(1, 601))


def test_a_hidden_tab_has_no_connection_and_catches_up_when_seen(demo: Open) -> None:
    page = demo("at=50&rate=20&end=150&wait")
    page.get_by_role("button", name="Begin").click()  # once the page is there: the run is short
    wait_for_step(page, 50)
    show = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true })
        document.dispatchEvent(new Event("visibilitychange"))
    }"""
    page.evaluate(show, True)
    page.wait_for_timeout(3 * SECOND)
    drawn = steps(page)[-1]
    assert drawn < 140
    page.wait_for_timeout(4 * SECOND)  # the run ends meanwhile
    assert steps(page)[-1] == drawn
    page.evaluate(show, False)
    wait_for_step(page, 150)
    assert steps(page) == list(range(1, 151))


def test_a_lost_connection_is_told_and_made_good(demo: Open) -> None:
    page = demo("at=100&rate=20", expected="ERR_FAILED")
    wait_for_step(page, 100)
    page.route("**/api/events**", lambda route: route.abort())
    # The stream is open: break it by asking for another topic, which opens it anew.
    page.evaluate(
        """async () => {
            const url = [...performance.getEntriesByType("resource")]
                .map(({ name }) => name).find((name) => name.endsWith("/run_view.js"))
            const { watch } = await import(url.replace("run_view.js", "stream.js"))
            watch("panel:none", { message() {} })
        }"""
    )
    page.get_by_text("No connection to the lab; trying again").wait_for()
    last = steps(page)[-1]
    page.unroute("**/api/events**")
    wait_for_step(page, last + 20)
    page.wait_for_function(
        "() => !document.querySelector('.live-notice').textContent.includes('No connection')"
    )
    assert steps(page) == list(range(1, len(steps(page)) + 1))


def test_ten_thousand_points_are_few_in_the_browser(demo: Open) -> None:
    page = demo("at=10000&rate=20")
    wait_for_step(page, 10_000)
    assert len(steps(page)) < 1.2 * WHOLE
    assert steps(page)[0] == 1
    wait_for_step(page, 10_050)


def test_a_fast_run_stays_below_two_thousand_points(demo: Open) -> None:
    page = demo("at=5000&rate=600")
    wait_for_step(page, 5000)
    most = 0
    for _ in range(7):
        page.wait_for_timeout(SECOND)
        most = max(most, len(steps(page)))
    assert 900 < most <= 2100
    known = steps(page)
    assert known == sorted(set(known))


def test_follows_light_and_dark(demo: Open) -> None:
    page = demo("at=300&rate=20", scheme="dark")
    wait_for_step(page, 300)
    ink = "(plot) => document.querySelector(plot).uplot.axes[0].stroke()"
    dark = page.evaluate(ink, PLOT)
    assert brightness(dark) > 180
    page.emulate_media(color_scheme="light")
    page.wait_for_function(
        f"([plot, was]) => ({ink})(plot) !== was", arg=[PLOT, dark], timeout=15 * SECOND
    )
    assert brightness(page.evaluate(ink, PLOT)) < 80


def brightness(colour: str) -> float:
    if colour.startswith("#"):
        return sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) / 3
    numbers = [float(n) for n in re.findall(r"\d+", colour)[:3]]
    return sum(numbers) / 3


def test_leaves_no_connection_behind_on_another_page_and_comes_back(demo: Open) -> None:
    page = demo("at=300&rate=20")
    wait_for_step(page, 300)
    for _ in range(2):
        page.get_by_role("link", name="Other").click()
        page.get_by_role("heading", name="Another page").wait_for()
        page.wait_for_function("() => !document.querySelector('.live-plot')")
        page.get_by_role("link", name="Demo").click()
        wait_for_points(page)
        assert page.locator(PLOT).count() == 2
    assert page.locator("script[src*='uPlot']").count() == 1


def test_one_above_the_other_on_a_phone(demo: Open) -> None:
    page = demo("at=300&rate=20", width=420)
    wait_for_step(page, 300)
    above, below = (plot.bounding_box() for plot in page.locator(PLOT).all())
    assert above["x"] == below["x"]
    assert above["y"] + above["height"] <= below["y"]
    assert above["x"] + above["width"] <= 420
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 420
    page.set_viewport_size({"width": 1440, "height": 900})
    page.wait_for_function("(plot) => document.querySelector(plot).uplot.width > 400", arg=PLOT)


def test_fills_a_projector(demo: Open) -> None:
    page = demo("at=300&rate=20", width=1920, height=1080)
    wait_for_step(page, 300)
    assert page.locator(PLOT).first.bounding_box()["height"] >= 400


def test_by_keyboard_and_for_screen_readers(demo: Open) -> None:
    page = demo("at=300&rate=20")
    wait_for_step(page, 300)
    loss = page.get_by_role("img", name=re.compile(r"^Loss after \d+ steps so far: .*best epoch"))
    assert loss.count() == 1
    button = page.get_by_role("button", name="Each batch")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    shown = "(plot) => document.querySelector(plot).uplot.series[1].show"
    assert page.evaluate(shown, PLOT) is False
    page.wait_for_timeout(SECOND)
    assert page.evaluate(shown, PLOT) is False

    page.locator(PLOT).first.focus()
    page.keyboard.press("Home")
    page.get_by_text("step 1", exact=True).wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text("step 2", exact=True).wait_for()

    scale = page.get_by_role("button", name="Log scale")
    scale.focus()
    page.keyboard.press("Space")
    kind = "(plot) => document.querySelector(plot).uplot.scales.y.distr"
    assert page.evaluate(kind, PLOT) == 3
    page.wait_for_timeout(SECOND)
    assert page.evaluate(kind, PLOT) == 3


# --- outside the page -----------------------------------------------------------------------------
NOTIFICATIONS = """() => {
    window.shown = []
    window.Notification = class {
        static permission = "default"
        static async requestPermission() { return (this.permission = "granted") }
        constructor(title, { body }) { window.shown.push([title, body]) }
    }
}"""
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true })
    document.dispatchEvent(new Event("visibilitychange"))
}"""


def test_the_tab_says_how_far_the_run_is_and_one_press_has_the_end_notified(demo: Open) -> None:
    page = demo("at=50&rate=20&end=200&warn=TensorBoard stopped: no room; the run goes on.")
    page.get_by_text("TensorBoard stopped: no room; the run goes on.").first.wait_for()
    page.wait_for_function("document.title.match(/^\\d+% - Demo run$/)")
    page.evaluate(NOTIFICATIONS)
    page.get_by_role("button", name="Notify me").click()
    page.get_by_role("button", name="Will notify", pressed=True).wait_for()
    page.wait_for_function("document.title === 'done - Demo run'")
    assert page.evaluate("window.shown") == [["done - Demo run", "Done."]]
    assert page.get_by_role("button", name="notify").count() == 0


def test_a_tab_that_nobody_sees_asks_now_and_then(demo: Open) -> None:
    page = demo("at=50&rate=20&end=150")
    page.wait_for_function("document.title.match(/^\\d+% - Demo run$/)")
    page.evaluate(NOTIFICATIONS)
    page.get_by_role("button", name="Notify me").click()
    page.get_by_role("button", name="Will notify", pressed=True).wait_for()
    page.evaluate("""() => {
        const real = window.setTimeout
        window.setTimeout = (call, pause) => real(call, Math.min(pause, 500)) // no 15 s of waiting
    }""")
    page.evaluate(HIDE, True)
    page.wait_for_function("document.title === 'done - Demo run'")
    assert page.evaluate("window.shown") == [["done - Demo run", "Done."]]
    page.evaluate(HIDE, False)
