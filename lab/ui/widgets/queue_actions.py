"""What a button asks of the queue or the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from lab.errors import LabError
from lab.runs.queue import queue
from lab.ui.words import plain


def ask_queue(action: str, run_id: str, *arguments: int) -> None:
    """A button's callback: requests the action, a method of the queue, and does not wait for it; a
    refusal is shown for a moment."""
    ask(getattr(queue(), action), run_id, *arguments)


def ask(action: Callable[..., object], *arguments: Any) -> None:
    """A button's callback: does it, or shows the refusal for a moment."""
    try:
        action(*arguments)
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")
