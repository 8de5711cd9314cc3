"""The Classify page through the entrance: pictures in, answers out, whatever else is among them."""

import base64
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from lab import jobs, people
from lab.config import RunConfig
from lab.data import catalog
from lab.evaluate import familiarity
from lab.evaluate.familiarity import ALARM, familiarity_file, measure_familiarity
from lab.evaluate.how_sure import saved_how_sure
from lab.people import Person
from lab.runs.class_rules import change_rules
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.classify import uploads
from lab.ui.classify.camera import picture_bytes
from lab.ui.classify.crop import valid_cut
from lab.words import probability
from tests.app.conftest import Completed, OpenPage, settled
from tests.data.pictures import BAD_PICTURES, encoded, jpeg, pets, photo, write_folder
from tests.evaluate.test_classify import ask
from tests.tiny_data import make_tiny_pack

Finished = Callable[[str], RunRow]
File = tuple[str, bytes, str]


def texts(app: AppTest, *kinds: str) -> str:
    values = [element.value for kind in kinds for element in getattr(app, kind)]
    return "\n".join(values).replace("\\", "")


@pytest.fixture
def train(completed: Completed) -> Callable[..., str]:
    """Train a run on the tiny pack and measure what its training pictures look like."""
    make_tiny_pack()

    def run(architecture: str = "sign-cnn", *, measured: bool = True, **knobs: object) -> str:
        knobs = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3, **knobs}
        config = RunConfig(dataset="tiny", architecture=architecture, **knobs)  # type: ignore[arg-type]
        then = measure if measured else None
        return completed((config, f"my {architecture}"), then=then)[-1].id

    def measure(run: RunRow) -> None:
        measure_familiarity(store().folder(run.id), "best")

    return run


def bars(index: int, name: str = "") -> File:
    """Image `index` of the tiny pack as an upload."""
    image = Image.fromarray(catalog.open_pack("tiny").images[index][..., 0])
    return (name or f"bars{index}.png", encoded(image, "PNG"), "image/png")


def upload(app: AppTest, files: Sequence[File]) -> AppTest:
    [uploader] = app.file_uploader
    uploader.set_value(files).run()
    return settled(app)


def lines(app: AppTest) -> int:
    """How many pictures have a line."""
    return len([b for b in app.button if b.key and b.key.startswith("classify_inspect_")])


def details(app: AppTest, index: int = 0) -> AppTest:
    """Show or hide the details of one picture."""
    buttons = [b for b in app.button if b.key and b.key.startswith("classify_details_")]
    buttons[index].click().run()
    return app


def test_without_a_run_the_page_says_where_to_get_one(open_page: OpenPage) -> None:
    app = open_page("classify")
    assert "No trained network yet" in texts(app, "info")
    assert not app.get("file_uploader")


