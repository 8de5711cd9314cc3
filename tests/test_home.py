"""Writing so that nothing is ever half there."""

import errno
from pathlib import Path

import pytest

from lab.errors import ResourceError
from lab.home import atomic_file, atomic_folder, lab_home, require_free_space, writing


def test_home_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "elsewhere"))
    assert lab_home() == tmp_path / "elsewhere"
    assert lab_home().is_dir()


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
        with atomic_folder(target) as temporary:
            (temporary / "a").write_text(text)

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
