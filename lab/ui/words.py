"""A run's status, and text that a person wrote, as a page shows them (numbers: `lab.words`)."""

from __future__ import annotations

import re
from typing import Literal

import streamlit as st

_Colour = Literal["red", "orange", "blue", "green", "gray", "violet"]

_STATUS: dict[str, tuple[str, str, _Colour]] = {
    "queued": ("Waiting in line", "hourglass_empty", "gray"),
    "preparing": ("Preparing", "pending", "blue"),
    "running": ("Training", "play_circle", "blue"),
    "paused": ("Paused", "pause_circle", "orange"),
    "stopped": ("Stopped", "stop_circle", "orange"),
    "completed": ("Completed", "check_circle", "green"),
    "failed": ("Failed", "error", "red"),
    "interrupted": ("Interrupted", "power_off", "orange"),
}


def status_word(status: str) -> str:
    return _STATUS[status][0]


def status_values() -> dict[str, dict[str, str]]:
    """Returns title, icon and colour of each status, for components."""
    return {
        status: {"title": title, "icon": icon, "colour": colour}
        for status, (title, icon, colour) in _STATUS.items()
    }


def status_badge(status: str) -> None:
    label, icon, colour = _STATUS[status]
    st.badge(label, icon=f":material/{icon}:", color=colour)


_MARKDOWN = re.compile(r"([\\`*_\[\](){}$<>~:#&!|/.@=+^-])")


def plain(text: str) -> str:
    """Escapes text that a person wrote (names of classes, files, runs) for Markdown."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
