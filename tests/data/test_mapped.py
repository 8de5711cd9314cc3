"""Reading a whole pack does not keep it in this process's memory."""

import re
from pathlib import Path

import numpy as np
import pytest

from lab.data import mapped
from lab.data.mapped import LettingGo


def resident_bytes(file: Path) -> int:
    """Of all mappings of `file` in this process."""
    text = Path("/proc/self/smaps").read_text(encoding="utf-8")
    blocks = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)
    sizes = [re.search(r"(?m)^Rss:\s+(\d+) kB", b) for b in blocks if str(file) in b]
    return sum(1024 * int(size.group(1)) for size in sizes if size)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux tells what is resident")
def test_it_lets_go_of_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "images.npy"
    images = np.random.Generator(np.random.Philox(0)).integers(
        0, 256, size=(400, 100, 100, 1), dtype=np.uint8
    )
    np.save(file, images)
    opened = np.load(file, mmap_mode="r").view(np.ndarray)
    monkeypatch.setattr(mapped, "MOST_RESIDENT", 1_000_000)
    letting_go = LettingGo(opened)
    most = 0
    for start in range(0, len(images), 10):
        rows = np.arange(start, start + 10)
        taken = np.take(opened, rows, axis=0)
        letting_go.after_reading(taken.nbytes)
        assert np.array_equal(taken, images[rows])
        most = max(most, resident_bytes(file))
    # Pages around the one that is read come with it.
    assert most < 0.6 * images.nbytes
    assert np.array_equal(np.asarray(opened), images)  # all of it can be read again
    assert resident_bytes(file) > 0.9 * images.nbytes  # without letting go it stays


def test_an_array_in_memory_and_one_that_may_be_written_are_left_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(5000, dtype=np.uint8))
    written = np.load(tmp_path / "a.npy", mmap_mode="r+")
    written[:] = 7
    for array in (np.zeros(5000, dtype=np.uint8), written):
        LettingGo(array).after_reading(mapped.MOST_RESIDENT)
    assert written.tolist() == [7] * 5000
