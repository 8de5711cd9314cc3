"""The Inspect page: what it says of an image is what the network does with it."""

import io
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.config import RunConfig
from lab.data import catalog, probes
from lab.data.splits import make_splits
from lab.evaluate.predictions import predict
from lab.explain.grad_cam import METHODS
from lab.progress import Cancel, check_cancel
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from tests.app.conftest import OpenPage
from tests.tiny_data import CLASSES, make_tiny_pack

Train = Callable[..., RunRow]


@pytest.fixture
def train(finished: Callable[[str], RunRow]) -> Train:
    make_tiny_pack()

    def run(architecture: str = "sign-cnn", **knobs: object) -> RunRow:
        config = RunConfig(dataset="tiny", batch_size=16, epochs=2).changed(
            architecture=architecture, **knobs
        )
        return finished(queue().submit(config))

    return run


def settle(app: AppTest) -> AppTest:
    """Run the page until none of its background jobs is at work: AppTest has no ticking."""
    for _ in range(20):
        assert not app.exception, app.exception[0].value
        active = [job for job in jobs.jobs() if job.active]
        if not active:
            return app.run()
        for job in active:
            jobs.wait(job.id, timeout=60)
        app.run()
    raise AssertionError("the page never came to rest")


def texts(app: AppTest, kind: str) -> str:
    return "\n".join(element.value for element in getattr(app, kind))


def alts(app: AppTest) -> list[str]:
    return [image.alt for element in app.get("image") for image in element.proto.imgs]


def test_an_empty_lab_says_where_to_begin(open_page: OpenPage) -> None:
    app = open_page("inspect")
    assert "No trained network yet" in texts(app, "info")


def test_the_answer_is_the_networks_own(open_page: OpenPage, train: Train) -> None:
    run = train(keep_every=1)
    app = settle(open_page("inspect", run=run.id))
    folder = store().folder(run.id)
    found = predict(folder, "best", "val")
    shown = [p for p in texts(app, "markdown").splitlines() if "says the" in p or "right." in p]
    name = CLASSES[int(found.predicted[0])]
    assert f"**{name}**" in texts(app, "markdown"), shown
    assert "What speaks for" in "\n".join(alts(app))
    app.selectbox(key=f"inspect_checkpoint_{run.id}").select("epoch-0001").run()
    settle(app)


