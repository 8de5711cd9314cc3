"""A visitor without a browser: a session of the lab's pages over Streamlit's own web socket.

    with PageSession(server.url) as visitor:
        visitor.open("train", "run=r-1")        # as a link does
        visitor.act(visitor.widgets[3], "...")  # as a hand does

The server does all that it does for a browser; nobody draws. So thirty visitors cost this machine
what thirty visitors cost a server, and not what thirty browsers cost their own machines.
Streamlit's messages are no public interface: this follows the version in requirements.txt.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs, UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

Change = Callable[[Any, random.Random], dict[str, Any] | None]


class PageError(AssertionError):
    """A page showed an exception, or did not end."""


class PageSession:
    """One visitor: what stands on the page now, and the values of the widgets touched so far."""

    def __init__(self, url: str, *, timeout: float = 120.0) -> None:
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(
                f"{url.replace('http', 'ws', 1)}/_stcore/stream",
                subprotocols=[Subprotocol("streamlit")],
                max_size=None,
                proxy=None,
            )
        )
        self.url = url
        self._timeout = timeout
        self.session_id = ""
        self.pages: dict[str, str] = {}
        """Name in the address -> Streamlit's own."""
        self.page = ""
        self.query = ""
        self._elements: dict[tuple[int, ...], tuple[str, Any]] = {}
        """Place on the page -> fragment, element."""
        self._values: dict[str, WidgetState] = {}

    def __enter__(self) -> PageSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Closes the tab."""
        self._open.close()

    # --- what is on the page ----------------------------------------------------------------------
    def elements(self, kind: str) -> list[Any]:
        """Returns all elements of Streamlit's `kind`, such as "button", in their order."""
        return [
            getattr(element, kind)
            for _, element in self._sorted()
            if element.WhichOneof("type") == kind
        ]

    def find(self, kind: str, label: str) -> Any:
        """Returns the element of this label."""
        found = [each for each in self.elements(kind) if each.label == label]
        if not found:
            labels = [each.label for each in self.elements(kind)]
            raise PageError(f"{self.page} has no {kind} {label!r}; there are: {labels}")
        return found[0]

    @property
    def texts(self) -> list[str]:
        """Markdown, headings and messages."""
        texts = []
        for _, element in self._sorted():
            part = getattr(element, element.WhichOneof("type"))
            if hasattr(part, "body"):
                texts.append(str(part.body))
        return texts

    @property
    def topics(self) -> list[str]:
        """What the page's live parts listen to (`lab.ui.live`)."""
        topics = []
        for part in self.elements("bidi_component"):
            given = json.loads(part.json or "{}") if part.WhichOneof("data") == "json" else {}
            data = given[0] if isinstance(given, list) else given  # see lab.ui.live.component
            if data.get("topic"):
                topics.append(data["topic"])
            elif "run" in data and "status" in data:
                topics.append(f"run:{data['run']}")
        return topics

    @property
    def widgets(self) -> list[tuple[str, Any]]:
        """Returns kind and element of all that can be touched now (`CHANGES`)."""
        found = []
        for _, element in self._sorted():
            kind = element.WhichOneof("type")
            part = getattr(element, kind)
            if kind in CHANGES and part.id and not part.disabled:
                found.append((kind, part))
        return found

    # --- what a visitor does ----------------------------------------------------------------------
    def open(self, page: str = "", query: str = "") -> float:
        """Opens a page by its name in the address; returns the seconds until it stood there."""
        if page and not self.pages:
            self._rerun()
        self.page, self.query = page, query
        self._values.clear()
        return self._rerun()

    def act(self, kind: str, part: Any, **value: Any) -> float:
        """Gives a widget a value, such as `string_value="a"` or `trigger_value=True`; returns the
        seconds until the page stood there."""
        state = WidgetState(id=part.id)
        for name, each in value.items():
            if name.endswith("array_value"):
                getattr(state, name).data.extend(each)
            else:
                setattr(state, name, each)
        return self._touch(state)

    def press(self, label: str) -> float:
        """Presses a button by its label."""
        return self.act("button", self.find("button", label), trigger_value=True)

    def rerun(self) -> float:
        """Draws the page again."""
        return self._rerun()

    def upload(self, files: dict[str, bytes]) -> float:
        """Puts files into the page's first uploader, as a browser does; returns the seconds."""
        import httpx

        uploader = self.elements("file_uploader")[0]
        request = BackMsg()
        request.file_urls_request.request_id = "1"
        request.file_urls_request.file_names.extend(files)
        request.file_urls_request.session_id = self.session_id
        self._socket.send(request.SerializeToString())
        answer = next(
            m for m in self._messages() if m.WhichOneof("type") == "file_urls_response"
        ).file_urls_response
        state = WidgetState(id=uploader.id)
        began = time.monotonic()
        client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        client.get("/_stcore/health")  # sets the cookie
        token = {"X-Xsrftoken": client.cookies["_streamlit_xsrf"]}
        for urls, (name, data) in zip(answer.file_urls, files.items(), strict=True):
            sent = client.put(urls.upload_url, files={"file": (name, data)}, headers=token)
            if sent.status_code != 204:
                raise PageError(f"{name}: {sent.status_code} {sent.text[:200]}")
            state.file_uploader_state_value.uploaded_file_info.append(
                UploadedFileInfo(
                    name=name,
                    size=len(data),
                    file_id=urls.file_id,
                    file_urls=FileURLs(
                        file_id=urls.file_id,
                        upload_url=urls.upload_url,
                        delete_url=urls.delete_url,
                    ),
                )
            )
        client.close()
        self._touch(state)
        return time.monotonic() - began

    # --- Streamlit's messages ---------------------------------------------------------------------
    def _touch(self, state: WidgetState) -> float:
        fragment = next(
            (
                fragment
                for fragment, element in self._elements.values()
                if getattr(getattr(element, element.WhichOneof("type")), "id", "") == state.id
            ),
            "",
        )
        if state.WhichOneof("value") != "trigger_value":
            self._values[state.id] = state
            return self._rerun(fragment)
        return self._rerun(fragment, state)

    def _rerun(self, fragment: str = "", trigger: WidgetState | None = None) -> float:
        message = BackMsg()
        client = message.rerun_script
        client.query_string = self.query
        if self.page in self.pages:
            client.page_script_hash = self.pages[self.page]
        elif self.page:
            client.page_name = self.page
        client.fragment_id = fragment
        client.context_info.url = f"{self.url}/{self.page}"
        client.context_info.timezone = "Europe/Berlin"
        client.context_info.locale = "en"
        client.widget_states.widgets.extend(self._values.values())
        if trigger is not None:
            client.widget_states.widgets.append(trigger)
        self._socket.send(message.SerializeToString())
        began = time.monotonic()
        for answer in self._messages():
            self._apply(answer)
            has_ended = answer.WhichOneof("type") == "script_finished"
            if has_ended and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                break
        there = {
            getattr(getattr(element, element.WhichOneof("type")), "id", "")
            for _, element in self._elements.values()
        }
        self._values = {id: state for id, state in self._values.items() if id in there}
        if exceptions := self.elements("exception"):
            raise PageError(f"{self.page}?{self.query}: {exceptions[0].type}")
        return time.monotonic() - began

    def _messages(self) -> Iterator[ForwardMsg]:
        until = time.monotonic() + self._timeout
        while (left := until - time.monotonic()) > 0:
            try:
                data = self._socket.recv(timeout=left)
            except TimeoutError:
                break
            except ConnectionClosed as error:
                raise PageError(f"{self.page}: the server closed the session, {error}") from error
            message = ForwardMsg()
            message.ParseFromString(data)  # type: ignore[arg-type]
            yield message
        raise PageError(f"{self.page}?{self.query} has not ended after {self._timeout:.0f} s")

    def _apply(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            if message.new_session.initialize.session_id:
                self.session_id = message.new_session.initialize.session_id
            drawn = set(message.metadata.run.fragment_ids)  # none: the whole page
            self._elements = {
                place: each
                for place, each in self._elements.items()
                if drawn and each[0] not in drawn
            }
        elif kind == "navigation":
            self.pages = {p.url_pathname: p.page_script_hash for p in message.navigation.app_pages}
            current = message.navigation.page_script_hash
            self.page = next((n for n, h in self.pages.items() if h == current), self.page)
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "delta":
            place = tuple(message.metadata.delta_path)
            if message.delta.WhichOneof("type") == "new_element":
                element = message.delta.new_element
                self._elements[place] = (message.delta.fragment_id, element)
                part = getattr(element, element.WhichOneof("type"))
                if getattr(part, "set_value", False):  # the server's word replaces the visitor's
                    self._values.pop(part.id, None)

    def _sorted(self) -> list[tuple[str, Any]]:
        return [self._elements[place] for place in sorted(self._elements)]


# --- what a hand does with a widget ---------------------------------------------------------------
def _choose(part: Any, rng: random.Random) -> dict[str, Any] | None:
    return {"string_value": rng.choice(part.options)} if part.options else None


def _step(part: Any, rng: random.Random) -> dict[str, Any] | None:
    step = part.step or 1
    value = (part.value if part.set_value else part.default) + rng.choice((-1, 1)) * step
    low = part.min if part.has_min else value
    high = part.max if part.has_max else value
    return {"double_value": float(min(high, max(low, value)))}


def _slide(part: Any, rng: random.Random) -> dict[str, Any] | None:
    if part.options:
        return {"string_array_value": [rng.choice(part.options)] * max(1, len(part.default))}
    steps = int((part.max - part.min) / (part.step or 1))
    values = sorted(part.min + rng.randint(0, steps) * part.step for _ in part.default)
    return {"double_array_value": values}


CHANGES: dict[str, Change] = {
    "button": lambda part, rng: {"trigger_value": True},
    "checkbox": lambda part, rng: {"bool_value": rng.random() < 0.5},
    "selectbox": _choose,
    "radio": _choose,
    "number_input": _step,
    "slider": _slide,
    "text_input": lambda part, rng: {"string_value": rng.choice(("", "a", "bars", "sign cnn"))},
    "button_group": lambda part, rng: {
        "string_array_value": [rng.choice([option.content for option in part.options])]
    } if part.options else None,
    "multiselect": lambda part, rng: {
        "string_array_value": rng.sample(
            list(part.options), rng.randint(0, min(3, len(part.options)))
        )
    } if part.options else None,
}  # fmt: skip
"""Kind of widget -> another value for it, at random; None where there is none."""
