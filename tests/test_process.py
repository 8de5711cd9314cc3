"""What the lab does to its own process: freed memory, priorities, Python's lock and collections."""

import gc
import os
import platform
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lab import process

on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc has settings for it"
)

ENOUGH = 24 << 20
"""Bytes of one tensor: above the usual threshold for a mapping of its own, below the raised one."""


def pages(rounds: int = 20) -> int:
    """Pages that the system hands out while tensors come and go."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(rounds):
        torch.zeros(ENOUGH // 4)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


@on_glibc
def test_kept_memory_costs_no_fresh_pages() -> None:
    try:
        assert process.keep_freed_memory(True)
        pages()  # what is freed first leaves holes that fit later
        reused = pages()
        assert process.keep_freed_memory(False)
        process.trim_memory()
        fresh = pages()
    finally:
        process.keep_freed_memory(True)
    # Thousands of pages of 4 kB, or a dozen of 2 MB where the system uses huge ones.
    assert reused < fresh / 4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_a_training_thread_steps_back_and_nobody_else() -> None:
    priorities: list[int] = []

    def work() -> None:
        process.lower_priority()
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert priorities == [max(before, process.NICENESS)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


_ARENAS = """
import ctypes, threading
{first}
everybody = threading.Barrier(9)
def work():
    kept = bytearray(10_000)
    everybody.wait()
    everybody.wait()
for _ in range(8):
    threading.Thread(target=work).start()
everybody.wait()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
library.malloc_info.argtypes = (ctypes.c_int, ctypes.c_void_p)
library.fflush.argtypes = (ctypes.c_void_p,)
output = library.fdopen(1, b"w")
library.malloc_info(0, output)
library.fflush(output)
everybody.wait()
"""


@on_glibc
@pytest.mark.parametrize(
    ("first", "own", "fits"),
    [
        ("pass", "", lambda count: count > process.ARENAS),
        ("import lab", "", lambda count: count == process.ARENAS),
        ("import lab", "5", lambda count: count == 5),
    ],
)
def test_threads_share_arenas_unless_a_person_says_otherwise(
    first: str, own: str, fits: Callable[[int], bool]
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != process.ARENA_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", _ARENAS.format(first=first)],
        capture_output=True,
        text=True,
        env=environment | ({process.ARENA_VARIABLE: own} if own else {}),
    )
    assert fits(done.stdout.count("<heap nr=")), done.stdout + done.stderr


def test_threads_switch_often() -> None:
    before = sys.getswitchinterval()
    try:
        process.switch_threads_often()
        assert sys.getswitchinterval() == pytest.approx(process.SWITCH_SECONDS)
    finally:
        sys.setswitchinterval(before)


def test_what_was_imported_is_left_out_of_collections() -> None:
    try:
        process.freeze_imports()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_it_imports_nothing_heavy() -> None:
    script = "import sys, lab.process; print({'torch', 'numpy', 'streamlit'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


_OMP = """
import ctypes, glob, os
import {first}
[library] = glob.glob(os.path.join(os.path.dirname({torch!r}), "lib", "libgomp*"))
ctypes.CDLL(library)
"""


@pytest.mark.skipif(
    not list((Path(torch.__file__).parent / "lib").glob("libgomp*")),
    reason="this torch brings no libgomp",
)
@pytest.mark.parametrize(
    ("first", "environment", "expected"),
    [
        ("lab", {}, f"GOMP_SPINCOUNT = '{process.SPIN_COUNT}'"),
        ("lab", {"GOMP_SPINCOUNT": "77"}, "GOMP_SPINCOUNT = '77'"),
        ("lab", {"OMP_WAIT_POLICY": "active"}, "OMP_WAIT_POLICY = 'ACTIVE'"),
        ("os", {}, "GOMP_SPINCOUNT = '300000'"),  # what it would be without the lab
    ],
)
def test_threads_of_libgomp_sleep_soon_unless_a_person_says_otherwise(
    first: str, environment: dict[str, str], expected: str
) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", _OMP.format(first=first, torch=torch.__file__)],
        env={**kept, "OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": os.getcwd(), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected in done.stderr