def test_layers_and_methods_can_be_changed(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settle(open_page("inspect", run=run.id))
    layer = app.selectbox(key=f"inspect_cam_layer_{run.id}")
    assert any("convolution" in option for option in layer.options)
    layer.select("block1.conv").run()
    settle(app)
    assert any("in layer block1.conv" in alt for alt in alts(app))
    app.selectbox(key="inspect_cam_method").select("layercam").run()
    settle(app)
    assert "LayerCAM" in texts(app, "caption")


def test_a_perceptron_shows_its_gradient_and_its_weights(open_page: OpenPage, train: Train) -> None:
    run = train("mlp")
    app = settle(open_page("inspect", run=run.id))
    assert "no convolution" in texts(app, "info")
    assert any(alt.startswith("Input gradient") for alt in alts(app))
    app.session_state["inspect_tab"] = "Feature maps"
    app.run()
    settle(app)
    assert "no places" in texts(app, "caption")


def test_feature_maps_of_every_stage(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = open_page("inspect", run=run.id)
    app.session_state["inspect_tab"] = "Feature maps"
    app.run()
    settle(app)
    shown = "\n".join(alts(app))
    for stage in ("block1", "block2", "block3"):
        assert f"Stage {stage}, average of all channels" in shown
    assert [m.value for m in app.metric if m.label == "Shape"] == ["32 × 2 × 2"]
    app.selectbox(key=f"inspect_maps_layer_{run.id}").select("block1").run()
    settle(app)
    assert [m.value for m in app.metric if m.label == "Shape"] == ["32 × 8 × 8"]


def test_a_link_opens_its_image_and_checkpoint(open_page: OpenPage, train: Train) -> None:
    run = train(keep_every=1)
    pack = catalog.open_pack("tiny")
    index = int(pack.indices("test")[4])
    app = settle(open_page("inspect", run=run.id, image=str(index), checkpoint="epoch-0001"))
    assert app.selectbox(key=f"inspect_checkpoint_{run.id}").value == "epoch-0001"
    assert f"{pack.names[index]} as the network gets it" in alts(app)
    app.button(key="inspect_pin").click().run()
    assert probes.is_pinned("tiny", index)


def test_the_url_follows_what_is_looked_at(open_page: OpenPage, train: Train) -> None:
    run = train(keep_every=1)
    pack = catalog.open_pack("tiny")
    linked, tests = int(pack.indices("test")[4]), pack.indices("test")
    app = settle(open_page("inspect", run=run.id, image=str(linked)))
    app.segmented_control(key="inspect_source").set_value("test").run()
    app.button(key="inspect_next").click().run()
    settle(app)
    assert app.query_params["image"] == str(tests[1])
    assert f"{pack.names[tests[1]]} as the network gets it" in alts(app)
    app.selectbox(key=f"inspect_checkpoint_{run.id}").select("epoch-0001").run()
    settle(app)
    assert app.query_params["checkpoint"] == "epoch-0001"
    # What the link brought is still there to go back to.
    app.segmented_control(key="inspect_source").set_value("link").run()
    settle(app)
    assert app.query_params["image"] == str(linked)
    assert f"{pack.names[linked]} as the network gets it" in alts(app)
    again = settle(open_page("inspect", **{k: str(v) for k, v in app.query_params.items()}))
    assert f"{pack.names[linked]} as the network gets it" in alts(again)
    assert again.selectbox(key=f"inspect_checkpoint_{run.id}").value == "epoch-0001"


def test_the_wrong_ones_can_be_walked_through(open_page: OpenPage, train: Train) -> None:
    run = train("single-layer-perceptron", epochs=1, learning_rate=1e-6)
    app = settle(open_page("inspect", run=run.id))
    app.segmented_control(key="inspect_source").set_value("test").run()
    app.selectbox(key="inspect_which").select("wrong").run()
    settle(app)
    found = predict(store().folder(run.id), "best", "test")
    wrong = int(np.count_nonzero(~found.right))
    assert wrong
    assert f"Image (of {wrong:,})" in [n.label for n in app.number_input]
    assert "but it is" in texts(app, "markdown")
    before = [a for a in alts(app) if "as the network gets it" in a]
    app.button(key="inspect_next").click().run()
    settle(app)
    assert [a for a in alts(app) if "as the network gets it" in a] != before or wrong == 1


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_an_upload_is_looked_at_and_a_broken_one_gets_a_sentence(
    open_page: OpenPage, train: Train
) -> None:
    run = train()
    app = settle(open_page("inspect", run=run.id))
    app.segmented_control(key="inspect_source").set_value("upload").run()
    app.file_uploader(key="inspect_upload").upload(
        "bad.png", png(np.zeros((9, 9), np.uint8))[:40], "image/png"
    ).run()
    assert "bad" in texts(app, "error")
    app.file_uploader(key="inspect_upload").upload(
        "mine.png", png(np.full((40, 30, 3), 99, np.uint8)), "image/png"
    ).run()
    settle(app)
    assert "mine.png as the network gets it" in alts(app)
    assert "says the network" in texts(app, "markdown")


def test_without_its_data_set_a_run_still_looks_at_uploads(
    open_page: OpenPage, train: Train
) -> None:
    run = train()
    catalog.remove_dataset("tiny")
    app = settle(open_page("inspect", run=run.id))
    assert "can be looked at even so" in texts(app, "warning")
    assert app.segmented_control(key="inspect_source").options == ["Your own"]


def test_the_gallery_has_right_and_wrong_ones(open_page: OpenPage, train: Train) -> None:
    run = train(epochs=1)
    app = open_page("inspect", run=run.id)
    app.session_state["inspect_tab"] = "Gallery"
    app.run()
    settle(app)
    assert "taken for" in "\n".join(alts(app))
    assert "Each map says what speaks for the class" in texts(app, "caption")


def test_a_thumbnail_goes_to_its_image_and_another_list_begins_anew(
    open_page: OpenPage, train: Train
) -> None:
    run = train()
    app = settle(open_page("inspect", run=run.id))
    pack = catalog.open_pack("tiny")
    val = make_splits(pack, run.config).val
    settle(app.button(key="inspect_thumbnail_2").click().run())
    assert app.number_input(key="inspect_position").value == 3
    assert f"{pack.names[val[2]]} as the network gets it" in alts(app)
    settle(app.selectbox(key=f"inspect_class_{run.id}").select(1).run())
    assert app.number_input(key="inspect_position").value == 1
    of_class = [i for i in val if pack.labels[i] == 1]
    assert f"{pack.names[of_class[0]]} as the network gets it" in alts(app)
    assert f"Image (of {len(of_class):,})" in [n.label for n in app.number_input]


def test_a_stage_is_looked_at_by_pressing_its_name(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settle(open_page("inspect", run=run.id))
    settle(app.button(key="inspect_look_block1").click().run())
    assert app.selectbox(key=f"inspect_cam_layer_{run.id}").value == "block1"
    assert any("in layer block1" in alt for alt in alts(app))


def test_the_class_to_explain_stays_from_image_to_image(open_page: OpenPage, train: Train) -> None:
    run = train("single-layer-perceptron", epochs=1, learning_rate=1e-6)
    app = settle(open_page("inspect", run=run.id))
    app.selectbox(key=f"inspect_target_{run.id}").select(-2)  # the true class
    pack = catalog.open_pack("tiny")
    val = make_splits(pack, run.config).val
    settle(app.run())
    for place in (0, 1, 2):
        true = CLASSES[int(pack.labels[val[place]])]
        assert f"Explained is {true}." in texts(app, "caption")
        assert f"Input gradient of the score of {true}" in alts(app)
        settle(app.button(key="inspect_next").click().run())
    settle(app.selectbox(key=f"inspect_target_{run.id}").select(2).run())
    assert f"Input gradient of the score of {CLASSES[2]}" in alts(app)


def test_a_perceptrons_weights_are_named_by_their_classes(
    open_page: OpenPage, train: Train
) -> None:
    run = train("single-layer-perceptron")
    app = settle(open_page("inspect", run=run.id))
    app.session_state["inspect_tab"] = "Feature maps"
    settle(app.run())
    assert "the class scores" in texts(app, "caption")


def test_a_map_can_be_put_to_the_test(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settle(open_page("inspect", run=run.id))
    settle(app.button(key="inspect_trust").click().run())
    assert "inspect_trust" not in [button.key for button in app.button]
    (job,) = [job for job in jobs.jobs() if (job.key or "").startswith("trust:")]
    assert job.state == "done"
    assert job.result.sentence


def test_every_method_is_offered_with_its_cost(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settle(open_page("inspect", run=run.id))
    box = app.selectbox(key="inspect_cam_method")
    assert len(box.options) == len(METHODS)
    assert "Score-CAM (slow)" in box.options
    box.select("fullgrad").run()
    settle(app)
    assert "one map of the whole network, whichever layer is chosen" in texts(app, "caption")
    assert any("in the whole network" in alt for alt in alts(app))
    assert not any("in stage" in alt for alt in alts(app))
    # Of the methods that are quick enough the runs' own views offer all.
    app.session_state["inspect_tab"] = "Runs side by side"
    settle(app.run())
    offered = app.selectbox(key="inspect_side_method").options
    assert len(offered) == len(METHODS) - 2
    assert not any("slow" in option for option in offered)


def slow_jobs(run: RunRow) -> list[jobs.JobView]:
    keys = [(job, job.key or "") for job in jobs.jobs()]
    return [job for job, key in keys if ":score-cam:" in key and run.id in key]


def test_a_slow_map_is_drawn_when_asked_for(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settle(open_page("inspect", run=run.id))
    settle(app.selectbox(key="inspect_cam_method").select("score-cam").run())
    caption = texts(app, "caption")
    assert "once for each of the 32 channels of this layer: about 1 s here" in caption
    assert not any("What speaks for" in alt for alt in alts(app))
    assert not slow_jobs(run)
    settle(app.button(key="inspect_draw").click().run())
    assert any("what speaks for" in alt for alt in alts(app))
    assert "inspect_draw" not in [button.key for button in app.button]
    # Another image is another map, and is asked for anew.
    settle(app.button(key="inspect_next").click().run())
    app.button(key="inspect_draw")


def test_a_slow_map_can_be_cancelled_and_asked_for_again(
    open_page: OpenPage, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train()
    begun = threading.Event()

    def forever(*given: object, cancel: Cancel, **rest: object) -> None:
        begun.set()
        for _ in range(2000):
            check_cancel(cancel, "Drawing the map")
            time.sleep(0.01)

    app = settle(open_page("inspect", run=run.id))
    settle(app.selectbox(key="inspect_cam_method").select("score-cam").run())
    monkeypatch.setattr("lab.ui.inspect.cam.draw_maps", forever)
    app.button(key="inspect_draw").click().run()
    assert begun.wait(10)
    (job,) = slow_jobs(run)
    app.button(key=f"background_{job.id}_cancel").click().run()
    ended = jobs.wait(job.id, timeout=10)
    assert ended is not None
    assert ended.state == "cancelled"
    app.run()
    assert len(slow_jobs(run)) == 1
    app.button(key="inspect_draw")


def test_the_gallery_by_a_slow_method(open_page: OpenPage, train: Train) -> None:
    run = train(epochs=1)
    app = open_page("inspect", run=run.id)
    app.session_state["inspect_tab"] = "Gallery"
    settle(app.run())
    settle(app.selectbox(key="inspect_gallery_method").select("ablation-cam").run())
    assert "taken for" not in "\n".join(alts(app))
    settle(app.button(key="inspect_gallery_draw").click().run())
    assert "taken for" in "\n".join(alts(app))
