"""What a server does once: the built-in sets are drawn by a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cli.main import main
from lab.data import catalog
from lab.data.drawn import animals, signs
from lab.training import devices
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

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(startup, "subprocess", SimpleNamespace(Popen=Child, DEVNULL=-3))
    startup._draw_built_in()
    (command,) = asked
    assert command[:3] == [sys.executable, "-m", "lab"]
    states = {info.name: info.state for info in catalog.list_datasets()}
    for name in ("drawn-cats-dogs", "drawn-signs", "handwritten-digits"):
        assert states[name] == catalog.READY
    startup._draw_built_in()
    assert len(asked) == 1


def test_a_server_warms_itself_up_wherever_runs_train(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    work = ("a piece", lambda: asked.append(devices.trains_elsewhere()))
    monkeypatch.setattr(startup, "_pieces", lambda: iter([work]))
    monkeypatch.setattr(startup, "lower_priority", lambda: None)  # of the test's own thread
    monkeypatch.setattr(devices, "_elsewhere", True)
    startup._warm_up()
    assert asked == [False]


def test_a_process_ends_in_good_order_while_its_warm_up_is_inside_torch(tmp_path: Path) -> None:
    code = """
import functools, threading
import torch
from lab.ui import startup

busy = threading.Event()
def work():
    a, b = torch.rand(2, 64, 64, 64), torch.rand(64, 64, 3, 3)
    busy.set()
    for _ in range(100):
        torch.conv2d(a, b)
    print("worked")

startup._pieces = lambda: iter([("one", work), ("two", functools.partial(print, "too much"))])
startup.start_once()
busy.wait()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "LAB_HOME": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "worked\n"), done.stderr


def test_the_end_of_the_process_ends_the_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def sleeping(_command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **options)
        children.append(child)
        return child

    monkeypatch.setattr(startup, "subprocess", SimpleNamespace(Popen=sleeping, DEVNULL=-3))
    monkeypatch.setattr(startup, "_ending", threading.Event())
    thread = threading.Thread(target=startup._draw_built_in)
    thread.start()
    startup._end(thread)
    assert not thread.is_alive()
    assert [child.returncode for child in children] == [-signal.SIGKILL]
