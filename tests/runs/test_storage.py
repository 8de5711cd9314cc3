"""What the lab's folder holds, what can be cleaned, and its limit."""

import json
import os
import time
from pathlib import Path

import pytest

from lab import home as lab_home_module
from lab.data import catalog
from lab.data.person_quota import QUOTA, require_person_quota, use_of
from lab.data.photo_collections import add_photo, open_collection
from lab.data.uploads import IncomingFile, discard
from lab.errors import ConfigError, NotAllowedError, NotFoundError, ResourceError
from lab.home import atomic_folder, home_folder, quota_bytes, require_free_space, used_bytes
from lab.people import Person, acting_as
from lab.runs.members import join
from lab.runs.queue import Queue
from lab.runs.storage import clean, usage, use_of_all
from lab.runs.store import Store, store
from lab.training.checkpoint import END, read_looks
from tests.data.pictures import jpeg, pets, write_folder

from .fakes import CONFIG, ended, started


@pytest.fixture
def files(runs: Store, run_id: str) -> dict[str, Path]:
    """A completed run and one that is not, kept features, downloads and leftovers; 10 kB each."""
    runs.record(run_id, [started(), ended("completed")])
    waits = runs.create_run(CONFIG)
    made = {
        "end": runs.folder(run_id) / END,
        "weights": runs.folder(run_id) / "best.safetensors",
        "resume": runs.folder(waits) / "resume.safetensors",
        "features": home_folder("features", "key") / "features.npy",
        "download": home_folder("downloads") / "old.zip",
        "new download": home_folder("downloads") / "new.zip",
        "leftover": runs.folder(run_id) / ".best.safetensors.abcdefgh",
        "new leftover": runs.folder(run_id) / ".last.safetensors.abcdefgh",
    }
    for name, path in made.items():
        path.write_bytes(os.urandom(10_000))
        if "new" not in name:
            os.utime(path, (time.time() - 2 * 86400,) * 2)
    return made


def test_each_part_tells_its_size_and_what_can_go(files: dict[str, Path], runs: Store) -> None:
    parts = {part.name: part for part in usage(runs)}
    assert parts["runs"].clearable == 10_000
    assert parts["runs"].bytes >= 50_000
    assert parts["features"].clearable == 10_000
    assert parts["downloads"].clearable == 10_000
    assert parts["temporary"].clearable == 10_000
    assert parts["rest"].bytes > 0


def test_cleaning_takes_only_what_no_result_needs(files: dict[str, Path], runs: Store) -> None:
    for name in ("runs", "features", "downloads", "temporary", "packs"):
        before = next(part.clearable for part in usage(runs) if part.name == name)
        assert clean(runs, name) == before
    left = {name for name, path in files.items() if path.exists()}
    assert left == {"weights", "resume", "new download", "new leftover"}
    assert read_looks(files["weights"].parent) == runs.run(files["weights"].parent.name).test_looks
    with pytest.raises(NotFoundError):
        clean(runs, "rest")


def test_what_is_being_written_is_no_leftover_however_long_it_takes(runs: Store) -> None:
    """The age of a folder does not change while a file in it grows."""
    with atomic_folder(home_folder("packs") / "slow") as folder:
        (folder / "images.npy").write_bytes(b"x" * 10_000)
        os.utime(folder, (time.time() - 2 * 86400,) * 2)
        assert clean(runs, "temporary") == 0
        assert (folder / "images.npy").is_file()


def test_a_member_cleans_nothing(runs: Store) -> None:
    with acting_as(Person("p", "Ada", "member")), pytest.raises(NotAllowedError):
        clean(runs, "runs")


def test_a_folder_over_its_limit_refuses_runs_and_imports(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab_home_module, "_counted", {})
    (home_folder("packs") / "large").write_bytes(os.urandom(2_000_000))
    monkeypatch.setenv("LAB_QUOTA_GB", "0.001")
    queue = Queue(runs, resolve=lambda config: "cpu")
    for act in (lambda: queue.submit(CONFIG), lambda: require_free_space(home_folder("packs"), 1)):
        with pytest.raises(ResourceError, match=r"holds 0\.0 GB of the 0\.001 GB .* Storage page"):
            act()
    (home_folder("packs") / "large").unlink()
    lab_home_module.recount()
    queue.submit(CONFIG)
    for value in ("many", "-1", "nan"):
        monkeypatch.setenv("LAB_QUOTA_GB", value)
        with pytest.raises(ConfigError, match="LAB_QUOTA_GB is"):
            quota_bytes()


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(5000))
    os.link(tmp_path / "a", tmp_path / "b")
    assert used_bytes(tmp_path) == used_bytes(tmp_path / "a") == 5000
    assert used_bytes(tmp_path / "none") == 0


