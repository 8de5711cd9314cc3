"""The pictures that were chosen on the map, and what can be done with them.

    a lasso, a click, "find similar"  ->  Chosen (in the session)  ->  gallery  ->  buttons

The buttons act on the pictures that are marked in the gallery, or on all where none is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import streamlit as st

from lab.data import probes
from lab.data.access import may_change_dataset
from lab.data.catalog import DatasetInfo
from lab.data.pack import Pack
from lab.data.quality.embedding import similar
from lab.data.quality.features import set_features
from lab.errors import LabError
from lab.progress import Cancel, Report
from lab.ui.data.map.colours import runs_on
from lab.ui.data.map.features import features_key
from lab.ui.state import look_at
from lab.ui.widgets import edits
from lab.ui.widgets.background import computed
from lab.ui.widgets.picture_buttons import PictureButton, draw_picture_buttons
from lab.ui.widgets.pictures import PER_PAGE
from lab.ui.widgets.point_map import SPLIT_NAMES
from lab.ui.words import plain

Ints = npt.NDArray[np.int64]

SIDE = 96
LIKE = PER_PAGE - 1
"""Similar pictures that are shown: with the one that they are like, a page."""
_OTHERS = 4
"""Classes that the sentence about the choice names."""


@dataclass(frozen=True)
class Chosen:
    """What is chosen on the map of one data set."""

    rows: tuple[int, ...] = ()
    similar_to: int | None = None
    """The picture whose likes these are."""
    likeness: tuple[float, ...] = ()
    """Of each of `rows`; empty while they are looked for."""


def chosen(pack: Pack) -> Chosen:
    """Returns what this session has chosen; nothing after the set was replaced."""
    images_hash, at = st.session_state.get(_key(pack), ("", Chosen()))
    found: Chosen = at if images_hash == pack.meta.images_hash else Chosen()
    return found


def choose(pack: Pack, what: Chosen) -> None:
    """Takes the place of what was chosen before."""
    st.session_state[_key(pack)] = (pack.meta.images_hash, what)
    st.session_state[_marked_key(pack)] = ()
    st.session_state.pop(_page_key(pack), None)


def draw_chosen(info: DatasetInfo, pack: Pack, shown: Ints, extractor: str) -> None:
    """Draws the gallery and the buttons. `shown` are the rows on the map."""
    at = chosen(pack)
    if not at.rows:
        st.markdown(
            "Choose pictures with the lasso, or click one: they appear here, to be inspected, "
            "pinned, relabelled or left out."
        )
        return
    if at.similar_to is not None and not at.likeness:
        found = _find_similar(pack, extractor, at.similar_to, shown)
        if found is None:
            return
        rows, likeness = found
        choose(pack, Chosen((at.similar_to, *rows), at.similar_to, (1.0, *likeness)))
        st.rerun()
    st.markdown(_sentence(pack, at))
    bar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    pages = -(-len(at.rows) // PER_PAGE)
    slot = st.container()
    page = st.pagination(pages, key=_page_key(pack)) if pages > 1 else 1
    first = (page - 1) * PER_PAGE
    with slot:
        _draw_gallery(info, pack, at, first)
    with bar:
        _draw_buttons(info, pack, at)


def _sentence(pack: Pack, at: Chosen) -> str:
    names = pack.meta.class_names
    if at.similar_to is not None:
        name = names[int(pack.labels[at.similar_to])]
        file = pack.names[at.similar_to].rsplit("/", 1)[-1]
        return (
            f"**The {len(at.rows) - 1} pictures most like {plain(file)}** ({plain(name)}), the "
            "most similar first."
        )
    counts = Counter(pack.labels[list(at.rows)].tolist()).most_common()
    parts = [f"{count:,} of {plain(names[label])}" for label, count in counts[:_OTHERS]]
    if len(counts) > _OTHERS:
        parts.append(f"{len(counts) - _OTHERS} more classes")
    number = f"{len(at.rows):,} picture{'s' * (len(at.rows) != 1)}"
    return f"**{number} chosen**: {', '.join(parts)}."


# --- the gallery ----------------------------------------------------------------------------------
def _draw_gallery(info: DatasetInfo, pack: Pack, at: Chosen, first: int) -> None:
    rows = at.rows[first : first + PER_PAGE]
    marked = set(_marked(pack))
    pending = edits.pending(info.name)
    pictures = []
    for place, row in enumerate(rows, first):
        name = pack.meta.class_names[int(pack.labels[row])]
        lines = [name]
        if row in pending.relabel:
            lines = [f"{name} → {pending.relabel[row]}"]
        if row in pending.exclude:
            lines.append("left out")
        elif at.likeness:
            lines.append("this one" if row == at.similar_to else f"{at.likeness[place]:.2f}")
        else:
            lines.append(SPLIT_NAMES[int(pack.split[row])])
        pictures.append(
            PictureButton(
                np.asarray(pack.images[row]),
                f"Picture {row}: {', '.join(lines)}. Click to mark it",
                "\n".join(lines),
                chosen=row in marked,
            )
        )
    draw_picture_buttons(
        pictures,
        key=f"data_map_gallery_{info.name}",
        side=SIDE,
        label="Chosen pictures",
        on_choose=lambda place: _mark(pack, rows[place]),
    )
    if not marked and len(rows) > 1:
        st.caption("Click pictures to mark them: the buttons then mean these alone.")
    if at.likeness:
        st.caption("The number is the cosine of the angle between the features: 1 is the same.")


def _marked(pack: Pack) -> tuple[int, ...]:
    marked: tuple[int, ...] = st.session_state.get(_marked_key(pack), ())
    return marked


def _mark(pack: Pack, row: int) -> None:
    marked = _marked(pack)
    without = tuple(each for each in marked if each != row)
    st.session_state[_marked_key(pack)] = without if row in marked else (*marked, row)


# --- the buttons ----------------------------------------------------------------------------------
def _draw_buttons(info: DatasetInfo, pack: Pack, at: Chosen) -> None:
    rows = _marked(pack) or at.rows
    one = rows[0] if len(rows) == 1 else None
    which = f"the {len(rows):,} marked" if _marked(pack) else f"all {len(rows):,}"
    if one is not None:
        which = "this picture"
    st.button(
        "Find similar",
        key="data_map_similar",
        icon=":material/image_search:",
        disabled=one is None,
        help="Mark one picture first: its nearest ones in the features of the map are shown.",
        on_click=lambda: choose(pack, Chosen((one or 0,), similar_to=one)),
    )
    runs = runs_on(info.name)
    if st.button(
        "Inspect",
        key="data_map_inspect",
        icon=":material/frame_inspect:",
        disabled=one is None or not runs,
        help="Mark one picture first. It is shown to the newest run on this data set."
        if runs
        else "No run on this data set has weights yet.",
    ):
        look_at(runs[0].id)
        st.switch_page("pages/inspect.py", query_params={"run": runs[0].id, "image": str(one)})
    pinned = set(probes.probes(info.name))
    all_pinned = set(rows) <= pinned
    if may_change_dataset(info.name):
        st.button(
            "Unpin" if all_pinned else "Pin",
            key="data_map_pin",
            icon=":material/keep_off:" if all_pinned else ":material/keep:",
            disabled=len(set(rows) - pinned) + len(pinned) > probes.MOST and not all_pinned,
            help=f"Runs follow up to {probes.MOST} pinned pictures in their film strip; "
            f"{len(pinned)} are pinned.",
            on_click=_pin,
            args=(info.name, rows, not all_pinned),
        )
    out = set(rows) <= edits.pending(info.name).exclude
    st.button(
        f"Leave out {which}",
        key="data_map_exclude",
        icon=":material/visibility_off:",
        disabled=out,
        on_click=edits.exclude,
        args=(info.name, rows),
    )
    wanted = st.selectbox(
        f"Make {which}",
        pack.meta.class_names,
        index=None,
        placeholder="Relabel as",
        key=f"data_map_relabel_{info.name}",
        width=170,
        label_visibility="collapsed",
    )
    st.button(
        "Relabel",
        key="data_map_relabel",
        icon=":material/label:",
        disabled=wanted is None,
        on_click=lambda: edits.relabel(info.name, rows, str(wanted)),
    )
    st.button(
        "Choose none",
        key="data_map_none",
        icon=":material/close:",
        type="tertiary",
        on_click=lambda: choose(pack, Chosen()),
    )


def _pin(name: str, rows: tuple[int, ...], wanted: bool) -> None:
    """The button's callback."""
    try:
        for row in rows:
            (probes.pin if wanted else probes.unpin)(name, row)
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def _find_similar(
    pack: Pack, extractor: str, row: int, shown: Ints
) -> tuple[list[int], list[float]] | None:
    def work(report: Report, cancel: Cancel) -> tuple[list[int], list[float]]:
        features = set_features(pack, extractor=extractor, progress=report, cancel=cancel)
        rows, likeness = similar(features.rows, row, LIKE, among=shown)
        return rows.tolist(), likeness.tolist()

    key = f"similar:{pack.meta.content_hash}:{features_key(extractor)}:{row}"
    found: tuple[list[int], list[float]] | None = computed(
        key, "Looking for similar pictures", work
    )
    return found


def _key(pack: Pack) -> str:
    return f"data_map_chosen_{pack.meta.dataset}"


def _marked_key(pack: Pack) -> str:
    return f"data_map_marked_{pack.meta.dataset}"


def _page_key(pack: Pack) -> str:
    return f"data_map_page_{pack.meta.dataset}"
