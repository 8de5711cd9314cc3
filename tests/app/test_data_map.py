"""The Data page's map: what is chosen on it comes below it, and the buttons do what they say."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab.data import catalog, probes
from lab.data.quality.features import set_features
from lab.ui.data.map.chosen import Chosen
from lab.ui.widgets import edits
from tests.app.conftest import OpenPage, settled
from tests.components import component_data, components

NAME = "drawn-signs"


@pytest.fixture
def on_map(open_page: OpenPage) -> AppTest:
    pack = catalog.open_pack(NAME)
    set_features(pack)
    app = open_page("data")
    app.selectbox(key="data_dataset").select(NAME).run()
    app.session_state["data_tab"] = "Map"
    return settled(app)


def choose(app: AppTest, rows: list[int]) -> AppTest:
    images_hash = catalog.open_pack(NAME).meta.images_hash
    app.session_state[f"data_map_chosen_{NAME}"] = (images_hash, Chosen(tuple(rows)))
    return settled(app)


def the_map(app: AppTest) -> dict[str, Any]:
    (data,) = components(app, "point_map")
    return data


def numbers(text: str, kind: str) -> list[Any]:
    return np.frombuffer(base64.b64decode(text), kind).tolist()


def gallery(app: AppTest) -> list[str]:
    every = component_data(app)
    return [p["caption"] for data in every for p in data.get("pictures", []) if "caption" in p]


def markdown(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def test_every_picture_is_on_the_map_with_its_class(on_map: AppTest) -> None:
    pack = catalog.open_pack(NAME)
    data = the_map(on_map)
    assert numbers(data["rows"], "<i4") == list(range(len(pack)))
    assert numbers(data["labels"], "<u2") == pack.labels.tolist() == numbers(data["codes"], "<u2")
    assert [group["title"] for group in data["groups"]] == list(pack.meta.class_names)
    looks = {(group["colour"], group["shape"]) for group in data["groups"]}
    assert len(looks) == len(pack.meta.class_names)  # 24 letters, each with a look of its own
    points = np.array(numbers(data["frames"][0]["points"], "<f4")).reshape(-1, 2)
    assert np.isfinite(points).all()
    assert np.abs(points).max() <= 1
    assert data["pictures"] == {"dataset": NAME, "images": pack.meta.images_hash}


def test_colours_by_part_and_without_a_run_by_class(on_map: AppTest) -> None:
    on_map.segmented_control(key=f"data_map_colour_{NAME}").set_value("part")
    data = the_map(settled(on_map))
    assert numbers(data["codes"], "<u2") == catalog.open_pack(NAME).split.tolist()
    for choice, words in (("answer", "No run on this data set"), ("finding", "Check tab")):
        on_map.segmented_control(key=f"data_map_colour_{NAME}").set_value(choice)
        settled(on_map)
        assert words in "\n".join(element.value for element in on_map.caption)
        assert the_map(on_map)["legend"] == "Class"


def test_chosen_pictures_are_below_the_map_and_stand_out_on_it(on_map: AppTest) -> None:
    assert "Choose pictures with the lasso" in markdown(on_map)
    pack = catalog.open_pack(NAME)
    app = choose(on_map, [3, 40, 41])
    assert the_map(app)["chosen"] == [3, 40, 41]
    names = [pack.meta.class_names[label] for label in pack.labels[[3, 40, 41]]]
    assert [caption.split("\n")[0] for caption in gallery(app)] == names
    assert "**3 pictures chosen**" in markdown(app)
    app.button(key="data_map_none").click()
    assert not gallery(settled(app))


def test_chosen_pictures_are_pinned_left_out_and_relabelled(on_map: AppTest) -> None:
    app = choose(on_map, [3, 40])
    app.button(key="data_map_pin").click()
    settled(app)
    assert probes.probes(NAME) == (3, 40)
    app.selectbox(key=f"data_map_relabel_{NAME}").select("B")
    settled(app)
    app.button(key="data_map_relabel").click()
    settled(app)
    assert edited(app).relabel == {3: "B", 40: "B"}
    app.session_state[f"data_map_marked_{NAME}"] = (40,)
    settled(app)
    app.button(key="data_map_exclude").click()
    settled(app)
    assert edited(app).exclude == {40}
    assert gallery(app)[1].endswith("left out")


def edited(app: AppTest) -> edits.Edits:
    return app.session_state["data_edits"][NAME]


def test_similar_pictures_come_nearest_first(on_map: AppTest) -> None:
    app = choose(on_map, [7])
    app.button(key="data_map_similar").click()
    settled(app)
    features = set_features(catalog.open_pack(NAME)).rows
    likeness = features @ features[7]
    likeness[7] = 2
    expected = np.argsort(-likeness, kind="stable")
    chosen = the_map(app)["chosen"]
    np.testing.assert_allclose(
        np.sort(likeness[chosen[:12]])[::-1], likeness[expected[:12]], atol=1e-5
    )
    assert chosen[0] == 7
    name = catalog.open_pack(NAME).names[7].rsplit("/", 1)[-1]
    assert f"most like {name}" in markdown(app)
