"""Arrays on disk that notice when they are damaged.

An npz file carries a CRC-32 of each of its arrays, which numpy checks; a single array is written as
.npy with a checksum behind it, where numpy never looks. Those of older versions have none.
"""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.home import atomic_file
from lab.seal import FILE_FORMAT, NEWER, new_digest

BROKEN = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    IndexError,
    AttributeError,
    MemoryError,  # for a shape that nobody wrote
    RuntimeError,  # "encrypted"
    SyntaxError,  # numpy reads a header as Python
    tokenize.TokenError,
    NotImplementedError,  # an unknown kind of compression
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged npy or npz file raises."""


def check_format(arrays: Any) -> None:
    """Raise ValueError for an npz file whose `file_format` says that a newer lab wrote it."""
    if "file_format" in arrays and int(arrays["file_format"]) > FILE_FORMAT:
        raise ValueError(NEWER)


def write_array(file: Path, array: NDArray[Any]) -> None:
    """Write one array, atomically; raises ResourceError when the disk is full."""
    content = io.BytesIO()
    np.save(content, array)
    digest = new_digest()
    digest.update(content.getbuffer())
    with atomic_file(file) as temporary, temporary.open("wb") as output:
        output.write(content.getbuffer())
        output.write(digest.digest())


def read_array(file: Path) -> NDArray[Any]:
    """Raises OSError, and ValueError where it is damaged."""
    data = file.read_bytes()
    content = io.BytesIO(data)
    try:
        array: NDArray[Any] = np.load(content, allow_pickle=False)
    except BROKEN as error:
        raise ValueError("its header is damaged") from error
    size = content.tell()
    digest = new_digest()
    digest.update(memoryview(data)[:size])
    if data[size:] not in (b"", digest.digest()):
        raise ValueError("it is damaged: its checksum is another")
    return array
