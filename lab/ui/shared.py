"""What a server that several people use needs of Streamlit: checks at the start, accounts, and
pictures in memory that go with their session."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from streamlit import config
from streamlit.auth_util import (
    get_cookie_with_chunks,
    get_secrets_auth_section,
    is_authlib_installed,
)
from streamlit.runtime import get_instance
from streamlit.user_info import generate_login_redirect_url
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

from lab.api.sign_in import teachers_link
from lab.data.person_quota import QUOTA
from lab.errors import ConfigError
from lab.home import quota_bytes
from lab.installation import how_to_install_extra
from lab.limits import MEMORY_FILES, MEMORY_MEGABYTES, check_limits, limit
from lab.people import SHARED_VARIABLE, Person, has_sign_in, others_hidden, sharing
from lab.process import trim_memory
from lab.runs.listeners.kinds import chosen
from lab.runs.members import sign_in_account
from lab.runs.store import store

log = logging.getLogger(__name__)

ADMINS_VARIABLE = "LAB_ADMINS"
HOSTS_VARIABLE = "LAB_HOSTS"
SWEEP_SECONDS = 20.0


# --- the start ------------------------------------------------------------------------------------
def add_hosts() -> None:
    """Adds the names of LAB_HOSTS to those that this server answers to, pages and API alike.

    Raises ConfigError for what is no name.
    """
    names = os.environ.get(HOSTS_VARIABLE, "").replace(",", " ").split()
    for name in names:
        if not re.fullmatch(r"\*|(\*\.)?[\w.-]+|\[[0-9a-fA-F:.]+\]", name, re.ASCII):
            raise ConfigError(
                f"{HOSTS_VARIABLE} has {name!r:.80}; allowed are names and addresses without "
                "scheme, port or path, such as lab.school.org, separated by commas. *.school.org "
                "stands for all that end so."
            )
    if names:
        known = config.get_option("server.allowedHosts")
        names = [*known, *(name.strip("[]") for name in names)]
        config.set_option("server.allowedHosts", names, f"environment variable {HOSTS_VARIABLE}")


def check_sharing() -> None:
    """Raises ConfigError where this server would let in more people than it was told to, or another
    setting of the environment is wrong."""
    check_limits()
    chosen()
    quota_bytes()
    quota_bytes(QUOTA)
    others_hidden()
    if prefix := config.get_option("server.baseUrlPath"):
        raise ConfigError(
            f"server.baseUrlPath is {prefix!r:.80}; the lab's own addresses do not know it. Leave "
            "it empty, and let the proxy take the prefix off: docs/nginx.conf shows how."
        )
    address = config.get_option("server.address") or ""
    hosts = [name for name in config.get_option("server.allowedHosts") if not _is_loopback(name)]
    if not sharing() and (hosts or not _is_loopback(address)):
        why = f"server.address is {address or 'every address'!r}"
        if _is_loopback(address):
            why = f"This server answers to the name {hosts[0]!r:.80} ({HOSTS_VARIABLE})"
        raise ConfigError(
            f"{why}, so others could use this lab, and nobody would have to sign in. Set "
            f"{SHARED_VARIABLE} to class (a code for pupils) or oidc (accounts), or to open if "
            "everybody who reaches it may do everything, as where a proxy asks who comes in."
        )
    if sharing() == "oidc":
        if not is_authlib_installed():
            raise ConfigError(
                f"{SHARED_VARIABLE} is oidc, and authlib is not installed, or is too old. Run "
                f"{how_to_install_extra('auth')}, or set {SHARED_VARIABLE} to class."
            )
        if not get_secrets_auth_section():
            raise ConfigError(
                f"{SHARED_VARIABLE} is oidc, and Streamlit's secrets.toml has no [auth] with the "
                "identity provider; docs/SHARED.md shows one."
            )
        if not get_cookie_secret():
            raise ConfigError("The [auth] of secrets.toml has no cookie_secret; write one there.")
    if has_sign_in():
        host = "localhost" if address in ("", "0.0.0.0", "::") else address
        if not _is_loopback(address) and hosts and "*" not in hosts[0]:
            host = hosts[0]
        link = teachers_link(f"http://{host}:{config.get_option('server.port')}")
        print(f"\n  This lab is shared. Your own link, for nobody else:\n  {link}\n", flush=True)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


# --- accounts -------------------------------------------------------------------------------------
def provider_link() -> str:
    """Returns the address at which the identity provider of secrets.toml asks who it is."""
    return generate_login_redirect_url("default")


def find_account(cookies: Mapping[str, str]) -> Person | None:
    """Returns who has signed in by Streamlit's `st.login`, by its own signed cookie."""

    def read(name: str) -> bytes | None:
        value = cookies.get(name)
        if value is None:
            return None
        return decode_signed_value(get_cookie_secret(), name, value.encode("latin-1"))

    user = _user(get_cookie_with_chunks(read, "_streamlit_user"))
    subject, issuer = str(user.get("sub", "")), str(user.get("iss", user.get("origin", "")))
    if not user.get("is_logged_in") or not subject:
        return None
    email = str(user.get("email", "")).casefold()
    admins = {one.strip().casefold() for one in os.environ.get(ADMINS_VARIABLE, "").split(",")}
    # An address that its provider has not checked could be anybody's.
    is_admin = bool(email) and email in admins and user.get("email_verified") is True
    name = str(user.get("name") or email or subject)
    return sign_in_account(store(), f"{issuer} {subject}", name, "admin" if is_admin else "member")


