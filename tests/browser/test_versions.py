"""From a messy zip to the sentence: upload, look, add, check, mend, save, train both versions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.data.pictures import pets, write_zip

ROOT = Path(__file__).parents[2]
SOON = 120_000


def messy_zip(path: Path) -> Path:
    """Parts in words, a copy of a training picture of each class among the test pictures, and what
    lies about in such zips."""
    train, test = pets(24, prefix="Messy pets/Train Data/"), pets(7, prefix="", first=50)
    files = {**train, **{f"Messy pets/Test Data/{name}": data for name, data in test.items()}}
    for kind in ("cat", "dog"):
        copied = f"Messy pets/Train Data/{kind}s/{kind}.3.jpg"
        files[f"Messy pets/Test Data/{kind}s/{kind}.copy.jpg"] = train[copied]
    files["Messy pets/notes.txt"] = b"mine"
    files["Messy pets/Train Data/cats/broken.jpg"] = b"no picture"
    files["__MACOSX/Messy pets/._cat.1.jpg"] = b"x"
    return write_zip(path, files)


def test_from_a_messy_zip_to_whether_cleaning_helped(
    serve: Callable[[Path], str], open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page(f"{serve(ROOT / 'streamlit_app.py')}/data", height=1800)
    page.get_by_role("button", name="Choose a zip").wait_for(timeout=SOON)
    page.locator("input.zip-input").set_input_files(messy_zip(tmp_path / "Messy pets.zip"))
    page.get_by_role("heading", name="What would be added").wait_for(timeout=SOON)
    page.get_by_role("button", name="Add", exact=True).click(timeout=SOON)
    page.get_by_role("heading", name="Messy pets").wait_for(timeout=SOON)
    page.get_by_text("2 of 16 test images are also training images").first.wait_for(timeout=SOON)

    page.get_by_role("tab", name="Check").click()
    page.get_by_role("button", name="Check", exact=True).click(timeout=SOON)
    page.get_by_role("button", name="All 2 groups").click(timeout=SOON)
    page.get_by_text("Leave out the 2 in training").click(timeout=SOON)
    page.get_by_text("2 pictures left out").wait_for(timeout=SOON)
    page.get_by_role("button", name="Save as new version").click()
    page.get_by_text("Saved as version 2").wait_for(timeout=SOON)

    page.get_by_role("button", name="Did it help? Train both versions").click()
    page.get_by_role("radio", name="1", exact=True).click(timeout=SOON)
    page.get_by_role("button", name="Train both, 2 runs").click(timeout=SOON)
    page.wait_for_url("**/proof?proof=p-*", timeout=SOON)
    page.get_by_text("Before, seed 0").wait_for(timeout=SOON)
    verdict = page.get_by_text(re.compile(r"^(No difference can be told|Cleaning ).*p [=<] "))
    verdict.first.wait_for(timeout=3 * SOON)
    page.get_by_text("same 16 test pictures").wait_for(timeout=SOON)
    page.get_by_text("2 before, 0 after").wait_for(timeout=SOON)
