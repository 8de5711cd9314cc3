"""Data sets by name: listed, drawn, added, replaced, removed; from threads and processes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lab.data import catalog
from lab.data.catalog import (
    BUILT_IN,
    DAMAGED,
    NOT_ADDED,
    READY,
    DatasetExistsError,
    add_dataset,
    check_free,
    dataset_name,
    describe,
    list_datasets,
    open_pack,
    remove_dataset,
)
from lab.data.pack_lock import pack_lock
from lab.data.specs import DATASETS, DatasetSpec
from lab.errors import ConfigError, DataError, LabError, NotFoundError, ResourceError
from lab.progress import Cancelled, Progress
from lab.registry import Registry
from tests.data.pictures import jpeg, pets, write_folder

ROOT = Path(__file__).resolve().parents[2]


class FakeDrawings(types.ModuleType):
    """Stands for a drawing module: two classes of 16 x 16, and a count of how often it drew."""

    CLASS_NAMES = ("bar", "dot")
    IMAGE_SIZE = 16
    CHANNELS = 1
    VERSION = 1

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.COUNTS = {"train": 40, "test": 10}
        self.times_drawn = 0
        self.delay_seconds = 0.0

    def render_batches(
        self, split: str, *, seed: int, batch: int = 256
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.times_drawn += split == "train"
        rng = np.random.default_rng([seed, len(split), self.VERSION])
        for start in range(0, total := 2 * self.COUNTS[split], batch):
            labels = np.arange(start, min(start + batch, total)) % 2
            time.sleep(self.delay_seconds)
            yield rng.integers(0, 256, (len(labels), 16, 16, 1), dtype=np.uint8), labels


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> FakeDrawings:
    """A drawn data set called fake-drawn beside the two photographic ones."""
    module = FakeDrawings("fake_drawings")
    monkeypatch.setitem(sys.modules, "fake_drawings", module)
    registry: Registry[DatasetSpec] = Registry("data set")
    for spec in (
        DatasetSpec(
            name="fake-drawn",
            title="Fake drawings",
            story="Bars and dots.",
            source="tests",
            licence="none",
            how_to_get="Nothing to do.",
            module="fake_drawings",
            drawn=True,
        ),
        DATASETS.get("sign-mnist"),
        DATASETS.get("cats-dogs"),
    ):
        registry.add(spec.name, spec)
    monkeypatch.setattr(catalog, "DATASETS", registry)
    return module


def add_pets(tmp_path: Path, name: str = "my-pets", count: int = 10) -> catalog.ImportReport:
    return add_dataset(name, write_folder(tmp_path / name, pets(count)), image_size=16)


# --- listing and describing ----------------------------------------------------------------


def test_every_registered_set_can_be_described() -> None:
    for info in list_datasets():
        assert info.state == (BUILT_IN if info.built_in else NOT_ADDED)
        assert info.title
        assert info.story
        assert info.licence
        assert info.source
        assert info.how_to_get
        assert len(info.class_names) >= 2
        assert 8 <= info.image_size <= 512
        assert info.channels in (1, 3)
        assert info.drawn == info.name.startswith("drawn-")
        assert info.drawn == ("drawn" in info.title.lower())
        assert info.bytes_on_disk == 0
    assert [info.name for info in list_datasets()] == [
        "drawn-cats-dogs",
        "drawn-signs",
        "handwritten-digits",
        "sign-mnist",
        "cats-dogs",
        "cats-dogs-filtered",
    ]
    assert describe("sign-mnist").class_names == tuple("ABCDEFGHIKLMNOPQRSTUVWXY")
    assert describe("cats-dogs").class_names == ("cat", "dog")


def test_listing_draws_nothing(drawings: FakeDrawings) -> None:
    info = describe("fake-drawn")
    assert info.state == BUILT_IN
    assert info.counts == {"train": {"bar": 40, "dot": 40}, "test": {"bar": 10, "dot": 10}}
    assert info.split_totals == {"train": 80, "test": 20}
    assert drawings.times_drawn == 0


def test_own_sets_are_listed_after_the_registered_ones(tmp_path: Path) -> None:
    report = add_pets(tmp_path, "my-pets")
    add_pets(tmp_path, "a-set", 4)
    infos = list_datasets()
    assert [info.name for info in infos[-2:]] == ["a-set", "my-pets"]
    info = infos[-1]
    assert (info.state, info.own, info.title) == (READY, True, "My pets")
    assert info.split_totals == {"train": 16, "test": 4}
    assert info.counts == report.accepted
    assert info.original_sizes == {"40x30": 20}
    assert info.source == str(tmp_path / "my-pets")
    assert info.bytes_on_disk > 20 * 16 * 16 * 3
    assert info.content_hash == open_pack("my-pets").meta.content_hash
    assert any("set apart for the test" in note for note in info.notes)
    json.dumps(dataclasses.asdict(info))


def test_describing_opens_no_images(tmp_path: Path) -> None:
    add_pets(tmp_path)
    (catalog._folder("my-pets") / "images.npy").unlink()
    assert describe("my-pets").split_totals == {"train": 16, "test": 4}


@pytest.mark.parametrize("name", ["sign-minst", "my-pet", "", "../runs", "a/b", "/etc", ".."])
def test_unknown_names(tmp_path: Path, name: str) -> None:
    add_pets(tmp_path)
    for call in (describe, open_pack, remove_dataset):
        with pytest.raises(NotFoundError, match="Unknown data set"):
            call(name)
    if name == "sign-minst":
        with pytest.raises(NotFoundError, match="Did you mean 'sign-mnist'"):
            describe(name)


def test_what_is_not_added_says_how(drawings: FakeDrawings) -> None:
    for name in ("sign-mnist", "cats-dogs"):
        with pytest.raises(DataError, match=rf"not added yet\..*datasets add {name} PATH"):
            open_pack(name)


def test_a_damaged_set_is_listed_and_can_be_replaced(tmp_path: Path) -> None:
    for name in ("my-pets", "cats-dogs"):
        add_pets(tmp_path, name)
        (catalog._folder(name) / "meta.json").write_text("{")
        info = describe(name)
        assert info.state == DAMAGED
        assert "is damaged" in info.how_to_get
        assert name in [info.name for info in list_datasets()]
        with pytest.raises(DataError, match="Remove it and add it again"):
            open_pack(name)
        remove_dataset(name)
        add_pets(tmp_path, name)
        assert describe(name).state == READY


# --- drawn sets ----------------------------------------------------------------------------


def test_a_drawn_set_is_drawn_at_first_use(drawings: FakeDrawings) -> None:
    reports: list[Progress] = []
    pack = open_pack("fake-drawn", progress=reports.append)
    assert pack.images.shape == (100, 16, 16, 1)
    assert (len(pack.indices("train")), len(pack.indices("test"))) == (80, 20)
    assert pack.meta.drawn
    assert pack.names[1] == "train/dot/drawing 2"
    assert (reports[-1].done, reports[-1].total) == (100, 100)
    info = describe("fake-drawn")
    assert (info.state, info.content_hash) == (READY, pack.meta.content_hash)
    assert open_pack("fake-drawn").meta == pack.meta
    assert drawings.times_drawn == 1


def test_new_drawing_code_draws_again(drawings: FakeDrawings) -> None:
    before = open_pack("fake-drawn")
    old_images = before.images.copy()
    resized = open_pack("fake-drawn", image_size=32)
    assert resized.images.shape == (100, 32, 32, 1)
    drawings.VERSION = 2
    assert describe("fake-drawn").state == BUILT_IN
    after = open_pack("fake-drawn")
    assert after.meta.content_hash != before.meta.content_hash
    assert (before.images == old_images).all()  # whoever trains on it goes on undisturbed
    newly_resized = open_pack("fake-drawn", image_size=32)
    assert newly_resized.meta.content_hash == after.meta.content_hash
    assert drawings.times_drawn == 2


def test_a_damaged_drawn_set_is_drawn_again(drawings: FakeDrawings) -> None:
    open_pack("fake-drawn")
    (catalog._folder("fake-drawn") / "images.npy").write_bytes(b"")
    assert open_pack("fake-drawn").images.shape == (100, 16, 16, 1)
    assert drawings.times_drawn == 2


def test_cancelled_drawing_leaves_nothing(drawings: FakeDrawings, lab_home: Path) -> None:
    answers = iter([False, True])
    with pytest.raises(Cancelled):
        open_pack("fake-drawn", cancel=lambda: next(answers))
    assert list((lab_home / "packs").iterdir()) == []
    assert len(open_pack("fake-drawn")) == 100


def test_drawn_sets_are_neither_added_nor_removed(drawings: FakeDrawings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="built in"):
        add_dataset("fake-drawn", tmp_path)
    with pytest.raises(DataError, match="built in and cannot be removed"):
        remove_dataset("fake-drawn")


# --- adding, replacing, removing -----------------------------------------------------------


@pytest.mark.parametrize("name", ["", "My-Pets", "a b", "-a", "a-", "../x", "ä", "a" * 65, "a.b"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="lower-case letters a to z, digits and dashes"):
        add_dataset(name, write_folder(tmp_path / "x", pets(2)))


@pytest.mark.parametrize("path", ["", "  "])
def test_an_empty_path(path: str) -> None:
    with pytest.raises(DataError, match="No path was given"):
        add_dataset("mine", path)


def test_a_typed_text_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "here", pets(4))
    monkeypatch.chdir(tmp_path)
    assert add_dataset("mine", "here", title="Our pets", image_size=16).total == 8
    assert (describe("mine").source, describe("mine").title) == ("here", "Our pets")


def test_sizes_and_fits_are_checked(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", pets(2))
    with pytest.raises(ConfigError, match="image_size is 4"):
        add_dataset("mine", folder, image_size=4)
    with pytest.raises(ConfigError, match="stretch, crop, pad"):
        add_dataset("mine", folder, fit="squash")  # type: ignore[arg-type]
    add_dataset("mine", folder)
    assert describe("mine").image_size == 224
    with pytest.raises(ConfigError, match="image_size is 9999"):
        open_pack("mine", image_size=9999)


def test_a_name_that_exists_is_not_replaced_by_itself(tmp_path: Path) -> None:
    first = add_pets(tmp_path)
    other = write_folder(tmp_path / "other", pets(3, first=50))
    with pytest.raises(DatasetExistsError, match=r"'my-pets' .* 20 images in 2 classes"):
        add_dataset("my-pets", other, image_size=16)
    assert open_pack("my-pets").meta.content_hash == first.meta.content_hash
    with pytest.raises(DatasetExistsError):
        check_free("my-pets")
    check_free("other-pets")


def test_a_damaged_set_may_be_added_again(tmp_path: Path, lab_home: Path) -> None:
    add_pets(tmp_path)
    (lab_home / "packs" / "my-pets" / "meta.json").write_text("{")
    assert add_dataset("my-pets", tmp_path / "my-pets", image_size=16).total == 20


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("My Pets", "my-pets"),
        ("  leaves_2 ", "leaves-2"),
        ("고양이와 개", "go-yang-i-wa-gae"),
        ("Bäume, Straße", "baume-strasse"),
        ("ねこ", "ne-ko"),
        ("猫", "732b"),
        ("../x", "x"),
        ("a" * 80, "a" * 64),
    ],
)
def test_a_title_in_any_alphabet_gives_a_name(tmp_path: Path, title: str, name: str) -> None:
    assert dataset_name(title) == name
    folder = write_folder(tmp_path / "x", pets(2))
    assert add_dataset(name, folder, title=title, image_size=16).meta.title == title.strip()


@pytest.mark.parametrize("title", ["", "  ", "!?", "・"])
def test_a_title_without_a_letter_is_refused(title: str) -> None:
    with pytest.raises(ConfigError, match="it needs a letter or a digit"):
        dataset_name(title)


def test_adding_again_replaces(tmp_path: Path) -> None:
    first = add_pets(tmp_path)
    open_before = open_pack("my-pets", image_size=32)
    write_folder(tmp_path / "my-pets", {f"birds/{i}.jpg": jpeg(900 + i) for i in range(5)})
    second = add_dataset("my-pets", tmp_path / "my-pets", replace=True, image_size=16)
    assert second.meta.content_hash != first.meta.content_hash
    assert open_pack("my-pets").meta.class_names == ("birds", "cats", "dogs")
    assert open_pack("my-pets", image_size=32).meta.content_hash == second.meta.content_hash
    assert len(open_before) == 20


def test_a_failed_import_keeps_the_old_set(tmp_path: Path) -> None:
    report = add_pets(tmp_path)
    with pytest.raises(DataError):
        add_dataset(
            "my-pets", write_folder(tmp_path / "bad", dict.fromkeys(pets(3), b"")), replace=True
        )
    answers = iter([False] * 5 + [True] * 99)
    with pytest.raises(Cancelled):
        add_dataset("my-pets", tmp_path / "my-pets", replace=True, cancel=lambda: next(answers))
    assert open_pack("my-pets").meta == report.meta


def test_progress_is_seldom_and_ends_full(tmp_path: Path) -> None:
    reports: list[Progress] = []
    folder = write_folder(tmp_path / "x", pets(100))
    started = time.monotonic()
    add_dataset("mine", folder, image_size=16, progress=reports.append)
    seconds = time.monotonic() - started
    assert (reports[-1].done, reports[-1].total, reports[-1].fraction) == (200, 200, 1.0)
    assert len(reports) <= 10 * seconds + 5
    done = [report.done for report in reports]
    assert done == sorted(done)


def test_removing_takes_all_sizes_along(tmp_path: Path, lab_home: Path) -> None:
    add_pets(tmp_path)
    still_open = open_pack("my-pets", image_size=32)
    remove_dataset("my-pets")
    assert list((lab_home / "packs").iterdir()) == []
    assert still_open.images.sum() > 0
    with pytest.raises(NotFoundError):
        open_pack("my-pets")
    with pytest.raises(DataError, match="not on this machine"):
        remove_dataset("cats-dogs")


def test_too_little_space_is_told_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "x", pets(2))
    usage = types.SimpleNamespace(total=10**12, used=0, free=200_000_100)
    monkeypatch.setattr("lab.home.shutil.disk_usage", lambda path: usage)
    with pytest.raises(ResourceError, match=r"This needs 1 MB in .*packs"):
        add_dataset("mine", folder)


# --- threads and processes -----------------------------------------------------------------


def test_many_threads_draw_once(drawings: FakeDrawings) -> None:
    drawings.delay_seconds = 0.02
    with ThreadPoolExecutor(8) as pool:
        packs = list(pool.map(lambda _: open_pack("fake-drawn"), range(8)))
    assert drawings.times_drawn == 1
    assert len({pack.meta.content_hash for pack in packs}) == 1


def test_threads_ask_for_sizes_while_the_set_is_replaced(tmp_path: Path) -> None:
    add_pets(tmp_path, count=3)
    folder = write_folder(tmp_path / "other", pets(4))
    failures: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                pack = open_pack("my-pets", image_size=20)
                assert (
                    len(pack)
                    == len(pack.images)
                    == sum(sum(classes.values()) for classes in pack.meta.counts.values())
                )
            except BaseException as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(6):
        add_dataset("my-pets", (tmp_path / "my-pets", folder)[i % 2], replace=True, image_size=16)
    over.set()
    for reader in readers:
        reader.join()
    assert failures == []


def test_nobody_sees_a_set_vanish_while_it_is_replaced(tmp_path: Path, lab_home: Path) -> None:
    report = add_pets(tmp_path)
    packs = lab_home / "packs"
    with ThreadPoolExecutor(2) as pool:
        with pack_lock("my-pets"):
            (packs / ".my-pets.old.x").mkdir()
            (packs / "my-pets").rename(packs / ".my-pets.old.x" / "was")
            described, opened = pool.submit(describe, "my-pets"), pool.submit(open_pack, "my-pets")
            time.sleep(0.1)
            (packs / ".my-pets.old.x" / "was").rename(packs / "my-pets")
        assert described.result(timeout=30).content_hash == report.meta.content_hash
        assert opened.result(timeout=30).meta == report.meta


def test_waiting_for_another_builder_can_be_cancelled(tmp_path: Path) -> None:
    reports: list[Progress] = []
    with pack_lock("my-pets"), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            add_dataset,
            "my-pets",
            write_folder(tmp_path / "x", pets(2)),
            progress=reports.append,
            cancel=lambda: len(reports) > 1,
        )
        with pytest.raises(Cancelled):
            waiting.result(timeout=30)
    assert "preparing this data set" in reports[0].text


PROCESS = """
    import os, sys
    from lab.data import catalog
    from lab.data.specs import DatasetSpec
    sys.path.insert(0, {folder!r})
    catalog.DATASETS.add("slow-drawn", DatasetSpec(name="slow-drawn", title="Slow", story="",
        source="", licence="", how_to_get="", module="slow_drawings", drawn=True))
    print(catalog.open_pack("slow-drawn").meta.content_hash)
