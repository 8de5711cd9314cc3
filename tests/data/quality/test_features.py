"""Features of a set: alike pictures lie near one another; computed once; whose they are is said."""

import dataclasses

import numpy as np
import pytest
import torch

from lab import home
from lab.data import catalog
from lab.data.quality import features
from lab.data.quality.edges import edges_and_colours
from lab.data.quality.features import EXTRACTORS, place_shares, set_features, similar
from lab.errors import DataError, NotFoundError, WeightsError
from lab.evaluate import extractors
from lab.home import home_folder
from lab.models.architecture import ARCHITECTURES
from lab.models.weights import weights_file
from lab.progress import Cancelled, Progress
from tests.evaluate.test_classify import train
from tests.tiny_data import make_tiny_pack


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def nearest_class(rows: np.ndarray, labels: np.ndarray) -> float:
    """How often the nearest other picture is of the same class."""
    places, _ = similar(rows, rows, 2)
    return float((labels[places[:, 1]] == labels).mean())


def test_without_weights_there_are_edges_and_colours_and_the_title_says_so() -> None:
    pack = catalog.open_pack(make_tiny_pack())
    told: list[Progress] = []
    found = set_features(pack, progress=told.append)
    assert found.title == "edges and colours (no network)"
    assert found.extractor == "edges"
    assert found.rows.dtype == np.float32
    assert len(found.rows) == len(pack)
    np.testing.assert_allclose(np.linalg.norm(found.rows, axis=1), 1, atol=2e-3)
    assert nearest_class(found.rows, pack.labels) > 0.9
    assert told[-1].done == told[-1].total == len(pack)


def test_they_are_computed_once_for_all_versions_of_one_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack = catalog.open_pack(make_tiny_pack())
    first = set_features(pack)
    monkeypatch.setattr(features, "_compute", None)  # may not be called
    version = dataclasses.replace(
        pack, meta=dataclasses.replace(pack.meta, content_hash="another"), labels=pack.labels[::-1]
    )
    again = set_features(version, extractor=first.extractor)
    assert np.array_equal(again.rows, first.rows)
    assert (again.title, again.seconds) == (first.title, 0.0)


def test_a_file_cut_short_is_computed_anew_and_a_cancel_leaves_none() -> None:
    pack = catalog.open_pack(make_tiny_pack())
    with pytest.raises(Cancelled):
        set_features(pack, cancel=lambda: True)
    folder = home_folder("quality", pack.meta.images_hash)
    assert not list(folder.iterdir())
    first = set_features(pack)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    assert np.array_equal(set_features(pack).rows, first.rows)


def test_the_features_used_longest_ago_go_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = catalog.open_pack(make_tiny_pack("one"))
    two = catalog.open_pack(make_tiny_pack("two", seed=1))
    set_features(one)
    monkeypatch.setattr(features, "KEPT_BYTES", 1)
    set_features(two)
    (left,) = home_folder("quality").glob("*/features-*.npy")
    assert left.parent.name == two.meta.images_hash


def test_unknown_names_are_refused_and_nothing_is_downloaded() -> None:
    pack = catalog.open_pack(make_tiny_pack())
    with pytest.raises(NotFoundError, match="extractor"):
        set_features(pack, extractor="clip")
    with pytest.raises(WeightsError, match=r"not on this machine.*downloads nothing.*edges"):
        set_features(pack, extractor="mobilenet_v2")
    with pytest.raises(DataError, match="names no run"):
        set_features(pack, extractor="run:../packs")


def test_the_network_that_is_always_here_is_preferred_for_photographs() -> None:
    small = catalog.open_pack(make_tiny_pack(train=6, test=3))
    assert set_features(small).extractor == "edges"
    found = set_features(catalog.open_pack("tiny", image_size=80))
    assert found.extractor == "efficientnet_lite0"
    assert found.title == "EfficientNet-Lite0, learned on ImageNet, at 96 pixels"
    assert found.rows.shape == (9, 1280)


