"""The gate before the whole server, pages and API alike: who comes in, how often, and what every
answer says to the browser.

    request ── signed in? ── too often? ── act as that person ── app ── headers ── answer
    socket ─── signed in? ── too many pages? ── app, which gets so many messages a minute

In a lab for one person nobody signs in and nothing is counted; the headers are always there.
"""

from __future__ import annotations

import base64
import hashlib
import re
from asyncio import sleep
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from lab.api.guard import forwarded_prefix, has_token
from lab.api.limits import Buckets, visitor
from lab.api.sign_in import person_of, set_person
from lab.limits import (
    CLICKS_A_MINUTE,
    PAGES,
    REQUESTS_A_MINUTE,
    SIGN_INS_A_MINUTE,
    UPLOADS_A_MINUTE,
    limit,
)
from lab.people import OPERATOR, Person, acting_as, has_sign_in, sharing

OPEN = ("/sign-in", "/sign-out", "/_stcore/health")
"""What a stranger may reach."""
PROVIDERS = ("/auth/login", "/auth/logout", "/oauth2callback")
"""Streamlit's own routes of st.login."""

METRICS = "/_stcore/metrics"
PAGE_UPLOADS = "/_stcore/upload_file/"

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}

CODES = {"code", "token", "again"}
"""What an address of the sign-in may carry that is tried as a code."""

FindAccount = Callable[[Mapping[str, str]], Person | None]
"""The cookies of a request -> who an identity provider says that it is."""

RefuseUpload = Callable[[str, str, int], str]
"""(session, visitor, bytes) -> why a picture may not be uploaded, or ""."""


def script_hashes(html: str) -> tuple[str, ...]:
    """Returns what a policy says of the scripts that stand in an HTML page: these and no others."""
    return tuple(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    )


