"""A data set of single pictures, as a person makes one, and on to the Train page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.ui.data.collect import LEAST
from tests.data.pictures import jpeg

ROOT = Path(__file__).parents[2]
SOON = 120_000


def test_pictures_are_dropped_in_and_trained_on(
    serve: Callable[[Path], str], open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page(f"{serve(ROOT / 'streamlit_app.py')}/data", height=1600)
    page.get_by_text("From single pictures or the camera").click(timeout=SOON)
    for number, name in enumerate(("leaf", "돌")):
        files = [tmp_path / f"{name}{i}.jpg" for i in range(LEAST)]
        for i, file in enumerate(files):
            file.write_bytes(jpeg(100 * number + i))
        box = page.get_by_role("combobox", name="Class", exact=True).last
        box.fill(name)
        box.press("Enter")
        page.get_by_text(f"Pictures of {name}").wait_for(timeout=SOON)
        page.locator("input[type=file][multiple]").set_input_files(files)
        page.get_by_role("button", name=f"Remove {name}", exact=True).wait_for(timeout=SOON)
    page.get_by_role("textbox", name="Name").first.fill("돌과 잎")
    page.get_by_role("textbox", name="Name").first.press("Tab")
    page.get_by_role("button", name="Make the data set").click()
    page.get_by_role("heading", name="돌과 잎").wait_for(timeout=SOON)
    page.get_by_role("button", name="Train on it").click()
    page.wait_for_url("**/train*", timeout=SOON)
    dataset = page.get_by_role("combobox", name="Data set").first
    dataset.wait_for(timeout=SOON)
    assert dataset.input_value() == "돌과 잎"