UPLOAD = "0123456789abcdef0123456789abcdef"


def test_a_persons_files_are_counted_and_refused_beyond_their_quota(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = store()
    queue, given = Queue(runs), open_collection("Leaves", ["oak", "maple"])
    ada, tom = join(runs, "Ada"), join(runs, "Tom")
    with acting_as(ada):
        run = queue.submit(CONFIG)
        (runs.folder(run) / "best.safetensors").write_bytes(os.urandom(300_000))
        pets_folder = write_folder(home_folder("downloads") / "pets", pets(4))
        catalog.add_dataset("pets", pets_folder, image_size=32)
        add_photo(given.id, "oak", "1.jpg", jpeg(1))
        with IncomingFile(UPLOAD, "cats/1.jpg", length=4000) as file:
            file.write(bytes(4000))
    use = use_of(ada.id)
    assert use["Runs"] == 300_000
    assert use["Uploads"] == 4000
    assert use["Data sets"] > 8 * 32 * 32 * 3
    assert use["Pictures for the class"] > 500
    assert list(use_of_all(runs).items()) == [("Ada", use)]  # Tom has nothing yet

    monkeypatch.setenv(QUOTA[0], "0.0003")
    lab_home_module.recount()

    def upload() -> None:
        with IncomingFile(UPLOAD, "cats/2.jpg", length=10) as file:
            file.write(b"0123456789")

    doors = (
        lambda: queue.submit(CONFIG),
        upload,
        lambda: catalog.add_dataset("more", pets_folder, image_size=32),
        lambda: add_photo(given.id, "oak", "2.jpg", jpeg(2)),
    )
    with acting_as(ada):
        for door in doors:
            with pytest.raises(ResourceError, match=r"yours here takes 0\.00 GB of the 0\.0003 GB"):
                door()
    with acting_as(tom):
        queue.submit(CONFIG)  # the quota is each one's own
    for door in doors:  # and none of the operator's
        door()
    with acting_as(ada):
        queue.remove(run)
        runs.delete(run)  # counted anew at once
        catalog.remove_dataset("pets")
        discard(UPLOAD)
        lab_home_module.recount()
        queue.submit(CONFIG)
    assert use_of(ada.id)["Uploads"] == 0


def test_an_export_counts_for_who_made_it() -> None:
    """Of another's run it does not fill the other's quota."""
    runs = store()
    ada, tom = join(runs, "Ada"), join(runs, "Tom")
    with acting_as(ada):
        folder = runs.folder(Queue(runs).submit(CONFIG))
    for person, count in ((ada, 4000), (tom, 300_000)):
        place = folder / "exports" / f"best-{person.name}"
        place.mkdir(parents=True)
        (place / "file.zip").write_bytes(os.urandom(count))
        (place / "facts.json").write_text(json.dumps({"person": person.id}))
    (folder / "exports" / "best-onnx").mkdir()  # damaged
    (folder / "exports" / "best-onnx" / "facts.json").write_text("[")
    assert use_of(ada.id)["Runs"] == 0
    assert 4000 < use_of(ada.id)["Exports"] < 5000
    assert 300_000 < use_of(tom.id)["Exports"] < 301_000


def test_a_person_is_counted_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = store()
    walks = []
    count = used_bytes
    monkeypatch.setattr("lab.runs.store.used_bytes", lambda path: walks.append(path) or count(path))
    with acting_as(join(runs, "Ada")):
        Queue(runs).submit(CONFIG)
        Queue(runs).submit(CONFIG)
        assert walks == []  # at the first one there was no run, and then nobody looked
        lab_home_module.recount()
        for _ in range(3):
            require_person_quota()
    assert len(walks) == 4  # two runs, and what was exported of each
