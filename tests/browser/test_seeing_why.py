"""From a trained run to its reasons, as a person clicks: a cell of the confusion matrix, an image
in Inspect, another layer, a picture of one's own."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import ROOT, SOON, settle

Open = Callable[..., Any]


@pytest.fixture
def trained(serve: Callable[[Path], str], open_page: Open, finished_run: str) -> tuple[Any, str]:
    """A page that shows a completed run, and the run's id."""
    url = f"{serve(ROOT / 'streamlit_app.py')}/train?run={finished_run}"
    page = open_page(url, height=1400)
    page.get_by_text("Completed after epoch 2").first.wait_for(timeout=SOON)
    return page, finished_run


def shown(page: Any, alt: str) -> Any:
    """The first image whose alternative text contains `alt`, once it has loaded."""
    page.wait_for_function(
        "(alt) => [...document.images].some((i) => i.alt.includes(alt) && i.naturalWidth > 0)",
        arg=alt,
        timeout=SOON,
    )
    return page.get_by_alt_text(alt).first


def map_of(page: Any, title: str) -> Any:
    """The large map of a layer, or the sentence that it is empty, once it is there."""
    picture = page.locator(f"img[alt*='with what speaks for'][alt$='in {title}']")
    empty = page.get_by_text(re.compile(f"Nothing in {title}|hardly depends on {title}"))
    either = picture.or_(empty).first
    either.wait_for(timeout=SOON)
    return either


def test_from_a_cell_to_a_reason(trained: tuple[Any, str]) -> None:
    page, run = trained
    # The film strip has grown: before training, and after each epoch.
    strip = page.locator(".live-film table").first
    strip.wait_for(timeout=SOON)
    assert "epoch 2" in strip.inner_text()

    # Results: a click on a cell of the matrix brings its images.
    page.get_by_role("link", name="Runs", exact=True).first.click()
    page.get_by_role("tab", name="Results").click(timeout=SOON)
    page.get_by_text("Which class is taken for which").first.wait_for(timeout=SOON)
    cell = page.locator('.matrix td[aria-label^="true: C, predicted: C"]')
    cell.wait_for(timeout=SOON)
    shown(page, ", predicted ")
    cell.hover()
    about = re.compile(r"true: C, predicted: C — ([\d,]+ of [\d,]+ images|no image)")
    page.get_by_text(about).wait_for(timeout=SOON)
    cell.click()
    page.get_by_text(re.compile(r"C, predicted right|No image: C")).first.wait_for(timeout=SOON)
    # By keyboard as well, and from the cell that was chosen to the next.
    for chosen in ("D", "E"):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        words = re.compile(rf"C taken for {chosen}|No image: C taken for {chosen}")
        page.get_by_text(words).first.wait_for(timeout=SOON)

    # One of them in Inspect, explained in another layer.
    page.get_by_text("Worst first", exact=True).first.click()
    page.get_by_text("the highest loss first").first.wait_for(timeout=SOON)
    shown(page, ", predicted ")
    page.get_by_role("link", name="Inspect", exact=True).nth(1).click()
    page.wait_for_url(re.compile(r"/inspect\?.*image=\d+"), timeout=SOON)
    shown(page, "as the network gets it")
    map_of(page, "Block 3")
    layer = page.locator('[class*="st-key-inspect_cam_layer"] input').first
    layer.click()
    page.get_by_role("option", name=re.compile(r"^Block 1 ·")).click(timeout=SOON)
    map_of(page, "Block 1")
    assert run in page.url

    # Another image by a click on its thumbnail, another layer by one on its stage.
    page.get_by_text("Test", exact=True).first.click(timeout=SOON)
    page.get_by_role("button", name=re.compile("^Image 2: ")).first.click(timeout=SOON)
    page.get_by_role("button", name=re.compile("^Image 2: "), pressed=True).wait_for(timeout=SOON)
    page.locator(".stApp[data-test-script-state='notRunning']").wait_for(timeout=SOON)
    page.get_by_role("button", name=re.compile("in Block 3")).first.click(timeout=SOON)
    page.get_by_role("button", name=re.compile("in Block 3"), pressed=True).wait_for(timeout=SOON)

    # A channel by keyboard; closing it gives the focus back.
    page.get_by_role("tab", name="Feature maps").click()
    channel = page.get_by_role("button", name=re.compile("^Channel .* Click to enlarge")).first
    channel.focus(timeout=SOON)
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_text("The picture", exact=True).wait_for(timeout=SOON)
    shown(page, "enlarged")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden", timeout=SOON)
    page.wait_for_function(
        "() => document.activeElement?.shadowRoot?.activeElement?.title?.startsWith('Channel')",
        timeout=SOON,
    )


