"""Names that people typed are shown as text on every page, and no browser asks a foreign host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.config import RunConfig
from lab.runs.queue import queue, shutdown_queues
from lab.runs.store import close_stores, store
from lab.ui.entrance import PAGES
from tests.browser.conftest import ROOT, SOON, served, settle
from tests.data.pictures import encoded, photo
from tests.hostile import FOREIGN, RUN, hostile, make_hostile_pack

NAMES = (
    *("a*b*c", "_x_", ":smile:", "<b>bold", "$5 bill", "[red]", "x.y[0]", "1e5", "1. x", "# x"),
    *("a -- b", "x -> y", "<-> z", "x >= y", "~~s~~", "`code`", ":red[z]", "C & A &amp; B"),
    *("www.example.com", "me@example.com", "https://example.com", "![x](http://127.0.0.1:9/x.png)"),
    *("{x}%{y} ${z}$", ":material/home: :blue-badge[b]"),
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


@pytest.fixture(scope="module")
def hostile_lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yields the address of a lab whose data set, files, classes and run have hostile names, and
    the run's id behind a "?"."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LAB_HOME", str(folder / "lab-home"))
        config = RunConfig(
            dataset=make_hostile_pack(), architecture="single-layer-perceptron", epochs=1
        )
        run_id = queue().submit(config, name=RUN)
        assert queue().wait(run_id, timeout=120).status == "completed"
        store().set_notes(run_id, hostile("zqo"))
        store().set_tag([run_id], ":red[zqy] $zqy^2$ <b>zqy")
        shutdown_queues()
        close_stores()
    with served(ROOT / "streamlit_app.py", folder) as url:
        yield f"{url}?{run_id}"


@pytest.mark.parametrize("name", [page.name for page in PAGES])
def test_no_page_reads_a_name(hostile_lab: str, open_page: Callable[..., Any], name: str) -> None:
    url, run_id = hostile_lab.split("?")
    bad = f"![zqu]({FOREIGN}/u.png)"
    query = f"run={run_id}&runs={run_id}&dataset=hostile&epochs={bad}&recipe={bad}"
    asked: list[str] = []
    page = open_page("about:blank", height=2500)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/{'' if name == PAGES[0].name else name}?{query}")
    page.get_by_test_id("stMainBlockContainer").get_by_role("heading").first.wait_for(timeout=SOON)
    for place in range(12):
        settle(page)
        _no_name_is_read(page)
        tabs = page.get_by_role("tab")
        if place >= tabs.count():
            break
        tabs.nth(place).click(timeout=SOON)
    if name not in ("experiments", "proof", "storage", "collect"):
        # The others show a name, some in a box that is drawn when its code has come.
        there = "() => document.documentElement.outerHTML.includes('zq')"
        page.wait_for_function(there, timeout=SOON)
        _no_name_is_read(page)
    own = (url, "data:", "blob:", "about:", f"ws{url[4:]}")
    assert [address for address in asked if not address.startswith(own)] == []


def test_no_name_of_an_upload_is_read(hostile_lab: str, open_page: Callable[..., Any]) -> None:
    url, run_id = hostile_lab.split("?")
    page = open_page(f"{url}/classify?run={run_id}", height=2500)
    name = ":red[zqx] $zqx^2$ [zqx](http:) <b>zqx<.png"
    files: list[Any] = [{"name": name, "mimeType": "image/png", "buffer": encoded(photo(), "PNG")}]
    files.append({"name": f"broken {name}", "mimeType": "image/png", "buffer": b"no picture"})
    page.locator("input[type=file]").first.set_input_files(files, timeout=SOON)
    page.get_by_text("could not be classified").wait_for(timeout=SOON)
    page.get_by_text("zqa").first.wait_for(timeout=SOON)  # the answer
    settle(page)
    assert "zqx^2$ [zqx](http:) <b>zqx<.png" in page.get_by_test_id("stMain").inner_text()
    _no_name_is_read(page)


def _no_name_is_read(page: Any) -> None:
    main = page.get_by_test_id("stApp")
    made = main.locator(f"img[src*='{FOREIGN}'], a[href*='{FOREIGN}'], .katex")
    assert made.count() == 0, made.first.evaluate("e => e.outerHTML")
    alone = re.compile(r"^\s*zq\w\s*$")  # a part of a name in an element of its own
    parts = main.locator("b, strong, i, em, a, span, sup, tspan").filter(has_text=alone)
    assert parts.count() == 0, parts.first.evaluate("e => e.outerHTML")
