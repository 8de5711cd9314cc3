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


def may_not_change(pupil: Any, url: str, run: str) -> str:
    """Another's run offers the pupil no change on its page, and the API refuses each one; returns
    the API's sentence."""
    pupil.goto(f"{url}/runs?run={run}")
    pupil.get_by_role("button", name="Compare").wait_for(timeout=SOON)  # looking is allowed
    for change in ("Delete", "Rename", "Resume", "Star"):
        assert pupil.get_by_role("button", name=change, exact=True).count() == 0, change
    answers = pupil.evaluate(
        """async (run) => {
          const ask = async (path, method) => {
            const answer = await fetch(`/api/runs/${run}${path}`, {method})
            return [answer.status, (await answer.json()).error]
          }
          return [await ask("/resume", "POST"), await ask("/stop", "POST"), await ask("", "DELETE")]
        }""",
        run,
    )
    # There is no address that deletes.
    assert [status for status, _ in answers] == [403, 403, 405], answers
    assert answers[0] == answers[1]
    return str(answers[0][1])


def learn_together(teacher: Any, mina: Any, tom: Any, url: str) -> None:
    """The teacher hands out an assignment, two pupils train from its link, all see the board."""
    settings = "dataset=drawn-signs&architecture=single-layer-perceptron&epochs=1"
    teacher.goto(f"{url}/train?{settings}&subset_per_class=5")
    teacher.get_by_text("These settings as YAML, link or assignment").click(timeout=SOON)
    opener = teacher.get_by_role("button", name="Hand out as an assignment")
    opener.wait_for(timeout=SOON)
    settle(teacher)
    opener.click()
    teacher.get_by_label("Title").fill("One layer")
    teacher.get_by_role("button", name="Hand out", exact=True).click()
    teacher.get_by_text("Nobody has started a run yet.").wait_for(timeout=SOON)
    link = teacher.get_by_text("assignment%3Da-").inner_text(timeout=SOON)
    board = f"{url}/board?subject=" + link.rpartition("%3D")[2]

    runs = []
    for pupil in (mina, tom):
        pupil.goto(link)
        pupil.get_by_role("link", name="Go on as").click()
        pupil.get_by_role("heading", name="One layer").wait_for(timeout=SOON)
        train = pupil.get_by_role("button", name="Train", exact=True)
        train.click(timeout=SOON)
        pupil.wait_for_url(re.compile(r"run=r-"), timeout=SOON)
        runs.append(re.search(r"run=([\w-]+)", pupil.url).group(1))  # type: ignore[union-attr]
    for pupil in (tom, mina):
        pupil.goto(board)
        rows = pupil.locator(".board-rows li", has_text="%")
        rows.nth(1).wait_for(timeout=SOON)  # both have trained
        assert rows.filter(has_text="미나").count() == rows.filter(has_text="Tom").count() == 1
        pupil.get_by_text("Validation accuracy, 95% interval").wait_for(timeout=SOON)
        assert pupil.get_by_text("Test accuracy").count() == 0
        assert pupil.get_by_role("button", name="Show test results").count() == 0
        assert rows.locator(".board-place").all_inner_texts() == ["–", "–"]  # no places yet

    teacher.get_by_role("button", name="Show test results").click(timeout=SOON)
    for pupil in (mina, tom):  # whose page moves by itself
        pupil.get_by_text("Test accuracy, 95% interval").wait_for(timeout=SOON)
        first = pupil.locator(".board-rows .board-place").first.inner_text()
        assert first in ("1", "=1"), first
    assert "belongs to '미나" in may_not_change(tom, url, runs[0])


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
        assert "belongs to '미나" in may_not_change(tom, url, run)

        collect_together(teacher, mina, tom, url)
        learn_together(teacher, mina, tom, url)

        teacher.goto(f"{url}/runs?run={run}")
        teacher.get_by_role("button", name="Delete", exact=True).click(timeout=SOON)
        teacher.get_by_role("button", name="Delete 1 run").click(timeout=SOON)
        teacher.get_by_role("button", name="Delete 1 run").wait_for(state="detached", timeout=SOON)
        assert (
            teacher.evaluate("(run) => fetch(`/api/runs/${run}`).then((a) => a.status)", run) == 404
        )

        tom.goto(f"{url}/sign-out")
        tom.get_by_role("button", name="Sign out").click()
        tom.goto(f"{url}/runs")
        tom.get_by_label("Class code").wait_for()
    finally:
        for browser in browsers:
            browser.close()
