"""The Classify page: asking the networks, in the background, and what the session keeps of it.

The pictures are the person's own, so the answers are not left in the list of jobs, which every
session of this server shares: the job puts them into the Basket of the session that asked.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab import jobs
from lab.errors import LabError
from lab.progress import Cancel, Progress, Report, check_cancel
from lab.ui.classify.runs import Ask
from lab.ui.classify.uploads import Upload
from lab.ui.widgets.background import computed

if TYPE_CHECKING:
    from PIL.Image import Image

    from lab.evaluate.classify import Answer

Cut = tuple[float, float, float]
"""x, y, side of a `lab.evaluate.pictures.Crop`."""
Key = tuple[str, Cut | None, str, str, str]
"""Upload, cut, run, checkpoint, identity of its weights."""

Plan = list[tuple[Upload, Cut | None, tuple[Ask, ...]]]
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
class Basket:
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

    def key(self, upload: Upload, cut: Cut | None, ask: Ask) -> Key:
        weights = (ask.run_id, ask.checkpoint)
        return (upload.id, cut, *weights, self.identities.get(weights, ""))

    def keep_only(
        self, uploads: Sequence[Upload], asks: Sequence[Ask], cuts: Mapping[str, Cut]
    ) -> None:
        """Forget what is made of uploads that the page no longer has, of other cuts of them and by
        older weights; and why a run that is no longer asked could not be: when it is chosen again
        it is tried again."""
        wanted = {upload.id: cuts.get(upload.id) for upload in uploads}
        chosen = {(ask.run_id, ask.checkpoint) for ask in asks}
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


def basket() -> Basket:
    """This session's."""
    if "classify_basket" not in st.session_state:
        st.session_state["classify_basket"] = Basket()
    kept: Basket = st.session_state["classify_basket"]
    return kept


def find_weights(kept: Basket, asks: Sequence[Ask]) -> list[Ask]:
    """Note whose weights are asked; returns those whose weights have been written anew since.

    A run that cannot be asked is told on the page.
    """
    from lab.evaluate.opened import checkpoint_identity

    newer = []
    for ask in asks:
        weights = (ask.run_id, ask.checkpoint)
        try:
            identity = checkpoint_identity(ask.folder, ask.checkpoint)
        except LabError as error:
            kept.failures[weights] = str(error)
            continue
        if kept.identities.setdefault(weights, identity) != identity:
            newer.append(ask)
    return newer


def draw_newer(kept: Basket, newer: Sequence[Ask]) -> None:
    """Offer the weights that a training run has written since the pictures were answered."""
    if newer and st.button(
        "Ask the newest weights",
        key="classify_newest",
        icon=":material/update:",
        help="The training has gone on since these answers were given.",
    ):
        for ask in newer:
            kept.identities.pop((ask.run_id, ask.checkpoint), None)
        st.rerun()


def ask_all(
    kept: Basket,
    uploads: Sequence[Upload],
    asks: Sequence[Ask],
    cuts: Mapping[str, Cut],
) -> bool:
    """See that every upload has its answers; False while they are being made, with that told."""
    for _ in range(3):  # again when a training run wrote new weights in between
        plan = _missing(kept, uploads, asks, cuts)
        if not plan:
            _give_up(kept, "")
            return True
        if not _done(kept, plan):
            return False
    return True


def _missing(
    kept: Basket, uploads: Sequence[Upload], asks: Sequence[Ask], cuts: Mapping[str, Cut]
) -> Plan:
    open_asks = [ask for ask in asks if (ask.run_id, ask.checkpoint) not in kept.failures]
    plan: Plan = []
    for upload in uploads:
        if upload.id in kept.broken:
            continue
        cut = cuts.get(upload.id)
        own = tuple(ask for ask in open_asks if kept.key(upload, cut, ask) not in kept.answers)
        if own or upload.id not in kept.thumbs:
            plan.append((upload, cut, own))
    return plan


def _done(kept: Basket, plan: Plan) -> bool:
    asked = hash(
        tuple((u.id, cut, tuple(kept.key(u, cut, a) for a in own)) for u, cut, own in plan)
    )
    known = jobs.latest(f"classify/{kept.token}/{asked:x}")
    if known is not None and known.state == "done":
        kept.token = uuid.uuid4().hex  # its answers have been forgotten since: ask anew
    key = f"classify/{kept.token}/{asked:x}"
    _give_up(kept, key)
    what = "1 picture" if len(plan) == 1 else f"{len(plan):,} pictures"

    def work(report: Report, cancel: Cancel) -> int:
        return _answer_all(kept, plan, report, cancel)

    return computed(key, f"Classifying {what}", work, kind="classify") is not None


def _give_up(kept: Basket, key: str) -> None:
    """Cancel what the page asked for before, if it now wants something else."""
    if kept.job_key and kept.job_key != key:
        old = jobs.latest(kept.job_key)
        if old is not None and old.active:
            jobs.cancel(old.id)
    kept.job_key = key


def _answer_all(kept: Basket, plan: Plan, report: Report, cancel: Cancel) -> int:
    """Runs in a job's thread. Picture by picture, so that a bad one stops no other; all pictures
    see the same weights."""
    from lab.data.decode import UnreadableFile
    from lab.evaluate.classify import answer, side_needed
    from lab.evaluate.opened import Opened, open_network
    from lab.evaluate.pictures import Crop, upload_picture

    opened: dict[tuple[str, str], Opened] = {}
    for ask in {(a.run_id, a.checkpoint): a for _, _, own in plan for a in own}.values():
        weights = (ask.run_id, ask.checkpoint)
        try:
            with open_network(ask.folder, ask.checkpoint) as network:
                opened[weights] = network
        except LabError as error:
            kept.failures[weights] = str(error)
            continue
        # Written anew since the page looked: these are the weights that answer.
        kept.identities[weights] = network.identity
    for done, (upload, cut, asks) in enumerate(plan):
        check_cancel(cancel, "Classifying")
        report(Progress(done, len(plan), "Classifying", "pictures"))
        decoded = _Decoded(upload)
        crop = None if cut is None else Crop(*cut)
        try:
            if upload.id not in kept.thumbs:
                kept.thumbs[upload.id] = decoded.thumb()
            for ask in asks:
                weights = (ask.run_id, ask.checkpoint)
                if weights in kept.failures or weights not in opened:
                    continue
                network = opened[weights]
                image = decoded.at_least(side_needed(network.card, crop))
                picture = upload_picture(image, network.card, name=upload.name, crop=crop)
                try:
                    kept.answers[kept.key(upload, cut, ask)] = answer(network, picture)
                except LabError as error:
                    kept.failures[weights] = str(error)
        except UnreadableFile as error:
            kept.broken[upload.id] = error.reason
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
        from lab.data.decode import decode

        # Only a JPEG comes in several scales.
        scale = side if self._upload.data.startswith(b"\xff\xd8") else 0
        if scale not in self._images:
            found = decode(self._upload.data, name=self._upload.name, at_least=side)
            self._images[scale] = (found.image, found.size)
        return self._images[scale]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, 1 or 3) uint8, losslessly; quick rather than small."""
    from PIL import Image

    file = io.BytesIO()
    shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(shown)).save(file, "PNG", compress_level=1)
    return file.getvalue()
