"""Who may ask: the checks before every route of the API.

    every request   the Host header names this server, as for the pages (LAB_HOSTS)
    reading         a browser asks for a page of this server, or follows a link
    writing         the request comes from a page of this server, or brings the token

A browser says where a request comes from in Sec-Fetch-Site and Origin and lets no page change that.
Everybody else (curl, Python) sends the token, which only who may read the lab's folder knows.

DNS rebinding: a foreign page whose own name suddenly leads to this machine comes from "a page of
this server" as far as a browser can tell. So a page without the token may write only where the
server's name is one that nobody else can own: see `_is_own_name`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lab.installation import COMMAND
from lab.secret_file import secret_file

TOKEN_VARIABLE = "LAB_API_TOKEN"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Lets a request through to `app`, or answers with 403 and one sentence.

    `hosts`: the names that this server goes by, without port; "*.lab.org" stands for all names that
    end so, "*" for all. Empty allows all, but then see `_is_own_name`.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = tuple(host.strip().lower().rstrip(".") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(Request(scope))
            if refusal:
                await JSONResponse({"error": refusal}, status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> str:
        header = request.headers.get("host", "")
        host = host_name(header)
        if self._hosts and not any(_fits(host, allowed) for allowed in self._hosts):
            return (
                f"This lab does not go by the name {header!r:.100}; its names are: "
                f"{', '.join(self._hosts)} (LAB_HOSTS adds others)."
            )
        if has_token(request):
            return ""
        site = request.headers.get("sec-fetch-site", "")
        if request.method in SAFE_METHODS:
            if site in ("", "none", "same-origin"):
                return ""
            if request.headers.get("sec-fetch-mode") == "navigate":
                return ""  # a person follows a link; the other page does not see the answer
            return (
                "Pages of other sites may not read this lab. From a program, send the header "
                f'"Authorization: Bearer TOKEN"; `{COMMAND} api-token` prints the token.'
            )
        if is_from_own_page(request):
            if self._hosts or _is_own_name(host):
                return ""
            return (
                f"This server is called {header!r:.100} here, and could be by anybody's name: "
                "whoever runs it lists its names in LAB_HOSTS."
            )
        return (
            "This request changes something, so it needs the header "
            f'"Authorization: Bearer TOKEN"; `{COMMAND} api-token` prints the token.'
        )


def host_name(header: str) -> str:
    """Returns the name in a Host header, in small letters, without port; "" for nonsense."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises ValueError unless it is a number of a port
    except ValueError:
        return ""
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return ""
    return (parts.hostname or "").rstrip(".")


def forwarded_prefix(headers: Mapping[str, str]) -> str:
    """Returns the path below which a proxy serves the lab, such as "/lab", as it says in
    X-Forwarded-Prefix; "" without one."""
    prefix = headers.get("x-forwarded-prefix", "").rstrip("/")
    return prefix if re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII) else ""


def _fits(host: str, allowed: str) -> bool:
    if allowed == "*":
        return bool(host)
    if allowed.startswith("*."):
        return host.endswith(allowed[1:])
    return host == allowed


def _is_own_name(host: str) -> bool:
    """Whether nobody but this machine can go by that name: an address, localhost, its host name. A
    name with a dot could be anybody's; a server that is called by one has it in LAB_HOSTS."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return host == "localhost" or host.endswith(".localhost") or host == _machine_name()


def _machine_name() -> str:
    name = socket.gethostname().lower()
    return name if "." not in name else ""


def is_from_own_page(request: Request) -> bool:
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    # Browsers send an Origin with whatever is no GET; who sends none is no page. A sandboxed page
    # sends "null".
    origin = urlsplit(request.headers.get("origin", ""))
    host = request.headers.get("host", "")
    return bool(host) and origin.scheme in ("http", "https") and origin.netloc == host


def has_token(request: HTTPConnection) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    return secrets.compare_digest(given.strip().encode(), api_token().encode())


def api_token() -> str:
    """Returns the token of this LAB_HOME, made at the first call; LAB_API_TOKEN sets another one.

    Raises ResourceError when it cannot be kept.
    """
    if set_one := os.environ.get(TOKEN_VARIABLE, "").strip():
        return set_one
    return secret_file("api-token")
