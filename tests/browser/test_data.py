"""A data set of single pictures, as a person makes one, and on to the Train page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.ui.data.collect import LEAST
from tests.data.pictures import jpeg, pets, write_folder, write_zip

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
        if number == 0:  # as an iPhone takes it: no browser knows it, the lab does
            files.append(ROOT / "tests/data/files/turned.heic")
        box = page.get_by_role("combobox", name="Class", exact=True).last
        box.fill(name)
        box.press("Enter")
        page.get_by_text(f"Pictures of {name}").wait_for(timeout=SOON)
        page.locator("input[type=file][multiple]:not([webkitdirectory])").set_input_files(files)
        page.get_by_role("button", name=f"Remove {name}", exact=True).wait_for(timeout=SOON)
    page.get_by_role("textbox", name="Name").first.fill("돌과 잎")
    page.get_by_role("textbox", name="Name").first.press("Tab")
    page.get_by_role("button", name="Make the data set").click()
    page.get_by_role("heading", name="돌과 잎").wait_for(timeout=SOON)
    page.get_by_role("button", name="Train on it").first.click()
    page.wait_for_url("**/train*", timeout=SOON)
    dataset = page.get_by_role("combobox", name="Data set").first
    dataset.wait_for(timeout=SOON)
    assert dataset.input_value() == "돌과 잎"


def test_a_zip_and_a_folder_are_uploaded(
    serve: Callable[[Path], str], open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page(f"{serve(ROOT / 'streamlit_app.py')}/data", height=1600)
    page.get_by_role("button", name="Choose a zip").wait_for(timeout=SOON)
    page.locator("input.zip-input").set_input_files(write_zip(tmp_path / "pets.zip", pets(6)))
    page.get_by_text("pets.zip is here").wait_for(timeout=SOON)
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Choose a folder").wait_for(timeout=SOON)
    folder = write_folder(tmp_path / "my pets", pets(6) | {".DS_Store": b"x"})
    page.locator("input.folder-input").set_input_files(folder)
    page.get_by_text("my pets is here: 12 files").wait_for(timeout=SOON)


def test_a_zip_and_a_folder_are_dropped_in(
    serve: Callable[[Path], str], open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page(f"{serve(ROOT / 'streamlit_app.py')}/data", height=1600)
    browser = page.context.new_cdp_session(page)
    folder = write_folder(tmp_path / "my pets", pets(6))
    for place, words in (
        (write_zip(tmp_path / "pets.zip", pets(6)), "pets.zip is here"),
        (folder, "my pets is here: 12 files"),
    ):
        drop = page.locator(".drop").first
        drop.wait_for(timeout=SOON)
        drop.scroll_into_view_if_needed()
        box = drop.bounding_box()
        for kind in ("dragEnter", "dragOver", "drop"):
            data = {"items": [], "files": [str(place)], "dragOperationsMask": 1}
            where = {"x": box["x"] + 50, "y": box["y"] + 15}
            browser.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})
        page.get_by_text(words).wait_for(timeout=SOON)
        page.get_by_role("button", name="Remove", exact=True).click()


def test_a_burst_is_shot_while_the_button_is_held(
    serve: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(f"{serve(ROOT / 'streamlit_app.py')}/data", height=1600)
    page.get_by_text("From single pictures or the camera").click(timeout=SOON)
    box = page.get_by_role("combobox", name="Class", exact=True).last
    box.wait_for(timeout=SOON)
    box.fill("hand")
    box.press("Enter")
    page.get_by_text("Use the camera").click(timeout=SOON)
    shoot = page.get_by_role("button", name="Hold to shoot")
    page.locator("button.shoot:enabled").wait_for(timeout=SOON)
    for number in (1, 2):
        shoot.dispatch_event("keydown", {"key": " "})
        page.get_by_text(re.compile(r"^([4-9]|\d{2,}) pictures$")).wait_for(timeout=SOON)
        shoot.dispatch_event("keyup", {"key": " "})
        page.get_by_text(f"{number} burst").wait_for(timeout=SOON)
