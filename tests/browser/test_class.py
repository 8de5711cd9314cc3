"""A teacher and two pupils in browsers of their own: sign in by code, train, let others be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        mina.get_by_role("button", name="Stop", exact=True).click(timeout=SOON)
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
