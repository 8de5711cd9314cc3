"""A data set from single pictures: dropped in or shot with the camera, class by class.

The pictures are in the session's memory until the data set is made or the tab is closed.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st
from PIL import Image
from streamlit.runtime.uploaded_file_manager import UploadedFile

from lab import jobs
from lab.data.class_needs import ENOUGH, LEAST, class_problem, missing
from lab.data.decode import FORMAT_WORDS, SUFFIXES, UnreadableFile, decode
from lab.data.sources.photographs import BURST
from lab.home import home_folder
from lab.limits import MEMORY_MEGABYTES, limit
from lab.people import sharing
from lab.ui.data.add import draw_name, submit
from lab.ui.data.burst import draw_burst
from lab.ui.widgets.uploaded import release_files
from lab.ui.words import plain
from lab.words import size

MOST_BYTES = 300_000_000
SHOWN = 8
"""Thumbnails of a class."""
THUMBNAIL = 64


def _most_bytes() -> int:
    """Returns the most that one session's pictures may take of the memory."""
    if not sharing():
        return MOST_BYTES
    return min(MOST_BYTES, limit(MEMORY_MEGABYTES) * 1_000_000)


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as it came, and a small copy to show."""

    name: str
    data: bytes = field(repr=False)
    thumbnail: bytes = field(repr=False)
    burst: int = 0
    """The burst that it was taken in, from 1; 0 for a single one."""
    upload: str = ""
    """Streamlit's id of its file; "" for one from the camera."""


