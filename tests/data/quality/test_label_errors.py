"""Labels flipped on purpose are found, with the numbers of cleanlab; right ones are not."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lab.data import catalog
from lab.data.pack import EXCLUDED, Pack
from lab.data.quality import check
from lab.data.quality import label_errors as module
from lab.data.quality.confirmed import confirm, confirmed, take_back
from lab.data.quality.features import Features, set_features
from lab.data.quality.label_errors import (
    LIKELY,
    find_suspects,
    judged_by,
    label_errors,
    make_folds,
    out_of_fold,
    suspect_maps,
)
from lab.errors import DataError
from lab.home import home_folder
from lab.progress import never, silent
from tests.evaluate.test_classify import train
from tests.tiny_data import make_tiny_pack


def clusters(count: int, classes: int, *, spread: float, seed: int = 0) -> tuple:
    """Unit rows (count, 20) around one direction a class, and their classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    rows = rng.normal(size=(classes, 20))[labels] + spread * rng.normal(size=(count, 20))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), labels.astype(np.int64)


def flipped(labels: np.ndarray, share: float, classes: int, seed: int = 1) -> tuple:
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(len(labels))[: int(share * len(labels))]
    given = labels.copy()
    given[wrong] = (given[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return given, set(wrong.tolist())


@pytest.mark.parametrize("classes", [2, 16])
def test_flipped_labels_come_first_and_their_number_is_estimated(classes: int) -> None:
    rows, labels = clusters(1600, classes, spread=0.6)
    given, wrong = flipped(labels, 0.03, classes)
    folds = make_folds(given, np.arange(len(given)))
    suspects = find_suspects(out_of_fold(rows, given, folds, classes, never).probabilities, given)
    first = suspects.order[: int(1.5 * len(wrong))].tolist()
    assert len(wrong & set(first)) >= 0.9 * len(wrong)
    assert 0.7 * len(wrong) <= suspects.wrong <= 1.4 * len(wrong)
    right = [suspects.suggested[place] == labels[place] for place in first if place in wrong]
    assert np.mean(right) > 0.95


def test_right_labels_are_not_suspected() -> None:
    rows, labels = clusters(600, 3, spread=0.3)
    folds = make_folds(labels, np.arange(len(labels)))
    suspects = find_suspects(out_of_fold(rows, labels, folds, 3, never).probabilities, labels)
    assert suspects.wrong == 0
    assert len(suspects.order) == 0


def test_joint_and_ranking_are_those_of_cleanlab() -> None:
    count = pytest.importorskip("cleanlab.count", reason="cleanlab is in requirements-dev.txt")
    rank = pytest.importorskip("cleanlab.rank")
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(800, 5)) * 1.5
    labels = rng.integers(0, 5, 800)
    logits[np.arange(800), labels] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    suspects = find_suspects(probabilities, labels)
    # cleanlab takes the most probable class of all where several reach their thresholds; the paper
    # and we the most probable of those. Where only one is reached they cannot differ.
    theirs = count.compute_confident_joint(labels, probabilities, calibrate=False)
    assert np.abs(suspects.joint - theirs).sum() <= 0.02 * theirs.sum()
    margin = rank.get_normalized_margin_for_each_label(labels, probabilities)
    np.testing.assert_allclose((suspects.margin + 1) / 2, margin, atol=1e-9)
    calibrated = count.calibrate_confident_joint(suspects.joint, labels)
    assert abs(suspects.wrong - (calibrated.sum() - calibrated.trace())) <= 0.02 * len(labels)


def test_the_joint_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6]])
    labels = np.array([0, 0, 0, 1, 1])
    # thresholds: (0.9 + 0.7 + 0.1) / 3 = 0.567 and (0.8 + 0.6) / 2 = 0.7
    suspects = find_suspects(probabilities, labels)
    assert suspects.joint.tolist() == [[2, 1], [0, 1]]
    assert suspects.order.tolist() == [2]
    assert suspects.wrong == 1
    np.testing.assert_allclose(suspects.margin, [0.8, 0.4, -0.8, 0.6, 0.2])