def policy(host: str, scripts: Sequence[str] = ()) -> str:
    """Returns the Content-Security-Policy of the pages; `host` is the server's name as the browser
    sees it, `scripts` are hashes of scripts that stand in the page.

    Code comes from this server alone, components of Streamlit's as blobs, its readers of tables as
    WebAssembly. Styles are set by scripts, so these stay allowed.
    """
    if not re.fullmatch(r"[\w.:\[\]-]+", host):
        host = "localhost"
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(("script-src 'self' 'wasm-unsafe-eval' blob:", *scripts)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' data: blob:",
            f"connect-src 'self' ws://{host} wss://{host} data: blob:",
            "worker-src 'self' blob:",
            "frame-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


class Gate:
    """See above. `find_account` reads the cookie of an identity provider's sign-in."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        find_account: FindAccount | None = None,
        refuse_upload: RefuseUpload | None = None,
        scripts: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._scripts = tuple(scripts)
        self._find_account = find_account
        self._refuse_upload = refuse_upload
        self._requests = Buckets(REQUESTS_A_MINUTE)
        self._uploads = Buckets(UPLOADS_A_MINUTE)
        self._sign_ins = Buckets(SIGN_INS_A_MINUTE)
        self._clicks = Buckets(CLICKS_A_MINUTE)
        self._pages: Counter[str] = Counter()
        """Visitor -> their open sockets. Read and written by the event loop alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        answer: Response | None = None
        person: Person | None = OPERATOR
        if has_sign_in():
            person = await run_in_threadpool(self._person, request)
        if scope["type"] == "websocket":
            if person is None:
                await send({"type": "websocket.close", "code": 4401, "reason": "Sign in first."})
                return
            await self._socket(request, person, receive, send)
            return
        send = self._with_headers(send, request)
        answer = self._refusal(request, person)
        if answer is None and person is None and not _is_open(request):
            answer = await run_in_threadpool(self._stranger, request)
        if answer is not None:
            await answer(scope, receive, send)
        elif person is None:
            await self._app(scope, receive, send)
        else:
            with acting_as(person):
                await self._app(scope, receive, send)

    async def _socket(
        self, request: HTTPConnection, person: Person, receive: Receive, send: Send
    ) -> None:
        """Serves a page's socket; its scripts find the person themselves."""
        if not _is_counted(person):
            await self._app(request.scope, receive, send)
            return
        who, most = visitor(request, person), limit(PAGES)
        if self._pages[who] >= most:
            await _refuse_socket(
                request.scope,
                receive,
                send,
                f"You have {most} pages of this lab open already, the most that one person may "
                f"({PAGES[0]}); close one and load this one again.",
            )
            return

        async def receive_in_turn() -> Message:
            # A message that has to wait holds its sender back: nothing of it is lost.
            message = await receive()
            while message["type"] == "websocket.receive" and (wait := self._clicks.take(who)):
                await sleep(wait)
            return message

        self._pages[who] += 1
        try:
            await self._app(request.scope, receive_in_turn, send)
        finally:
            self._pages[who] -= 1
            if not self._pages[who]:
                del self._pages[who]

    def _person(self, request: HTTPConnection) -> Person | None:
        return OPERATOR if has_token(request) else person_of(request.cookies)

    def _stranger(self, request: HTTPConnection) -> Response:
        """Answers somebody without the lab's cookie: with one, after an identity provider's
        sign-in; else a person is led to the first page, a program told."""
        is_page = "text/html" in request.headers.get("accept", "")
        is_page = is_page and request.scope["method"] in ("GET", "HEAD")
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if is_page and sharing() == "oidc" and self._find_account is not None:
            person = self._find_account(request.cookies)
            if person is not None:
                answer = RedirectResponse(here, 303)
                return set_person(answer, person, secure=request.url.scheme == "https")
        if is_page:
            link = "/sign-in" if here == "/" else f"/sign-in?next={quote(here)}"
            return RedirectResponse(link, 303)
        return _sentence("Sign in first, at /sign-in.", 401)

    def _refusal(self, request: HTTPConnection, person: Person | None) -> Response | None:
        """What is refused whoever asks."""
        path, method = request.url.path, request.scope["method"]
        who = visitor(request, person)
        if path == METRICS and sharing():
            return _sentence("This lab shows no metrics.", 404)
        if path.startswith(PAGE_UPLOADS) and method == "PUT" and self._refuse_upload:
            length = request.headers.get("content-length", "")
            session = path.removeprefix(PAGE_UPLOADS).partition("/")[0]
            if not length.isdigit():
                return _sentence("An upload says how long it is.", 411)
            if why := self._refuse_upload(session, who, int(length)):
                return _sentence(why, 413)
        if not _is_counted(person):
            return None
        wait = 0.0
        if path.startswith("/sign-in") and (method == "POST" or CODES & {*request.query_params}):
            wait = self._sign_ins.take(visitor(request, None))
        elif path.startswith(("/api/uploads/", PAGE_UPLOADS)):
            wait = self._uploads.take(who)
        elif path.startswith("/api/"):
            wait = self._requests.take(who)
        if wait:
            seconds = max(1, round(wait))
            answer = _sentence(f"Too many requests; come back in {seconds} s.", 429)
            answer.headers["Retry-After"] = str(seconds)
            return answer
        return None

    def _with_headers(self, send: Send, request: HTTPConnection) -> Send:
        rules = policy(request.headers.get("host", ""), self._scripts)
        prefix = forwarded_prefix(request.headers)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", rules)
                if headers.get("access-control-allow-origin") == "*":
                    del headers["access-control-allow-origin"]
                to = headers.get("location", "")
                if prefix and to.startswith("/") and not to.startswith("//"):
                    headers["location"] = prefix + to
            await send(message)

        return send_with_headers


def _is_counted(person: Person | None) -> bool:
    """Whether a visitor's requests are counted: not in a lab of one's own, and not a teacher's."""
    return bool(sharing()) and not (has_sign_in() and person is not None and person.is_admin)


async def _refuse_socket(scope: Scope, receive: Receive, send: Send, text: str) -> None:
    """Answers with a sentence in place of opening the socket, where the server can."""
    socket = WebSocket(scope, receive, send)
    if "websocket.http.response" in scope.get("extensions", {}):
        await socket.send_denial_response(_sentence(text, 429))
    else:
        await socket.close(4429, text[:120])  # a reason has 123 bytes at most


def _is_open(request: HTTPConnection) -> bool:
    return request.url.path in (OPEN + PROVIDERS if sharing() == "oidc" else OPEN)


def _sentence(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status_code=status)
