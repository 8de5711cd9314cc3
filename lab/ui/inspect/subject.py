"""What the Inspect page looks at: one run with one checkpoint, and a picture in front of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from PIL.Image import Image

from lab.data.pack import Pack
from lab.data.splits import Splits
from lab.evaluate.inspecting import Anatomy
from lab.evaluate.pictures import Picture
from lab.runs.store import RunRow
from lab.ui.widgets.checkpoints import CheckpointChoice


@dataclass(frozen=True)
class Subject:
    """One run with one checkpoint, as the page looks at it."""

    choice: CheckpointChoice
    key: str
    """Run, checkpoint and its identity: the beginning of every job's key."""
    anatomy: Anatomy
    pack: Pack | None
    """None when the data set is gone; uploads can be looked at even so."""
    splits: Splits | None

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
    """The subject's key and the picture."""
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