def test_folds_keep_groups_whole_and_spread_classes() -> None:
    labels = np.repeat([0, 1], 50)
    groups = np.arange(100) // 2
    folds = make_folds(labels, groups)
    assert (folds[0::2] == folds[1::2]).all()
    for label in (0, 1):
        assert np.bincount(folds[labels == label]).tolist() == [10] * 5


def with_labels(pack: Pack, labels: np.ndarray, **changes: object) -> Pack:
    meta = dataclasses.replace(pack.meta, content_hash="mended")
    return dataclasses.replace(pack, meta=meta, labels=labels, **changes)


@pytest.fixture
def pack() -> Pack:
    return catalog.open_pack(make_tiny_pack(train=240, test=60))


def test_findings_name_class_and_nearest_training_pictures(pack: Pack) -> None:
    wrong, left_out = [4, 100, 250], 7
    labels, split = pack.labels.copy(), pack.split.copy()
    for row in (*wrong, left_out):
        labels[row] = (labels[row] + 1) % 3
    split[left_out] = EXCLUDED
    result = label_errors(with_labels(pack, labels, split=split), silent, never)
    likely = [finding for finding in result.findings if finding.kind == LIKELY]
    assert {finding.row for finding in likely} >= set(wrong)
    assert left_out not in {finding.row for finding in result.findings}
    scores = [finding.score for finding in result.findings]
    assert scores == sorted(scores, reverse=True)
    for finding in likely:
        if finding.row in wrong:
            assert finding.suggestion == pack.meta.class_names[pack.labels[finding.row]]
            assert len(finding.others) == module.NEAREST
            assert finding.row not in finding.others
            assert (split[list(finding.others)] == 0).all()
            assert result.arrays["given"][finding.row] < result.arrays["suggested"][finding.row]
    assert np.isnan(result.arrays["given"][left_out])
    assert result.figures["judged"] == 299
    assert "labels are suspected" in result.notes[0]
    assert "edges and colours" in result.notes[1]


def test_the_map_of_a_suspect_lies_where_it_looks_like_the_other_class(pack: Pack) -> None:
    labels = pack.labels.copy()
    wrong = [4, 100, 250]
    labels[wrong] = (labels[wrong] + 1) % 3
    mended = with_labels(pack, labels)
    result = label_errors(mended, silent, never)
    maps = suspect_maps(mended, result, wrong)
    for row in wrong:
        rows = maps[row].sum(axis=1)
        bar = pack.labels[row] / 2 * (len(rows) - 1)  # the bright bar is at the top, middle, bottom
        assert abs(np.average(np.arange(len(rows)), weights=rows) - bar) < len(rows) / 4


def test_a_run_judges_under_a_name_of_its_own(pack: Pack) -> None:
    folder = train(home_folder("runs") / "r-1", epochs=2)
    by_run = judged_by(f"run:{folder.name}", f"run:{folder.name}:best:1")
    labels = pack.labels.copy()
    labels[4] = (labels[4] + 1) % 3
    mended = with_labels(pack, labels)
    (found,) = check.run_checks(mended, [by_run]).values()
    assert 4 in {finding.row for finding in found.findings}
    assert any("run r-1" in note for note in found.notes)
    assert any("learned by heart" in note for note in found.notes)
    read = check.result(mended, by_run)
    assert read is not None
    assert read.figures["extractor"] == "run:r-1"
    assert read.arrays["weights"].shape[0] == len(found.findings)
    assert suspect_maps(mended, read, [4])[4].ndim == 2
    assert check.result(mended, "label_errors") is None


def test_what_a_person_called_right_is_not_shown_again(pack: Pack) -> None:
    labels = pack.labels.copy()
    labels[4] = (labels[4] + 1) % 3
    mended = with_labels(pack, labels)
    confirm(mended, 4)
    assert confirmed(mended) == {4}
    result = label_errors(mended, silent, never)
    assert 4 not in {finding.row for finding in result.findings}
    assert any("called right" in note for note in result.notes)
    assert confirmed(pack) == frozenset()  # with its other label it may be suspected


