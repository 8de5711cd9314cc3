"""From a question to a comparison, as a person clicks: a recipe, a grid that fills, Compare, and
its address in another browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOON = 150_000  # milliseconds; generous: two cores may be busy with the drawings
KNOBS = "dataset=drawn-signs&architecture=single-layer-perceptron&epochs=1&subset_per_class=20"

Open = Callable[..., Any]


def curves(page: Any) -> int:
    """How many runs the first chart shows, once it is drawn."""
    page.locator(".js-plotly-plot .nsewdrag").first.wait_for(timeout=SOON)
    names: list[str] = page.evaluate(
        "[...new Set(document.querySelector('.js-plotly-plot')._fullData"
        ".filter((t) => t.x?.length).map((t) => t.legendgroup || t.name))]"
    )
    return len(names)


def test_a_recipe_is_one_click_and_its_runs_are_compared(
    serve: Callable[[Path], str], open_page: Open
) -> None:
    page = open_page(serve(ROOT / "streamlit_app.py") + "/experiments?recipe=cd-deep", height=1400)
    page.get_by_role("button", name=re.compile("^Quick · 2 runs")).first.click(timeout=SOON)
    # Sigmoid and ReLU: two runs, queued together, each with a link once it is done.
    for name in ("Sigmoid", "ReLU"):
        page.get_by_role("link", name=f"Deep MLP on Drawn cats and dogs, {name} (quick)").wait_for(
            timeout=SOON
        )
    page.get_by_role("link", name="Compare them").click()
    page.wait_for_url(re.compile(r"/compare\?.*runs=r-[\w-]+(,|%2C)r-"), timeout=SOON)
    assert curves(page) == 2
    # What differs between the two, and nothing else.
    page.get_by_text("What differs in their settings").wait_for(timeout=SOON)


def test_a_grid_fills_and_its_comparison_has_an_address(
    serve: Callable[[Path], str], open_page: Open
) -> None:
    url = serve(ROOT / "streamlit_app.py")
    page = open_page(f"{url}/train?{KNOBS}", height=1400)
    page.get_by_role("button", name="Train", exact=True).wait_for(timeout=SOON)
    page.get_by_role("link", name="Experiments", exact=True).first.click()
    page.get_by_role("tab", name="Sweep").click(timeout=SOON)
    page.get_by_role("button", name="Start the sweep").click(timeout=SOON)
    ended = page.get_by_text(re.compile(r"^Completed: (\d+) of \1 combinations done"))
    ended.wait_for(timeout=SOON)
    count = int(re.findall(r"\d+", ended.inner_text())[0])
    assert count >= 3
    page.get_by_role("link", name="Compare its runs").click()
    page.wait_for_url(re.compile(r"/compare\?.*runs=r-"), timeout=SOON)
    assert curves(page) == count

    other = open_page(page.url)  # a session of its own
    assert curves(other) == count
