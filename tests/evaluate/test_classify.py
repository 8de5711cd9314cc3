"""Uploads through really trained tiny networks: the same answer as for the pack's own image."""

import csv
import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lab.config import RunConfig
from lab.data import catalog
from lab.data.decode import UnreadableFile
from lab.errors import ConfigError, DataError, NotFoundError
from lab.evaluate.classify import Answer, Row, answer, answers_csv, side_needed, uploaded
from lab.evaluate.opened import open_network
from lab.evaluate.pictures import Crop, Picture, pack_picture
from lab.explain.grad_cam import class_activation_maps
from lab.explain.layers import cam_layers, find_layer, list_layers
from lab.models.architecture import ARCHITECTURES
from lab.training.checkpoint import CheckpointMetadata, load_network, publish
from lab.training.control import Control
from lab.training.fit import fit
from lab.training.plan import make_plan
from tests.data.pictures import encoded, jpeg
from tests.tiny_data import make_tiny_pack


def train(folder: Path, **knobs: object) -> Path:
    knobs = {"architecture": "sign-cnn", "batch_size": 16, "epochs": 2, **knobs}
    config = RunConfig(dataset=make_tiny_pack(), learning_rate=3e-3, **knobs)  # type: ignore[arg-type]
    folder.mkdir()
    list(fit(make_plan(config, folder=folder), Control()))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return train(tmp_path / "r-1")


def ask(
    folder: Path,
    checkpoint: str,
    pictures: Sequence[Picture | tuple[str, bytes]],
    *,
    crop: Crop | None = None,
    **options: str,
) -> list[Answer]:
    """The checkpoint's answers to pictures of a data set, or to names with the bytes of files."""
    with open_network(folder, checkpoint) as opened:
        return [
            answer(
                opened,
                each
                if isinstance(each, Picture)
                else uploaded(each[1], opened.card, name=each[0], crop=crop),
                **options,
            )
            for each in pictures
        ]


def as_png(index: int, size: int | None = None) -> bytes:
    """Image `index` of the pack as a file, as a person might upload it."""
    image = Image.fromarray(catalog.open_pack("tiny").images[index][..., 0])
    return encoded(image if size is None else image.resize((size, size), 0), "PNG")


