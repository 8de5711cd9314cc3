"""The Data page's tabs: what they show is what is in the pack."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab.config import KNOBS, RunConfig
from lab.data import catalog
from lab.ui.data.browse import AUGMENTATIONS
from lab.ui.state import knob_key
from tests.app.conftest import OpenPage


@pytest.fixture
def signs(open_page: OpenPage) -> AppTest:
    """The Data page with the drawn signs open."""
    catalog.open_pack("drawn-signs")
    app = open_page("data")
    app.selectbox(key="data_dataset").select("drawn-signs").run()
    assert not app.exception
    return app


def open_tab(app: AppTest, title: str) -> AppTest:
    app.session_state["data_tab"] = title
    app.run()
    assert not app.exception, app.exception[0].value
    return app


def captions(app: AppTest) -> str:
    return "\n".join(element.value for element in app.caption)


def images(app: AppTest) -> int:
    return sum(len(element.proto.imgs) for element in app.get("image"))


def test_images_of_a_class_and_part(signs: AppTest) -> None:
    counts = catalog.describe("drawn-signs").counts
    assert images(signs) == counts["train"]["A"]
    signs.segmented_control(key="data_split_drawn-signs").set_value("test").run()
    signs.selectbox(key="data_class_drawn-signs").select("C").run()
    assert images(signs) == counts["test"]["C"]
    assert "pictures of C" in captions(signs)


def test_labels_are_a_chart_of_every_part(signs: AppTest) -> None:
    app = open_tab(signs, "Labels")
    assert len(app.get("plotly_chart")) == 1
    assert images(app) == 0  # the other tabs are not drawn behind it


def test_sizes_and_pixels_are_those_of_the_training_images(signs: AppTest) -> None:
    app = open_tab(signs, "Sizes and pixels")
    pack = catalog.open_pack("drawn-signs")
    train = pack.images[pack.indices("train")] / 255
    table = app.dataframe[0].value
    assert table["Mean"][0] == pytest.approx(float(np.mean(train)), abs=6e-4)
    assert table["Standard deviation"][0] == pytest.approx(float(np.std(train)), abs=6e-4)
    assert "squeezed to a square, 28 pixels a side" in captions(app)


def test_augmentation_shows_both_flips_and_eight_draws_of_every_knob(signs: AppTest) -> None:
    app = open_tab(signs, "Augmentation")
    assert images(app) == 2 + 8 * len(AUGMENTATIONS)
    app.number_input(key="data_augmented_drawn-signs").set_value(3).run()
    assert not app.exception


def test_augmentation_is_as_strong_as_on_the_train_page_or_says_that_it_is_not(
    signs: AppTest,
) -> None:
    def headings() -> str:
        return "\n".join(element.value for element in signs.markdown)

    open_tab(signs, "Augmentation")
    assert "**Rotation** up to 25° · an example" in headings()
    fill = RunConfig(dataset="drawn-signs").changed(rotation_degrees=7, horizontal_flip=True)
    for name in KNOBS:
        if KNOBS[name].group == "augmentation":
            signs.session_state[knob_key(name)] = getattr(fill, name)
    open_tab(signs, "Augmentation")
    assert "**Horizontal flip** · as set on the Train page" in headings()
    assert "**Rotation** up to 7° · as set on the Train page" in headings()
    assert "**Zoom** up to 0.3 · an example; off on the Train page" in headings()


def test_what_can_be_added_is_what_the_lab_knows(open_page: OpenPage) -> None:
    app = open_page("data")
    kind = app.selectbox(key="data_kind")
    known = [spec for spec in catalog.DATASETS if not spec.built_in]
    assert kind.options == ["My own pictures", *(spec.title for spec in known)]
    assert kind.value == ""
    for spec in known:
        app.selectbox(key="data_kind").select(spec.name).run()
        assert not app.exception
        assert spec.expects in captions(app)
