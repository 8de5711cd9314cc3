"""Weights, the data set, everything, the card: what was written, opened by others' readers."""

import csv
import dataclasses
import errno
import importlib.util
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from lab import jobs
from lab.data import catalog
from lab.data.person_quota import QUOTA, use_of
from lab.errors import DiskFullError, NotFoundError, ResourceError
from lab.evaluate.opened import open_data
from lab.export import card, exporting, formats
from lab.export.exporting import export_to, kept_export, make_export, start_export
from lab.home import home_folder, recount, sweep_temporaries
from lab.installation import how_to_install
from lab.people import Person, acting_as
from lab.progress import Cancelled
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata, load_network


def test_weights_have_labels_and_are_the_networks(run: RunRow, tmp_path: Path) -> None:
    made = export_to(run, "safetensors", tmp_path / "w.safetensors")
    network, card = load_network(store().folder(run.id))
    with safe_open(made.file, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert json.loads(header["classes"]) == list(card.class_names)
    assert json.loads(header["preprocess"]) == card.preprocess.to_dict()
    expected = network.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in tensors)


def test_the_data_set_is_folders_as_the_run_cut_them(run: RunRow, tmp_path: Path) -> None:
    made = export_to(run, "dataset", tmp_path / "set.zip")
    pack, splits = open_data(CheckpointMetadata.read(store().folder(run.id)))
    with zipfile.ZipFile(made.file) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        assert {row["file"] for row in rows} == set(archive.namelist()) - {"labels.csv"}
        for row in (rows[0], rows[-1]):
            index = int(Path(row["file"]).stem)
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(row["file"]))))
            assert (pixels == pack.images[index][..., 0]).all()
            assert row["picture"] == pack.names[index]
    for part, own in (("train", splits.train), ("val", splits.val), ("test", splits.test)):
        found = {int(Path(row["file"]).stem) for row in rows if row["part"] == part}
        assert found == set(own.tolist())
    assert all(row["class"] == run.class_names[int(row["label"])] for row in rows)
    # The lab reads its own export.
    catalog.add_dataset("again", made.file, image_size=16)
    assert set(catalog.describe("again").class_names) == set(run.class_names)


def test_the_card_holds_the_runs_numbers_and_loads_nothing(run: RunRow, tmp_path: Path) -> None:
    facts = json.loads(export_to(run, "card-json", tmp_path / "c.json").file.read_text())
    assert facts["measured"]["accuracy"] == run.test_accuracy
    assert facts["measured"]["part"] == "test"
    assert facts["splits"]["test"]["images"] == 30
    assert len(facts["splits"]["train"]["ids"]) == facts["splits"]["train"]["images"]
    assert facts["epochs"]["epoch"] == [1, 2]
    assert 2 <= len(facts["samples"]) <= 3
    assert all(sample["trust"] and sample["sentence"] for sample in facts["samples"])
    command = facts["reproduce"]["command"]
    assert "--dataset tiny " in command
    assert "--architecture sign-cnn " in command
    page = export_to(run, "card", tmp_path / "c.html").file.read_text()
    assert "<title>Lab card: Bars &amp; &lt;b&gt;stripes&lt;/b&gt;</title>" in page
    assert page.count("<script>") == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', page.replace(_script(page), ""))


def _script(page: str) -> str:
    """Plotly itself, whose text holds addresses that it never loads."""
    return page[page.index("<script>") : page.index("</script>", page.index("<script>"))]


