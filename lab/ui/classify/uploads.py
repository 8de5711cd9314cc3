"""The Classify page: the session's own pictures, uploaded or from the camera.

Nothing is written to disk. The bytes are in the session's memory until the person removes the
picture or closes the tab; what is made of them is in the session's ClassifyState
(`lab.ui.classify.answers`) and goes with them. The uploader hands its files over and is empty
again: the answers stand in the place of its list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from lab.data.decode import FORMAT_WORDS
from lab.data.examples import Example, unseen_examples
from lab.errors import LabError
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.widgets.pictures import enlarge, png
from lab.ui.widgets.uploaded import release_files
from lab.ui.words import plain
from lab.words import size

MOST_FILES = 100
"""Pictures classified at a time."""
MOST_BYTES = 200_000_000
"""Size of all their files together."""
NAMED = 20
CAMERA_NAME = "Camera picture"
EXAMPLES = 8
EXAMPLE_WIDTH = 96


@dataclass(frozen=True)
class Upload:
    """One file, not decoded yet."""

    id: str
    name: str
    data: bytes = field(repr=False)


@dataclass(eq=False)
class UploadList:
    """A session's pictures, and how they come."""

    uploads: list[Upload] = field(default_factory=list)
    """In the order in which they are shown: the camera's first."""
    rejected: list[str] = field(default_factory=list)
    """Names of the files of the last batch for which there was no room."""
    batch: int = 0
    """Part of the uploader's key: with a new one it is empty again."""

    def add(self, uploads: Sequence[Upload]) -> None:
        """Adds what is within the limits; a file that is too large stops no later one."""
        self.rejected = []
        total = sum(len(upload.data) for upload in self.uploads)
        for upload in uploads:
            if len(self.uploads) < MOST_FILES and total + len(upload.data) <= MOST_BYTES:
                self.uploads.append(upload)
                total += len(upload.data)
            else:
                self.rejected.append(upload.name)
                release_files([upload.id])

    def add_camera_picture(self, upload: Upload) -> None:
        """Puts it first, in the place of the one before."""
        self.uploads = [each for each in self.uploads if each.name != CAMERA_NAME]
        self.add([upload])
        self.uploads.sort(key=lambda each: each.name != CAMERA_NAME)  # keeps the others' order

    def remove(self, ids: Sequence[str]) -> None:
        self.uploads = [upload for upload in self.uploads if upload.id not in ids]
        self.rejected = []
        release_files(ids)


def upload_list() -> UploadList:
    """Returns this session's pictures."""
    pictures: UploadList = st.session_state.setdefault("classify_uploads", UploadList())
    return pictures


def draw_uploader() -> None:
    """Draws the uploader; names the files for which there was no room."""
    pictures = upload_list()
    key = f"classify_files_{pictures.batch}"
    st.file_uploader(
        "Pictures",
        # No `type`: the browser would turn some files away with messages of its own, and some
        # browsers do not know what a HEIC is. Each file gets its answer from lab.data.decode.
        accept_multiple_files=True,
        key=key,
        on_change=_take_over,
        args=(key,),
        help=f"{FORMAT_WORDS}; up to {MOST_FILES} at a time, {size(MOST_BYTES)} in all. Nothing "
        "is kept on disk: pictures stay in the memory of this lab until you remove them, or for "
        "some minutes after you close this tab.",
    )
    if pictures.rejected:
        names = ", ".join(f"“{short_name(name)}”" for name in pictures.rejected[:NAMED])
        left = len(pictures.rejected) - NAMED
        more = f" and {left} more" if left > 0 else ""
        st.warning(
            f"At most {MOST_FILES} pictures of {size(MOST_BYTES)} in all are answered at a time. "
            f"Not taken: {names}{more}.",
            icon=":material/filter_none:",
        )


def draw_test_pictures(choice: CheckpointChoice) -> None:
    """Offers pictures that the network never trained on, for a person who has none at hand."""
    config = choice.run.config
    try:
        pictures = unseen_examples(config.dataset, EXAMPLES, version=config.dataset_version)
    except LabError:  # the data set is gone; one's own pictures are answered without it
        return
    if not pictures:
        return
    with st.container(border=True):
        st.markdown(
            "No picture at hand? These are test pictures: the network did not learn from them."
        )
        with st.container(horizontal=True, gap="small"):
            for number, (name, image) in enumerate(pictures, start=1):
                st.image(enlarge(image), width=EXAMPLE_WIDTH, alt=f"{name}, test picture {number}")
        st.button(
            "Classify these",
            key="classify_test_pictures",
            icon=":material/image_search:",
            on_click=_take_test_pictures,
            args=(choice.run.id, pictures),
        )


def _take_test_pictures(run_id: str, pictures: Sequence[Example]) -> None:
    upload_list().add(
        [
            Upload(f"{run_id}-test-{number}", f"{name}, test picture {number}.png", png(image))
            for number, (name, image) in enumerate(pictures, start=1)
        ]
    )


def _take_over(key: str) -> None:
    """Moves the uploader's files to the session's list."""
    pictures = upload_list()
    files: list[UploadedFile] = st.session_state.get(key) or []
    pictures.add([Upload(file.file_id, file.name, file.getvalue()) for file in files])
    pictures.batch += 1


def short_name(name: str) -> str:
    """Returns a file's name escaped for Markdown, a long one without its middle."""
    name = " ".join(name.split())
    return plain(name if len(name) <= 80 else f"{name[:50]}…{name[-29:]}")
