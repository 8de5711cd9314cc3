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

ROOT = Path(__file__).parents[2]
SOON = 150_000  # milliseconds; generous: two cores may be busy with the drawings
KNOBS = "dataset=drawn-signs&architecture=sign-cnn&epochs=2&batch_size=128&learning_rate=0.003"

Open = Callable[..., Any]


@pytest.fixture
def trained(serve: Callable[[Path], str], open_page: Open) -> tuple[Any, str]:
    """A page that has just watched a run to its end, and the run's id."""
    page = open_page(serve(ROOT / "streamlit_app.py") + f"/train?{KNOBS}", height=1400)
    page.get_by_role("button", name="Train", exact=True).click(timeout=SOON)
    page.wait_for_url(re.compile(r"[?&]run=r-"), timeout=SOON)
    page.get_by_text("Completed after epoch 2").first.wait_for(timeout=SOON)
    return page, str(re.search(r"run=([\w-]+)", page.url).group(1))  # type: ignore[union-attr]


def shown(page: Any, alt: str) -> Any:
    """The first image whose alternative text contains `alt`, once it has loaded."""
    page.wait_for_function(
        "(alt) => [...document.images].some((i) => i.alt.includes(alt) && i.naturalWidth > 0)",
        arg=alt,
        timeout=SOON,
    )
    return page.get_by_alt_text(alt).first


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
    shown(page, "in layer block3")
    layer = page.locator('[class*="st-key-inspect_cam_layer"] input').first
    layer.click()
    page.get_by_role("option", name=re.compile(r"^block1 · stage")).click(timeout=SOON)
    shown(page, "in layer block1")
    assert run in page.url


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
    page.get_by_text("holds text, not a JPEG, PNG or WebP image").first.wait_for(timeout=SOON)
    page.get_by_text("what speaks for").first.wait_for(timeout=SOON)
    page.get_by_text(re.compile(r"\d+\.\d%")).first.wait_for(timeout=SOON)
