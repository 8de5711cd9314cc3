"""Who looks at a page: found from the browser's cookie, named in the frame."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from lab.api.guard import forwarded_prefix
from lab.api.sign_in import (
    class_code,
    join_link,
    link_back,
    person_of,
    renew_class_code,
)
from lab.errors import NotSignedInError
from lab.people import Person, current_person, find_person_by, has_sign_in, sharing
from lab.runs.members import members, remove_member
from lab.runs.store import store
from lab.ui.widgets.queue_actions import ask
from lab.ui.words import plain


def person_of_page() -> Person | None:
    """Returns who looks at the page whose script, fragment or callback runs here; None where none
    does, or where nobody signs in. Raises NotSignedInError for a stranger."""
    if get_script_run_ctx(suppress_warning=True) is None or not has_sign_in():
        return None
    person = person_of(st.context.cookies)
    if person is None:
        raise NotSignedInError("You are not signed in any more; reload the page.")
    return person


find_person_by(person_of_page)


def draw_visitor() -> None:
    """Draws who is signed in, in the page's head; nothing where nobody signs in."""
    if not has_sign_in():
        return
    person = current_person()
    with (
        st.container(key="frame_visitor"),
        st.popover(plain(person.name), icon=":material/person:", key="frame_visitor_open"),
    ):
        if person.is_admin and sharing() == "class":
            draw_invitation()
            st.divider()
        st.page_link("pages/storage.py", label="Storage", icon=":material/hard_drive:")
        st.html('<a href="sign-out" target="_self" style="color:inherit">Sign out</a>')


def server_address() -> str:
    """Returns the address of the first page as this browser reaches it, without the last slash."""
    host = st.context.headers.get("Host", "localhost")
    scheme = "https" if (st.context.url or "").startswith("https:") else "http"
    return f"{scheme}://{host}{forwarded_prefix(st.context.headers)}"


def draw_invitation() -> None:
    """Draws the link, QR code and class code that let pupils join, and who has joined; for the
    admin."""
    link = join_link(server_address())
    st.markdown("**Invite your class**")
    st.html(qr_code(link))
    st.markdown(f"Code **{class_code()}**, or this link:")
    st.code(link, language=None, wrap_lines=True)
    st.button(
        "New code",
        key="frame_new_code",
        icon=":material/autorenew:",
        type="tertiary",
        help="The old code and link then let nobody in. Who has joined stays.",
        on_click=ask,
        args=(renew_class_code,),
    )
    joined = members(store())
    if not joined:
        return
    with st.expander(f"{len(joined)} joined"):
        by_id = {each.person.id: each.person for each in joined}
        chosen = st.selectbox(
            "Who",
            list(by_id),
            format_func=lambda person_id: by_id[person_id].name,
            key="frame_member",
        )
        with st.container(horizontal=True):
            st.button(
                "Link back in",
                key="frame_link_back",
                help="For somebody on another device, or without their cookie. It holds a day.",
                on_click=_show_link_back,
                args=(by_id[chosen],),
            )
            st.button(
                "Remove",
                key="frame_remove_member",
                help="Signs them out for good. Their runs stay.",
                on_click=ask,
                args=(remove_member, store(), chosen),
            )
        if shown := st.session_state.pop("frame_shown_link", None):
            st.code(shown, language=None, wrap_lines=True)


def _show_link_back(person: Person) -> None:
    """A callback."""
    st.session_state["frame_shown_link"] = link_back(server_address(), person)


def link_for_all(page: str) -> str:
    """Returns the link to a page such as "/train?epochs=3" to hand out; a teacher's lets a pupil of
    a class in, too. Members have no class code: a renewed one would be no secret."""
    base, invites = server_address(), sharing() == "class" and current_person().is_admin
    return join_link(base, page) if invites else base + page


def draw_qr(link: str, *, side: int) -> None:
    """Draws the QR code of a link of this server."""
    hint = ""
    if urlsplit(link).hostname in (None, "localhost", "127.0.0.1", "::1"):
        hint = "Works on this machine alone: open this page by its address in the network."
    st.html(
        f'<figure style="margin:0;width:{side}px">{qr_code(link, side)}<figcaption '
        f'style="font-size:0.75rem;opacity:0.75;line-height:1.3">{hint}</figcaption></figure>',
        width="content",
    )


def qr_code(text: str, side: int = 200) -> str:
    """Returns a QR code of `side` pixels as HTML, dark on white, as cameras want."""
    import segno  # here: the teacher's page alone needs it

    picture = segno.make(text, error="m").svg_data_uri(scale=5, border=3, light="#fff")
    return f'<img alt="QR code of the link" width="{side}" src="{picture}">'