def test_an_upload_is_answered_as_the_network_answers(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    run_id = train()
    app = upload(open_page("classify", run=run_id), [bars(4)])
    [answer] = ask(store().folder(run_id), "best", [("a", bars(4)[1])])
    name, share = answer.top(1)[0]
    shown = [bar.proto.text.replace("\\", "") for bar in app.get("progress")]
    assert shown[0] == f"**{name}** {probability(share)}"
    assert len(shown) == 1 + 3  # the only picture's details are shown: all classes
    assert "Nothing is kept on disk" in app.file_uploader[0].help
    assert "bars4.png" in texts(app, "markdown")
    captions = texts(app, "caption")
    assert "16 × 16 pixels" in captions
    assert f"Weights “best”, epoch {answer.epoch}" in captions
    assert "from the nearest training picture" in captions
    details(app)
    assert len(app.get("progress")) == 1


def test_test_pictures_are_offered_while_there_is_none(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    run_id = train()
    app = open_page("classify", run=run_id)
    app.button(key="classify_test_pictures").click().run()
    settled(app)
    pack = catalog.open_pack("tiny")
    test = pack.indices("test")
    first = test[pack.labels[test] == 0][0]
    assert f"{pack.meta.class_names[0]}, test picture 1.png" in texts(app, "markdown")
    assert not [each for each in app.button if each.key == "classify_test_pictures"]
    answers = list(app.session_state["classify_state"].answers.values())
    assert len(answers) == uploads.EXAMPLES
    assert any((answer.seen == pack.images[first]).all() for answer in answers)


def test_no_picture_is_called_familiar(open_page: OpenPage, train: Callable[..., str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    files = [
        bars(0),
        ("noise.png", encoded(Image.fromarray(noise), "PNG"), "image/png"),
        ("grey.png", encoded(Image.new("L", (40, 40), 128), "PNG"), "image/png"),
    ]
    app = upload(open_page("classify", run=train(epochs=6)), files)
    for index in range(3):
        details(app, index)
    said = texts(app, "caption", "markdown", "info", "warning")
    assert said.count(ALARM) >= 2
    assert "like the training" not in said.lower().replace("unlike", "")
    for sentence in ("No alarm:", "Alarm:"):
        assert sentence in said


def test_bad_files_are_named_and_hide_no_good_one(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    files = [(name, data, "image/jpeg") for name, (data, _) in BAD_PICTURES.items()]
    files += [("logo.svg", b"<svg></svg>", "image/svg+xml"), ("nothing.png", b"", "image/png")]
    files += [("film.heic", b"\x00\x00\x00\x18ftypheic\x00\x00", "image/heic")]
    good = [bars(0), ("photo.jpg", jpeg(3, (90, 60)), "image/jpeg")]
    app = upload(open_page("classify", run=train()), [good[0], *files, good[1]])
    text = texts(app, "warning", "markdown")
    for name, (_, reason) in BAD_PICTURES.items():
        assert f"“{name}” " in text
        assert reason in text
    assert "“logo.svg” is an SVG" in text
    assert "“nothing.png” is empty (0 bytes)" in text
    assert "“film.heic” is a damaged HEIC" in text
    assert lines(app) == 2
    app.button(key="classify_remove_broken").click().run()
    assert not app.warning
    assert lines(app) == 2


def test_pictures_of_every_mode(open_page: OpenPage, train: Callable[..., str]) -> None:
    grey = photo(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        ("cmyk.jpg", encoded(grey.convert("CMYK")), "image/jpeg"),
        ("palette.png", encoded(grey.quantize(8), "PNG"), "image/png"),
        (
            "deep.png",
            encoded(Image.fromarray(np.full((9, 9), 9000, np.uint16)), "PNG"),
            "image/png",
        ),
        ("alpha.webp", encoded(grey.convert("RGBA"), "WEBP"), "image/webp"),
        ("turned.jpg", encoded(grey, exif=exif), "image/jpeg"),
        ("thin.png", encoded(Image.new("L", (4000, 1)), "PNG"), "image/png"),
    ]
    app = upload(open_page("classify", run=train()), files)
    assert not app.warning
    assert lines(app) == 6
    details(app, 4)
    assert "30 × 40 pixels" in texts(app, "caption")  # turned upright


def test_two_hundred_at_once(
    open_page: OpenPage, train: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("classify", run=train())
    upload(app, [bars(i % 90, f"number {i}.png") for i in range(200)])
    text = texts(app, "warning")
    assert "At most 100 pictures" in text
    assert "“number 100.png”" in text
    assert "and 80 more" in text
    assert "1 to 12 of 100 pictures" in texts(app, "caption")
    app.button(key="classify_remove_all").click().run()
    assert lines(app) == 0
    monkeypatch.setattr(uploads, "MOST_BYTES", 2 * len(bars(0)[1]) + 500)
    upload(app, [bars(0), ("big.png", b"x" * 5000, "image/png"), bars(0, "b.png")])
    assert "Not taken: “big.png”" in texts(app, "warning")
    assert lines(app) == 2


def test_a_file_name_is_only_text(open_page: OpenPage, train: Callable[..., str]) -> None:
    name = "=1+1 **b** [l](http://x) $a$ :red[c] <b>.png"
    app = upload(open_page("classify", run=train()), [bars(0, name)])
    shown = [element.value for element in app.markdown if "1+1" in element.value.replace("\\", "")]
    assert shown
    # The word joiner keeps the address from becoming a link.
    assert "\\[l\\]\\(http\u2060\\:\\/\\/x\\)" in shown[0]
    assert "\\*\\*b\\*\\*" in shown[0]


def test_two_runs_side_by_side_and_where_they_disagree(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    good = train(epochs=6)
    poor = train("single-layer-perceptron", epochs=1, learning_rate=1e-6)
    pack = catalog.open_pack("tiny")
    indices = [int(i) for i in pack.indices("test")[:9]]
    files = [bars(i) for i in indices]
    predicted = {
        run_id: [
            a.predicted_class for a in ask(store().folder(run_id), "best", [f[:2] for f in files])
        ]
        for run_id in (good, poor)
    }
    disagreements = sum(a != b for a, b in zip(predicted[good], predicted[poor], strict=True))
    assert disagreements > 0
    app = open_page("classify", run=good)
    app.multiselect(key="classify_runs").set_value([good, poor]).run()
    upload(app, files)
    assert f"The networks disagree on {disagreements} of 9 pictures" in texts(app, "caption")
    assert len(app.get("progress")) == 2 * 9  # a line each, a column for each network
    details(app)
    assert "No map: this network has no layer with places" in texts(app, "caption")
    app.toggle(key="classify_only_split").set_value(True).run()
    assert lines(app) == disagreements


def test_the_crop_shows_what_the_network_gets(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    """The frame itself is the browser's: tests/browser/test_classify.py."""
    wide = np.zeros((16, 48), dtype=np.uint8)
    wide[:, 32:] = catalog.open_pack(make_tiny_pack()).images[5][..., 0]
    file = ("wide.png", encoded(Image.fromarray(wide), "PNG"), "image/png")
    app = upload(open_page("classify", run=train()), [file])
    state = app.session_state["classify_state"]
    [upload_id] = state.thumbs
    [whole] = state.answers.values()
    state.cuts[upload_id] = valid_cut({"cut": [1, 0.5, 1]})
    app.run()
    settled(app)
    [answer] = state.answers.values()
    np.testing.assert_array_equal(answer.seen, catalog.open_pack("tiny").images[5])
    assert (answer.seen != whole.seen).any()
    assert "48 × 16 pixels, cropped" in texts(app, "caption")


@pytest.mark.parametrize(
    "change",
    [
        *(None, "x", {}, {"cut": None}, {"cut": [0.5, 0.5]}, {"cut": [0.5, 0.5, 0]}),
        *({"cut": [0.5, "a", 1]}, {"cut": [0.5, float("nan"), 1]}, {"cut": [0.5, 2, 1]}),
    ],
)
def test_a_frame_that_makes_no_sense_is_the_whole_picture(change: object) -> None:
    assert valid_cut(change) is None


def test_a_picture_from_the_camera_comes_first_and_replaces_the_one_before(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    """The camera itself is the browser's: tests/browser/test_classify.py."""
    app = upload(open_page("classify", run=train()), [bars(0), bars(1)])
    pictures = app.session_state["classify_uploads"]
    for name, seed in (("first", 1), ("second", 2)):
        data = picture_bytes("data:image/jpeg;base64," + base64.b64encode(jpeg(seed)).decode())
        assert data == jpeg(seed)
        pictures.add_camera_picture(uploads.Upload(name, uploads.CAMERA_NAME, data))
        app.run()
        settled(app)
        names = [upload.name for upload in pictures.uploads]
        assert names == ["Camera picture", "bars0.png", "bars1.png"]
        assert pictures.uploads[0].id == name
        assert lines(app) == 3


@pytest.mark.parametrize(
    "url", [None, 7, "", "data:image/png;base64,AAAA", "data:image/jpeg;base64,no base64!"]
)
def test_what_is_no_picture_of_the_camera_is_left_out(url: object) -> None:
    assert picture_bytes(url) is None


def test_what_is_taken_away_is_forgotten(
    open_page: OpenPage, train: Callable[..., str], released: list[str]
) -> None:
    app = upload(open_page("classify", run=train()), [bars(0), bars(1), ("a.svg", b"<svg/>", "")])
    ids = [each.id for each in app.session_state["classify_uploads"].uploads]
    assert released == []
    state = app.session_state["classify_state"]
    assert (len(state.answers), len(state.thumbs), len(state.broken)) == (2, 2, 1)
    # The list of jobs, which all sessions share, holds a number only.
    assert all(type(job.result) is int for job in jobs.jobs("classify"))
    app.button(key="classify_remove_all").click().run()
    state = app.session_state["classify_state"]
    assert not app.session_state["classify_uploads"].uploads
    assert released == ids  # Streamlit would keep the files as long as the session
    assert (len(state.answers), len(state.thumbs), len(state.broken), len(state.encoded)) == (
        0,
        0,
        0,
        0,
    )
    upload(app, [bars(0), bars(1)])
    first, _ = app.session_state["classify_uploads"].uploads
    app.button(key=f"classify_remove_{first.id}").click().run()
    assert lines(app) == 1
    # Pictures come one after another, and none pushes out another.
    upload(app, [bars(2)])
    assert lines(app) == 2


def test_familiarity_is_measured_behind_the_answer(
    open_page: OpenPage, train: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = train(measured=False)
    file = familiarity_file(store().folder(run_id), "best")
    app = open_page("classify", run=run_id)
    assert not file.exists()
    upload(app, [bars(0)])
    assert file.exists()
    app.run()
    assert "from the nearest training picture" in texts(app, "caption")
    assert "is weak" not in texts(app, "caption")

    # A network whose alarm misses most of what is surely strange says so, unasked.
    monkeypatch.setattr(familiarity, "FOUND_SHARE", 1.1)
    app.run()
    assert "The alarm of my sign-cnn is weak: it found" in texts(app, "caption")


def test_a_data_set_that_is_gone_costs_only_the_familiarity(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    run_id = train(measured=False)
    file = bars(0)
    catalog.remove_dataset("tiny")
    app = upload(open_page("classify", run=run_id), [file])
    app.run()
    assert lines(app) == 1
    text = texts(app, "caption")
    assert "has no alarm for unfamiliar pictures: Unknown data set 'tiny'" in text


def test_the_checkpoint_can_be_chosen(open_page: OpenPage, train: Callable[..., str]) -> None:
    run_id = train(keep_every=1)
    app = open_page("classify", run=run_id)
    box = app.selectbox(key=f"classify_checkpoint_{run_id}")
    assert [title.split(" (")[0] for title in box.options] == ["Best", "Last", "Epoch 1", "Epoch 2"]
    box.select("epoch-0001").run()
    upload(app, [bars(0)])
    assert "Weights “epoch-0001”, epoch 1" in texts(app, "caption")


def test_a_deleted_run_is_left_out(open_page: OpenPage, train: Callable[..., str]) -> None:
    first, second = train(), train("mlp")
    app = open_page("classify", run=first)
    app.multiselect(key="classify_runs").set_value([first, second]).run()
    store().delete(second)
    app.run()
    assert not app.exception
    assert app.multiselect(key="classify_runs").value == [first]


def test_a_run_that_still_trains_is_asked_with_its_newest_weights(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    make_tiny_pack()
    config = RunConfig(dataset="tiny", architecture="mlp", epochs=10_000, batch_size=16)
    run_id = queue().submit(config, name="long")
    try:
        _wait_for(lambda: store().run(run_id).best_epoch is not None)
        app = upload(open_page("classify", run=run_id), [bars(0)])
        assert app.selectbox(key=f"classify_checkpoint_{run_id}").value == "last"
        first = _epoch(app)
        assert ", still training" in texts(app, "caption")
        # The alarm is measured behind the training, of the weights that answered.
        state = app.session_state["classify_state"]
        [known], [answer] = state.familiarities.values(), state.answers.values()
        assert known.identity == answer.identity
        _wait_for(lambda: store().run(run_id).epoch > first + 2)
        app.run()
        assert _epoch(app) == first  # the answers stay until newer ones are wanted
        app.button(key="classify_newest").click().run()
        settled(app)
        assert _epoch(app) > first
    finally:
        queue().stop(run_id)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _epoch(app: AppTest) -> int:
    [answer] = app.session_state["classify_state"].answers.values()
    assert answer.epoch is not None
    return int(answer.epoch)


def test_a_picture_goes_on_to_the_inspect_page(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    run_id = train()
    app = upload(open_page("classify", run=run_id), [bars(3, "mine.png")])
    (button,) = [b for b in app.button if b.label == "Inspect"]
    button.click().run()
    app.switch_page("pages/inspect.py").run()  # AppTest does not follow the script there
    settled(app)
    assert not app.exception
    shown = [image.alt for element in app.get("image") for image in element.proto.imgs]
    assert "mine.png as the network gets it" in shown
    assert "from the Classify page" in texts(app, "caption")
    assert "image" not in app.query_params


def test_an_answer_is_put_right_and_the_picture_joins_a_set(
    open_page: OpenPage, train: Callable[..., str], tmp_path: Path
) -> None:
    catalog.add_dataset("pets", write_folder(tmp_path / "pets", pets(4)))
    before = catalog.describe("pets")
    app = upload(open_page("classify", run=train()), [bars(4), bars(5)])
    app.session_state["classify_put_right"] = True  # AppTest cannot open it
    app.run()
    boxes = [box for box in app.selectbox if (box.key or "").startswith("classify_right_")]
    both = [box for box in boxes if box.key != "classify_right_target"]
    assert not any("\\" in box.label for box in both)  # it is read aloud as it stands
    for box in both:
        app.selectbox(key=box.key).select("top").run()
    app.selectbox(key="classify_right_target").select("pets").run()
    app.button(key="classify_right_add").click().run()
    settled(app)
    after = catalog.describe("pets")
    assert after.counts["train"] == {**before.counts["train"], "top": 2}
    assert after.counts["test"] == {**before.counts["test"], "top": 0}
    assert "2 pictures added to the training part: Pets, version 2" in texts(app, "success")
    assert not any((button.key or "") == "classify_right_add" for button in app.button)
    assert "2 pictures added" in texts(open_page("data"), "success")  # and there as well


def test_sets_and_temperature_are_off_until_asked_for_and_then_said(
    open_page: OpenPage, train: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", 60)
    run_id = train()
    folder = store().folder(run_id)
    app = upload(open_page("classify", run=run_id), [bars(4), bars(9)])
    assert "emperature" not in texts(app, "caption", "markdown")
    before = [bar.proto.text for bar in app.get("progress")]
    app.segmented_control(key="classify_level").set_value(0.9).run()
    settled(app)
    sure = saved_how_sure(folder, "best")
    assert sure is not None
    assert sure.set_sentence(0.9) in texts(app, "caption")
    [answer] = ask(folder, "best", [("a", bars(4)[1])])
    inside = sure.sets[0.9].of(answer.probabilities[None])[0]
    names = [f"**{name}**" for name, _ in answer.top(int(inside.sum()))]
    words = f"one of these {len(names)}: " if len(names) > 1 else "only "
    assert f":small[90%: {words}{', '.join(names)}]" in texts(app, "markdown")
    assert [bar.proto.text for bar in app.get("progress")] == before
    app.toggle(key="classify_calibrated").set_value(True).run()
    settled(app)
    name, share = answer.at_temperature(sure.temperature).top(1)[0]
    shown = [bar.proto.text.replace("\\", "") for bar in app.get("progress")]
    assert shown[0] == f"**{name}** {probability(share)}"
    assert f"Temperature {sure.temperature:.2f}, from the validation images" in (
        texts(app, "caption")
    )


def test_sets_say_nothing_of_test_images_that_a_class_does_not_see_yet(
    open_page: OpenPage, train: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", 60)
    run_id = train()
    folder = store().folder(run_id)
    monkeypatch.setattr(people, "OPERATOR", Person("p-1", "Ann", "member"))
    app = upload(open_page("classify", run=run_id), [bars(4)])
    app.segmented_control(key="classify_level").set_value(0.9).run()
    app.toggle(key="classify_calibrated").set_value(True).run()
    settled(app)
    said = texts(app, "caption")
    assert "they are not measured on test images" in said
    assert "Temperature" in said
    assert "On the test images" not in said
    monkeypatch.setattr(people, "OPERATOR", Person("", "Teacher", "admin"))
    change_rules(store().database, test_shown=True)
    monkeypatch.setattr(people, "OPERATOR", Person("p-1", "Ann", "member"))
    settled(app)
    sure = saved_how_sure(folder, "best")
    assert sure is not None
    assert sure.set_sentence(0.9) in texts(app, "caption")
