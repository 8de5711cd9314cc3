"""Numbers and states as a person reads them."""

from __future__ import annotations

import re
from typing import Literal

import streamlit as st

from lab.progress import duration as duration
from lab.progress import size as size  # a run's row says these, too

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


def status_badge(status: str) -> None:
    label, icon, colour = _STATUS[status]
    st.badge(label, icon=f":material/{icon}:", color=colour)


_MARKDOWN = re.compile(r"([\\`*_\[\](){}$<>~:#&!|/.@=+^-])")


def plain(text: str) -> str:
    """A person's own words (names of classes, files, runs) as Markdown that shows just those."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def percent(fraction: float | None) -> str:
    """A fraction in [0, 1] as a percentage with one digit; a dash when there is none."""
    return "–" if fraction is None else f"{fraction:.1%}"


def probability(value: float) -> str:
    """As a percentage; what rounds to certainty is not called certain."""
    if value > 0.9995:
        return ">99.9%"
    return "<0.1%" if value < 0.0005 else percent(value)
