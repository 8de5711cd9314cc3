"""Pictures of every page in its important states, to be looked at: three widths, two themes.

    python -m benchmarks pictures --out FOLDER [--pages home,runs] [--quick]

The lab in FOLDER/lab is trained at the first call (drawn sets only) and used again by the next. A
PNG of each page goes into FOLDER, whole, and a sheet of all pages for each width and theme.
`--quick`: 1440 pixels alone. Nothing is measured. Needs playwright and /usr/bin/chromium.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from benchmarks.page_switches import ARGUMENTS, CHROMIUM, WAIT, until_still
from benchmarks.server import ROOT, lab_server

WIDTHS = (1440, 1920, 420)
HEIGHTS = {1440: 900, 1920: 1080, 420: 900}
PHONE = 640
THEMES = ("light", "dark")
TOKEN = "of-the-pictures"
OUT = Path(tempfile.gettempdir()) / "lab-pictures"
SHEET = 1800
"""Pixels that a sheet is wide."""

RUNS = {
    "cats": {"dataset": "drawn-cats-dogs", "architecture": "simple-cnn", "image_size": 48}
    | {"epochs": 6},
    "signs": {"dataset": "drawn-signs", "architecture": "sign-cnn", "epochs": 4},
    "line": {"dataset": "drawn-signs", "architecture": "single-layer-perceptron", "epochs": 4},
}
"""Name in the addresses below -> settings of a run that has ended."""
FORM = "train?dataset=drawn-cats-dogs&architecture="
TRAINS = "train?dataset=drawn-signs&architecture=sign-cnn&epochs=2000"


class View(NamedTuple):
    """A page in one state."""

    name: str
    address: str
    act: Callable[[Any], None] = lambda page: None
    """What a person does there before they look."""
    during: str = ""
    """"training": while a run trains and another waits; "class": on a server that pupils share;
    "new": on one that nobody has used."""


def _tab(title: str) -> Callable[[Any], None]:
    return lambda page: page.get_by_role("tab", name=title, exact=True).click(timeout=WAIT)


def _classify(page: Any) -> None:
    """A cat of circles, and noise, which is like nothing that was learned."""
    cat = Image.new("RGB", (96, 96), "#bfe0f0")
    pen = ImageDraw.Draw(cat)
    for ear in (((22, 40), (26, 8), (46, 30)), ((74, 40), (70, 8), (50, 30))):
        pen.polygon(ear, fill="#e08a3c")
    pen.ellipse((20, 22, 76, 78), fill="#e08a3c", outline="black")
    for x in (38, 58):
        pen.ellipse((x - 4, 42, x + 4, 54), fill="black")
    files = []
    for name, picture in (("my cat.png", cat), ("noise.png", Image.effect_noise((96, 96), 80))):
        file = io.BytesIO()
        picture.save(file, "PNG")
        files.append({"name": name, "mimeType": "image/png", "buffer": file.getvalue()})
    page.locator("input[type=file]").first.set_input_files(files, timeout=WAIT)
    page.locator("[class*=st-key-classify_line_]").nth(1).wait_for(timeout=WAIT)
    page.wait_for_timeout(3000)  # the answer, and how familiar it is


def _settings(page: Any) -> None:
    page.get_by_test_id("stExpandSidebarButton").click(timeout=WAIT)


def _teacher(page: Any) -> None:
    """Signs the teacher in, and goes where the address leads."""
    page.get_by_role("button", name="Teacher").click(timeout=WAIT)


VIEWS = (
    View("home", ""),
    View("data", "data?dataset=drawn-cats-dogs"),
    *(
        View(f"data-{tab.split()[0].lower()}", "data?dataset=handwritten-digits", _tab(tab))
        for tab in ("Labels", "Sizes and pixels", "Augmentation", "Check", "Map", "Versions")
    ),
    View("train-form", f"{FORM}simple-cnn"),
    View("train-freeze", f"{FORM}efficientnet_lite0&freeze=last_k&last_k=2"),
    View("train-refused", f"{FORM}vgg16&freeze=head_only"),
    View("train-finished", "train?run={cats}"),
    View("train-settings", "train?run={signs}", _settings),
    View("experiments", "experiments"),
    View("sweep", "experiments", _tab("Sweep")),
    View("runs", "runs?run={cats}"),
    View("results", "runs?run={cats}&runs_tab=Results"),
    View("results-signs", "runs?run={signs}&runs_tab=Results"),
    View("settings", "runs?run={cats}&runs_tab=Settings"),
    View("take-away", "runs?run={cats}&runs_tab=Take it away"),
    View("compare", "compare?runs={signs},{line}"),
    View("compare-results", "compare?runs={signs},{line}", _tab("Final results")),
    View("compare-images", "compare?runs={signs},{line}", _tab("Same images")),
    View("inspect", "inspect?run={cats}"),
    View("inspect-maps", "inspect?run={cats}", _tab("Feature maps")),
    View("inspect-gallery", "inspect?run={signs}", _tab("Gallery")),
    View("inspect-runs", "inspect?run={signs}", _tab("Runs side by side")),
    View("classify", "classify?run={cats}"),
    View("classify-answer", "classify?run={cats}", _classify),
    View("board", "board"),
    View("collect", "collect"),
    View("proof", "proof"),
    View("storage", "storage"),
    View("home-running", "", during="training"),
    View("train-running", "train?run={running}", during="training"),
    View("train-waiting", "train?run={waiting}", during="training"),
    View("runs-running", "runs?run={running}", during="training"),
    View("home-new", "", during="new"),
    View("sign-in", "home", during="class"),
    View("board-class", f"sign-in?token={TOKEN}&next=/board", _teacher, during="class"),
)


def main(*, quick: bool = False, out: str | None = None, pages: str | None = None) -> None:
    from playwright.sync_api import sync_playwright

    folder = Path(out) if out else OUT
    names = pages.split(",") if pages else [view.name for view in VIEWS]
    wanted = [view for view in VIEWS if any(view.name.startswith(name) for name in names)]
    widths = WIDTHS[:1] if quick else WIDTHS
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"LAB_HOME": str(folder / "lab"), "OMP_NUM_THREADS": "1", "LAB_API_TOKEN": TOKEN}
    runs = prepare()
    began = time.monotonic()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with lab_server(folder / "lab") as server:
            still = [view for view in wanted if not view.during]
            take(browser, server.url, still, runs, widths, folder)
            moving = [view for view in wanted if view.during == "training"]
            if moving:
                with _training(browser, server.url) as more:
                    take(browser, server.url, moving, runs | more, widths, folder)
        for state, home, sharing in (
            ("class", folder / "lab", "class"),
            ("new", folder / "new", ""),
        ):
            there = [view for view in wanted if view.during == state]
            if there:
                with lab_server(home, LAB_SHARED=sharing) as server:
                    take(browser, server.url, there, runs, widths, folder)
        browser.close()
    for width in widths:
        for theme in THEMES:
            files = [folder / f"{view.name}-{width}-{theme}.png" for view in wanted]
            sheet(files, folder / f"sheet-{width}-{theme}.jpg", across=14 if width == 420 else 6)
    print(f"{len(wanted)} pages in {time.monotonic() - began:.0f} s: {folder}")


def prepare() -> dict[str, str]:
    """Trains what is not there yet; returns the runs' ids by their names in addresses."""
    from lab.runs.store import store

    ids = {}
    for name, knobs in RUNS.items():
        there = [
            run.id
            for run in store().runs("completed")
            if all(run.settings.get(knob) == value for knob, value in knobs.items())
        ]
        if not there:
            values = [f"--set={knob}={value}" for knob, value in knobs.items()]
            command = [sys.executable, "-m", "lab", "train", *values]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            there = [store().runs("completed")[0].id]
        ids[name] = there[0]
    return ids


