"""Two runs against each other, and the address of what was seen, opened in a fresh browser tab."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOON = 150_000  # milliseconds; generous: two cores may be busy with the drawings
KNOBS = "dataset=drawn-signs&architecture=single-layer-perceptron&epochs=2&batch_size=128"
LINES = ".js-plotly-plot .scatterlayer path.js-line"


def train(open_page: Callable[..., Any], url: str, *, seed: int) -> str:
    """Press Train and watch the run to its end; its id."""
    page = open_page(f"{url}/train?{KNOBS}&seed={seed}")
    page.get_by_role("button", name="Train", exact=True).click(timeout=SOON)
    page.wait_for_url(re.compile(r"[?&]run=r-"), timeout=SOON)
    page.get_by_text("Completed after epoch 2").first.wait_for(timeout=SOON)
    return str(re.search(r"run=([\w-]+)", page.url).group(1))  # type: ignore[union-attr]


def test_compare_and_send_the_link_on(
    serve: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    url = serve(ROOT / "streamlit_app.py")
    one, other = (train(open_page, url, seed=seed) for seed in (0, 1))

    # From a run on the Runs page; the other one comes by the choice's own list.
    page = open_page(f"{url}/runs?run={one}")
    page.get_by_role("button", name="Compare").click(timeout=SOON)
    page.wait_for_url(re.compile(rf"/compare\?.*runs={one}"), timeout=SOON)
    page.locator(".st-key-compare_runs input").first.click()
    page.get_by_role("option", name=re.compile(other[-4:])).click(timeout=SOON)
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
