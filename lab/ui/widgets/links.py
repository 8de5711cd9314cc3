"""What one page hands to another: the runs to compare, and a picture to inspect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

from lab.evaluate.pictures import Crop

COMPARED = "runs"
"""The name in the Compare page's URL."""
COMPARED_LAST = "compare_url"
"""In the session: what that URL said when the page last looked."""
MOST_COMPARED = 300
"""As many as an address can hold."""

INSPECT_SOURCE = "inspect_source"
"""The Inspect page's widget that says where its picture comes from."""
INSPECT_UPLOAD = "inspect_given"
"""In the session: the `Upload` that another page handed over."""


def compare_query(run_ids: Sequence[str]) -> dict[str, str]:
    """The query of a link to the Compare page with these runs, as many as an address can hold."""
    return {COMPARED: ",".join(run_ids[:MOST_COMPARED])}


def compare_query_with(run_id: str) -> dict[str, str]:
    """As `compare_query`, of the runs that this session compared last and `run_id`."""
    before = filter(None, (st.session_state.get(COMPARED_LAST) or "").split(","))
    return compare_query(list(dict.fromkeys([*before, run_id])))


@dataclass(frozen=True, eq=False)
class Upload:
    """A person's own picture, as a file's bytes. Lives in the session, not on disk."""

    id: str
    """Of the upload and what was cut out of it."""
    name: str
    data: bytes = field(repr=False)
    crop: Crop | None = None


def inspect_upload(picture: Upload) -> None:
    """The next visit of the Inspect page begins with this picture."""
    st.session_state[INSPECT_UPLOAD] = picture
    st.session_state[INSPECT_SOURCE] = "upload"
    st.query_params.pop("image", None)
