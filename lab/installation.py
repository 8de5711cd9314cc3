"""Whether this is a checkout of the project or an installed copy, and what follows from it.

checkout    streamlit_app.py, pages/ and .streamlit/ lie beside lab/
installed   the wheel has them in lab/app/ (pyproject.toml)
"""

from __future__ import annotations

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
