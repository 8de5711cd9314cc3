"""Two runs against each other, and the address of what was seen, opened in a fresh browser tab."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.conftest import ROOT, SOON, ask, train_run

LINES = ".js-plotly-plot .scatterlayer path.js-line"


def test_compare_and_send_the_link_on(
    serve: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    url = serve(ROOT / "streamlit_app.py")
    knobs = {"architecture": "single-layer-perceptron", "epochs": 2, "subset_per_class": 50}
    one, other = (train_run(url, **knobs, seed=seed) for seed in (0, 1))

    # From a run on the Runs page; the other one comes by the choice's own list.
    page = open_page(f"{url}/runs?run={one}")
    page.get_by_role("button", name="Compare").click(timeout=SOON)
    page.wait_for_url(re.compile(rf"/compare\?.*runs={one}"), timeout=SOON)
    page.locator(".st-key-compare_runs input").first.click()
    name = re.escape(ask(f"{url}/api/runs/{other}")["name"] + " · ")
    page.get_by_role("option", name=re.compile(name)).click(timeout=SOON)
    page.wait_for_url(re.compile(rf"runs={one}(%2C|,){other}"), timeout=SOON)
    page.keyboard.press("Escape")
    page.locator(".st-key-compare_curve input").first.click()
    page.get_by_role("option", name="Training loss").click(timeout=SOON)
    page.wait_for_url(re.compile("compare_curve=Training"), timeout=SOON)
    page.wait_for_function(f"() => document.querySelectorAll('{LINES}').length == 2", timeout=SOON)

    # Somebody else opens the address: the same runs, the same figure.
    fresh = open_page(page.url, width=420, scheme="dark")
    fresh.wait_for_function(f"() => document.querySelectorAll('{LINES}').length == 2", timeout=SOON)
    assert fresh.locator(".js-plotly-plot .ytitle").text_content() == "training loss"
    fresh.get_by_text("What differs in their settings").wait_for(timeout=SOON)

    # And asks whether they differ at all.
    fresh.get_by_role("tab", name="Same images").click()
    fresh.get_by_role("button", name="Ask them").click(timeout=SOON)
    fresh.get_by_text(
        re.compile(r"no more than chance|by more than chance|no difference at all")
    ).first.wait_for(timeout=SOON)
    fresh.locator(".matrix tbody").nth(1).wait_for(timeout=SOON)  # one each
    assert fresh.locator(".matrix tbody").count() == 2