@contextmanager
def _training(browser: Any, url: str) -> Iterator[dict[str, str]]:
    """Two runs, started on the Train page: one trains and one waits."""
    from lab.runs.store import store

    _delete_unfinished()  # of a call that was broken off
    page, ids = browser.new_page(), {}
    for name in ("running", "waiting"):
        page.goto(f"{url}/{TRAINS}")
        settle(page)
        page.get_by_role("button", name="Train", exact=True).click(timeout=WAIT)
        page.wait_for_url("**run=r-*", timeout=WAIT)
        ids[name] = page.url.rpartition("run=")[2].partition("&")[0]
    page.close()
    while not store().run(ids["running"]).step:
        time.sleep(0.5)
    time.sleep(15)  # a few epochs
    try:
        yield ids
    finally:
        _delete_unfinished()


def _delete_unfinished() -> None:
    from lab.runs.store import store

    active = ("queued", "preparing", "running", "paused")
    left = [run.id for run in store().runs() if run.status != "completed"]
    for each in left:  # the newest first: one that waits must not begin
        if store().run(each).status in active:
            store().request(each, "stop")
    while store().runs(active):
        time.sleep(0.2)
    for each in left:
        store().delete(each)


def take(
    browser: Any,
    url: str,
    views: list[View],
    runs: dict[str, str],
    widths: tuple[int, ...],
    folder: Path,
) -> None:
    """Each page at each width. A phone opens it anew, because its page is laid out as one; between
    wide windows and themes it changes before one's eyes."""
    wide = [width for width in widths if width > PHONE]
    context = browser.new_context()
    context.add_init_script(
        "localStorage.clear()"
    )  # it keeps the side panel open that one view opened
    for view in views:
        for group in (wide, [width for width in widths if width <= PHONE]):
            if not group:
                continue
            page = context.new_page()
            page.set_viewport_size({"width": group[0], "height": HEIGHTS[group[0]]})
            page.emulate_media(color_scheme=THEMES[0])
            try:
                page.goto(f"{url}/{view.address.format(**runs)}")
                settle(page)
                view.act(page)
                for width in group:
                    page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
                    page.evaluate(SCROLL)  # some parts are drawn when somebody sees them
                    settle(page, 600)
                    for theme in THEMES:
                        page.emulate_media(color_scheme=theme)
                        settle(page)
                        if width > PHONE and page.locator(".stApp").count():  # it is laid out anew
                            page.get_by_test_id("stTopNavLink").first.wait_for(timeout=WAIT)
                        shot(page, folder / f"{view.name}-{width}-{theme}.png")
            except Exception as error:  # the others are still worth looking at
                print(f"{view.name}: {str(error)[:300]}")
            page.close()
            if view.during == "class":
                context.clear_cookies()
    context.close()


