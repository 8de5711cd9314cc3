"""The Classify page: classifies uploads in a background job; the session keeps the answers.

The pictures are the person's own, so the answers are not left in the list of jobs, which every
session of this server shares: the job puts them into the ClassifyState of its own session.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab import jobs
from lab.data.decode import DecodedImage, UnreadableFile, ValueRange, decode
from lab.errors import LabError
from lab.evaluate.classify import Answer, answer, side_needed
from lab.evaluate.familiarity import Familiarity, Verdict
from lab.evaluate.how_sure import HowSure
from lab.evaluate.opened import Opened, checkpoint_identity, open_network
from lab.evaluate.pictures import Crop, upload_picture
from lab.progress import Cancel, Progress, Report, check_cancel
from lab.ui.classify.uploads import Upload
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import CheckpointChoice

Cut = tuple[float, float, float]
"""x, y, side of a `lab.evaluate.pictures.Crop`."""
AnswerKey = tuple[str, Cut | None, str, str, str]
"""Upload, cut, run, checkpoint, identity of its weights."""

EncodedKey = tuple[str, AnswerKey | None, str]
"""Upload, answer, which picture."""

Plan = list[tuple[Upload, Cut | None, tuple[CheckpointChoice, ...]]]
"""What is to be classified: an upload, its cut, and the checkpoints to classify it."""

THUMB_SIDE = 480
"""Longer side in pixels of the copy of an upload that is shown."""


@dataclass(frozen=True, eq=False)
class Thumb:
    """A small copy of an upload for the page."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) upright."""
    size: tuple[int, int]
    """Width and height of the original."""
    remark: str = ""
    """What is to be known of how it was read."""


@dataclass(eq=False)
class ClassifyState:
    """A session's answers and the pictures made from its uploads.

    The page's script reads it while a job's thread adds entries, each in one step; only the script
    removes any.
    """

    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    answers: dict[AnswerKey, Answer] = field(default_factory=dict)
    thumbs: dict[str, Thumb] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Upload -> why it is no picture that can be read."""
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    """(run, checkpoint) -> why it cannot classify."""
    identities: dict[tuple[str, str], str] = field(default_factory=dict)
    """(run, checkpoint) -> the weights that classify until the person wants newer ones. Else all
    answers would go stale whenever a training run ends an epoch."""
    cuts: dict[str, Cut] = field(default_factory=dict)
    """Upload -> the part of it that is used."""
    opened: dict[str, bool] = field(default_factory=dict)
    """Upload -> whether its details are shown, where the person has chosen."""
    encoded: dict[EncodedKey, str] = field(default_factory=dict)
    """data: URLs, so that a press of a button encodes no picture anew."""
    familiarities: dict[tuple[str, str], Familiarity] = field(default_factory=dict)
    """(run, checkpoint) -> what was measured for the weights that classify."""
    verdicts: dict[AnswerKey, Verdict] = field(default_factory=dict)
    level: float | None = None
    """How often the set of classes that is shown is to be right; None: no sets are shown."""
    calibrated: bool = False
    """Whether probabilities are shown with the checkpoint's temperature."""
    how_sure: dict[tuple[str, str], HowSure] = field(default_factory=dict)
    """(run, checkpoint) -> what level and temperature need, where it was measured."""
    sure_of: dict[tuple[str, bool], HowSure] = field(default_factory=dict)
    """The same by the weights' identity, so that files are read once."""
    job_key: str = ""

    def key(self, upload: Upload, choice: CheckpointChoice) -> AnswerKey:
        weights = (choice.run.id, choice.checkpoint)
        return (upload.id, self.cuts.get(upload.id), *weights, self.identities.get(weights, ""))

    def answer(self, upload: Upload, choice: CheckpointChoice) -> Answer | None:
        """Returns the answer as it is to be shown: with the temperature where that is switched on
        and known."""
        answer = self.answers.get(self.key(upload, choice))
        sure = self.how_sure.get((choice.run.id, choice.checkpoint))
        if answer is None or sure is None or not self.calibrated:
            return answer
        return answer.at_temperature(sure.temperature)

    def answer_set(self, upload: Upload, choice: CheckpointChoice) -> tuple[str, ...]:
        """Returns the classes of the set at `level`, the most probable first; empty without."""
        answer = self.answers.get(self.key(upload, choice))
        sure = self.how_sure.get((choice.run.id, choice.checkpoint))
        if answer is None or sure is None or self.level is None:
            return ()
        inside = sure.sets[self.level].of(answer.probabilities[None])[0]
        return tuple(name for name, _ in answer.top(int(inside.sum())))

    def verdict(self, upload: Upload, choice: CheckpointChoice) -> Verdict | None:
        """Returns whether the picture is unlike what the network trained on; None if not known."""
        key = self.key(upload, choice)
        familiarity = self.familiarities.get((choice.run.id, choice.checkpoint))
        if key not in self.verdicts and key in self.answers and familiarity is not None:
            self.verdicts[key] = familiarity.judge(self.answers[key].features)
        return self.verdicts.get(key)

    def encode(self, key: EncodedKey, make: Callable[[], str]) -> str:
        """Returns what `make` returned the first time."""
        if key not in self.encoded:
            self.encoded[key] = make()
        return self.encoded[key]

    def keep_only(self, uploads: Sequence[Upload], choices: Sequence[CheckpointChoice]) -> None:
        """Drops what belongs to uploads, cuts, weights and runs that the page no longer has.

        A failed run is so tried again when it is chosen again.
        """
        cut_of = {upload.id: self.cuts.get(upload.id) for upload in uploads}
        self.cuts = {upload_id: cut for upload_id, cut in cut_of.items() if cut is not None}
        chosen = {(choice.run.id, choice.checkpoint) for choice in choices}
        for key in list(self.answers):
            upload_id, cut, run_id, checkpoint, identity = key
            stale = self.identities.get((run_id, checkpoint)) != identity
            if stale or upload_id not in cut_of or cut_of[upload_id] != cut:
                del self.answers[key]
                self.verdicts.pop(key, None)
        for upload_id, answer_key, picture in list(self.encoded):
            if upload_id not in cut_of or not (answer_key is None or answer_key in self.answers):
                del self.encoded[(upload_id, answer_key, picture)]
        for upload_id in list(self.thumbs):
            if upload_id not in cut_of:
                del self.thumbs[upload_id]
        for upload_id in list(self.broken):
            if upload_id not in cut_of:
                del self.broken[upload_id]
        for upload_id in list(self.opened):
            if upload_id not in cut_of:
                del self.opened[upload_id]
        for weights in list(self.failures):
            if weights not in chosen:
                del self.failures[weights]


