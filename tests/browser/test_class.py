"""A teacher and two pupils in browsers of their own: sign in by code, train, let others be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.conftest import settle
from tests.data.pictures import jpeg

ROOT = Path(__file__).parents[2]
SOON = 60_000
TOKEN = "the-teachers-own"


def join(context: Any, link: str, name: str) -> Any:
    """Returns a page of somebody who has opened the link and chosen a name."""
    page = context.new_page()
    page.goto(link)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Start").click()
    page.locator(".st-key-frame_visitor", has_text=name).wait_for(timeout=SOON)
    return page


def collect_together(teacher: Any, mina: Any, tom: Any, url: str) -> None:
    """The teacher opens a collection, two pupils hand pictures in, nobody takes another's back."""
    teacher.goto(f"{url}/data?dataset=drawn-signs")  # which is drawn already
    opener = teacher.get_by_text("From the phones of the class")
    opener.click(timeout=SOON)
    teacher.locator(".st-key-phones_title input").wait_for(timeout=SOON)
    teacher.locator(".st-key-phones_title input").fill("Our leaves")
    teacher.locator(".st-key-phones_classes input").fill("oak, maple")
    teacher.get_by_role("button", name="Open a collection").click()
    link = teacher.get_by_text("collection%3Dc-").inner_text(timeout=SOON)
    page = "/collect?collection=" + link.rpartition("%3D")[2]

    def hand_in(pupil: Any, seed: int, whose: str) -> None:
        pupil.goto(url + page)
        pill = pupil.get_by_role("radio", name="oak")
        pill.wait_for(timeout=SOON)
        settle(pupil)
        pill.click()
        chooser = pupil.locator(".stFileUploader input[type=file]")
        chooser.wait_for(state="attached", timeout=SOON)
        assert (chooser.get_attribute("accept") or "").startswith("image/")
        files = [
            {"name": f"{i}.jpg", "mimeType": "image/jpeg", "buffer": jpeg(seed + i)}
            for i in range(3)
        ]
        chooser.set_input_files(files)
        pupil.get_by_text("3 pictures of oak taken in").wait_for(timeout=SOON)
        pupil.get_by_text(whose).wait_for(timeout=SOON)
        pictures = pupil.get_by_role("button", name=re.compile("press to choose"))
        pictures.nth(2).wait_for(timeout=SOON)
        assert pictures.count() == 3

    hand_in(mina, 0, "you 3")
    hand_in(tom, 10, "you 3")
    teacher.goto(url + page)
    teacher.get_by_role("button", name=re.compile("Tom: press to choose")).first.click(timeout=SOON)
    teacher.get_by_role("button", name="Leave out").click(timeout=SOON)
    teacher.get_by_role("button", name=re.compile("Tom, left out")).wait_for(timeout=SOON)
    teacher.get_by_text("6 pictures so far").wait_for(timeout=SOON)
    teacher.goto(f"{url}/storage")
    teacher.get_by_text("Each may have 5.0 GB").wait_for(timeout=SOON)
    tom.goto(f"{url}/storage")
    tom.get_by_text("Pictures for the class").wait_for(timeout=SOON)


def test_a_pupil_cannot_delete_anothers_run_by_page_nor_by_api(
    serve: Callable[..., str], chromium: Any
) -> None:
    url = serve(ROOT / "streamlit_app.py", LAB_SHARED="class", LAB_API_TOKEN=TOKEN)
    browsers = [chromium.browser.new_context() for _ in range(3)]
    try:
        teacher = browsers[0].new_page()
        teacher.goto(f"{url}/sign-in?token={TOKEN}")
        teacher.get_by_role("button", name="Teacher").click(timeout=SOON)
        teacher.get_by_alt_text("QR code of the link").wait_for(timeout=SOON)
        link = teacher.get_by_text(f"{url}/sign-in?code=").inner_text()

        mina = join(browsers[1], link, "미나 **x** [y](/z) $t$ :red[z]")
        mina.get_by_role("button", name="Start", exact=True).first.click(timeout=SOON)
        mina.wait_for_url(re.compile(r"run=r-"), timeout=SOON)
        run = re.search(r"run=([\w-]+)", mina.url).group(1)  # type: ignore[union-attr]
        mina.get_by_test_id("stMain").get_by_role("button", name="Stop", exact=True).click(
            timeout=SOON
        )
        mina.get_by_text(re.compile("Stopped|taken out")).first.wait_for(timeout=SOON)

        tom = join(browsers[2], f"{link}&next=/runs?run={run}", "Tom")
        tom.get_by_role("button", name="Compare").wait_for(timeout=SOON)  # he may look
        for change in ("Delete", "Rename", "Resume", "Star"):
            assert tom.get_by_role("button", name=change, exact=True).count() == 0, change
        status, answer = tom.evaluate(
            """async (run) => {
              const answer = await fetch(`/api/runs/${run}/resume`, {method: 'POST'})
              return [answer.status, (await answer.json()).error]
            }""",
            run,
        )
        assert (status, "belongs to '미나" in answer) == (403, True), answer

        collect_together(teacher, mina, tom, url)

        teacher.goto(f"{url}/runs?run={run}")
        teacher.get_by_role("button", name="Delete", exact=True).click(timeout=SOON)
        teacher.get_by_role("button", name="Delete 1 run").click(timeout=SOON)
        teacher.get_by_text("No runs yet").wait_for(timeout=SOON)

        tom.goto(f"{url}/sign-out")
        tom.get_by_role("button", name="Sign out").click()
        tom.goto(f"{url}/runs")
        tom.get_by_label("Class code").wait_for()
    finally:
        for browser in browsers:
            browser.close()
