"""The Inspect page: what it says of an image is what the network does with it."""

import io
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from lab import jobs, people
from lab.config import RunConfig
from lab.data import catalog, probes
from lab.data.splits import make_splits
from lab.evaluate.audit_result import keep_audit, saved_audit
from lab.evaluate.maps import draw_maps
from lab.evaluate.predictions import predict
from lab.explain.grad_cam import METHODS
from lab.people import Person
from lab.progress import Cancel, check_cancel
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.inspect import images
from tests.app.conftest import Completed, OpenPage, settled
from tests.components import component_data
from tests.tiny_data import CLASSES, make_tiny_pack

Train = Callable[..., RunRow]


@pytest.fixture
def train(completed: Completed) -> Train:
    make_tiny_pack()

    def run(architecture: str = "sign-cnn", **knobs: object) -> RunRow:
        config = RunConfig(dataset="tiny", batch_size=16, epochs=2).changed(
            architecture=architecture, **knobs
        )
        return completed((config, None))[0]

    return run


def texts(app: AppTest, kind: str) -> str:
    return "\n".join(element.value for element in getattr(app, kind))


def alts(app: AppTest) -> list[str]:
    images = [image.alt for element in app.get("image") for image in element.proto.imgs]
    return images + [picture["alt"] for each in buttons(app) for picture in each["pictures"]]


def buttons(app: AppTest) -> list[dict[str, Any]]:
    """What the rows of picture buttons are given."""
    return [each for each in component_data(app) if "pictures" in each]


def test_an_empty_lab_says_where_to_begin(open_page: OpenPage) -> None:
    app = open_page("inspect")
    assert "No trained network yet" in texts(app, "info")


def test_the_answer_is_the_networks_own(open_page: OpenPage, train: Train) -> None:
    run = train(keep_every=1)
    app = settled(open_page("inspect", run=run.id))
    folder = store().folder(run.id)
    found = predict(folder, "best", "val")
    shown = [p for p in texts(app, "markdown").splitlines() if "says the" in p or "right." in p]
    name = CLASSES[int(found.predicted[0])]
    assert f"**{name}**" in texts(app, "markdown"), shown
    assert "What speaks for" in "\n".join(alts(app))
    app.selectbox(key=f"inspect_checkpoint_{run.id}").select("epoch-0001").run()
    settled(app)


