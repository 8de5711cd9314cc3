"""An array on disk is the one that was written, or refused."""

from pathlib import Path

import numpy as np
import pytest

from lab.data.array_file import read_array, write_array


def test_every_flipped_bit_and_cut_is_noticed(tmp_path: Path) -> None:
    file, array = tmp_path / "a.npy", np.arange(5)
    write_array(file, array)
    data = file.read_bytes()
    assert (read_array(file) == array).all()
    assert (np.load(file) == array).all()  # it is a plain .npy to others
    for bit in range(0, len(data) * 8, 17):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"\w"):
            read_array(file)
    for size in (0, 5, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"\w"):
            read_array(file)


def test_a_plain_npy_of_an_older_version_opens(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5))
    assert (read_array(tmp_path / "a.npy") == np.arange(5)).all()