def test_another_network_whose_weights_are_here_can_be_chosen() -> None:
    spec = ARCHITECTURES.get("squeezenet1_1")
    from torchvision.models import squeezenet1_1

    assert not EXTRACTORS.get(spec.name).ready()
    file = weights_file(spec)
    file.parent.mkdir(parents=True)
    torch.save(squeezenet1_1().state_dict(), file)
    assert EXTRACTORS.get(spec.name).ready()
    make_tiny_pack(train=6, test=3)
    found = set_features(catalog.open_pack("tiny", image_size=80), extractor=spec.name)
    assert found.title == "SqueezeNet 1.1, learned on ImageNet, at 96 pixels"
    assert found.rows.shape[0] == 9
    assert found.rows.shape[1] % 512 == 0


def test_a_run_sees_what_its_own_network_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = train(home_folder("runs") / "r-1", epochs=6)
    pack = catalog.open_pack("tiny")
    found = set_features(pack, extractor=f"run:{folder.name}")
    assert "r-1" in found.title
    assert nearest_class(found.rows, pack.labels) > 0.9
    last = set_features(pack, extractor=f"run:{folder.name}:last")
    assert "last" in last.title
    with pytest.raises(NotFoundError):
        set_features(pack, extractor="run:r-2")
    monkeypatch.setattr(home, "run_is_hidden", lambda hidden: hidden == folder)
    with pytest.raises(NotFoundError):  # another's, where others are hidden
        set_features(pack, extractor="run:r-1:best")


def test_a_perceptron_without_stages_compares_pixels() -> None:
    folder = train(home_folder("runs") / "r-1", architecture="single-layer-perceptron", epochs=1)
    found = set_features(catalog.open_pack("tiny"), extractor=f"run:{folder.name}")
    assert found.rows.shape[1] == 256


@pytest.mark.parametrize("extractor", ["edges", "efficientnet_lite0"])
def test_what_each_place_adds_sums_to_the_score_of_a_head(
    extractor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractors, "MAP_SIDE", 0)  # looks as closely as for the features
    pack = catalog.open_pack(make_tiny_pack(train=12, test=6))
    opened = EXTRACTORS.get(extractor).open(pack, "")
    images = pack.take(np.arange(4))
    vectors = opened.vectors(images)
    weights = np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    shares = place_shares(pack, [0, 1, 2, 3], weights, extractor=extractor)
    assert shares.ndim == 3
    assert shares.shape[1] > 1
    np.testing.assert_allclose(shares.sum((1, 2)), (vectors * weights).sum(1), rtol=1e-3, atol=1e-4)


def test_dense_layers_are_looked_through_and_a_perceptron_has_no_places() -> None:
    for number, (name, has_places) in enumerate(
        [("sign-cnn", True), ("single-layer-perceptron", False)]
    ):
        folder = train(home_folder("runs") / f"r-{number}", architecture=name, epochs=1)
        extractor = f"run:{folder.name}"
        pack = catalog.open_pack("tiny")
        width = set_features(pack, extractor=extractor).rows.shape[1]
        shares = place_shares(pack, [0, 1], np.ones((2, width), np.float32), extractor=extractor)
        assert (shares.size > 0) == has_places


def test_edges_follow_shapes_and_not_the_light() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    bars = np.zeros((2, 40, 40, 3), dtype=np.uint8)
    bars[0, 10:20], bars[1, :, 10:20] = 200, 200
    dark = (bars * 0.4).astype(np.uint8)
    rows = edges_and_colours(np.concatenate([bars, dark, images]))
    assert np.isfinite(rows).all()
    assert rows[0, :512] @ rows[2, :512] > 0.95
    assert rows[0, :512] @ rows[1, :512] < 0.4
    grey = edges_and_colours(np.full((1, 28, 28, 1), 128, dtype=np.uint8))
    assert np.isfinite(grey).all()


def test_similar_pictures_come_nearest_first() -> None:
    rows = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    places, cosines = similar(rows, rows[:2], 3)
    assert places.tolist() == [[0, 2, 1], [1, 2, 0]] or places.tolist() == [[0, 2, 1], [1, 2, 3]]
    np.testing.assert_allclose(cosines[0], [1, 0.6, 0], atol=1e-6)
    assert similar(rows, rows[:1], 99)[0].shape == (1, 4)
