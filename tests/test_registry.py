"""Names: duplicates raise, unknown ones suggest the close ones."""

import threading
from pathlib import Path

import pytest

from lab.errors import NotFoundError
from lab.registry import Registry


def test_duplicates_raise_and_unknown_names_suggest() -> None:
    registry: Registry[int] = Registry("architecture")
    registry.add("resnet18", 18)
    registry.add("lenet5", 5)
    assert registry.get("lenet5") == 5
    assert registry.names() == ("resnet18", "lenet5")
    with pytest.raises(ValueError, match="twice"):
        registry.add("lenet5", 6)
    with pytest.raises(NotFoundError, match=r"Unknown architecture 'resnt18'. Did you mean"):
        registry.get("resnt18")
    with pytest.raises(NotFoundError, match="There are: resnet18, lenet5"):
        registry.get("zzz")


def test_a_reader_in_another_thread_waits_until_all_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module that fills the registry takes its time; nobody sees half of it."""
    (tmp_path / "slow_entries.py").write_text(
        "import time\n"
        "from tests.test_registry import SLOW\n"
        "SLOW.add('first', 1)\n"
        "time.sleep(0.2)\n"
        "SLOW.add('second', 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda: seen.append(SLOW.names())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [("first", "second")] * 4


SLOW: Registry[int] = Registry("entry", filled_by=("slow_entries",))


def test_names_with_a_mark_are_made_when_asked_for() -> None:
    made: list[str] = []

    def make(name: str) -> int:
        made.append(name)
        if name == "size:none":
            raise NotFoundError("Unknown size 'none'.")
        return int(name.removeprefix("size:"))

    registry: Registry[int] = Registry("size")
    registry.add("small", 1)
    registry.make_names_with("size:", make)
    assert (registry.get("size:7"), registry.get("size:7")) == (7, 7)
    assert made == ["size:7"]
    assert registry.names() == ("small",)
    assert "size:8" in registry
    assert "size:none" not in registry
    assert None not in registry
    with pytest.raises(NotFoundError, match="Unknown size"):
        registry.get("size:none")
