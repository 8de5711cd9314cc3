"""The Classify page: asking the networks, in the background, and what the session keeps of it.

The pictures are the person's own, so the answers are not left in the list of jobs, which every
session of this server shares: the job puts them into the ClassifyState of the session that asked.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL.Image import Image

from lab import jobs
from lab.data.decode import UnreadableFile, decode
from lab.errors import LabError
from lab.evaluate.classify import Answer, answer, side_needed
from lab.evaluate.opened import Opened, checkpoint_identity, open_network
from lab.evaluate.pictures import Crop, upload_picture
from lab.progress import Cancel, Progress, Report, check_cancel
from lab.ui.classify.uploads import Upload
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import CheckpointChoice

Cut = tuple[float, float, float]
"""x, y, side of a `lab.evaluate.pictures.Crop`."""
Key = tuple[str, Cut | None, str, str, str]
"""Upload, cut, run, checkpoint, identity of its weights."""

Plan = list[tuple[Upload, Cut | None, tuple[CheckpointChoice, ...]]]
"""What is to be done: an upload, its cut, and who is to be asked about it."""

THUMB_SIDE = 480
"""Longer side in pixels of the copy of an upload that is shown."""


@dataclass(frozen=True, eq=False)
class Thumb:
    """An upload made small for the page."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) upright."""
    size: tuple[int, int]
    """Width and height of the original."""


@dataclass(eq=False)
class ClassifyState:
    """What a session keeps of its uploads. The page's script reads it while a job's thread writes
    entries into the dictionaries (each in one step); only the script removes any."""

    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    answers: dict[Key, Answer] = field(default_factory=dict)
    thumbs: dict[str, Thumb] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Uploads that are no pictures: what is wrong with them."""
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    """(run, checkpoint) that could not be asked: why."""
    identities: dict[tuple[str, str], str] = field(default_factory=dict)
    """Which weights are asked: those that the page found first, until newer ones are wanted. Else
    all answers would go stale whenever a training run ends an epoch."""
    shown: dict[tuple[str, Key | None, str], bytes] = field(default_factory=dict)
    """Images as they were sent to the browser, by upload, answer and what it is: so that a press of
    a button encodes none anew."""
    job_key: str = ""

    def key(self, upload: Upload, cut: Cut | None, choice: CheckpointChoice) -> Key:
        weights = (choice.run.id, choice.checkpoint)
        return (upload.id, cut, *weights, self.identities.get(weights, ""))

    def keep_only(
        self,
        uploads: Sequence[Upload],
        choices: Sequence[CheckpointChoice],
        cuts: Mapping[str, Cut],
    ) -> None:
        """Forget what is made of uploads that the page no longer has, of other cuts of them and by
        older weights; and why a run that is no longer asked could not be: when it is chosen again
        it is tried again."""
        wanted = {upload.id: cuts.get(upload.id) for upload in uploads}
        chosen = {(choice.run.id, choice.checkpoint) for choice in choices}
        for key in list(self.answers):
            upload_id, cut, run_id, checkpoint, identity = key
            stale = self.identities.get((run_id, checkpoint)) != identity
            if stale or upload_id not in wanted or wanted[upload_id] != cut:
                del self.answers[key]
        for upload_id, answered, what in list(self.shown):
            if upload_id not in wanted or not (answered is None or answered in self.answers):
                del self.shown[(upload_id, answered, what)]
        for upload_id in list(self.thumbs):
            if upload_id not in wanted:
                del self.thumbs[upload_id]
        for upload_id in list(self.broken):
            if upload_id not in wanted:
                del self.broken[upload_id]
        for weights in list(self.failures):
            if weights not in chosen:
                del self.failures[weights]


def classify_state() -> ClassifyState:
    """This session's."""
    if "classify_state" not in st.session_state:
        st.session_state["classify_state"] = ClassifyState()
    state: ClassifyState = st.session_state["classify_state"]
    return state


def find_weights(
    state: ClassifyState, choices: Sequence[CheckpointChoice]
) -> list[CheckpointChoice]:
    """Note whose weights are asked; returns those whose weights have been written anew since.

    A run that cannot be asked is told on the page.
    """

    newer = []
    for choice in choices:
        weights = (choice.run.id, choice.checkpoint)
        try:
            identity = checkpoint_identity(choice.folder, choice.checkpoint)
        except LabError as error:
            state.failures[weights] = str(error)
            continue
        if state.identities.setdefault(weights, identity) != identity:
            newer.append(choice)
    return newer


