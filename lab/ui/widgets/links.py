"""Links from one page to another that carry the runs to compare or a picture to inspect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

from lab.evaluate.pictures import Crop
from lab.people import current_person, has_sign_in

COMPARED = "runs"
"""The parameter of the Compare page's URL."""
COMPARED_LAST = "compare_url"
"""The session's key of that parameter's last value."""
MOST_COMPARED = 300
"""Run ids that a URL has room for."""

MATTER, AGAINST = "matter", "against"
"""The parameters of the Experiments page's URL: a knob, and the text of a value to try for it."""

ASSIGNMENT = "assignment"
"""The parameter of the Train page's URL that names an assignment."""

COLLECTION = "collection"
"""The parameter of the Collect page's URL that names a collection of photographs."""

INSPECT_SOURCE = "inspect_source"
"""The key of the Inspect page's choice of a picture's source."""
INSPECT_UPLOAD = "inspect_given"
"""The session's key of the `Upload` from another page."""


def sharing_title() -> str:
    """Returns the title of the Train page's expander that shares settings, which the Board names
    to a teacher."""
    if has_sign_in() and current_person().is_admin:
        return "These settings as YAML, link or assignment"
    return "These settings as YAML and as a link"


def compare_query(run_ids: Sequence[str]) -> dict[str, str]:
    """Returns the query of a link to the Compare page with these runs, at most MOST_COMPARED."""
    return {COMPARED: ",".join(run_ids[:MOST_COMPARED])}


def compare_query_with(*run_ids: str) -> dict[str, str]:
    """Returns the query of the runs that this session compared last, and `run_ids`; "" is none."""
    before = (st.session_state.get(COMPARED_LAST) or "").split(",")
    return compare_query([run_id for run_id in dict.fromkeys([*before, *run_ids]) if run_id])


@dataclass(frozen=True, eq=False)
class Upload:
    """A person's own picture as a file's bytes, kept in the session, not on disk."""

    id: str
    """Another one for each upload and crop."""
    name: str
    data: bytes = field(repr=False)
    crop: Crop | None = None


def inspect_upload(picture: Upload) -> None:
    """Lets the next visit of the Inspect page begin with this picture."""
    st.session_state[INSPECT_UPLOAD] = picture
    st.session_state[INSPECT_SOURCE] = "upload"
    st.query_params.pop("image", None)
