"""A run's status, and text that a person wrote, as a page shows them (numbers: `lab.words`)."""

from __future__ import annotations

import re
from typing import Literal

import streamlit as st

from lab.config import KNOBS
from lab.names import visible

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
_REPLACED_LATER = re.compile(
    r"(?<=\bwww)(?=\.)|(?<=\bhttp)(?=://)|(?<=\bhttps)(?=://)"  # becomes a link
    r"|(?<=\w@)(?=\w)"  # a mail address
    r"|(?<=(?<!\S)[<>~-])(?=(->|-|>|=)(?!\S))",  # an arrow, a dash, ≥
    re.IGNORECASE,
)
"""What Streamlit replaces in text after Markdown has been read, where no backslash helps."""
_JOINER = "\u2060"
"""Has no width and breaks no line."""


def plain(text: str) -> str:
    """Escapes text that a person wrote (names of classes, files, runs) for Markdown, and sentences
    that quote such."""
    text = _REPLACED_LATER.sub(_JOINER, " ".join(visible(text).split()))
    return _MARKDOWN.sub(r"\\\1", text)


_ASSIGNED = re.compile(rf"(?<![\w./-])({'|'.join(KNOBS)})=([\w.-]*\w)")
_NAMED = re.compile(
    # A name with an underscore is no word of a sentence; of the others, what a sentence is about.
    rf"(?<![\w./-])({'|'.join(n for n in KNOBS if '_' in n)})(?![\w/=-]|\.\w)"
    rf"|(?:^|(?<=[.;] ))({'|'.join(n for n in KNOBS if '_' not in n)})(?= is )"
)


def page_words(text: str) -> str:
    """Returns a sentence of the lab with the pages' titles in place of the names that the command
    line and YAML use: "learning_rate", "freeze=scratch", "mobilenet_v2", "cats-dogs"."""
    from lab.data.specs import DATASETS
    from lab.models.architecture import ARCHITECTURES  # here: it imports torch, few pages need it

    def assigned(match: re.Match[str]) -> str:
        knob = KNOBS[match[1]]
        value = match[2]
        words = f"“{knob.text(value)}”" if knob.kind == "choice" else value
        return words if knob.name == "freeze" else f"{knob.title} {words}"

    text = _ASSIGNED.sub(assigned, text)
    text = _NAMED.sub(lambda match: KNOBS[match[1] or match[2]].title, text)
    titles = {spec.name: spec.title for spec in (*ARCHITECTURES, *DATASETS)}
    names = "|".join(sorted(map(re.escape, titles), key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({names})(?![\w/-]|\.\w)", lambda match: titles[match[1]], text)