def test_who_may_not_see_test_results_gets_none(
    run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_export(run, "card-json")  # the teacher's
    monkeypatch.setenv("LAB_SHARED", "class")
    with acting_as(Person("p-1", "Ada", "member")):
        assert kept_export(store().run(run.id), "card-json") is None
        made = make_export(store().run(run.id), "card-json")
        facts = json.loads(made.file.read_text())
    assert facts["measured"]["part"] == "validation"
    assert kept_export(run, "card-json") != made


def test_everything_is_in_the_zip(run: RunRow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the optional packages, and it says so; what is kept is taken, and a card is measured
    once."""
    kept = make_export(run, "safetensors")
    measured: list[str] = []

    def measure(run: RunRow, *more: Any) -> card.Card:
        measured.append(run.id)
        return card.make_card(run, *more)

    monkeypatch.setattr("lab.export.everything.make_card", measure)
    monkeypatch.setattr("lab.export.weights.save_file", None)
    find = importlib.util.find_spec
    optional = ("onnx", "onnxruntime")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: name not in optional and find(name, *more)
    )
    made = make_export(run, "zip")
    with zipfile.ZipFile(made.file) as archive:
        assert archive.testzip() is None
        names, told = archive.namelist(), archive.read("README.txt").decode()
        weights = next(name for name in names if name.endswith(".safetensors"))
        assert archive.read(weights) == kept.file.read_bytes()
    assert {Path(name).suffix for name in names} == {".html", ".json", ".safetensors", ".png",
                                                     ".csv", ".txt", ".py", ".ipynb"}  # fmt: skip
    assert {"dataset/train.py", "dataset/train.ipynb", "dataset/labels.csv"} <= set(names)
    assert made.written.facts["missing"] == ["onnx", "onnx-int8", "html"]
    assert how_to_install("onnx", "onnxruntime") in told
    assert measured == [run.id]


def test_a_network_without_maps_explains_nothing(
    run: RunRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = card.answer
    monkeypatch.setattr(
        "lab.export.card.answer",
        lambda opened, picture: dataclasses.replace(answer(opened, picture), cam=None),
    )
    made = export_to(run, "card-json", tmp_path / "c.json")
    assert "no explanations: it has no maps" in made.written.sentences[0]


def test_what_is_broken_off_leaves_nothing(run: RunRow, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_export(run, "safetensors")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr("lab.export.weights.save_file", full)
        with pytest.raises(DiskFullError, match="disk is full"):
            make_export(run, "safetensors")
    with pytest.raises(Cancelled):
        make_export(run, "dataset", cancel=lambda: True)
    assert kept_export(run, "safetensors") == made  # the earlier one is still there
    assert kept_export(run, "dataset") is None
    assert sweep_temporaries(home_folder()) == 0


def test_a_run_that_is_deleted_while_it_is_exported_stays_deleted(
    run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.export.weights.save_file", lambda *_, **__: store().delete(run.id))
    with pytest.raises(NotFoundError, match="may have been deleted"):
        make_export(run, "safetensors")
    with pytest.raises(NotFoundError, match="may have been deleted"):
        make_export(run, "safetensors")  # a job that had waited
    assert list(home_folder("runs").iterdir()) == []


def test_an_export_is_of_who_made_it_and_asks_for_their_quota(
    run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    tom = Person("p-tom", "Tom", "member")
    with acting_as(tom):
        made = make_export(run, "safetensors")
        assert use_of(tom.id)["Exports"] > made.bytes
        monkeypatch.setenv(QUOTA[0], "1e-9")
        recount()
        with pytest.raises(ResourceError, match="What is yours here"):
            make_export(run, "safetensors")


def test_a_file_without_its_end_is_no_export(run: RunRow) -> None:
    made = make_export(run, "safetensors")
    with made.file.open("r+b") as file:
        file.truncate(made.bytes - 1)
    assert kept_export(run, "safetensors") is None


def test_two_presses_make_one_file(run: RunRow) -> None:
    first, second = (start_export(run, "safetensors") for _ in range(2))
    assert first.id == second.id
    ended = jobs.wait(first.id, timeout=60)
    assert ended is not None
    assert (ended.state, ended.result) == ("done", kept_export(run, "safetensors").bytes)  # type: ignore[union-attr]


def test_every_format_says_what_it_is_for(run: RunRow) -> None:
    for entry in formats.EXPORTS:
        assert entry.about.endswith(".")
        assert exporting.file_name(run, entry.name).endswith(entry.ending)
    names = [exporting.file_name(run, entry.name) for entry in formats.EXPORTS]
    assert len(set(names)) == len(names)