def classify_state() -> ClassifyState:
    """Returns this session's ClassifyState."""
    if "classify_state" not in st.session_state:
        st.session_state["classify_state"] = ClassifyState()
    state: ClassifyState = st.session_state["classify_state"]
    return state


def find_newer_weights(
    state: ClassifyState, choices: Sequence[CheckpointChoice]
) -> list[CheckpointChoice]:
    """Returns the choices whose weights have been written anew; notes the identity of the others.

    Why a checkpoint cannot be read is put into `state.failures`.
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


def draw_newer_button(state: ClassifyState, newer: Sequence[CheckpointChoice]) -> None:
    """Draws a button to classify with weights written since, where there are any."""
    if newer and st.button(
        "Ask the newest weights",
        key="classify_newest",
        icon=":material/update:",
        help="The training has gone on since these answers were given.",
    ):
        for choice in newer:
            state.identities.pop((choice.run.id, choice.checkpoint), None)
        st.rerun()


def ensure_answers(
    state: ClassifyState, uploads: Sequence[Upload], choices: Sequence[CheckpointChoice]
) -> bool:
    """Returns whether every upload has its answers; else shows the job that makes them."""
    for _ in range(3):  # again when a training run wrote new weights in between
        plan = _missing_answers(state, uploads, choices)
        if not plan:
            _replace_job(state, "")
            return True
        if not _run(state, plan):
            return False
    return True


def _missing_answers(
    state: ClassifyState, uploads: Sequence[Upload], choices: Sequence[CheckpointChoice]
) -> Plan:
    working = [
        choice for choice in choices if (choice.run.id, choice.checkpoint) not in state.failures
    ]
    plan: Plan = []
    for upload in uploads:
        if upload.id in state.broken:
            continue
        missing = tuple(
            choice for choice in working if state.key(upload, choice) not in state.answers
        )
        if missing or upload.id not in state.thumbs:
            plan.append((upload, state.cuts.get(upload.id), missing))
    return plan


def _run(state: ClassifyState, plan: Plan) -> bool:
    """Returns whether the job for `plan` has ended; else it runs and shows its progress."""
    digest = hash(
        tuple((u.id, cut, tuple(state.key(u, c) for c in choices)) for u, cut, choices in plan)
    )
    job = jobs.latest(f"classify/{state.token}/{digest:x}")
    if job is not None and job.state == "done":
        state.token = uuid.uuid4().hex  # its answers have been dropped since: a new job
    key = f"classify/{state.token}/{digest:x}"
    _replace_job(state, key)
    count = "1 picture" if len(plan) == 1 else f"{len(plan):,} pictures"

    def work(report: Report, cancel: Cancel) -> int:
        return _answer_all(state, plan, report, cancel)

    return computed(key, f"Classifying {count}", work, kind="classify") is not None


def _replace_job(state: ClassifyState, key: str) -> None:
    """Notes the page's job; cancels the one before it if that is another."""
    if state.job_key and state.job_key != key:
        old = jobs.latest(state.job_key)
        if old is not None and old.active:
            jobs.cancel(old.id)
    state.job_key = key


