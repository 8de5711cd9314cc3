"""What a pupil sees on a phone: choose a class, take pictures, see how many there are; and what the
teacher sees of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from lab.data.decode import FORMAT_WORDS
from lab.data.photo_collections import (
    Photo,
    PhotoCollection,
    add_photo,
    class_sizes,
    collection,
    collections,
    leave_out,
    names,
    photos,
    small,
    take_back,
)
from lab.errors import LabError
from lab.limits import COLLECTED_PICTURES, limit
from lab.people import current_person, may_see
from lab.ui.widgets.links import COLLECTION
from lab.ui.widgets.picture_buttons import PictureButton, draw_picture_buttons
from lab.ui.widgets.pictures import PER_PAGE, SHOWN_SIDE
from lab.ui.widgets.queue_actions import ask
from lab.ui.words import plain

_CHOSEN = "collect_chosen"
"""The session's key of the paths of the chosen pictures."""
_BATCH = "collect_batch"
"""Part of the uploader's key: with a new one it is empty again."""
_RESULT = "collect_result"
"""The session's key of what became of the last pictures: how many were taken, and sentences about
the others."""
MOST_SENTENCES = 5
MOST_MEGABYTES = 40
"""Of one file: phones make some of over 10 MB. They are kept much smaller."""


def choose() -> PhotoCollection | None:
    """Returns the collection that the URL names, else the newest open one that is chosen here."""
    wanted = st.query_params.get(COLLECTION, "")
    if wanted:
        try:
            return collection(wanted)
        except LabError as error:
            st.error(plain(str(error)), icon=":material/error:")
    given = {each.id: each for each in collections() if not each.closed}
    if len(given) < 2:
        return next(iter(given.values()), None)
    chosen = st.selectbox(
        "Collection",
        list(given),
        format_func=lambda each: given[each].title,
        key="collect_collection",
    )
    return given[chosen]


def draw_nothing() -> None:
    st.info("Nothing is collected now.", icon=":material/photo_camera:")
    if current_person().is_admin:
        st.page_link("pages/data.py", label="Open a collection", icon=":material/add:")


def draw_head(given: PhotoCollection) -> list[Photo]:
    """Draws what is collected; returns all its pictures."""
    taken = photos(given)
    st.title(plain(given.title), anchor=False)
    if given.closed:
        st.info("Closed: it takes no more pictures.", icon=":material/lock:")
    if current_person().is_admin:
        st.page_link(
            "pages/data.py", label="Hand out, close, make the data set", icon=":material/qr_code:"
        )
    return taken


# --- taking pictures ------------------------------------------------------------------------------
def draw_camera(given: PhotoCollection, taken: Sequence[Photo]) -> None:
    """Draws the choice of a class and the way to the phone's camera and pictures."""
    class_name = st.pills(
        "What is on your next pictures?",
        given.classes,
        format_func=plain,
        key=f"collect_class_{given.id}",
    )
    _draw_result()
    if class_name is None:
        st.caption("Choose one; then take the pictures.")
        return
    key = f"collect_files_{st.session_state.get(_BATCH, 0)}"
    st.file_uploader(
        f"Pictures of {plain(class_name)}",
        type="image",
        accept_multiple_files=True,
        max_upload_size=MOST_MEGABYTES,
        key=key,
        on_change=_hand_in,
        args=(key, given.id, class_name),
        help=f"{FORMAT_WORDS}. The place that a phone notes in a picture is not kept.",
    )
    mine = sum(photo.person == current_person().id for photo in taken)
    st.caption(
        f"You: {mine:,} of at most {limit(COLLECTED_PICTURES):,}. Move the thing, the light and "
        "yourself between two pictures: what is nearly the same teaches a network little."
    )


def _hand_in(key: str, collection_id: str, class_name: str) -> None:
    """The uploader's callback."""
    files: list[UploadedFile] = st.session_state.get(key) or []
    count, refused = 0, []
    for file in files:
        try:
            add_photo(collection_id, class_name, file.name, file.getvalue())
            count += 1
        except LabError as error:
            refused.append(str(error))
    st.session_state[_RESULT] = (class_name, count, refused)
    st.session_state[_BATCH] = st.session_state.get(_BATCH, 0) + 1


def _draw_result() -> None:
    if _RESULT not in st.session_state:
        return
    class_name, count, refused = st.session_state.pop(_RESULT)
    if count:
        st.success(f"{_pictures(count)} of {plain(class_name)} taken in.", icon=":material/check:")
    if refused:
        lines = [plain(sentence) for sentence in refused[:MOST_SENTENCES]]
        if len(refused) > MOST_SENTENCES:
            lines.append(f"and {len(refused) - MOST_SENTENCES:,} more")
        text = "\n".join(f"- {line}" for line in lines)
        st.warning(f"Not taken:\n{text}", icon=":material/filter_none:")


