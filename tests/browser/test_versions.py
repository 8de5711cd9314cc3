"""From a messy set to the sentence: edit, save, train both versions, read what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.data.pictures import pets, write_folder

ROOT = Path(__file__).parents[2]
SOON = 120_000


def test_a_set_is_mended_and_the_proof_is_read(
    serve: Callable[[Path], str], open_page: Callable[..., Any], tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "messy", pets(24))
    page = open_page(f"{serve(ROOT / 'streamlit_app.py')}/data", height=1800)
    page.get_by_role("textbox", name="Name").first.fill("Messy pets", timeout=SOON)
    path = page.get_by_role("textbox", name="Path on this machine")
    path.fill(str(folder))
    path.press("Tab")
    page.get_by_role("button", name="Add", exact=True).click(timeout=SOON)
    page.get_by_role("heading", name="Messy pets").wait_for(timeout=SOON)
    page.get_by_text("Edit", exact=True).click()
    picture = page.get_by_role("button", name="press to choose")
    picture.first.click(timeout=SOON)
    page.get_by_role("button", name="Leave out", exact=True).click(timeout=SOON)
    page.get_by_text("1 picture left out").wait_for(timeout=SOON)
    page.get_by_role("button", name="Save as new version").click()
    page.get_by_text("Saved as version 2").wait_for(timeout=SOON)
    page.get_by_role("button", name="Did it help? Train both versions").click()
    page.get_by_role("radio", name="1", exact=True).click(timeout=SOON)
    page.get_by_role("button", name="Train both, 2 runs").click(timeout=SOON)
    page.wait_for_url("**/proof?proof=p-*", timeout=SOON)
    page.get_by_text("Before, seed 0").wait_for(timeout=SOON)
    verdict = page.get_by_text("No difference can be told").or_(page.get_by_text("Cleaning"))
    verdict.first.wait_for(timeout=3 * SOON)
    page.get_by_text("same 8 test pictures").wait_for(timeout=SOON)
