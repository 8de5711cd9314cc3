"""The film strip on the Train page, and pinning pictures on the Data page."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from lab.config import RunConfig
from lab.data import catalog, probes
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.watch import film_files
from tests.app.conftest import OpenPage

Finished = Callable[[str], RunRow]

CONVNET = RunConfig(dataset="drawn-signs", architecture="sign-cnn", epochs=3, batch_size=16)


@pytest.fixture
def trained(finished: Finished) -> Callable[[RunConfig], str]:
    def train(config: RunConfig) -> str:
        run_id = queue().submit(config)
        assert finished(run_id).status == "completed", store().run(run_id).message
        return run_id

    return train


def strips(app: AppTest) -> list[str]:
    return [e.proto.body for e in app.get("html") if 'class="film"' in e.proto.body]


def captions(app: AppTest) -> str:
    return "\n".join(caption.value for caption in app.caption)


def test_the_strip_shows_and_is_scrubbed(
    open_page: OpenPage, trained: Callable[[RunConfig], str]
) -> None:
    run_id = trained(CONVNET)
    app = open_page("train", run=run_id)
    table, large = strips(app)
    assert table.partition("<tbody>")[2].count("<tr>") == 8
    assert "start" in table
    assert "epoch 3" in table
    assert large.count("<figure>") == 8
    assert "one colour scale for all epochs" in captions(app)
    layer = app.selectbox(key=f"film_stage_{run_id}")
    assert layer.value == "block3"
    layer.select("block1").run()
    assert not app.exception
    assert "Where block1 sees" in strips(app)[0]
    slider = app.select_slider(key=f"film_epoch_{run_id}")
    assert slider.value == 3
    slider.set_value(0).run()
    assert not app.exception
    assert "before training" in strips(app)[1]
    app.run()
    assert app.select_slider(key=f"film_epoch_{run_id}").value == 0


def test_a_perceptron_shows_predictions_only(
    open_page: OpenPage, trained: Callable[[RunConfig], str]
) -> None:
    run_id = trained(CONVNET.changed(architecture="single-layer-perceptron"))
    app = open_page("train", run=run_id)
    assert "no convolution" in captions(app)
    assert strips(app)[0].count("<img") == 8


def test_a_run_without_a_strip_says_why(
    open_page: OpenPage, trained: Callable[[RunConfig], str]
) -> None:
    run_id = trained(CONVNET.changed(film_strip=False, epochs=1))
    app = open_page("train", run=run_id)
    assert "Switched off for this run" in captions(app)
    assert not strips(app)


def test_a_run_from_before_there_were_strips_says_so(
    open_page: OpenPage, trained: Callable[[RunConfig], str]
) -> None:
    run_id = trained(CONVNET.changed(epochs=1))
    film_files.remove_from(store().folder(run_id), 0)
    app = open_page("train", run=run_id)
    assert "an earlier version of the lab trained it" in captions(app)


def test_a_damaged_file_is_left_out(
    open_page: OpenPage, trained: Callable[[RunConfig], str]
) -> None:
    run_id = trained(CONVNET)
    (store().folder(run_id) / "probes" / "epoch-0001.npz").write_bytes(b"nonsense")
    app = open_page("train", run=run_id)
    assert "epoch 1<" not in strips(app)[0]
    assert "epoch 3<" in strips(app)[0]


def test_pins_are_made_on_the_data_page_and_shown_beside_the_strip(
    open_page: OpenPage, trained: Callable[[RunConfig], str]
) -> None:
    pack = catalog.open_pack("drawn-signs")
    app = open_page("data")
    app.selectbox(key="data_dataset").select("drawn-signs").run()
    app.toggle(key="data_pinning").set_value(True).run()
    index = int(pack.indices("train")[pack.labels[pack.indices("train")] == 0][0])
    app.button(key=f"data_pin_drawn-signs_{index}").click().run()
    assert not app.exception
    assert "1 of at most 8 pictures" in captions(app)
    assert probes.probes("drawn-signs") == (index,)

    run_id = trained(CONVNET.changed(epochs=1))
    probes.pin("drawn-signs", index + 1)
    app = open_page("train", run=run_id)
    assert strips(app)[0].partition("<tbody>")[2].count("<tr>") == 1
    app.session_state["film_pins"] = True
    app.run()
    assert "the next run follows them" in captions(app)
    app.button(key=f"film_unpin_{index}").click().run()
    assert not app.exception
    assert probes.probes("drawn-signs") == (index + 1,)
