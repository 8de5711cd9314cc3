"""The map of a data set: exact where it says so, the same every time, and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lab.data.quality import embedding
from lab.data.quality.embedding import (
    EARLY,
    LATER,
    aligned,
    embed,
    pca_map,
    principal_components,
    similar,
)
from lab.errors import ConfigError, DataError
from lab.progress import Cancelled, Progress


def clusters(count: int = 60, width: int = 12, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    middles = 4 * random.normal(size=(3, width))
    noise = random.normal(size=(count, width))
    return (middles[np.arange(count) % 3] + noise).astype(np.float32)


@pytest.mark.parametrize("shape", [(60, 12), (12, 60)])
def test_principal_components_are_those_of_a_library(shape: tuple[int, int]) -> None:
    from sklearn.decomposition import PCA

    features = clusters(*shape)
    ours, shares = principal_components(features, 4)
    theirs = PCA(4, svd_solver="full").fit(features)
    expected = theirs.transform(features)
    np.testing.assert_allclose(np.abs(ours), np.abs(expected), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(shares, theirs.explained_variance_ratio_, rtol=1e-4)


def test_the_sign_does_not_depend_on_the_order_of_the_pictures() -> None:
    features = clusters()
    order = np.random.default_rng(1).permutation(len(features))
    np.testing.assert_allclose(
        pca_map(features).points[order], pca_map(features[order]).points, atol=1e-4
    )


def test_a_map_is_framed_and_keeps_its_aspect() -> None:
    points = pca_map(clusters()).points
    assert np.abs(points).max() == pytest.approx(1)
    flat = pca_map(np.outer(np.arange(9), [1.0, 2.0]).astype("f4")).points
    assert np.abs(flat[:, 1]).max() < 1e-6  # on a line, not blown up to a square


@pytest.mark.parametrize("features", [np.ones((5, 3), "f4"), np.ones((1, 3), "f4")])
def test_pictures_that_are_all_the_same_lie_in_the_middle(features: np.ndarray) -> None:
    found = pca_map(features)
    assert not found.points.any()
    assert found.share == 0


def test_similar_pictures_are_the_nearest_ones() -> None:
    features = clusters()
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    rows, likeness = similar(features, 4, 5)
    assert 4 not in rows
    assert set((rows % 3).tolist()) == {4 % 3}
    assert (np.diff(likeness) <= 0).all()
    assert likeness[0] == pytest.approx(np.delete(features @ features[4], 4).max(), abs=1e-5)
    only, _ = similar(features, 4, 5, among=np.array([0, 4, 8]))
    assert set(only.tolist()) == {0, 8}


def test_moments_that_differ_by_a_turn_are_one_map() -> None:
    features = clusters(width=6)
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))
    maps, shares = aligned([features @ turn * 7 + 2, features])
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-4)
    assert shares[0] == pytest.approx(shares[1], abs=1e-4)
    assert 0.5 < shares[1] <= 1
    # Seen as the last moment's own plane of largest spread.
    expected = pca_map(features).points
    assert abs(np.corrcoef(maps[1, :, 0], expected[:, 0])[0, 1]) > 0.999


def test_no_moment_is_no_map() -> None:
    maps, shares = aligned([])
    assert maps.shape == (0, 0, 2)
    assert shares.shape == (0,)


def test_what_cannot_be_mapped_is_said() -> None:
    with pytest.raises(ConfigError, match="allowed are: pca, tsne"):
        embed(clusters(), "umap", images_hash="h")
    with pytest.raises(DataError, match="no numbers"):
        embed(np.full((30, 2), np.nan, "f4"), "pca", images_hash="h")
    with pytest.raises(ConfigError, match="at least 10 pictures"):
        embed(clusters(6), "tsne", images_hash="h")


def test_tsne_keeps_clusters_together_and_is_the_same_every_time() -> None:
    features = clusters(120)
    seen: list[Progress] = []
    first = embed(features, "tsne", images_hash="h", progress=seen.append)
    assert first.share is None
    near = [similar_on_map(first.points, row) % 3 == row % 3 for row in range(120)]
    assert np.mean(near) > 0.95
    np.testing.assert_array_equal(
        first.points, embed(features, "tsne", images_hash="elsewhere").points
    )
    assert seen[-1].done == seen[-1].total == EARLY + LATER


def similar_on_map(points: np.ndarray, row: int) -> int:
    far = np.square(points - points[row]).sum(1)
    far[row] = np.inf
    return int(far.argmin())


def test_a_tsne_is_made_once_and_a_damaged_one_anew(
    monkeypatch: pytest.MonkeyPatch, lab_home: Path
) -> None:
    calls = []

    def fake(features: np.ndarray, *_: object) -> np.ndarray:
        calls.append(len(features))
        return features[:, :2]

    monkeypatch.setattr(embedding, "_tsne", fake)
    first = embed(clusters(), "tsne", images_hash="h")
    again = embed(clusters(), "tsne", images_hash="h")
    assert len(calls) == 1
    np.testing.assert_array_equal(first.points, again.points)
    embed(clusters(seed=1), "tsne", images_hash="h")  # other features of the same pictures
    assert len(calls) == 2
    for file in (lab_home / "quality" / "h").glob("tsne-*.npz"):
        file.write_bytes(b"")
    embed(clusters(), "tsne", images_hash="h")
    assert len(calls) == 3


def test_tsne_is_cancelled_while_it_works_and_keeps_nothing(lab_home: Path) -> None:
    looks = iter([False, False, True])
    with pytest.raises(Cancelled):
        embed(clusters(120), "tsne", images_hash="h", cancel=lambda: next(looks, True))
    assert not list((lab_home / "quality" / "h").glob("tsne-*"))
