"""A damaged run is a sentence on the pages, and the others are as before."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from tests.app.conftest import OpenPage
from tests.tiny_data import make_tiny_pack


def card_cut(folder: Path) -> None:
    card = folder / "network.json"
    card.write_bytes(card.read_bytes()[:200])


def best_a_folder(folder: Path) -> None:
    (folder / "best.safetensors").unlink()
    (folder / "best.safetensors").mkdir()


def folder_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


@pytest.mark.parametrize("damage", [card_cut, best_a_folder, folder_a_file])
def test_pages_with_a_damaged_run(
    open_page: OpenPage,
    finished: Callable[[str], RunRow],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", 60)
    config = RunConfig(dataset=make_tiny_pack(), architecture="single-layer-perceptron", epochs=1)
    good, bad = (finished(queue().submit(config, name=name)) for name in ("good", "bad"))
    damage(store().folder(bad.id))
    for page in ("train", "runs", "inspect", "classify"):
        app = open_page(page, run=bad.id)
        # Classify opens the weights when there is a picture to ask about.
        if page == "inspect" or (page == "classify" and damage is not best_a_folder):
            said = [each.value.replace("\\", "") for each in (*app.error, *app.warning)]
            assert any(bad.id in text or "“bad”" in text for text in said), (page, said)
    open_page("compare", runs=f"{good.id},{bad.id}")
    assert not open_page("inspect", run=good.id).error
    store().delete(bad.id)