"""
SLOW_DRAWINGS = """
    import os, pathlib, time
    import numpy as np
    CLASS_NAMES, IMAGE_SIZE, CHANNELS, VERSION, COUNTS = ("a", "b"), 16, 1, 1, {"train": 64}
    def render_batches(split, *, seed, batch=256):
        with open(pathlib.Path(__file__).with_name("drawn.txt"), "a") as file:
            file.write("once\\n")
        for _ in range(4):
            time.sleep(0.3)
            yield np.zeros((32, 16, 16, 1), np.uint8), np.arange(32) % 2
"""


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_draw_once(tmp_path: Path) -> None:
    (tmp_path / "slow_drawings.py").write_text(textwrap.dedent(SLOW_DRAWINGS))
    processes = [start(PROCESS.format(folder=str(tmp_path))) for _ in range(2)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert results[0][0] == results[1][0] != ""
    assert (tmp_path / "drawn.txt").read_text() == "once\n"


def test_a_killed_import_leaves_nothing_that_counts(tmp_path: Path, lab_home: Path) -> None:
    folder = write_folder(tmp_path / "pets", pets(10))
    killed = start(f"""
        import os
        from lab.data import catalog
        def die(progress):
            if progress.done:
                os._exit(9)
        catalog.add_dataset("my-pets", {str(folder)!r}, image_size=16, progress=die)
    """)
    _, errors = killed.communicate(timeout=120)
    assert killed.returncode == 9, errors
    left = list((lab_home / "packs").iterdir())
    assert [path.name.startswith(".my-pets.") for path in left] == [True]
    assert [info for info in list_datasets() if info.own] == []
    assert add_dataset("my-pets", folder, image_size=16).total == 20
    assert [path.name for path in (lab_home / "packs").iterdir()] == ["my-pets"]


def test_a_process_that_died_between_old_and_new_loses_nothing(
    tmp_path: Path, lab_home: Path
) -> None:
    report = add_pets(tmp_path)
    packs = lab_home / "packs"
    (packs / ".my-pets.old.x").mkdir()
    (packs / "my-pets").rename(packs / ".my-pets.old.x" / "was")
    (packs / ".my-pets.y").mkdir()  # what was to become the new one
    assert describe("my-pets").content_hash == report.meta.content_hash
    assert open_pack("my-pets").meta == report.meta
    assert [path.name for path in packs.iterdir()] == ["my-pets"]


def test_every_error_is_one_line(tmp_path: Path) -> None:
    for call in (
        lambda: open_pack("sign-mnist"),
        lambda: add_dataset("mine", tmp_path / "nowhere"),
        lambda: add_dataset("mine", tmp_path),
        lambda: describe("nobody"),
    ):
        with pytest.raises(LabError) as caught:
            call()
        assert "\n" not in str(caught.value)