# --- what is there --------------------------------------------------------------------------------
def draw_counts(given: PhotoCollection, taken: Sequence[Photo]) -> None:
    """Draws how many pictures there are of each class, and whose."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"{_pictures(len(taken))} so far", anchor=False, width="content")
        st.button("Count again", key="collect_again", icon=":material/refresh:", type="tertiary")
    sizes, called, me = class_sizes(given, taken), names(given), current_person().id
    with st.grid("auto", min_column_width=220, gap="small"):
        for name in given.classes:
            count, bursts = sizes[name]
            whose = Counter(photo.person for photo in taken if photo.class_name == name)
            shown = {person: n for person, n in whose.most_common() if may_see(person)}
            words = [
                f"{'you' if person == me else plain(called.get(person, 'Somebody'))} {n:,}"
                for person, n in shown.items()
            ]
            if hidden := whose.total() - sum(shown.values()):
                words.append(f"others {hidden:,}")
            with st.container(border=True, gap=None):
                of = f", {bursts:,} burst{'s' * (bursts != 1)}" if count else ""
                st.markdown(f"**{plain(name)}** · {count:,}{of}")
                st.caption(" · ".join(words) or "nobody yet")


def draw_pictures(given: PhotoCollection, taken: Sequence[Photo]) -> None:
    """Draws one's own pictures, for the teacher everybody's, to take back or leave out."""
    person = current_person()
    mine = [photo for photo in taken if photo.person == person.id]
    shown: Sequence[Photo] = mine
    if person.is_admin:
        shown = _filtered(given, taken)
    elif mine:
        st.subheader("Yours", anchor=False)
    if not shown:
        return
    pages = -(-len(shown) // PER_PAGE)
    page = st.pagination(pages, key=f"collect_page_{len(shown)}") if pages > 1 else 1
    shown = shown[(page - 1) * PER_PAGE : page * PER_PAGE]
    called = names(given)
    chosen = st.session_state.get(_CHOSEN, frozenset()) & {str(photo.path) for photo in shown}

    def toggle(position: int) -> None:
        st.session_state[_CHOSEN] = chosen ^ {str(shown[position].path)}

    buttons = []
    for photo in shown:
        whose = called.get(photo.person, "Somebody") if person.is_admin else ""
        lines = [photo.class_name, whose, "left out" if photo.left_out else ""]
        caption = "\n".join(filter(None, lines))
        is_chosen = str(photo.path) in chosen
        act = "chosen, press to let go" if is_chosen else "press to choose"
        alt = f"{caption.replace(chr(10), ', ')}: {act}"
        buttons.append(PictureButton(small(photo), alt, caption, is_chosen))
    draw_picture_buttons(
        buttons, key="collect_pictures", side=SHOWN_SIDE, label="Pictures", on_choose=toggle
    )
    if chosen:
        _draw_actions(given, [photo for photo in shown if str(photo.path) in chosen])
    else:
        st.caption("Tap pictures to choose them.")


def _filtered(given: PhotoCollection, taken: Sequence[Photo]) -> Sequence[Photo]:
    """Draws which of all pictures the teacher looks at."""
    called = names(given)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader("Pictures", anchor=False, width="content")
        name = st.selectbox(
            "Class", ["", *given.classes], format_func=lambda c: c or "All", key="collect_of",
            width=180,
        )  # fmt: skip
        people = sorted({photo.person for photo in taken}, key=lambda p: called.get(p, ""))
        person = st.selectbox(
            "Person",
            people,
            index=None,
            placeholder="All",
            format_func=lambda p: called.get(p, "Somebody"),
            key="collect_whose",
            width=180,
        )
    return [
        photo
        for photo in taken
        if (not name or photo.class_name == name) and (person is None or photo.person == person)
    ]


def _draw_actions(given: PhotoCollection, chosen: Sequence[Photo]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{len(chosen):,} chosen:**", width="content")
        if current_person().is_admin:
            out = all(photo.left_out for photo in chosen)
            st.button(
                "Take in again" if out else "Leave out",
                key="collect_leave_out",
                icon=":material/visibility:" if out else ":material/visibility_off:",
                on_click=_do,
                args=(lambda: leave_out(chosen, left_out=not out),),
                help="Left out, a picture is in no data set, and can be taken in again.",
            )
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(f"{_pictures(len(chosen))} go for good.")
            st.button(
                "Delete for good",
                key="collect_delete",
                type="primary",
                on_click=_do,
                args=(lambda: take_back(given, chosen),),
            )


def _do(action: Callable[[], None]) -> None:
    """A button's callback."""
    ask(action)
    st.session_state[_CHOSEN] = frozenset()


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"
