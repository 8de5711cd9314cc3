"""Numbers and states as a person reads them."""

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


def duration(seconds: float | None) -> str:
    """Seconds as "8 s", "3 min 20 s" or "2 h 05 min"."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes as "12.3 MB"."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