def settle(page: Any, quiet: int = 250) -> None:
    """Waits until the page's script has ended and nothing has changed for so many milliseconds; at
    most two seconds for a page that counts."""
    page.locator(".stApp").or_(page.locator("form")).first.wait_for(timeout=WAIT)
    if page.locator(".stApp").count():
        page.locator(".stApp[data-test-script-state='notRunning']").wait_for(timeout=WAIT)
        page.locator("[data-testid=stMain] h1").first.wait_for(timeout=WAIT)
    until_still(page, quiet, 2000)


WHOLE = """() => {
    const main = document.querySelector("[data-testid=stMain]")
    const side = document.querySelector("[data-testid=stSidebarContent]")
    const shown = side && side.getBoundingClientRect().right > 0
    return Math.max(main?.scrollHeight ?? 0, shown ? side.scrollHeight : 0, innerHeight)
}"""
UNROLL = """(height) => {
    const style = document.createElement("style")
    style.id = "whole"
    style.textContent = `.stApp, [data-testid=stAppViewContainer], [data-testid=stMain],
        [data-testid=stSidebar], [data-testid=stSidebarContent]
        { height: ${height}px !important; overflow: hidden !important }
        .stApp { position: relative !important }`
    document.head.append(style)
}"""
SCROLL = """async () => {
    const main = document.querySelector("[data-testid=stMain]")
    if (!main) return
    for (let y = 0; y < main.scrollHeight; y += innerHeight / 2) {
        main.scrollTo(0, y)
        await new Promise((done) => setTimeout(done, 60))
    }
    main.scrollTo(0, 0)
}"""


def shot(page: Any, file: Path) -> None:
    """The whole page, not only what the window shows; charts stay as high as in the window."""
    page.evaluate(UNROLL, page.evaluate(WHOLE))
    page.wait_for_timeout(100)
    page.screenshot(path=str(file), full_page=True)
    page.evaluate("() => document.getElementById('whole').remove()")


def sheet(files: list[Path], out: Path, *, across: int, width: int = SHEET) -> None:
    """The pictures side by side, from their tops, each below its name."""
    side = width // across - 8
    cells = []
    for file in filter(Path.is_file, files):
        with Image.open(file) as picture:
            small = ImageOps.scale(picture.convert("RGB"), side / picture.width)
        small = small.crop((0, 0, side, min(small.height, side * 5 // (2 if across > 8 else 3))))
        cells.append((file.stem.rpartition("-")[0].rpartition("-")[0], small))
    rows = [cells[i : i + across] for i in range(0, len(cells), across)]
    heights = [max(small.height for _, small in row) + 28 for row in rows]
    whole = Image.new("RGB", (width, sum(heights)), "#9aa4ae")
    pen, font, y = ImageDraw.Draw(whole), ImageFont.load_default(12), 0
    for row, height in zip(rows, heights, strict=True):
        for i, (name, small) in enumerate(row):
            pen.text((i * (side + 8) + 4, y + 4), name, fill="black", font=font)
            whole.paste(small, (i * (side + 8) + 4, y + 22))
        y += height
    whole.save(out, quality=85, optimize=True)
