"""Writing so that nothing is ever half there."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ResourceError
from lab.home import (
    atomic_file,
    atomic_folder,
    lab_home,
    move_away,
    require_free_space,
    sweep_temporaries,
    writing,
)


def test_home_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "elsewhere"))
    assert lab_home() == tmp_path / "elsewhere"
    assert lab_home().is_dir()


@pytest.mark.parametrize("form", ["~nosuchuser/x", "/tmp/" + "x" * 300, "{loop}/x", "a\0b"])
def test_a_home_that_cannot_be_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    monkeypatch.setattr("os.environ", {**os.environ, "LAB_HOME": form.format(loop=loop)})
    with pytest.raises(ResourceError, match="Set LAB_HOME to a folder you can write"):
        lab_home()


def test_atomic_file_replaces_on_success_and_leaves_the_old_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with atomic_file(target) as temporary:
        temporary.write_text("first")

    def fail() -> None:
        with atomic_file(target) as temporary:
            temporary.write_text("second")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_folder_replaces_on_success_and_leaves_the_old_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for text in ("first", "second"):
        write_file(target, text)

    def fail() -> None:
        with atomic_folder(target) as temporary:
            (temporary / "a").write_text("third")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (target / "a").read_text() == "second"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "Set LAB_HOME to a folder")],
)
def test_refusals_of_the_system_become_sentences(number: int, sentence: str) -> None:
    with pytest.raises(ResourceError, match=sentence), writing(Path("/somewhere")):
        raise OSError(number, "as the system says")


def test_too_little_space_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="Free some space"):
        require_free_space(tmp_path, 10**18)


def test_what_dead_processes_were_writing_is_swept_and_the_living_are_left(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from typing import Any
from lab.home import atomic_file, atomic_folder
folder = Path(sys.argv[1])
with atomic_file(folder / "resume.safetensors") as file, atomic_folder(folder / "pack") as pack:
    (pack / "images").write_text("half")
    print(file.name, pack.name, flush=True)
    sys.stdin.readline()
"""
    (tmp_path / "kept").write_text("x")
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    names = process.stdout.readline().split()
    assert sweep_temporaries(tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"kept", *names}
    process.kill()
    process.communicate()
    assert sweep_temporaries(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("make", ["mkstemp", "mkdtemp"])
def test_what_is_swept_before_it_is_locked_is_made_anew(
    make: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts sweeps beside those that write."""
    made, swept = getattr(tempfile, make), [0]

    def make_and_sweep(**how: Any) -> Any:
        result = made(**how)
        if not swept[0]:
            swept[0] = sweep_temporaries(tmp_path)
        return result

    write_file(tmp_path / "folder", "old")
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(tempfile, make, make_and_sweep)
    if make == "mkstemp":
        with atomic_file(tmp_path / "file") as temporary:
            assert temporary.exists()
            temporary.write_text("new")
        assert (tmp_path / "file").read_text() == "new"
    else:
        write_file(tmp_path / "folder", "new")
        assert (tmp_path / "folder" / "a").read_text() == "new"
        swept[0] = 0
        trash = move_away(tmp_path / "folder")
        assert (trash / "gone" / "a").read_text() == "new"
        shutil.rmtree(trash)
    assert swept[0] == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"file", "folder"}


def write_file(folder: Path, text: str) -> None:
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text(text)


def test_a_file_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order, or a power cut leaves an empty file under a good name."""
    calls: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        calls.append(f"fsync {os.fstat(handle).st_size}")
        sync(handle)

    def replaced(source: Path, target: Path) -> None:
        calls.append("replace")
        assert not target.exists()  # the bytes never grow under the final name
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with atomic_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"12345")
        assert temporary != tmp_path / "file"
    assert calls == ["fsync 5", "replace"]
    assert (tmp_path / "file").read_bytes() == b"12345"


def test_something_else_in_the_place_of_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "best", tmp_path / "file" / "x"):
        with (
            pytest.raises(ResourceError, match=r"cannot be written .*Set LAB_HOME"),
            atomic_file(target) as temporary,
        ):
            temporary.write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "file"]
