"""A file on a server, and a sentence for each way in which its download can fail."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NameResolutionError, ProtocolError, ReadTimeoutError


@dataclass(frozen=True)
class Login:
    """An account at the file's host."""

    source: str
    """Where the account comes from, such as a file or environment variables."""
    authorization: str = field(repr=False)
    """The HTTP header's value. Not sent to another host after a redirect."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file's address, how its content is checked, and how a person can get it by hand."""

    url: str
    title: str
    """Names it in sentences, such as "Cats and dogs"."""
    by_hand: str
    """How to get the file without the lab, as a sentence that begins with "Or"."""
    again: str = "press Download again"
    """How to try again, such as "press Download again"."""
    kind: Literal["zip", "any"] = "any"
    expected_bytes: int | None = None
    """The exact size, where it is known beforehand."""
    sha256: str = ""
    """Its hexadecimal digits, or the first of them; empty when unknown."""
    login: Login | None = None
    folder_variable: str = "LAB_HOME"
    """The environment variable that moves the folder of the file."""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or self.url

    def is_unprotected(self, address: str) -> bool:
        """Whether `url` redirected from HTTPS to plain HTTP."""
        return urlsplit(self.url).scheme == "https" and urlsplit(address).scheme != "https"

    def redirected_to_unprotected(self, address: str) -> str:
        return (
            f"{self.host} leads to an unprotected address ({address}): {self.title} was not "
            f"downloaded. {self.by_hand}"
        )

    def refused(self, status: int, reason: str) -> str:
        """The sentence for a status that another attempt would not change."""
        answer = f"HTTP {status} {reason}".strip()
        if status == 407:
            return (
                f"The proxy asks for a login ({answer}): {self.title} was not downloaded. Set "
                "HTTPS_PROXY to http://user:password@proxy:port and start the lab again. "
                f"{self.by_hand}"
            )
        if status in (404, 410):
            why = f"{self.host} does not have {self.title} any more ({answer})"
        elif status in (401, 403) and self.login:
            why = (
                f"{self.host} refuses to hand out {self.title} to the account in "
                f"{self.login.source} ({answer})"
            )
        elif status in (401, 403):
            why = (
                f"{self.host} refuses to hand out {self.title} without an account or permission "
                f"({answer})"
            )
        else:
            why = f"{self.host} answers with something unexpected ({answer})"
        return f"{why}: it was not downloaded. {self.by_hand}"

    def not_reached(self, error: requests.RequestException, *, connect_seconds: float) -> str:
        """The sentence for an error before the server answered."""
        if isinstance(error, requests.exceptions.SSLError):
            return (
                f"The certificate of {self.host} cannot be trusted from here: {self.title} was not "
                "downloaded. If this network inspects traffic, set REQUESTS_CA_BUNDLE to its "
                f"certificate file; otherwise check the computer's clock. {self.by_hand}"
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return self._no_connection("the proxy in HTTPS_PROXY cannot be reached or refuses")
        if isinstance(error, requests.exceptions.TooManyRedirects):
            return (
                f"{self.host} sends the request round in circles: {self.title} was not downloaded. "
                f"{self.by_hand}"
            )
        if isinstance(error, requests.ConnectTimeout):
            return self._no_connection(f"no answer within {connect_seconds:g} s")
        if not isinstance(error, requests.ConnectionError):
            return (
                f"{self.title} could not be downloaded from {self.host} ({error}). {self.by_hand}"
            )
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(reason, NameResolutionError):
            return self._no_connection("its address could not be looked up")
        cause = getattr(reason, "__cause__", None)
        why = getattr(cause, "strerror", None) or "the connection failed"
        return self._no_connection(why.lower())

    def _no_connection(self, why: str) -> str:
        return (
            f"No connection to {self.host} ({why}): {self.title} was not downloaded. Check the "
            "internet connection (and HTTPS_PROXY, if this network needs a proxy) and "
            f"{self.again}. {self.by_hand}"
        )

    def wrong_beginning(self, start: bytes) -> str:
        """The sentence for content that begins unlike the file; empty when it may be the file."""
        text = start[:1024].decode("utf-8", errors="replace").strip()
        if text[:1] == "<":
            title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
            named = f" ({title[1][:60]!r})" if title else ""
            return (
                f"A web page{named} arrived from {self.host} instead of {self.title}: this network "
                "may ask for a login first, or the file has moved. Nothing was kept. "
                f"{self.by_hand}"
            )
        if self.kind == "zip" and not start.startswith(b"PK"):
            return (
                f"What arrived from {self.host} is not a zip file (it begins with {text[:20]!r}) "
                f"and so cannot be {self.title}. Nothing was kept. {self.by_hand}"
            )
        return ""

    def wrong_size(self, size: int) -> str:
        return (
            f"What {self.host} has as {self.title} has {size:,} bytes where "
            f"{self.expected_bytes:,} are expected, so it is another file; it was thrown away. "
            f"{self.by_hand}"
        )

    def wrong_content(self, sha256: str) -> str:
        return (
            f"What arrived from {self.host} as {self.title} is not the file it should be (SHA-256 "
            f"{sha256[:12]}..., expected {self.sha256[:12]}...); it was thrown away. To fetch it "
            f"afresh, {self.again}. {self.by_hand}"
        )

    def damaged(self, damage: str) -> str:
        return (
            f"What arrived from {self.host} as {self.title} is a damaged zip file ({damage}); it "
            f"was thrown away. To fetch it afresh, {self.again}."
        )


def broken_connection(error: requests.RequestException, *, read_seconds: float) -> str | None:
    """How an established connection was lost, or None when the error is of another kind."""
    cause = error.args[0] if error.args else None
    if isinstance(error, requests.ReadTimeout) or isinstance(cause, ReadTimeoutError):
        return f"sent nothing for {read_seconds:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "dropped the connection"
    if isinstance(error, requests.ConnectionError) and isinstance(cause, ProtocolError):
        return "dropped the connection"
    return None


def is_unreachable(error: requests.RequestException) -> bool:
    """Whether there was no connection (not: a wrong certificate, a proxy that refuses)."""
    other = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
    return isinstance(error, requests.ConnectionError) and not isinstance(error, other)
