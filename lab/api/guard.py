"""Who may ask: the checks before every route of the lab.

    every request   the Host header names this server (against DNS rebinding), as for the pages
    writing         the request comes from a page of this server, or brings the token

A browser says where a request comes from in Sec-Fetch-Site and Origin and lets no page change that.
Everybody else (curl, Python) sends the token, which only who may read the lab's folder knows.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lab.home import atomic_file, home_folder, writing

TOKEN_VARIABLE = "LAB_API_TOKEN"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Lets a request through to `app`, or answers with 403 and one sentence.

    `hosts`: the names that this server goes by, without port; empty allows all, "*" too.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = () if "*" in hosts else tuple(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(Request(scope))
            if refusal:
                await JSONResponse({"error": refusal}, status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> str:
        host = (urlsplit(f"//{request.headers.get('host', '')}").hostname or "").lower()
        if self._hosts and host not in self._hosts:
            return f"This lab does not go by the name {host!r}; ask it at {self._hosts[0]}."
        if request.method in SAFE_METHODS or _is_from_own_page(request) or _has_token(request):
            return ""
        return (
            "This request changes something, so it needs the header "
            '"Authorization: Bearer TOKEN". `python -m lab api-token` prints the token.'
        )


def _is_from_own_page(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    # Browsers send an Origin with whatever is no GET; who sends none is no page.
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


def _has_token(request: Request) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(
        given.strip().encode(), api_token().encode()
    )


def api_token() -> str:
    """Returns the token of this LAB_HOME, made at the first call; LAB_API_TOKEN sets another one.

    Raises ResourceError when it cannot be kept.
    """
    if set_one := os.environ.get(TOKEN_VARIABLE):
        return set_one
    file = home_folder() / "api-token"
    if not file.exists():
        with writing(file), atomic_file(file) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(secrets.token_urlsafe(32), encoding="ascii")
    return file.read_text(encoding="ascii").strip()
