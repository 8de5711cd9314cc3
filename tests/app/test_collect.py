"""A common data set from phones: opened on Data, filled on Collect, made on Data."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from lab import people
from lab.data import catalog
from lab.data.photo_collections import (
    PhotoCollection,
    add_photo,
    collections,
    open_collection,
    photos,
)
from lab.people import Person, acting_as
from tests.app.conftest import OpenPage, settled
from tests.data.pictures import jpeg
from tests.data.test_photo_collections import shot

MINA, TOM = Person("p-1", "Mina", "member"), Person("p-2", "Tom", "member")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SHARED", "open")


@pytest.fixture
def leaves() -> PhotoCollection:
    return open_collection("Our leaves", ["oak", "maple"])


def hand_in(app: AppTest, class_name: str, *files: tuple[str, bytes]) -> None:
    key = next(w.key for w in app.get("button_group") if w.key.startswith("collect_class_"))
    app.button_group(key=key).set_value(class_name).run()
    app.file_uploader[0].set_value([(name, data, "image/jpeg") for name, data in files]).run()
    assert not app.exception


def words(app: AppTest) -> str:
    parts = (app.markdown, app.caption, app.success, app.warning, app.subheader)
    return "\n".join(each.value for part in parts for each in part).replace("\\", "")


def test_a_teacher_opens_a_collection(open_page: OpenPage, shared: None) -> None:
    app = open_page("data")
    app.text_input(key="phones_title").set_value("Our leaves")
    app.text_input(key="phones_classes").set_value("oak, maple ,oak")
    next(b for b in app.button if b.label == "Open a collection").click().run()
    (made,) = collections()
    assert (made.title, made.classes) == ("Our leaves", ("oak", "maple"))
    assert any(f"/collect?collection={made.id}" in block.value for block in app.code)
    assert "Missing: 5 more of oak, 5 more of maple." in words(app)


def test_a_lab_of_ones_own_has_no_phones(open_page: OpenPage) -> None:
    assert "phones_title" not in {widget.key for widget in open_page("data").text_input}


def test_pupils_hand_in_and_see_whose(
    open_page: OpenPage, leaves: PhotoCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with acting_as(TOM):
        add_photo(leaves.id, "oak", "t.jpg", jpeg(50))
    monkeypatch.setattr(people, "OPERATOR", MINA)
    monkeypatch.setattr("lab.data.photo_collections.OPERATOR", people.Person("", "T", "admin"))
    app = open_page("collect")
    assert app.title[0].value == "Our leaves"
    hand_in(app, "oak", ("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)), ("c.jpg", b"<html>"))
    assert "2 pictures of oak taken in" in words(app)
    assert "Not taken" in words(app)
    assert "you 2 · Tom 1" in words(app)
    assert {(p.person, p.class_name) for p in photos(leaves)} == {("p-1", "oak"), ("p-2", "oak")}
    assert "collect_whose" not in {widget.key for widget in app.selectbox}
    mine = [p for p in photos(leaves) if p.person == "p-1"]
    app.session_state["collect_chosen"] = frozenset({str(mine[0].path)})
    app.run()
    assert "collect_leave_out" not in {button.key for button in app.button}
    app.button(key="collect_delete").click().run()
    assert len(photos(leaves)) == 2


def test_the_teacher_leaves_out_closes_and_makes_the_set(
    open_page: OpenPage, leaves: PhotoCollection, shared: None
) -> None:
    for k, name in enumerate(leaves.classes):
        for j, who in enumerate((MINA, TOM)):
            with acting_as(who):
                for i in range(4):
                    add_photo(leaves.id, name, "x.jpg", shot(100 * k + 10 * j + i, 60 * i))
    app = open_page("collect", collection=leaves.id)
    first = photos(leaves)[0]
    app.session_state["collect_chosen"] = frozenset({str(first.path)})
    app.run()
    app.button(key="collect_leave_out").click().run()
    assert [p.digest for p in photos(leaves) if p.left_out] == [first.digest]

    app = open_page("data")
    app.selectbox(key=f"phones_{leaves.id}_together").set_value("person").run()
    assert "Fewer than 3 people photographed oak, maple" in words(app)
    assert app.button(key=f"phones_{leaves.id}_make").disabled
    app.selectbox(key=f"phones_{leaves.id}_together").set_value("burst").run()
    app.button(key=f"phones_{leaves.id}_make").click().run()
    app = settled(app)
    assert collections()[0].closed
    assert (
        catalog.describe("our-leaves").split_totals["train"]
        + (catalog.describe("our-leaves").split_totals["test"])
        == 15
    )
    assert app.selectbox(key="data_dataset").value == "our-leaves"
    closed = open_page("collect", collection=leaves.id)
    assert "takes no more pictures" in closed.info[0].value
    assert not closed.file_uploader