def test_damaged_marks_are_told_and_not_written_over(pack: Pack, lab_home: Path) -> None:
    confirm(pack, 4)
    confirm(pack, 7)
    [file] = lab_home.glob("quality/*/confirmed.json")
    before = file.read_text().replace('"7"', '"8"')
    file.write_text(before)
    for act in (lambda: confirmed(pack), lambda: confirm(pack, 3), lambda: take_back(pack, 4)):
        with pytest.raises(DataError, match=r"called right.*checksum.*delete it"):
            act()
    assert file.read_text() == before
    of_an_older_version = {"4": pack.meta.class_names[pack.labels[4]]}
    file.write_text(json.dumps(of_an_older_version))
    assert confirmed(pack) == {4}


def test_a_few_copies_share_a_fold_and_many_do_not(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = np.arange(len(pack))
    copies[10] = copies[20] = 3
    groups = np.arange(len(pack))
    groups[30] = groups[20]
    copies[40:60] = 40

    class Found:
        arrays = {"groups": copies}  # noqa: RUF012

    monkeypatch.setattr(module.check, "result", lambda pack, name: Found)
    joined = module._groups(dataclasses.replace(pack, groups=groups))
    assert joined[3] == joined[10] == joined[20] == joined[30]
    assert len(np.unique(joined)) == len(pack) - 3  # not 40 to 59, twenty copies


def test_small_classes_are_not_judged_and_poor_features_are_said(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(pack), 8)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    monkeypatch.setattr(
        module, "set_features", lambda pack, **options: Features(noise, "noise", "noise")
    )
    labels = pack.labels % 2
    labels[:3] = 2
    result = label_errors(with_labels(pack, labels), silent, never)
    assert result.figures["judged"] == len(pack) - 3
    assert any("fewer than 5 independent" in n and ": bottom" in n for n in result.notes)
    assert any("hardly tell the classes apart" in note for note in result.notes)
    alone = label_errors(with_labels(pack, np.zeros_like(labels)), silent, never)
    assert alone.findings == ()


def test_a_class_of_copies_alone_is_not_judged(pack: Pack) -> None:
    labels, groups = pack.labels % 2, np.arange(len(pack))
    labels[:6], groups[:6] = 2, 0
    copies = dataclasses.replace(with_labels(pack, labels), groups=groups)
    result = label_errors(copies, silent, never)
    assert result.figures["judged"] == len(pack) - 6
    assert np.isnan(result.arrays["given"][:6]).all()
    assert any("a group of copies counts once): bottom" in note for note in result.notes)


def flipped_recall(pack: Pack) -> float:
    """Of 3 % of the labels flipped, how many are among the first 1.5 x as many suggestions."""
    given, wrong = flipped(pack.labels, 0.03, len(pack.meta.class_names))
    result = label_errors(with_labels(pack, given), silent, never)
    first = {finding.row for finding in result.findings[: int(1.5 * len(wrong))]}
    return len(first & wrong) / len(wrong)


@pytest.mark.real_data
def test_flipped_labels_of_sign_mnist_are_found(real_data: Path) -> None:
    catalog.add_dataset("sign-mnist", real_data / "sign-language-mnist.zip")
    assert flipped_recall(catalog.open_pack("sign-mnist")) > 0.95


@pytest.mark.real_data
def test_flipped_labels_of_photographs_are_found(real_data: Path, tmp_path: Path) -> None:
    """A thousand of the ten thousand, so that it takes seconds; all of them give 94 to 96 %."""
    with zipfile.ZipFile(real_data / "cats_and_dogs.zip") as archive:
        for kind in ("cats", "dogs"):
            members = [name for name in archive.namelist() if f"/train/{kind}/" in name]
            archive.extractall(tmp_path, [name for name in members if name.endswith(".jpg")][:500])
    catalog.add_dataset("pets", tmp_path / "cats_and_dogs" / "train", image_size=96)
    pack = catalog.open_pack("pets")
    if set_features(pack).extractor == "edges":
        pytest.skip("TORCH_HOME holds no ImageNet weights")
    assert flipped_recall(pack) >= 0.8