def _answer_all(state: ClassifyState, plan: Plan, report: Report, cancel: Cancel) -> int:
    """Classifies picture by picture, all with the same weights; runs in a job's thread.

    A picture or checkpoint that cannot be read stops no other one.
    """
    opened: dict[tuple[str, str], Opened] = {}
    planned = [choice for _, _, choices in plan for choice in choices]
    for choice in {(c.run.id, c.checkpoint): c for c in planned}.values():
        weights = (choice.run.id, choice.checkpoint)
        try:
            with open_network(choice.folder, choice.checkpoint) as network:
                opened[weights] = network
        except LabError as error:
            state.failures[weights] = str(error)
            continue
        # Perhaps written anew since: these are the weights that classify.
        state.identities[weights] = network.identity
    for done, (upload, cut, choices) in enumerate(plan):
        check_cancel(cancel, "Classifying")
        report(Progress(done, len(plan), "Classifying", "pictures"))
        decoded = _Decoded(upload)
        crop = None if cut is None else Crop(*cut)
        try:
            if upload.id not in state.thumbs:
                # Spread as the first network sees it.
                ranges = [network.card.value_range for network in opened.values()]
                state.thumbs[upload.id] = decoded.thumb(ranges[0] if ranges else None)
            for choice in choices:
                weights = (choice.run.id, choice.checkpoint)
                if weights in state.failures or weights not in opened:
                    continue
                network = opened[weights]
                side = side_needed(network.card, crop)
                image = decoded.at_least(side, network.card.value_range).image
                picture = upload_picture(image, network.card, name=upload.name, crop=crop)
                try:
                    key = (upload.id, cut, *weights, network.identity)
                    state.answers[key] = answer(network, picture)
                except LabError as error:
                    state.failures[weights] = str(error)
        except UnreadableFile as error:
            state.broken[upload.id] = error.reason
    return len(plan)


class _Decoded:
    """One upload, decoded once for each scale and range of values."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._images: dict[tuple[int, ValueRange | None], DecodedImage] = {}

    def thumb(self, value_range: ValueRange | None) -> Thumb:
        decoded = self.at_least(THUMB_SIDE, value_range)
        small = decoded.image.copy()
        small.thumbnail((THUMB_SIDE, THUMB_SIDE))
        return Thumb(np.asarray(small), decoded.size, decoded.remark)

    def at_least(self, side: int, value_range: ValueRange | None) -> DecodedImage:
        # Only a JPEG comes in several scales, and it has 8 bits a value.
        is_jpeg = self._upload.data.startswith(b"\xff\xd8")
        key = (side, None) if is_jpeg else (0, value_range)
        if key not in self._images:
            self._images[key] = decode(
                self._upload.data, name=self._upload.name, at_least=side, value_range=value_range
            )
        return self._images[key]
