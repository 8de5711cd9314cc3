"""The Classify page in a browser: the frame on the picture, the live camera, pictures that stay."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.browser.conftest import ROOT, SOON, ask, settle, train_run

FRAME = ".crop .frame"


def picture(seed: int = 0) -> dict[str, Any]:
    """A picture to upload, 300 by 200 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((300, 200)).save(file, "PNG")
    return {"name": f"picture {seed}.png", "mimeType": "image/png", "buffer": file.getvalue()}


def upload(page: Any, *files: dict[str, Any]) -> None:
    page.locator("[data-testid=stFileUploaderDropzoneInput]").set_input_files(list(files))
    page.locator(".st-key-classify_remove_all").wait_for(timeout=SOON)


def shares(page: Any) -> list[int]:
    """Where the frame is, in percent: its middle from the left and from the top, and its side."""
    return [int(n) for n in re.findall(r"(\d+)%", page.get_attribute(FRAME, "aria-label"))]


def test_pictures_are_cropped_compared_and_taken_by_the_camera(
    serve: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    url = serve(ROOT / "streamlit_app.py")
    knobs = {"architecture": "single-layer-perceptron", "epochs": 1, "subset_per_class": 50}
    other, one = (train_run(url, **knobs, seed=seed) for seed in (5, 6))
    page = open_page(f"{url}/classify?run={one}", height=1200)
    missing: list[str] = []
    page.on(
        "response",
        lambda r: missing.append(r.url) if r.status >= 400 and "/_stcore/" not in r.url else None,
    )

    # A frame is dragged on the only picture, whose details are open.
    upload(page, picture())
    stage = page.locator(".crop .stage")
    stage.wait_for(timeout=SOON)
    settle(page, quiet=800)  # so that nothing moves under the mouse
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.65 * box["height"], steps=4)
    page.mouse.up()
    page.get_by_text("300 × 200 pixels, cropped").wait_for(timeout=SOON)
    x, y, side = shares(page)
    assert abs(x - 35) <= 2
    assert abs(y - 42) <= 2
    assert abs(side - 45) <= 2
    # The frame itself is moved, made larger and taken away by keys.
    page.locator(FRAME).focus()
    for key in ("Shift+ArrowRight", "ArrowDown", "Shift++"):
        page.keyboard.press(key)
    moved = shares(page)
    assert moved[0] > x
    assert moved[1] > y
    assert moved[2] > side
    page.keyboard.press("Delete")
    page.get_by_text("300 × 200 pixels", exact=True).wait_for(timeout=SOON)
    assert not page.locator(FRAME).is_visible()

    # More pictures and another network: one line each, and no picture is lost on the way.
    upload(page, picture(1), picture(2))
    page.get_by_text("picture 2.png").wait_for(timeout=SOON)
    page.locator(".st-key-classify_runs input").first.click()
    name = re.escape(ask(f"{url}/api/runs/{other}")["name"] + " · ")
    page.get_by_role("option", name=re.compile(name)).click(timeout=SOON)
    page.keyboard.press("Escape")
    lines = page.locator("[class*=st-key-classify_line_]")
    bars = lines.first.locator("[data-testid=stProgress]")
    page.wait_for_function(
        "() => document.querySelectorAll('[class*=st-key-classify_line_] [data-testid=stProgress]')"
        ".length == 6",
        timeout=SOON,
    )
    assert lines.count() == 3
    assert bars.count() == 2
    page.get_by_role("heading", name="Classify").click()  # out of the select box, which shrinks
    settle(page, quiet=800)
    page.get_by_role("button", name="Details").first.click()
    page.get_by_text("what the network sees, 28 × 28").first.wait_for(timeout=SOON)
    assert page.get_by_text("Image source error").count() == 0

    # The camera: answers change without a run of the page.
    asked: list[Any] = []

    def answer(route: Any) -> None:
        asked.append(route.request)
        share = 0.5 + len(asked) % 10 / 100
        answers = [{"class": "A", "probability": share}, {"class": "B", "probability": 1 - share}]
        body = {"answers": answers, "unlike": True, "checkpoint": "best", "epoch": 2}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body))

    page.route("**/api/runs/**", answer)
    page.get_by_text("Use the camera").click()
    page.locator(".camera .fill").first.wait_for(timeout=SOON)
    page.wait_for_timeout(1500)  # the time in which frames are sent by themselves
    assert len(asked) >= 4
    assert page.locator(".camera .first").first.inner_text().startswith("A")
    assert "be careful with its answer" in page.locator(".camera .alarm").first.inner_text()
    request = asked[0]
    assert f"/api/runs/{one}/classify?checkpoint=best" in request.url
    assert request.headers["x-requested-with"] == "lab"
    with Image.open(io.BytesIO(request.post_data_buffer)) as frame:
        assert frame.format == "JPEG"
        assert min(frame.size) == 2 * 28
    # A picture that is taken comes first.
    page.get_by_role("button", name="Take picture").click()
    page.get_by_text("Camera picture").wait_for(timeout=SOON)
    assert "Camera picture" in lines.first.inner_text()
    # And nothing is sent once the camera is off.
    page.get_by_text("Use the camera").click()
    page.locator(".camera").wait_for(state="detached", timeout=SOON)
    page.wait_for_timeout(500)
    sent = len(asked)
    page.wait_for_timeout(1000)
    assert len(asked) == sent
    assert not missing