@pytest.mark.parametrize("architecture", ["sign-cnn", "mlp", "single-layer-perceptron"])
def test_an_upload_of_a_pack_image_is_answered_as_that_image(
    tmp_path: Path, architecture: str
) -> None:
    folder = train(tmp_path / "r-1", architecture=architecture)
    pack = catalog.open_pack("tiny")
    network, card = load_network(folder, "best")
    indices = [0, 1, 2, 100]
    answers = ask(folder, "best", [(f"{i}.png", as_png(i)) for i in indices])
    with torch.inference_mode():
        logits = network(card.preprocess(torch.from_numpy(np.array(pack.images[indices]))))
    expected = torch.softmax(logits, 1).numpy()
    for reply, row, index in zip(answers, expected, indices, strict=True):
        np.testing.assert_allclose(reply.probabilities, row, atol=1e-6)
        assert reply.predicted == row.argmax()
        assert reply.predicted_class == pack.meta.class_names[row.argmax()]
        # What is called "seen" is the very pixels of the pack.
        np.testing.assert_array_equal(reply.seen, pack.images[index])
        assert reply.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_the_answer_is_plain_values_that_know_where_they_are_from(run: Path) -> None:
    [answer] = pickle.loads(pickle.dumps(ask(run, "last", [("a.png", as_png(3))])))
    assert (answer.name, answer.checkpoint, answer.epoch) == ("a.png", "last", 2)
    assert answer.class_names == ("top", "middle", "bottom")
    names = [name for name, _ in answer.top(2)]
    shares = [share for _, share in answer.top(3)]
    assert names == [answer.predicted_class, names[1]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    with open_network(run, "last") as opened:
        assert answer.identity == opened.identity


def test_the_map_is_that_of_grad_cam(run: Path) -> None:
    pack = catalog.open_pack("tiny")
    network, card = load_network(run, "best")
    for index in (0, 4, 8):
        [answer] = ask(run, "best", [pack_picture(pack, index)])
        x = card.preprocess(torch.from_numpy(np.array(pack.images[[index]])))
        cams, _ = class_activation_maps(network, x, layers=["block3"])
        assert (answer.layer, answer.target, answer.method) == (
            "block3",
            answer.predicted,
            "grad-cam",
        )
        assert answer.cam is not None
        np.testing.assert_allclose(answer.cam, cams["block3"].maps[0].numpy(), atol=1e-6)
        assert answer.meaningful == bool(cams["block3"].meaningful[0])
        # The last stage's output with its places: what familiarity compares.
        with open_network(run) as opened:
            channels, height, width = find_layer(opened.layers.layers, "block3").shape
        assert answer.features.shape == (channels * height * width,)


def test_a_stage_of_one_place_gives_its_turn_to_an_earlier_one(tmp_path: Path) -> None:
    """32 pixels are halved five times: the default layer has one place, which points nowhere."""
    knobs = {"architecture": "mobilenet_v3_small", "image_size": 32, "steps_per_epoch": 1}
    folder = train(tmp_path / "r-1", epochs=1, **knobs)
    [answer] = ask(folder, "best", [("a.png", as_png(0))])
    default = ARCHITECTURES.get("mobilenet_v3_small").default_cam_stage
    with open_network(folder) as opened:
        layers = list_layers(opened.network, channels=1, image_size=32)
    assert not find_layer(layers, str(default)).spatial
    assert answer.layer == cam_layers(layers)[-1].name
    assert answer.cam is not None
    assert answer.cam.shape == find_layer(layers, str(answer.layer)).shape[1:]
    assert answer.cam.size > 1


def test_a_network_without_places_has_no_map_and_pixels_for_features(tmp_path: Path) -> None:
    folder = train(tmp_path / "r-1", architecture="single-layer-perceptron")
    [answer] = ask(folder, "best", [("a.png", as_png(0))])
    assert answer.cam is None
    assert answer.layer is None
    assert not answer.meaningful
    np.testing.assert_allclose(answer.features, answer.seen.reshape(-1) / 255, atol=1e-6)
    with pytest.raises(ConfigError, match="has no layer with places"):
        ask(folder, "best", [("a.png", as_png(0))], layer="head")


def test_layer_and_method_can_be_chosen_and_misspelled(run: Path) -> None:
    [answer] = ask(run, "best", [("a.png", as_png(0))], layer="block2.conv", method="layercam")
    assert (answer.layer, answer.method) == ("block2.conv", "layercam")
    with pytest.raises(NotFoundError, match="Did you mean 'block2'"):
        ask(run, "best", [("a.png", as_png(0))], layer="blokc2")
    with pytest.raises(NotFoundError, match="Did you mean"):
        ask(run, "best", [("a.png", as_png(0))], method="gradcam")
    with pytest.raises(NotFoundError, match="there are: best, last"):
        ask(run, "epoch-0009", [("a.png", as_png(0))])


def test_a_crop_is_what_the_network_sees(run: Path) -> None:
    """The right half of a wide picture, cut out, is the pack's image again."""
    pack = catalog.open_pack("tiny")
    wide = np.zeros((16, 32), dtype=np.uint8)
    wide[:, 16:] = pack.images[5][..., 0]
    file = encoded(Image.fromarray(wide), "PNG")
    [cut] = ask(run, "best", [("a.png", file)], crop=Crop(0.75, 0.5, 1.0))
    [whole] = ask(run, "best", [("a.png", file)])
    np.testing.assert_array_equal(cut.seen, pack.images[5])
    assert (whole.seen != cut.seen).any()


def test_a_picture_of_any_mode_becomes_the_grey_that_was_learned(run: Path) -> None:
    red = encoded(Image.new("RGB", (60, 20), (255, 0, 0)), "PNG")
    [answer] = ask(run, "best", [("red.png", red)])
    assert answer.seen.shape == (16, 16, 1)
    assert (answer.seen == 76).all()  # 0.299 * 255


def test_the_weights_do_not_change_within_a_batch(run: Path) -> None:
    """A training run publishes anew between two pictures: both are answered by the same weights."""
    network, _ = load_network(run, "last")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(-1)
    with open_network(run, "last") as opened:
        picture = uploaded(as_png(0), opened.card, name="a")
        first = answer(opened, picture)
        publish(network, run, epoch=9, best=False, kept=False)
        second = answer(opened, picture)
    assert (first.epoch, second.epoch) == (2, 2)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    [third] = ask(run, "last", [("c", as_png(0))])
    assert third.epoch == 9
    assert third.identity != first.identity


def test_weights_that_are_no_numbers_are_told(run: Path) -> None:
    network, _ = load_network(run, "last")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    publish(network, run, epoch=3, best=False, kept=False)
    with pytest.raises(DataError, match="the training diverged"):
        ask(run, "last", [("a.png", as_png(0))])


def test_what_is_no_picture_says_so(run: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"a\.svg is an SVG"):
        ask(run, "best", [("a.svg", b"<svg></svg>")])


def test_large_jpegs_are_read_at_the_scale_of_a_data_set(run: Path) -> None:
    card = CheckpointMetadata.read(run)
    assert side_needed(card) == 32
    assert side_needed(card, Crop(0.5, 0.5, 0.25)) == 128
    data = jpeg(1, (1600, 1200))
    for crop in (None, Crop(0.2, 0.8, 0.1)):
        assert uploaded(data, card, name="a.jpg", crop=crop).pixels.shape == (16, 16, 1)


def test_the_csv_has_a_line_for_each_answer_and_runs_no_formula(run: Path) -> None:
    answers = ask(run, "best", [("=1+1.png", as_png(0)), ('a "b", c.png', as_png(1))])
    text = answers_csv(
        [
            Row("r-1", "one", answers[0], Crop(0.5, 0.25, 1.0), distance=5.0, limit=4.0),
            Row("r-1", "one", answers[1]),
        ]
    )
    first, second = csv.DictReader(io.StringIO(text))
    assert first["picture"] == "'=1+1.png"
    assert second["picture"] == 'a "b", c.png'
    assert (first["crop"], second["crop"]) == ("0.5,0.25,1", "")
    assert (first["unlike the training pictures"], second["limit"]) == ("yes", "")
    assert first["predicted"] == answers[0].predicted_class
    shares = [float(first[f"probability of {name}"]) for name in answers[0].class_names]
    np.testing.assert_allclose(shares, answers[0].probabilities, atol=1e-6)
    assert float(first["probability"]) == max(shares)