def draw_newer(state: ClassifyState, newer: Sequence[CheckpointChoice]) -> None:
    """Offer the weights that a training run has written since the pictures were answered."""
    if newer and st.button(
        "Ask the newest weights",
        key="classify_newest",
        icon=":material/update:",
        help="The training has gone on since these answers were given.",
    ):
        for choice in newer:
            state.identities.pop((choice.run.id, choice.checkpoint), None)
        st.rerun()


def ask_all(
    state: ClassifyState,
    uploads: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> bool:
    """See that every upload has its answers; False while they are being made, with that told."""
    for _ in range(3):  # again when a training run wrote new weights in between
        plan = _missing(state, uploads, choices, cuts)
        if not plan:
            _give_up(state, "")
            return True
        if not _done(state, plan):
            return False
    return True


def _missing(
    state: ClassifyState,
    uploads: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> Plan:
    open_choices = [
        choice for choice in choices if (choice.run.id, choice.checkpoint) not in state.failures
    ]
    plan: Plan = []
    for upload in uploads:
        if upload.id in state.broken:
            continue
        cut = cuts.get(upload.id)
        own = tuple(
            choice for choice in open_choices if state.key(upload, cut, choice) not in state.answers
        )
        if own or upload.id not in state.thumbs:
            plan.append((upload, cut, own))
    return plan


def _done(state: ClassifyState, plan: Plan) -> bool:
    asked = hash(
        tuple((u.id, cut, tuple(state.key(u, cut, a) for a in own)) for u, cut, own in plan)
    )
    known = jobs.latest(f"classify/{state.token}/{asked:x}")
    if known is not None and known.state == "done":
        state.token = uuid.uuid4().hex  # its answers have been forgotten since: ask anew
    key = f"classify/{state.token}/{asked:x}"
    _give_up(state, key)
    what = "1 picture" if len(plan) == 1 else f"{len(plan):,} pictures"

    def work(report: Report, cancel: Cancel) -> int:
        return _answer_all(state, plan, report, cancel)

    return computed(key, f"Classifying {what}", work, kind="classify") is not None


def _give_up(state: ClassifyState, key: str) -> None:
    """Cancel what the page asked for before, if it now wants something else."""
    if state.job_key and state.job_key != key:
        old = jobs.latest(state.job_key)
        if old is not None and old.active:
            jobs.cancel(old.id)
    state.job_key = key


def _answer_all(state: ClassifyState, plan: Plan, report: Report, cancel: Cancel) -> int:
    """Runs in a job's thread. Picture by picture, so that a bad one stops no other; all pictures
    see the same weights."""

    opened: dict[tuple[str, str], Opened] = {}
    for choice in {(a.run.id, a.checkpoint): a for _, _, own in plan for a in own}.values():
        weights = (choice.run.id, choice.checkpoint)
        try:
            with open_network(choice.folder, choice.checkpoint) as network:
                opened[weights] = network
        except LabError as error:
            state.failures[weights] = str(error)
            continue
        # Written anew since the page looked: these are the weights that answer.
        state.identities[weights] = network.identity
    for done, (upload, cut, choices) in enumerate(plan):
        check_cancel(cancel, "Classifying")
        report(Progress(done, len(plan), "Classifying", "pictures"))
        decoded = _Decoded(upload)
        crop = None if cut is None else Crop(*cut)
        try:
            if upload.id not in state.thumbs:
                state.thumbs[upload.id] = decoded.thumb()
            for choice in choices:
                weights = (choice.run.id, choice.checkpoint)
                if weights in state.failures or weights not in opened:
                    continue
                network = opened[weights]
                image = decoded.at_least(side_needed(network.card, crop))
                picture = upload_picture(image, network.card, name=upload.name, crop=crop)
                try:
                    state.answers[state.key(upload, cut, choice)] = answer(network, picture)
                except LabError as error:
                    state.failures[weights] = str(error)
        except UnreadableFile as error:
            state.broken[upload.id] = error.reason
    return len(plan)


class _Decoded:
    """One upload, decoded once for each scale that is asked for."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._images: dict[int, tuple[Image, tuple[int, int]]] = {}

    def at_least(self, side: int) -> Image:
        return self._decode(side)[0]

    def thumb(self) -> Thumb:
        image, size = self._decode(THUMB_SIDE)
        small = image.copy()
        small.thumbnail((THUMB_SIDE, THUMB_SIDE))
        return Thumb(np.asarray(small), size)

    def _decode(self, side: int) -> tuple[Image, tuple[int, int]]:
        # Only a JPEG comes in several scales.
        scale = side if self._upload.data.startswith(b"\xff\xd8") else 0
        if scale not in self._images:
            found = decode(self._upload.data, name=self._upload.name, at_least=side)
            self._images[scale] = (found.image, found.size)
        return self._images[scale]
