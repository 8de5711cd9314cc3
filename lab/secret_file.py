"""Secrets of a lab, one a file in LAB_HOME that only its owner can read."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from lab.errors import ResourceError
from lab.home import lab_home, temporary_file, writing


def new_secret() -> str:
    """Returns 43 characters that nobody guesses."""
    return secrets.token_urlsafe(32)


def secret_file(name: str, make: Callable[[], str] = new_secret, *, renewed: bool = False) -> str:
    """Returns the secret in the file `name`, made at the first call, or `renewed`.

    Raises ResourceError when it cannot be kept.
    """
    file = lab_home() / name
    with writing(file):
        if renewed:
            file.unlink(missing_ok=True)
        if not (text := _read(file)):
            _write(file, make())
            text = _read(file)
    if not text:  # an empty one would let everybody in
        raise ResourceError(f"{file} could not be written; make room, or see who may write there.")
    return text


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise ResourceError(
            f"{file} is damaged. Delete it, and the lab makes a new one; who is signed in by it "
            "signs in again."
        ) from None


def _write(file: Path, text: str) -> None:
    """Writes the file for its owner alone. Of several processes that begin at once, one wins;
    nobody reads a half-written one."""
    with temporary_file(file) as temporary:  # mode 0600
        temporary.write_text(text, encoding="ascii")
        if file.exists() and not _read(file):  # an empty one: a disk was full
            file.unlink(missing_ok=True)
        try:
            os.link(temporary, file)  # unlike a rename, it leaves a file that is there
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            os.replace(temporary, file)  # a file system without hard links
