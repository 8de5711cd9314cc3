"""Whether this is a checkout of the project or an installed copy, and what follows from it.

checkout    streamlit_app.py, pages/ and .streamlit/ lie beside lab/
installed   the wheel has them in lab/app/ (pyproject.toml)
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import sys
from pathlib import Path

_BESIDE = Path(__file__).parents[1]
IS_CHECKOUT = (_BESIDE / "streamlit_app.py").is_file() and (_BESIDE / "pages").is_dir()

APP = (_BESIDE if IS_CHECKOUT else Path(__file__).with_name("app")) / "streamlit_app.py"
"""The script that Streamlit serves; its pages and its configuration lie beside it."""

COMMAND = "python -m lab" if IS_CHECKOUT else "epochlab"
"""What a person types for the command line."""


def default_home() -> str:
    """Where everything is kept unless LAB_HOME says otherwise: .lab in the working directory of a
    checkout, else the system's folder for a person's data."""
    if IS_CHECKOUT:
        return ".lab"
    import platformdirs  # not needed in a checkout, where every command would wait for it

    return platformdirs.user_data_dir("epochlab", appauthor=False)


def child_environment() -> dict[str, str]:
    """Returns the environment of a process that is to import this copy of the lab, in any
    folder."""
    paths = filter(None, (str(_BESIDE), os.environ.get("PYTHONPATH")))
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def how_to_install(*distributions: str, anew: bool = False) -> str:
    """Returns the command that adds distributions to the environment that runs the lab, be it
    pipx's, uv's, a checkout's `.venv` or another; `anew`: also those that are there.

    It names no folder but `.venv`: visitors of a shared lab read it, too.
    """
    environment = Path(sys.prefix)
    what = " ".join(map(shlex.quote, distributions))
    if (environment / "pipx_metadata.json").is_file():
        return f"pipx inject {'--force ' * anew}epochlab {what}"
    uv = f"uv pip install {'--reinstall ' * anew}"
    if (environment / "uv-receipt.toml").is_file():  # one of uv's tools
        return f'{uv}--python "$(uv tool dir)/epochlab" {what}'
    if not _has_pip():
        return f"{uv}{what}"
    pip = f"pip install {'--force-reinstall ' * anew}{what}"
    if IS_CHECKOUT and environment == _BESIDE / ".venv":
        return f"{Path(sys.executable).relative_to(_BESIDE)} -m {pip}"
    return pip


def _has_pip() -> bool:
    # Not by find_spec: asked for pip, setuptools leaves distutils to Python, and on Python 3.11
    # torch.compile, which imports setuptools, fails from then on.
    try:
        importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def how_to_install_extra(extra: str) -> str:
    """Returns the command that adds one of the extras of pyproject.toml, such as "ray"."""
    if IS_CHECKOUT:
        return how_to_install("-r", f"requirements-{extra}.txt")
    wanted = [
        requirement.partition(";")[0].strip()
        for requirement in importlib.metadata.requires("epochlab") or ()
        if re.search(rf"extra == ['\"]{extra}['\"]", requirement)
    ]
    return how_to_install(*wanted)