def test_gradient_health_stands_beside_the_film_strip(trained: tuple[Any, str]) -> None:
    page, _ = trained
    strip, health = page.locator(".live-film-box"), page.locator("details.live-details").first
    health.scroll_into_view_if_needed(timeout=SOON)  # it is drawn when somebody sees it
    health.locator(".heatmaplayer").wait_for(timeout=SOON)
    assert "Block 1" in health.locator(".ytick text").all_text_contents()
    left, right = strip.bounding_box(), health.bounding_box()
    assert right["x"] >= left["x"] + left["width"]
    assert right["y"] < left["y"] + left["height"]

    # Its labels follow light and dark.
    label = health.locator(".ytick text").first
    bright = label.evaluate("(text) => getComputedStyle(text).fill")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        """(bright) => {
            const label = document.querySelector("details.live-details .ytick text")
            return label && getComputedStyle(label).fill !== bright
        }""",
        arg=bright,
        timeout=SOON,
    )

    # No number stands alone in a row of its own.
    page.set_viewport_size({"width": 1190, "height": 900})
    page.wait_for_function(
        """() => {
            const rows = {}
            for (const { offsetTop: top } of document.querySelectorAll(".live-tiles > div")) {
                rows[top] = (rows[top] ?? 0) + 1
            }
            const sizes = Object.values(rows)
            return sizes.length > 1 && Math.max(...sizes) - Math.min(...sizes) <= 1
        }""",
        timeout=SOON,
    )
    # On a telephone below it, and folded.
    page.set_viewport_size({"width": 420, "height": 900})
    page.reload()
    health.locator("summary").wait_for(timeout=SOON)
    left, right = strip.bounding_box(), health.bounding_box()
    assert right["y"] >= left["y"] + left["height"]
    assert health.get_attribute("open") is None


def test_the_map_is_on_the_first_screen(trained: tuple[Any, str]) -> None:
    page, run = trained
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(page.url.split("/train")[0] + f"/inspect?run={run}")
    picture = shown(page, "as the network gets it").bounding_box()
    box = map_of(page, "Block 3").bounding_box()
    assert picture["y"] < 350
    assert picture["y"] + picture["height"] < 900
    assert box["y"] < 350
    assert box["x"] > picture["x"] + picture["width"]
    # On a telephone before the choices.
    page.set_viewport_size({"width": 420, "height": 900})
    settle(page)
    picture = shown(page, "as the network gets it").bounding_box()
    assert picture["y"] < 350
    assert page.get_by_text("Checkpoint", exact=True).bounding_box()["y"] > picture["y"]


def test_a_picture_of_ones_own_is_answered(trained: tuple[Any, str]) -> None:
    page, _ = trained
    page.get_by_role("link", name="Classify", exact=True).first.click()
    page.get_by_text("Pictures", exact=True).first.wait_for(timeout=SOON)
    pixels = np.linspace(0, 255, 60 * 80 * 3).reshape(60, 80, 3).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    page.locator('input[type="file"]').first.set_input_files(
        [
            {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()},
            {"name": "note.txt", "mimeType": "text/plain", "buffer": b"not a picture"},
        ]
    )
    page.get_by_text("holds text, not a picture").first.wait_for(timeout=SOON)
    page.get_by_text("what speaks for").first.wait_for(timeout=SOON)
    page.get_by_text(re.compile(r"\d+\.\d%")).first.wait_for(timeout=SOON)
