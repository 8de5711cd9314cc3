"""What to tell a person when a download is refused: one sentence for each way a server can say no.

Shared by the HTTP downloads and by those through kagglehub.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

    from lab.data.download.patience import Patience


def by_hand(page: str) -> str:
    """The way that is always open."""
    return f"Or download it in a browser from {page} and add the file on the Data page."


def no_connection(host: str, why: str, what: str, page: str) -> str:
    return (
        f"No connection to {host} ({why}): {what} was not downloaded. Check the internet "
        "connection (and HTTPS_PROXY, if this network needs a proxy) and press Download again. "
        f"{by_hand(page)}"
    )


def http_status(status: int, reason: str, host: str, what: str, page: str) -> str:
    """For an answer that another attempt would not change."""
    said = f"HTTP {status} {reason}".strip()
    if status in (404, 410):
        why = f"{host} does not have {what} any more ({said})"
    elif status in (401, 403):
        why = f"{host} refuses to hand out {what} without an account or permission ({said})"
    elif status == 407:
        return (
            f"The proxy asks for a login ({said}): {what} was not downloaded. Set HTTPS_PROXY to "
            f"http://user:password@proxy:port and start the lab again. {by_hand(page)}"
        )
    else:
        why = f"{host} answers with something unexpected ({said})"
    return f"{why}: it was not downloaded. {by_hand(page)}"


def not_a_zip(start: bytes, host: str, what: str, page: str) -> str:
    """`start` is how the wrong content begins."""
    text = start[:1024].decode("utf-8", errors="replace").strip()
    if text[:1] == "<":
        title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
        named = f" ({title[1][:60]!r})" if title else ""
        return (
            f"A web page{named} arrived from {host} instead of {what}: this network may ask for a "
            f"login first, or the file has moved. Nothing was kept. {by_hand(page)}"
        )
    return (
        f"What arrived from {host} is not a zip file (it begins with {text[:20]!r}) and so cannot "
        f"be {what}. Nothing was kept. {by_hand(page)}"
    )


def broken_connection(error: requests.RequestException, *, read_seconds: float) -> str | None:
    """How a connection that stood was lost, or None when the error is of another kind."""
    import requests
    from urllib3.exceptions import ProtocolError, ReadTimeoutError

    cause = error.args[0] if error.args else None
    if isinstance(error, requests.ReadTimeout) or isinstance(cause, ReadTimeoutError):
        return f"sent nothing for {read_seconds:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "dropped the connection"
    if isinstance(error, requests.ConnectionError) and isinstance(cause, ProtocolError):
        return "dropped the connection"
    return None


def is_unreachable(error: requests.RequestException) -> bool:
    """Whether no connection came about (not: a wrong certificate, a proxy that says no)."""
    import requests

    other = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
    return isinstance(error, requests.ConnectionError) and not isinstance(error, other)


def not_reached(
    error: requests.RequestException, host: str, what: str, page: str, patience: Patience
) -> str:
    """For an error before the server answered."""
    import requests
    from urllib3.exceptions import NameResolutionError

    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"The certificate of {host} cannot be trusted from here: {what} was not downloaded. If "
            "this network inspects traffic, set REQUESTS_CA_BUNDLE to its certificate file; "
            f"otherwise check the computer's clock. {by_hand(page)}"
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return no_connection(
            host, "the proxy in HTTPS_PROXY cannot be reached or refuses", what, page
        )
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return (
            f"{host} sends the request round in circles: {what} was not downloaded. {by_hand(page)}"
        )
    if isinstance(error, requests.ConnectTimeout):
        return no_connection(host, f"no answer within {patience.connect_seconds:g} s", what, page)
    if not isinstance(error, requests.ConnectionError):
        return f"{what} could not be downloaded from {host} ({error}). {by_hand(page)}"
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, NameResolutionError):
        return no_connection(host, "its address could not be looked up", what, page)
    cause = getattr(reason, "__cause__", None)
    why = (getattr(cause, "strerror", None) or "the connection failed").lower()
    return no_connection(host, why, what, page)