def _user(cookie: bytes | None) -> dict[str, Any]:
    try:
        values = json.loads(cookie or b"{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


# --- pictures in memory ---------------------------------------------------------------------------
_sessions: dict[str, str] = {}
"""Session -> its visitor, of those that have uploaded something."""
_guard = threading.Lock()


def refuse_upload(session: str, visitor: str, byte_count: int) -> str:
    """Returns why the visitor may not upload another picture of so many bytes, or "": all their
    tabs count."""
    uploads: Any = get_instance()._uploaded_file_mgr
    most_bytes, most_files = limit(MEMORY_MEGABYTES) * 1_000_000, limit(MEMORY_FILES)
    with _guard:
        _sessions[session] = visitor
        for each in [each for each in _sessions if not get_instance().is_active_session(each)]:
            if each != session and each not in uploads.file_storage:
                del _sessions[each]
        mine = [each for each, whose in _sessions.items() if whose == visitor]
    files = [file for each in mine for file in (*uploads.file_storage.get(each, {}).values(),)]
    if len(files) >= most_files or sum(len(f.data) for f in files) + byte_count > most_bytes:
        return (
            f"Your pictures fill {most_bytes / 1e6:,.0f} MB or {most_files:,} files of this lab's "
            "memory, the most allowed; remove some or close other tabs."
        )
    return ""


async def end_left_sessions() -> None:
    """Ends the sessions that nobody has come back to, for ever: Streamlit forgets them, and only
    when another one is left, without freeing what they hold."""
    cache: Any = get_instance()._session_mgr._session_storage._cache  # type: ignore[attr-defined]
    end_forgotten_sessions(cache)
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            cache.expire()
        except Exception:
            log.exception("sessions that were left could not be ended")


def end_forgotten_sessions(cache: Any) -> None:
    """Has Streamlit's cache of sessions that were left end what it forgets: those that have been
    away for too long, and the oldest of too many."""
    expire, evict = cache.expire, cache._evict_lru

    def expire_and_end(at_time: float | None = None) -> list[tuple[str, Any]]:
        forgotten: list[tuple[str, Any]] = expire(at_time)
        _end_sessions([info.session for _, info in forgotten])
        return forgotten

    def evict_and_end(reason: str) -> Any:
        info = evict(reason)
        _end_sessions([info.session])
        return info

    cache.expire, cache._evict_lru = expire_and_end, evict_and_end


def _end_sessions(sessions: Sequence[Any]) -> None:
    for session in sessions:
        session.shutdown()
        # A session is a knot of references, and one that was there when the imports were frozen
        # (`lab.process.freeze_imports`) is never untied: so its pictures are let go here. The
        # callbacks of its buttons hold them, too, and `clear` leaves these.
        session.session_state.clear()
        session.session_state._new_widget_state.widget_metadata.clear()
    if sessions:
        trim_memory()
