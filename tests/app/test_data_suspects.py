"""Suspected labels in the Check tab: a card each, and what its buttons do."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab import jobs, people
from lab.config import RunConfig
from lab.data import catalog
from lab.data.pack import PackWriter
from lab.data.quality import check as quality
from lab.data.quality.confirmed import confirmed
from lab.home import home_folder
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.ui.data.suspects import evidence, newest_run
from tests.app.conftest import OpenPage
from tests.tiny_data import SIZE, make_tiny_pack

WRONG = [4, 9, 50, 100, 151, 200, 251, 290]


@pytest.fixture
def app(open_page: OpenPage) -> AppTest:
    """The Check tab of a set with a few wrong labels and a class that looks like Markdown."""
    pack = catalog.open_pack(make_tiny_pack(train=240, test=60))
    labels = pack.labels.copy()
    labels[WRONG] = (labels[WRONG] + 1) % 3
    meta = dataclasses.replace(pack.meta, class_names=("*top*", "middle", "bottom"), drawn=False)
    with PackWriter(home_folder("packs") / "tiny", image_size=SIZE, channels=1) as writer:
        writer.add(np.array(pack.images), pack.names)
        writer.finish(meta, labels, pack.split.copy())
    quality.run_checks(catalog.open_pack("tiny"), ["label_errors"])
    app = open_page("data")
    app.session_state["data_dataset"] = "tiny"
    app.session_state["data_tab"] = "Check"
    app.run()
    assert not app.exception, app.exception[0].value
    return app


def keys(app: AppTest, ending: str) -> list[str]:
    return [button.key for button in app.button if (button.key or "").endswith(ending)]


def test_a_card_shows_the_evidence_and_its_buttons_act(app: AppTest, lab_home: Path) -> None:
    pack = catalog.open_pack("tiny")
    prefix = "data_check_label_errors_likely_"
    rows = [int(key.removeprefix(prefix).split("_")[0]) for key in keys(app, "_right")]
    assert len(set(rows) & set(WRONG)) >= 3
    mend, leave, right = [row for row in rows if row in WRONG][:3]
    assert any("→" in element.value for element in app.markdown)
    assert any("never saw it" in element.value for element in app.markdown)

    app.button(key=f"{prefix}{mend}_relabel").click().run()
    assert not app.exception
    assert app.session_state["data_edits"]["tiny"].relabel == {
        mend: pack.meta.class_names[mend % 3]
    }
    assert f"{prefix}{mend}_relabel" not in keys(app, "_relabel")

    app.button(key=f"{prefix}{leave}_exclude").click().run()
    assert app.session_state["data_edits"]["tiny"].exclude == {leave}

    app.button(key=f"{prefix}{right}_right").click().run()
    assert not app.exception
    assert confirmed(pack) == {right}
    assert f"{prefix}{right}_right" not in keys(app, "_right")
    app.button(key=f"{prefix}{right}_again").click().run()  # after all it is not
    assert not app.exception
    assert confirmed(pack) == frozenset()
    assert f"{prefix}{right}_right" in keys(app, "_right")

    [file] = lab_home.glob("quality/*/confirmed.json")
    file.write_text("damaged")
    app.run()
    assert any("called right" in error.value for error in app.error)
    assert f"{prefix}{right}_right" in keys(app, "_right")


def test_pins_and_what_is_right_are_offered_to_who_may_change_the_set(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil, teacher = people.Person("p1", "Ada", "member"), people.OPERATOR
    monkeypatch.setattr(people, "OPERATOR", pupil)  # who acts where nobody has signed in
    app.run()
    assert not app.exception
    assert keys(app, "_exclude")  # the cards are there
    assert not keys(app, "_right")
    app.session_state["data_tab"] = "Images"
    app.run()
    assert not app.exception
    assert [toggle.key for toggle in app.toggle] == ["data_mending"]
    monkeypatch.setattr(people, "OPERATOR", teacher)
    app.run()
    assert [toggle.key for toggle in app.toggle] == ["data_pinning", "data_mending"]


def test_evidence_is_a_sentence_in_which_names_are_text() -> None:
    assert evidence("*a*", "b_c", 0.00001, 0.9999) == (
        "To a head that never saw it this is surely b\\_c: >99.9% against <0.1% for \\*a\\*."
    )
    assert "perhaps b" in evidence("a", "b", 0.3, 0.6)


def test_a_run_on_these_pictures_can_be_asked_where_it_looks(
    finished: Callable[[str], RunRow],
) -> None:
    name = make_tiny_pack()
    pack = catalog.open_pack(name)
    assert newest_run(pack) is None
    config = RunConfig(dataset=name, architecture="sign-cnn", epochs=1, batch_size=32)
    run = finished(queue().submit(config))
    assert newest_run(pack) == run.id
    assert newest_run(catalog.open_pack(make_tiny_pack(seed=1))) is None  # other pictures by now


def test_a_run_of_the_set_can_judge_instead(
    app: AppTest, finished: Callable[[str], RunRow]
) -> None:
    assert any("What speaks for" in caption.value for caption in app.caption)
    assert not [box for box in app.selectbox if box.label == "Judged by"]
    config = RunConfig(dataset="tiny", architecture="sign-cnn", epochs=2, batch_size=16)
    run = finished(queue().submit(config))
    app.run()
    app.selectbox(key="data_check_judge_tiny").set_value(run.id).run()
    app.button(key="data_check_judge_start").click().run()
    job = next(job for job in jobs.jobs() if "check-tiny-" in (job.key or ""))
    jobs.wait(job.id, timeout=30)
    app.run()
    assert not app.exception
    assert any(f"of run {run.id}" in text for text in shown(app))
    assert any("learned by heart" in text for text in shown(app))


def shown(app: AppTest) -> list[str]:
    return [element.value.replace("\\", "") for element in (*app.caption, *app.markdown)]
