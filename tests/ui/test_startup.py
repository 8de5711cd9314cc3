"""What a server does once: the built-in sets are drawn by a process of its own."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cli.main import main
from lab.data import catalog
from lab.data.drawn import animals, signs
from lab.ui import startup


def test_built_in_sets_are_drawn_by_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (animals, signs):
        monkeypatch.setattr(module, "COUNTS", {"train": 4, "test": 2})
    asked: list[list[str]] = []

    class Child:
        def __init__(self, command: list[str], **options: Any) -> None:
            asked.append(command)
            code = "import lab; print(lab.__file__)"
            found = subprocess.check_output(
                [sys.executable, "-c", code], cwd="/", env=options["env"], text=True
            )
            assert found.strip() == sys.modules["lab"].__file__
            assert main(command[3:]) == 0

        def __enter__(self) -> "Child":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def wait(self) -> int:
            return 0

        def kill(self) -> None:
            return None

    monkeypatch.setattr(startup, "subprocess", SimpleNamespace(Popen=Child, DEVNULL=-3))
    startup._draw_built_in()
    (command,) = asked
    assert command[:3] == [sys.executable, "-m", "lab"]
    states = {info.name: info.state for info in catalog.list_datasets()}
    for name in ("drawn-cats-dogs", "drawn-signs", "handwritten-digits"):
        assert states[name] == catalog.READY
    startup._draw_built_in()
    assert len(asked) == 1
