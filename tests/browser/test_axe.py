"""Every page in both themes under axe-core, with a finished run: no serious violation of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lab.ui.entrance import PAGES
from tests.browser.conftest import ROOT, SOON, settle

FAILING = ("serious", "critical")
ALSO = ("heading-order",)
"""Rules of less weight that are kept as well."""

RULES: dict[str, dict[str, list[str]]] = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast", "link-in-text-block"]},
}
"""Theme -> axe's options. In the second theme only what depends on colours is looked at."""

OF_STREAMLIT: dict[tuple[str, str], str] = {
    ("color-contrast", "<p>Activation</p>"): (
        "the label of a choice that is switched off: WCAG 1.4.3 exempts it, axe does not see that "
        "it belongs to one"
    ),
}
"""(rule, part of an element's HTML) -> why it is Streamlit's own and not to be mended here."""


@pytest.fixture(scope="module")
def axe() -> Any:
    """Returns the runner of axe-core that axe-playwright-python brings along."""
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


def violations(axe: Any, page: Any) -> list[str]:
    """Returns what fails in either theme, an element each."""
    found = []
    for scheme, darkest in (("light", 200), ("dark", 0)):
        page.emulate_media(color_scheme=scheme)
        bright = f"() => {BRIGHTNESS} >= {darkest} && {BRIGHTNESS} < {darkest + 56}"
        page.wait_for_function(bright)
        settle(page)
        found += _violations(axe, page, scheme)
    return found


BRIGHTNESS = """Math.min(...getComputedStyle(document.querySelector(".stApp"))
    .backgroundColor.match(/[0-9]+/g).slice(0, 3))"""


def _violations(axe: Any, page: Any, scheme: str) -> list[str]:
    return [
        f"{scheme}, {rule['id']} ({rule['impact']}): {node['html'][:200]} {node['failureSummary']}"
        for rule in axe.run(page, options=RULES[scheme]).response["violations"]
        if rule["impact"] in FAILING or rule["id"] in ALSO
        for node in rule["nodes"]
        if not _is_streamlits(rule["id"], node["html"])
    ]


def _is_streamlits(rule: str, html: str) -> bool:
    return any(rule == known and part in html for known, part in OF_STREAMLIT)


VIEWS = {
    **{page.name: f"{page.name}?run=" for page in PAGES[1:]},
    PAGES[0].name: "?run=",
    "results": "runs?runs_tab=Results&run=",
    "compare": "compare?runs=",
    "the form": "train?architecture=squeezenet1_1&freeze=last_k&start=",
}
"""What is visited: every page of the navigation, the results of a run, and the settings of a new
one with their drawing of the network. Addresses to which the run's id is added."""


@pytest.mark.parametrize("name", VIEWS)
def test_no_serious_violation(
    serve: Callable[[Path], str],
    open_page: Callable[..., Any],
    axe: Any,
    finished_run: str,
    name: str,
) -> None:
    url = f"{serve(ROOT / 'streamlit_app.py')}/{VIEWS[name]}{finished_run}"
    # As high as a page gets: axe judges the contrast of what is on the screen.
    page = open_page(url, height=6000)
    page.get_by_test_id("stMainBlockContainer").get_by_role("heading").first.wait_for(timeout=SOON)
    settle(page, quiet=800)  # what is computed in the background has begun to come
    assert violations(axe, page) == []


def test_no_serious_violation_in_feature_maps(
    serve: Callable[[Path], str], open_page: Callable[..., Any], axe: Any, finished_run: str
) -> None:
    url = f"{serve(ROOT / 'streamlit_app.py')}/inspect?run={finished_run}"
    page = open_page(url, height=4000)
    maps = page.get_by_role("tab", name="Feature maps")
    maps.click(timeout=SOON)
    page.get_by_text("The same image through all stages").wait_for(timeout=SOON)
    page.get_by_role("button", name=re.compile("^Channel ")).first.wait_for(timeout=SOON)
    assert violations(axe, page) == []


def test_no_serious_violation_beside_an_answer(
    serve: Callable[[Path], str],
    open_page: Callable[..., Any],
    axe: Any,
    finished_run: str,
    tmp_path: Path,
) -> None:
    picture = tmp_path / "hand.png"
    Image.effect_noise((64, 64), 80).save(picture)
    url = f"{serve(ROOT / 'streamlit_app.py')}/classify?run={finished_run}"
    page = open_page(url, height=4000)
    page.locator("input[type=file]").first.set_input_files(picture, timeout=SOON)
    page.get_by_text("hand.png").first.wait_for(timeout=SOON)
    settle(page, quiet=1500)  # the answer, and how familiar the picture is
    assert violations(axe, page) == []
