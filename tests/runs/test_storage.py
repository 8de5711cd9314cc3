"""What the lab's folder holds, what can be cleaned, and its limit."""

import os
import time
from pathlib import Path

import pytest

from lab import home as lab_home_module
from lab.errors import ConfigError, NotAllowedError, NotFoundError, ResourceError
from lab.home import atomic_folder, home_folder, quota_bytes, require_free_space, used_bytes
from lab.people import Person, acting_as
from lab.runs.queue import Queue
from lab.runs.storage import clean, usage
from lab.runs.store import Store
from lab.training.checkpoint import END, read_looks

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
        "leftover": runs.folder(run_id) / ".best.safetensors.abc",
        "new leftover": runs.folder(run_id) / ".last.safetensors.abc",
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
