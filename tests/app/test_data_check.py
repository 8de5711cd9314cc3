"""The Data page's tab "Check": run it, see the copies, put one right."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.data.quality import check as quality
from lab.data.quality import findings
from lab.data.quality.duplicates import CHECKS
from lab.data.versions import Edits
from lab.registry import Registry
from lab.ui.data.check import split_with_copies
from tests.app.conftest import OpenPage
from tests.data.quality.test_duplicates import make_pack, pictures


@pytest.fixture(autouse=True)
def duplicates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other checks have their own tests; some take seconds."""
    registry: Registry[findings.Check] = Registry("check")
    registry.add("duplicates", CHECKS.get("duplicates"))
    for module in ("lab.data.quality.check", "lab.ui.data.check"):
        monkeypatch.setattr(f"{module}.CHECKS", registry)


@pytest.fixture
def tab(open_page: OpenPage) -> AppTest:
    images = pictures(12)
    images[10] = images[0]  # test and training
    images[3] = images[2]  # of two classes
    make_pack(images, split=[0] * 10 + [2, 2])
    app = open_page("data")
    app.selectbox(key="data_dataset").select("copies").run()
    app.session_state["data_tab"] = "Check"
    app.run()
    assert not app.exception
    return app


def checked(app: AppTest) -> AppTest:
    app.button(key="data_check_run").click().run()
    job = jobs.latest(quality.job_key("copies"))
    assert job is not None
    jobs.wait(job.id, timeout=60)
    app.run()
    assert not app.exception, app.exception[0].value
    return app


def headers(app: AppTest) -> list[str]:
    return [element.value for element in app.header]


def words(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption) for element in kind)


def test_nothing_is_said_before_the_check(tab: AppTest) -> None:
    assert tab.button(key="data_check_run").label == "Check"
    assert not any("copies" in header for header in headers(tab))


def test_copies_are_shown_side_by_side(tab: AppTest) -> None:
    checked(tab)
    assert "Copies and near-copies (2)" in headers(tab)
    assert "4 of 12 pictures have a copy" in words(tab)
    kinds = tab.segmented_control(key="data_check_duplicates_kind_copies")
    assert kinds.options == ["In several classes (1)", "In several splits (1)"]
    assert sum(len(element.proto.imgs) for element in tab.get("image")) == 2
    kinds.set_value("across").run()
    assert not tab.exception
    assert "**a** · Test" in words(tab)
    assert tab.button(key="data_check_run").label == "Check again"


def test_a_picture_left_out_can_be_taken_back(tab: AppTest) -> None:
    checked(tab)
    rows = [2, 3]
    tab.session_state["data_edits"] = {"copies": Edits(exclude=frozenset(rows))}
    tab.run()
    assert "2 pictures left out" in words(tab)
    back = [b for b in tab.button if b.key and b.key.endswith("_take_back")]
    assert [b.label for b in back] == ["Take back", "Take back"]
    back[0].click().run()
    assert not tab.exception
    assert "1 picture left out" in words(tab)


def test_all_groups_of_copies_are_put_right_at_once() -> None:
    images = pictures(6)
    pack = make_pack(images, split=[0, 0, 2, 2, 0, 2])
    groups = np.array([0, 1, 0, 1, 4, 4])
    by_split = split_with_copies(pack, np.arange(5), groups)
    assert {title: rows.tolist() for title, rows in by_split.items()} == {
        "training": [0, 1],
        "test": [2, 3],
    }