def test_layers_and_methods_can_be_changed(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settled(open_page("inspect", run=run.id))
    layer = app.selectbox(key=f"inspect_cam_layer_{run.id}")
    assert layer.options[-1] == "Block 3 · 2 × 2 × 32"
    assert "Block 1, convolution · 16 × 16 × 32" in layer.options
    layer.select("block1.conv").run()
    settled(app)
    assert any(alt.endswith("in Block 1, convolution") for alt in alts(app))
    app.selectbox(key="inspect_cam_method").select("layercam").run()
    settled(app)
    assert "LayerCAM" in texts(app, "caption")


def test_a_perceptron_shows_its_gradient_and_its_weights(open_page: OpenPage, train: Train) -> None:
    run = train("mlp")
    app = settled(open_page("inspect", run=run.id))
    assert "No stage of this network puts out places" in texts(app, "info")
    assert any(alt.startswith("Input gradient") for alt in alts(app))
    app.session_state["inspect_tab"] = "Feature maps"
    app.run()
    settled(app)
    assert "no places" in texts(app, "caption")


def test_feature_maps_of_every_stage(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = open_page("inspect", run=run.id)
    app.session_state["inspect_tab"] = "Feature maps"
    app.run()
    settled(app)
    shown = "\n".join(alts(app))
    for stage in ("Block 1", "Block 2", "Block 3"):
        assert f"{stage}, channel " in shown
    app.segmented_control(key="inspect_stage_row").set_value("mean").run()
    assert "Block 1, average of all channels" in "\n".join(alts(app))
    assert "Channels 1 to 24 of 32, the strongest first" in texts(app, "caption")
    app.selectbox(key=f"inspect_maps_layer_{run.id}").select("block1").run()
    settled(app)
    assert "**Block 1, channel by channel**" in texts(app, "markdown")


def channels(app: AppTest) -> list[dict[str, str]]:
    (row,) = [each for each in buttons(app) if each["label"].startswith("Channels of")]
    pictures: list[dict[str, str]] = row["pictures"]
    return pictures


def test_channels_by_number_and_on_one_scale(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = open_page("inspect", run=run.id)
    app.session_state["inspect_tab"] = "Feature maps"
    settled(app.run())
    strongest = channels(app)
    assert "scale of its own, so compare patterns" in texts(app, "caption")
    settled(app.selectbox(key="inspect_order").select(True).run())
    assert [each["caption"] for each in channels(app)] == [f"Channel {n}" for n in range(24)]
    assert {each["caption"] for each in strongest} != {each["caption"] for each in channels(app)}
    own = channels(app)
    settled(app.selectbox(key="inspect_scale").select("common").run())
    assert "All have one scale" in texts(app, "caption")
    assert [each["source"] for each in channels(app)] != [each["source"] for each in own]


def test_a_channel_is_enlarged_with_what_it_is_a_sum_of(
    open_page: OpenPage, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", 60)  # one run shows all
    run = train()
    app = open_page("inspect", run=run.id)
    app.session_state["inspect_tab"] = "Feature maps"
    settled(app.run())
    for layer, words in (("block1.conv", "What it is a sum of"), ("block1", "Go to Block 1")):
        settled(app.selectbox(key=f"inspect_maps_layer_{run.id}").select(layer).run())
        app.session_state["inspect_enlarged"] = (app.query_params["image"][0], layer, 3)
        assert not app.run().exception
        said = texts(app, "markdown") + "".join(button.label for button in app.button)
        assert "Channel 3, enlarged" in alts(app)
        assert words in said
        app.run()
        assert "Channel 3, enlarged" not in alts(app)  # once


def test_a_link_opens_its_image_and_checkpoint(open_page: OpenPage, train: Train) -> None:
    run = train(keep_every=1)
    pack = catalog.open_pack("tiny")
    index = int(pack.indices("test")[4])
    app = settled(open_page("inspect", run=run.id, image=str(index), checkpoint="epoch-0001"))
    assert app.selectbox(key=f"inspect_checkpoint_{run.id}").value == "epoch-0001"
    assert f"{pack.names[index]} as the network gets it" in alts(app)
    app.button(key="inspect_pin").click().run()
    assert probes.is_pinned("tiny", index)


def test_the_url_follows_what_is_looked_at(open_page: OpenPage, train: Train) -> None:
    run = train(keep_every=1)
    pack = catalog.open_pack("tiny")
    linked, tests = int(pack.indices("test")[4]), pack.indices("test")
    app = settled(open_page("inspect", run=run.id, image=str(linked)))
    app.segmented_control(key="inspect_source").set_value("test").run()
    app.button(key="inspect_next").click().run()
    settled(app)
    assert app.query_params["image"] == str(tests[1])
    assert f"{pack.names[tests[1]]} as the network gets it" in alts(app)
    app.selectbox(key=f"inspect_checkpoint_{run.id}").select("epoch-0001").run()
    settled(app)
    assert app.query_params["checkpoint"] == "epoch-0001"
    # What the link brought is still there to go back to.
    app.segmented_control(key="inspect_source").set_value("link").run()
    settled(app)
    assert app.query_params["image"] == str(linked)
    assert f"{pack.names[linked]} as the network gets it" in alts(app)
    again = settled(open_page("inspect", **{k: str(v) for k, v in app.query_params.items()}))
    assert f"{pack.names[linked]} as the network gets it" in alts(again)
    assert again.selectbox(key=f"inspect_checkpoint_{run.id}").value == "epoch-0001"


def test_a_finished_run_leads_to_its_mistakes(open_page: OpenPage, train: Train) -> None:
    run = train("single-layer-perceptron", epochs=1, learning_rate=1e-6)
    links = [e.proto for e in open_page("train", run=run.id).get("page_link")]
    (link,) = (each for each in links if each.label == "Its mistakes")
    query = {name: value for name, (value,) in parse_qs(link.query_string).items()}
    app = settled(open_page("inspect", **query))
    assert app.selectbox(key="inspect_which").value == "wrong"
    assert "but its label is" in texts(app, "markdown")
    # Also after a link to one image, which the page otherwise goes on showing.
    app.query_params["image"] = "0"
    settled(app.run())
    assert app.segmented_control(key="inspect_source").value == "link"
    del app.query_params["image"]
    app.query_params |= query
    settled(app.run())
    assert app.segmented_control(key="inspect_source").value == "val"


def test_a_list_without_an_image_leads_on(
    open_page: OpenPage, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = images._candidates

    def as_of_a_perfect_network(*given: Any) -> Any:
        found = candidates(*given)
        return () if st.session_state["inspect_which"] == "wrong" else found

    monkeypatch.setattr(images, "_candidates", as_of_a_perfect_network)
    app = settled(open_page("inspect", run=train("single-layer-perceptron", epochs=1).id))
    app.selectbox(key="inspect_which").select("wrong").run()
    settled(app)
    assert "No wrong answer among these images." in texts(app, "info")
    app.button(key="inspect_show_all").click().run()
    settled(app)
    assert app.selectbox(key="inspect_which").value == "all"
    assert any("as the network gets it" in alt for alt in alts(app))


def test_the_wrong_ones_can_be_walked_through(open_page: OpenPage, train: Train) -> None:
    run = train("single-layer-perceptron", epochs=1, learning_rate=1e-6)
    app = settled(open_page("inspect", run=run.id))
    app.segmented_control(key="inspect_source").set_value("test").run()
    app.selectbox(key="inspect_which").select("wrong").run()
    settled(app)
    found = predict(store().folder(run.id), "best", "test")
    wrong = int(np.count_nonzero(~found.right))
    assert wrong
    assert f"Image (of {wrong:,})" in [n.label for n in app.number_input]
    assert "but its label is" in texts(app, "markdown")
    before = [a for a in alts(app) if "as the network gets it" in a]
    row = int(app.query_params["image"])
    app.session_state[f"inspect_wrong_{row}_open"] = True
    app.run()
    app.button(key=f"inspect_wrong_{row}_exclude").click().run()
    assert app.session_state["data_edits"][run.dataset].exclude == {row}
    settled(app)
    app.button(key="inspect_next").click().run()
    settled(app)
    assert [a for a in alts(app) if "as the network gets it" in a] != before or wrong == 1


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_an_upload_is_looked_at_and_a_broken_one_gets_a_sentence(
    open_page: OpenPage, train: Train, released: list[str]
) -> None:
    run = train()
    app = settled(open_page("inspect", run=run.id))
    app.segmented_control(key="inspect_source").set_value("upload").run()
    app.file_uploader(key="inspect_upload").upload(
        "bad.png", png(np.zeros((9, 9), np.uint8))[:40], "image/png"
    ).run()
    assert "bad" in texts(app, "error")
    app.file_uploader(key="inspect_upload").upload(
        "mine.png", png(np.full((40, 30, 3), 99, np.uint8)), "image/png"
    ).run()
    settled(app)
    assert "mine.png as the network gets it" in alts(app)
    assert "says the network" in texts(app, "markdown")
    before, now = released[-1], app.session_state["inspect_file"]
    assert before  # bad.png
    assert now not in released


def test_without_its_data_set_a_run_still_looks_at_uploads(
    open_page: OpenPage, train: Train
) -> None:
    run = train()
    catalog.remove_dataset("tiny")
    app = settled(open_page("inspect", run=run.id))
    assert "can be looked at even so" in texts(app, "warning")
    assert app.segmented_control(key="inspect_source").options == ["Your own"]


def test_the_gallery_has_right_and_wrong_ones(open_page: OpenPage, train: Train) -> None:
    run = train(epochs=1)
    app = open_page("inspect", run=run.id)
    app.session_state["inspect_tab"] = "Gallery"
    app.run()
    settled(app)
    assert "taken for" in "\n".join(alts(app))
    assert "Each map says what speaks for the class" in texts(app, "caption")


def test_the_thumbnails_follow_and_another_list_begins_anew(
    open_page: OpenPage, train: Train
) -> None:
    run = train()
    app = settled(open_page("inspect", run=run.id))
    pack = catalog.open_pack("tiny")
    val = make_splits(pack, run.config).val
    settled(app.number_input(key="inspect_position").set_value(3).run())
    (row,) = [each for each in buttons(app) if each["label"] == "Images to choose from"]
    assert [each["chosen"] for each in row["pictures"]].index(True) == 2
    assert row["pictures"][2]["alt"] == f"Image 3: {CLASSES[int(pack.labels[val[2]])]}"
    assert f"{pack.names[val[2]]} as the network gets it" in alts(app)
    settled(app.selectbox(key=f"inspect_class_{run.id}").select(1).run())
    assert app.number_input(key="inspect_position").value == 1
    of_class = [i for i in val if pack.labels[i] == 1]
    assert f"{pack.names[of_class[0]]} as the network gets it" in alts(app)
    assert f"Image (of {len(of_class):,})" in [n.label for n in app.number_input]


def test_maps_are_drawn_in_three_ways_and_the_choice_stays(
    open_page: OpenPage, train: Train
) -> None:
    run = train()
    app = settled(open_page("inspect", run=run.id))
    assert "Colour marks what speaks for" in texts(app, "caption")
    settled(app.segmented_control(key="inspect_mode").set_value("contour").run())
    assert "white at half of the strongest value" in texts(app, "caption")
    settled(app.segmented_control(key="inspect_mode").set_value("map").run())
    assert "2 × 2 places of Block 3" in texts(app, "caption")
    app.session_state["inspect_tab"] = "Gallery"
    settled(app.run())
    assert app.segmented_control(key="inspect_mode").value == "map"


def test_an_empty_map_names_what_has_one(
    open_page: OpenPage, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train()

    def without(*given: Any, layers: Sequence[str], method: str, **rest: Any) -> dict[str, Any]:
        maps = draw_maps(*given, layers=layers, method=method, **rest)
        if method == "grad-cam":
            empty = np.zeros((2, 2), np.float32)
            maps["block3"] = replace(maps["block3"], values=empty, meaningful=False)
        return maps

    monkeypatch.setattr("lab.ui.inspect.cam.draw_maps", without)
    app = settled(open_page("inspect", run=run.id))
    assert "Nothing in Block 3 speaks for" in texts(app, "info")
    offered = {b.key: b.label for b in app.button if (b.key or "").startswith("inspect_instead")}
    assert offered["inspect_instead_method"] in {"Use HiResCAM", "Use LayerCAM", "Use Grad-CAM++"}
    settled(app.button(key="inspect_instead_method").click().run())
    assert app.selectbox(key="inspect_cam_method").value != "grad-cam"
    assert any("with what speaks for" in alt for alt in alts(app))


def test_the_class_to_explain_stays_from_image_to_image(open_page: OpenPage, train: Train) -> None:
    run = train("single-layer-perceptron", epochs=1, learning_rate=1e-6)
    app = settled(open_page("inspect", run=run.id))
    app.selectbox(key=f"inspect_target_{run.id}").select(-2)  # the true class
    pack = catalog.open_pack("tiny")
    val = make_splits(pack, run.config).val
    settled(app.run())
    for place in (0, 1, 2):
        true = CLASSES[int(pack.labels[val[place]])]
        target = app.selectbox(key=f"inspect_target_{run.id}")
        assert f"The true class ({true})" in target.options
        assert f"Input gradient of the score of {true}" in alts(app)
        settled(app.button(key="inspect_next").click().run())
    settled(app.selectbox(key=f"inspect_target_{run.id}").select(2).run())
    assert f"Input gradient of the score of {CLASSES[2]}" in alts(app)


def test_a_perceptrons_weights_are_named_by_their_classes(
    open_page: OpenPage, train: Train
) -> None:
    run = train("single-layer-perceptron")
    app = settled(open_page("inspect", run=run.id))
    app.session_state["inspect_tab"] = "Feature maps"
    settled(app.run())
    assert "the class scores" in texts(app, "caption")


def test_a_map_can_be_put_to_the_test(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settled(open_page("inspect", run=run.id))
    settled(app.button(key="inspect_trust").click().run())
    assert "inspect_trust" not in [button.key for button in app.button]
    (job,) = [job for job in jobs.jobs() if (job.key or "").startswith("trust:")]
    assert job.state == "done"
    assert job.result.sentence


def test_the_maps_of_a_run_are_audited_and_the_page_begins_with_the_winner(
    open_page: OpenPage, train: Train
) -> None:
    run = train()
    app = settled(open_page("inspect", run=run.id))
    settled(app.button(key="inspect_audit").click().run())
    found = saved_audit(store().folder(run.id), "best")
    assert found is not None
    assert found.why in texts(app, "caption")
    assert "inspect_audit" not in [button.key for button in app.button]
    # As the evidence of another day might have it: the page of a new session begins there.
    keep_audit(store().folder(run.id), replace(found, layer="block1", method="hirescam"))
    fresh = settled(open_page("inspect", run=run.id))
    assert fresh.selectbox(key=f"inspect_cam_layer_{run.id}").value == "block1"
    assert fresh.selectbox(key="inspect_cam_method").value == "hirescam"


def test_a_class_that_does_not_see_test_results_sees_none_here(
    open_page: OpenPage, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train()
    monkeypatch.setattr(people, "OPERATOR", Person("p-1", "Ann", "member"))
    app = settled(open_page("inspect", run=run.id))
    assert app.segmented_control(key="inspect_source").options[0] == "Validation"
    assert "Test" not in app.segmented_control(key="inspect_source").options
    settled(app.button(key="inspect_audit").click().run())
    found = saved_audit(store().folder(run.id), "best")
    assert found is not None
    assert found.split == "val"
    keep_audit(store().folder(run.id), replace(found, split="test"))
    fresh = settled(open_page("inspect", run=run.id))
    assert "not shown yet" in texts(fresh, "info")
    assert found.why not in texts(fresh, "caption")


def test_every_method_is_offered_with_its_cost(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settled(open_page("inspect", run=run.id))
    box = app.selectbox(key="inspect_cam_method")
    assert len(box.options) == len(METHODS) - 1  # no attention to roll out
    assert "Score-CAM (slow)" in box.options
    box.select("fullgrad").run()
    settled(app)
    assert "one map of the whole network, whichever layer is chosen" in texts(app, "caption")
    assert any("in the whole network" in alt for alt in alts(app))
    assert not any(each["label"] == "Stages of the network" for each in buttons(app))
    # Of the methods that are quick enough the runs' own views offer all.
    app.session_state["inspect_tab"] = "Runs side by side"
    settled(app.run())
    offered = app.selectbox(key="inspect_side_method").options
    assert len(offered) == len(METHODS) - 3
    assert not any("slow" in option for option in offered)


def slow_jobs(run: RunRow) -> list[jobs.JobView]:
    keys = [(job, job.key or "") for job in jobs.jobs()]
    return [job for job, key in keys if ":score-cam:" in key and run.id in key]


def test_a_slow_map_is_drawn_when_asked_for(open_page: OpenPage, train: Train) -> None:
    run = train()
    app = settled(open_page("inspect", run=run.id))
    settled(app.selectbox(key="inspect_cam_method").select("score-cam").run())
    caption = texts(app, "caption")
    assert "once for each of the 32 channels of this layer: about 1 s here" in caption
    assert not any("What speaks for" in alt for alt in alts(app))
    assert not slow_jobs(run)
    settled(app.button(key="inspect_draw").click().run())
    assert any("what speaks for" in alt for alt in alts(app))
    assert "inspect_draw" not in [button.key for button in app.button]
    # Another image is another map, and is asked for anew.
    settled(app.button(key="inspect_next").click().run())
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

    app = settled(open_page("inspect", run=run.id))
    settled(app.selectbox(key="inspect_cam_method").select("score-cam").run())
    monkeypatch.setattr("lab.ui.inspect.cam.draw_maps", forever)
    app.button(key="inspect_draw").click().run()
    assert begun.wait(60)
    (job,) = slow_jobs(run)
    app.button(key=f"background_{job.id}_cancel").click().run()
    ended = jobs.wait(job.id, timeout=60)
    assert ended is not None
    assert ended.state == "cancelled"
    app.run()
    assert len(slow_jobs(run)) == 1
    app.button(key="inspect_draw")


def test_the_gallery_by_a_slow_method(open_page: OpenPage, train: Train) -> None:
    run = train(epochs=1)
    app = open_page("inspect", run=run.id)
    app.session_state["inspect_tab"] = "Gallery"
    settled(app.run())
    settled(app.selectbox(key="inspect_gallery_method").select("ablation-cam").run())
    assert "taken for" not in "\n".join(alts(app))
    settled(app.button(key="inspect_gallery_draw").click().run())
    assert "taken for" in "\n".join(alts(app))