@dataclass(eq=False)
class Collection:
    """A session's pictures: class -> digest -> picture, so that none is there twice in a class."""

    classes: dict[str, dict[bytes, Picture]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Sentences about the files of the last drop that were not taken."""
    batch: int = 0
    """Part of the uploader's key: with a new one it is empty again."""
    bursts: int = 0
    """How many bursts were taken."""

    @property
    def total_bytes(self) -> int:
        return sum(len(p.data) for pictures in self.classes.values() for p in pictures.values())

    def add(
        self, class_name: str, name: str, data: bytes, *, burst: int = 0, upload: str = ""
    ) -> bool:
        """Returns whether the picture was added; what cannot be one, or is in another class, goes
        into `refused`."""
        digest = hashlib.blake2b(data, digest_size=16).digest()
        pictures = self.classes.setdefault(class_name, {})
        if digest in pictures:
            return False
        for other, those in self.classes.items():
            if digest in those:
                self.refused.append(f"{name} is in the class {other} already.")
                return False
        if self.total_bytes + len(data) > (most := _most_bytes()):
            self.refused.append(
                f"{name}: more than {size(most)} in all; add a folder or zip instead."
            )
            return False
        try:
            image = decode(data, name=name, at_least=THUMBNAIL).image
        except UnreadableFile as error:
            self.refused.append(str(error))
            return False
        image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        pictures[digest] = Picture(name, data, file.getvalue(), burst, upload)
        return True

    def missing(self) -> str:
        """Returns what is still needed for a data set, as a sentence; "" when nothing is."""
        return missing({name: (len(p), self.groups(name)) for name, p in self.classes.items()})

    def groups(self, class_name: str) -> int:
        """Bursts of a class, and its single pictures."""
        pictures = self.classes[class_name].values()
        bursts = {picture.burst for picture in pictures if picture.burst}
        return len(bursts) + sum(not picture.burst for picture in pictures)

    def write(self) -> Path:
        """Writes one folder for each class to a new folder and returns it; a burst is a folder in
        it (`lab.data.sources.photographs.burst_of`)."""
        root = home_folder("downloads") / f"collected-{uuid.uuid4().hex}"
        for class_name, pictures in self.classes.items():
            for number, picture in enumerate(pictures.values(), 1):
                folder = root / class_name
                if picture.burst:
                    folder /= f"{BURST}{picture.burst}"
                folder.mkdir(parents=True, exist_ok=True)
                # The browser's file name never reaches the disk.
                suffix = Path(picture.name).suffix.lower()
                suffix = suffix if suffix in SUFFIXES else ".jpg"
                (folder / f"{number}{suffix}").write_bytes(picture.data)
        return root


def collection() -> Collection:
    """Returns this session's pictures."""
    pictures: Collection = st.session_state.setdefault("data_collection", Collection())
    return pictures


def draw_collect() -> None:
    """Draws the form that makes a data set of single pictures."""
    _clear_when_made()
    pictures = collection()
    with st.expander(
        "From single pictures or the camera",
        icon=":material/add_a_photo:",
        expanded=bool(pictures.classes),
    ):
        class_name = st.selectbox(
            "Class",
            list(pictures.classes),
            index=None,
            placeholder="Choose a class, or type a new one",
            accept_new_options=True,
            key="collect_class",
            help="What is on the pictures that you drop in next, such as cat.",
        )
        if not pictures.classes and not class_name:
            st.caption(
                "Name a class first; then upload its pictures or take them with the camera, and go "
                "on with the next class."
            )
        wrong = class_problem(class_name) if class_name else ""
        if wrong:
            st.error(plain(wrong), icon=":material/error:")
        elif class_name:
            _draw_sources(class_name.strip())
        if pictures.refused:
            lines = "\n".join(f"- {plain(line)}" for line in pictures.refused[:10])
            more = len(pictures.refused) - 10
            if more > 0:
                lines += f"\n- and {more:,} more"
            st.warning(f"Not taken:\n{lines}", icon=":material/filter_none:")
        for name in list(pictures.classes):
            _draw_class(name)
        if pictures.classes:
            _draw_make()


def _draw_sources(class_name: str) -> None:
    pictures = collection()
    key = f"collect_files_{pictures.batch}"
    st.file_uploader(
        f"Pictures of {plain(class_name)}",
        accept_multiple_files=True,
        key=key,
        on_change=_take_files,
        args=(key, class_name),
        help=f"{FORMAT_WORDS}; up to 10 MB each.",
    )
    if st.toggle("Use the camera", key="collect_camera"):
        draw_burst(class_name, _take_burst)


def _take_files(key: str, class_name: str) -> None:
    """Moves the uploader's files to the collection."""
    pictures = collection()
    pictures.refused = []
    files: list[UploadedFile] = st.session_state.get(key) or []
    for file in files:
        if not pictures.add(class_name, file.name, file.getvalue(), upload=file.file_id):
            release_files([file.file_id])
    _forget_empty(pictures)
    pictures.batch += 1


def _take_burst(class_name: str, files: Sequence[bytes]) -> None:
    """Adds what the camera took in one go; a single picture is no burst."""
    pictures = collection()
    pictures.refused = []
    burst = 0
    if len(files) > 1:
        pictures.bursts += 1
        burst = pictures.bursts
    for data in files:
        pictures.add(class_name, "camera.jpg", data, burst=burst)
    _forget_empty(pictures)


def _forget_empty(pictures: Collection) -> None:
    pictures.classes = {name: those for name, those in pictures.classes.items() if those}


def _draw_class(name: str) -> None:
    those = list(collection().classes[name].values())
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        count = f"{len(those):,} picture{'s' * (len(those) != 1)}"
        if bursts := len({picture.burst for picture in those if picture.burst}):
            count += f", {bursts:,} burst{'s' * (bursts != 1)}"
        st.markdown(f"**{plain(name)}**  \n{count}", width=160)
        for picture in _spread(those):
            st.image(picture.thumbnail, width=THUMBNAIL, alt=f"{name}: {picture.name}")
        st.button(
            f"Remove {plain(name)}",
            key=f"collect_remove_{name}",
            icon=":material/delete:",
            type="tertiary",
            on_click=_remove,
            args=(name,),
        )


def _spread(pictures: list[Picture]) -> list[Picture]:
    """Up to SHOWN of the pictures, from all over the list: one burst would fill the row."""
    count = min(SHOWN, len(pictures))
    return [pictures[place * len(pictures) // count] for place in range(count)]


def _remove(name: str) -> None:
    removed = collection().classes.pop(name, {})
    release_files(picture.upload for picture in removed.values())
    st.session_state["collect_class"] = None


def _draw_make() -> None:
    pictures = collection()
    title = draw_name("collect_name")
    pressed = st.button(
        "Make the data set", key="collect_make", icon=":material/check:", type="primary"
    )
    missing = pictures.missing()
    if not missing and not title and pressed:
        missing = "Missing: a name."
    if missing:
        if pressed:
            st.error(plain(missing), icon=":material/error:")
        else:
            st.caption(
                f"{plain(missing)} Each class needs at least {LEAST} pictures; {ENOUGH} or more "
                "are better."
            )
        return
    if title:
        submit(
            title,
            lambda: (pictures.write(), True),
            key="collect",
            pressed=pressed,
            origin="Single pictures and the camera",
            started=_note_job,
        )


def _note_job(job_id: str) -> None:
    st.session_state["collect_job"] = job_id


def _clear_when_made() -> None:
    """Empties the collection once its data set is there; after a failure it stays."""
    job = jobs.get(st.session_state.get("collect_job", ""))
    if job is not None and job.state == "done":
        del st.session_state["collect_job"]
        for those in collection().classes.values():
            release_files(picture.upload for picture in those.values())
        st.session_state["data_collection"] = Collection(batch=collection().batch + 1)
