"""What the Inspect page looks at: one run with one checkpoint, and a picture in front of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import streamlit as st
from PIL.Image import Image

from lab.data.pack import Pack
from lab.data.splits import Splits
from lab.evaluate.opened import Opened, PublishedNetwork
from lab.evaluate.pictures import Picture
from lab.explain.layers import InspectableLayers
from lab.runs.store import RunRow
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import CheckpointChoice

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """One run with one checkpoint, as the page looks at it."""

    choice: CheckpointChoice
    network: PublishedNetwork
    """Those weights, by name; they are opened when something is asked of them."""
    layers: InspectableLayers
    class_names: tuple[str, ...]
    pack: Pack | None
    """None when the data set is gone; uploads can be looked at even so."""
    splits: Splits | None

    @property
    def key(self) -> str:
        """Run, checkpoint and its identity: part of every job's key."""
        return f"{self.run.id}:{self.checkpoint}:{self.network.identity}"

    def ask(self, what: str, title: str, question: Callable[[Opened], T]) -> T | None:
        """What `question` makes of the opened network, as `computed` with a key of `what`.

        It runs in a job's thread, so it must not call st.*; `what` says all that it depends on.
        """
        answer: T | None = computed(
            f"{what}:{self.key}", title, lambda report, cancel: self.network.ask(question)
        )
        return answer

    @property
    def run(self) -> RunRow:
        return self.choice.run

    @property
    def folder(self) -> Path:
        return self.choice.folder

    @property
    def checkpoint(self) -> str:
        return self.choice.checkpoint


@dataclass(frozen=True)
class Chosen:
    """A picture in front of a network."""

    picture: Picture
    key: str
    """Which picture: its index, or a hash of its pixels; part of a job's key."""
    probabilities: np.ndarray
    target: int
    """The class that is explained."""
    original: Image | None
    """The upload as it was, for networks of another image size."""


def changed(place: str, value: str) -> bool:
    """Whether a link brought something new since this session last looked."""
    before = st.session_state.get(place)
    st.session_state[place] = value
    return before != value
