"""The pictures of all pages: every page is there, and a sheet shows what was taken."""

from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from benchmarks.pictures import VIEWS, sheet
from lab.ui.entrance import PAGES


def test_every_page_has_a_view_and_each_view_a_name() -> None:
    pages = {urlsplit(view.address).path or PAGES[0].name for view in VIEWS}
    assert {page.name for page in PAGES} <= pages
    assert len({view.name for view in VIEWS}) == len(VIEWS)


def test_a_sheet_shows_what_there_is(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}-1440-light.png" for name in ("home", "runs", "missing")]
    for file in files[:2]:
        Image.new("RGB", (144, 900), "red").save(file)
    sheet(files, tmp_path / "sheet.jpg", across=2, width=400)
    with Image.open(tmp_path / "sheet.jpg") as made:
        assert made.width == 400
        assert all(made.getpixel((x, 100))[0] > 200 for x in (100, 300))  # type: ignore[index]
