"""The Classify page through the entrance: pictures in, answers out, whatever else is among them."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.config import RunConfig
from lab.data import catalog
from lab.evaluate.familiarity import familiarity_file, measure_familiarity
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.classify import uploads
from lab.words import probability
from tests.app.conftest import OpenPage
from tests.data.pictures import BAD_PICTURES, encoded, jpeg, photo
from tests.evaluate.test_classify import ask
from tests.tiny_data import make_tiny_pack

Finished = Callable[[str], RunRow]
File = tuple[str, bytes, str]


def texts(app: AppTest, *kinds: str) -> str:
    values = [element.value for kind in kinds for element in getattr(app, kind)]
    return "\n".join(values).replace("\\", "")


@pytest.fixture
def train(finished: Finished) -> Callable[..., str]:
    """Train a run on the tiny pack and measure what its training pictures look like."""
    make_tiny_pack()

    def run(architecture: str = "sign-cnn", *, measured: bool = True, **knobs: object) -> str:
        knobs = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3, **knobs}
        config = RunConfig(dataset="tiny", architecture=architecture, **knobs)  # type: ignore[arg-type]
        run_id = queue().submit(config, name=f"my {architecture}")
        assert finished(run_id).status == "completed"
        if measured:
            measure_familiarity(store().folder(run_id), "best")
        return run_id

    return run


def bars(index: int, name: str = "") -> File:
    """Image `index` of the tiny pack as an upload."""
    image = Image.fromarray(catalog.open_pack("tiny").images[index][..., 0])
    return (name or f"bars{index}.png", encoded(image, "PNG"), "image/png")


def upload(app: AppTest, files: Sequence[File]) -> AppTest:
    app.file_uploader(key="classify_files").set_value(files).run()
    return settled(app)


def settled(app: AppTest) -> AppTest:
    """The page once its background work has ended; AppTest does not tick fragments."""
    deadline = time.monotonic() + 60
    while True:
        while any(job.active for job in jobs.jobs()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        app.run()  # which may begin the next piece of work
        if not any(job.active for job in jobs.jobs()):
            break
    assert not app.exception, app.exception[0].value
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
    assert shown[0] == f"**{name} {probability(share)}**"
    assert len(shown) == 3
    assert "Nothing is kept on disk" in texts(app, "caption")
    assert "No alarm" in texts(app, "caption")
    assert "bars4.png" in texts(app, "markdown")
    captions = texts(app, "caption")
    assert f"Weights “best”, epoch {answer.epoch}" in captions


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
    assert "“film.heic” is a HEIC" in text
    assert len(app.get("progress")) == 2 * 3
    assert "1 to 2 of 2 pictures" in texts(app, "caption")


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
    assert "6 of 6 pictures" in texts(app, "caption")
    assert "30 × 40 pixels" in texts(app, "caption")  # turned upright


def test_two_hundred_at_once(
    open_page: OpenPage, train: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("classify", run=train())
    upload(app, [bars(i % 90, f"number {i}.png") for i in range(200)])
    text = texts(app, "warning")
    assert "the first 100 are" in text
    assert "“number 100.png”" in text
    assert "and 80 more" in text
    assert "1 to 12 of 100 pictures" in texts(app, "caption")
    monkeypatch.setattr(uploads, "MOST_BYTES", 2 * len(bars(0)[1]) + 500)
    upload(app, [bars(0), bars(0, "b.png"), ("big.png", b"x" * 5000, "image/png")])
    assert "Not taken: “big.png”" in texts(app, "warning")
    assert "2 of 2 pictures" in texts(app, "caption")


def test_a_file_name_is_only_text(open_page: OpenPage, train: Callable[..., str]) -> None:
    name = "=1+1 **b** [l](http://x) $a$ :red[c] <b>.png"
    app = upload(open_page("classify", run=train()), [bars(0, name)])
    shown = [element.value for element in app.markdown if "1+1" in element.value.replace("\\", "")]
    assert shown
    assert "\\[l\\]\\(http\\:\\/\\/x\\)" in shown[0]
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
    assert f"The runs disagree on {disagreements} of 9 pictures" in texts(app, "info")
    assert "No map: this network has no layer with places" in texts(app, "caption")
    app.toggle(key="classify_only_split").set_value(True).run()
    assert f"of {disagreements:,} pictures" in texts(app, "caption")


def test_the_crop_shows_what_the_network_gets(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    wide = np.zeros((16, 48), dtype=np.uint8)
    wide[:, 32:] = catalog.open_pack(make_tiny_pack()).images[5][..., 0]
    file = ("wide.png", encoded(Image.fromarray(wide), "PNG"), "image/png")
    app = upload(open_page("classify", run=train()), [file])
    assert app.toggle(key="classify_crop_grey").value  # by itself for grey pictures
    [upload_id] = [key.removeprefix("classify_crop_on_") for key in _keys(app, "classify_crop_on_")]
    assert app.slider(key=f"classify_crop_x_{upload_id}").disabled
    app.checkbox(key=f"classify_crop_on_{upload_id}").check().run()
    app.slider(key=f"classify_crop_x_{upload_id}").set_value(100).run()
    settled(app)
    [answer] = app.session_state["classify_state"].answers.values()
    np.testing.assert_array_equal(answer.seen, catalog.open_pack("tiny").images[5])
    assert "cropped" in texts(app, "caption")
    app.checkbox(key=f"classify_crop_on_{upload_id}").uncheck().run()
    settled(app)
    [answer] = app.session_state["classify_state"].answers.values()
    assert (answer.seen != catalog.open_pack("tiny").images[5]).any()


def _keys(app: AppTest, start: str) -> list[str]:
    return [box.key for box in app.checkbox if box.key and box.key.startswith(start)]


def test_what_is_taken_away_is_forgotten(open_page: OpenPage, train: Callable[..., str]) -> None:
    app = upload(open_page("classify", run=train()), [bars(0), bars(1), ("a.svg", b"<svg/>", "")])
    state = app.session_state["classify_state"]
    assert (len(state.answers), len(state.thumbs), len(state.broken)) == (2, 2, 1)
    # The list of jobs, which all sessions share, holds a number only.
    assert all(type(job.result) is int for job in jobs.jobs("classify"))
    upload(app, [])
    state = app.session_state["classify_state"]
    assert (len(state.answers), len(state.thumbs), len(state.broken), len(state.encoded)) == (
        0,
        0,
        0,
        0,
    )
    upload(app, [bars(0)])
    assert len(app.get("progress")) == 3


def test_familiarity_is_measured_behind_the_answer(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    run_id = train(measured=False)
    file = familiarity_file(store().folder(run_id), "best")
    app = open_page("classify", run=run_id)
    assert not file.exists()
    upload(app, [bars(0)])
    assert file.exists()
    app.run()
    assert "No alarm" in texts(app, "caption")


def test_a_data_set_that_is_gone_costs_only_the_familiarity(
    open_page: OpenPage, train: Callable[..., str]
) -> None:
    run_id = train(measured=False)
    file = bars(0)
    catalog.remove_dataset("tiny")
    app = upload(open_page("classify", run=run_id), [file])
    app.run()
    assert len(app.get("progress")) == 3
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
