"""Pending edits of a data set in this session (a stand-in until the versions' module is merged)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import streamlit as st


@dataclass(frozen=True)
class Edits:
    exclude: frozenset[int] = frozenset()
    relabel: Mapping[int, str] = field(default_factory=dict)
    move: Mapping[int, str] = field(default_factory=dict)


def pending(name: str) -> Edits:
    edits = st.session_state.get(f"data_edits_{name}")
    return edits if edits is not None else Edits()


def exclude(name: str, rows: Iterable[int]) -> None:
    now = pending(name)
    st.session_state[f"data_edits_{name}"] = replace(now, exclude=now.exclude | set(rows))


def relabel(name: str, rows: Iterable[int], class_name: str) -> None:
    now = pending(name)
    changed = {**now.relabel, **dict.fromkeys(rows, class_name)}
    st.session_state[f"data_edits_{name}"] = replace(now, relabel=changed)


def move(name: str, rows: Iterable[int], split: str) -> None:
    now = pending(name)
    changed = {**now.move, **dict.fromkeys(rows, split)}
    st.session_state[f"data_edits_{name}"] = replace(now, move=changed)
