"""Every page in both themes under axe-core, with a finished run: no serious violation of ours."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from lab.config import RunConfig
from lab.data import versions
from lab.data.versions import Edits
from lab.experiments import proof
from lab.runs.store import store
from lab.ui.entrance import PAGES
from tests.browser.conftest import HOMES, ROOT, SOON, ask, settle, train_run, wait_for_run

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


def violations(axe: Any, page: Any, quiet: int = 400) -> list[str]:
    """Returns what fails in either theme, an element each, after so many quiet milliseconds."""
    found = []
    for scheme, darkest in (("light", 200), ("dark", 0)):
        page.emulate_media(color_scheme=scheme)
        bright = f"() => {BRIGHTNESS} >= {darkest} && {BRIGHTNESS} < {darkest + 56}"
        page.wait_for_function(bright)
        settle(page, quiet)
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


COMPARED = ("Final results", "Settings and results", "Same images")
EXPLORED = ("Labels", "Sizes and pixels", "Augmentation", "Check", "Map", "Versions")


def open_view(open_page: Callable[..., Any], url: str) -> Any:
    """Returns the page, as high as one gets: axe judges the contrast of what is on the screen."""
    page = open_page(url, height=6000)
    page.get_by_test_id("stMainBlockContainer").get_by_role("heading").first.wait_for(timeout=SOON)
    settle(page, quiet=800)  # what is computed in the background has begun to come
    return page


@pytest.mark.parametrize("name", VIEWS)
def test_no_serious_violation(
    serve: Callable[[Path], str],
    open_page: Callable[..., Any],
    axe: Any,
    finished_run: str,
    name: str,
) -> None:
    url = f"{serve(ROOT / 'streamlit_app.py')}/{VIEWS[name]}{finished_run}"
    assert violations(axe, open_view(open_page, url)) == []


def test_no_serious_violation_in_a_run_that_trains(
    serve: Callable[[Path], str], open_page: Callable[..., Any], axe: Any
) -> None:
    url = serve(ROOT / "streamlit_app.py")
    knobs = {"dataset": "drawn-signs", "architecture": "sign-cnn", "epochs": 10_000}
    run = ask(f"{url}/api/runs", {"config": knobs})["id"]
    try:
        page = open_page(f"{url}/train?run={run}", height=6000)
        page.locator(".live-film table").first.wait_for(timeout=SOON)
        page.locator(".heatmaplayer").first.wait_for(timeout=SOON)
        assert violations(axe, page) == []
    finally:
        ask(f"{url}/api/runs/{run}/stop", {})


@pytest.mark.parametrize(
    ("path", "tabs"),
    [
        ("experiments", ("Sweep",)),
        ("compare?runs=", COMPARED),
        ("data?dataset=handwritten-digits&run=", EXPLORED),
    ],
)
def test_no_serious_violation_in_the_other_tabs(
    serve: Callable[[Path], str],
    open_page: Callable[..., Any],
    axe: Any,
    finished_run: str,
    path: str,
    tabs: tuple[str, ...],
) -> None:
    url = serve(ROOT / "streamlit_app.py")
    runs = f"{finished_run},{_other_run(url)}" if "runs=" in path else finished_run
    page = open_view(open_page, f"{url}/{path}{runs}" if path.endswith("=") else f"{url}/{path}")
    found = {}
    for tab in tabs:
        page.get_by_role("tab", name=tab, exact=True).click(timeout=SOON)
        settle(page, quiet=250)
        found[tab] = violations(axe, page, quiet=250)
    assert found == {tab: [] for tab in tabs}


@functools.cache
def _other_run(url: str) -> str:
    return train_run(url, architecture="single-layer-perceptron", epochs=1, subset_per_class=20)


def test_no_serious_violation_in_a_proof(
    serve: Callable[[Path], str],
    open_page: Callable[..., Any],
    axe: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Queued from here in the server's LAB_HOME, and trained by the server."""
    url = serve(ROOT / "streamlit_app.py")
    monkeypatch.setenv("LAB_HOME", str(HOMES[url]))
    name = "handwritten-digits"
    before = versions.versions(name)[0].content_hash
    after = versions.apply(name, Edits(exclude=frozenset([0]))).content_hash
    config = RunConfig(dataset=name, architecture="single-layer-perceptron", epochs=1)
    there = SimpleNamespace(
        submit=lambda config, name, origin: store().create_run(config, name=name, origin=origin)
    )
    proof_id = proof.start(name, before, after, config, seeds=1, runs=there)  # type: ignore[arg-type]
    for run in proof.read(proof_id).runs:
        wait_for_run(url, run.row.id)
    page = open_page(f"{url}/proof?proof={proof_id}", height=4000)
    page.get_by_text("test pictures").first.wait_for(timeout=SOON)
    settle(page, quiet=800)
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
