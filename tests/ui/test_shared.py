"""A server opens no further than its settings say, and a session's pictures go with it."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit import config
from streamlit.runtime.caching.ttl_cache import TTLCache
from streamlit.runtime.state import SessionState

from lab.errors import ConfigError
from lab.ui import shared
from lab.ui.shared import (
    add_hosts,
    check_sharing,
    end_forgotten_sessions,
    find_account,
    refuse_upload,
)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Any:
    """address("0.0.0.0") is where the server listens; address(value, option) sets another one."""
    options = {
        "server.port": 8501,
        "server.address": "127.0.0.1",
        "server.baseUrlPath": "",
        "server.allowedHosts": ["localhost", "127.0.0.1"],
    }
    monkeypatch.setattr(config, "get_option", lambda name: options[name])
    monkeypatch.setattr(
        config, "set_option", lambda name, value, where: options.update({name: value})
    )
    return lambda value, option="server.address": options.update({option: value})


@pytest.mark.parametrize("here", ["127.0.0.1", "localhost", "::1"])
def test_a_lab_for_one_listens_on_this_machine(
    here: str, address: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    address(here)
    check_sharing()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("elsewhere", [None, "", "0.0.0.0", "::", "192.168.1.7", "lab.school.org"])
def test_others_are_let_in_only_when_told(
    elsewhere: str | None, address: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    address(elsewhere)
    with pytest.raises(ConfigError, match=r"nobody would have to sign in\. Set LAB_SHARED"):
        check_sharing()
    for told in ("open", "class"):
        monkeypatch.setenv("LAB_SHARED", told)
        check_sharing()


def test_the_teachers_link_is_printed(
    address: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_SHARED", "class")
    monkeypatch.setenv("LAB_API_TOKEN", "secret")
    check_sharing()
    assert "http://127.0.0.1:8501/sign-in?token=secret" in capsys.readouterr().out


def test_other_names_are_added_and_let_nobody_in_unasked(
    address: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_HOSTS", "lab.school.org, *.example.org [fe80::1]")
    add_hosts()
    assert config.get_option("server.allowedHosts") == [
        "localhost", "127.0.0.1", "lab.school.org", "*.example.org", "fe80::1",
    ]  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"answers to the name 'lab.school.org' .* Set LAB_SHARED"
    ):
        check_sharing()
    monkeypatch.setenv("LAB_SHARED", "class")
    monkeypatch.setenv("LAB_API_TOKEN", "secret")
    address("0.0.0.0")
    check_sharing()
    assert "http://lab.school.org:8501/sign-in?token=secret" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["https://lab.school.org", "lab.school.org:8501", "lab.org/lab"])
def test_a_host_is_a_name_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOSTS", f"localhost,{name}")
    with pytest.raises(ConfigError, match=f"LAB_HOSTS has '{name}'; allowed are names"):
        add_hosts()


def test_a_prefix_is_the_proxys_business(address: Any) -> None:
    address("lab", "server.baseUrlPath")
    with pytest.raises(ConfigError, match=r"baseUrlPath is 'lab'.*docs/nginx.conf"):
        check_sharing()


def test_accounts_need_their_library(address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SHARED", "oidc")
    monkeypatch.setattr(shared, "is_authlib_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"authlib is not installed.*requirements-auth\.txt"):
        check_sharing()


def test_accounts_need_a_provider(address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SHARED", "oidc")
    monkeypatch.setattr(shared, "get_secrets_auth_section", dict)
    with pytest.raises(ConfigError, match=r"secrets.toml has no \[auth\]"):
        check_sharing()
    monkeypatch.setattr(shared, "get_secrets_auth_section", lambda: {"client_id": "x"})
    monkeypatch.setattr(shared, "get_cookie_secret", lambda: "")
    with pytest.raises(ConfigError, match="has no cookie_secret"):
        check_sharing()


@pytest.mark.parametrize("cookies", [{}, {"_streamlit_user": "x"}, {"_streamlit_user": "a|b|c"}])
def test_no_account_is_read_from_a_cookie_that_streamlit_did_not_sign(
    cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "get_cookie_secret", lambda: "secret")
    assert find_account(cookies) is None


# --- pictures in memory ---------------------------------------------------------------------------
@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Any:
    storage: dict[str, dict[str, Any]] = defaultdict(dict)
    one = SimpleNamespace(
        _uploaded_file_mgr=SimpleNamespace(file_storage=storage),
        is_active_session=lambda session: True,
    )
    monkeypatch.setattr(shared, "get_instance", lambda: one)
    monkeypatch.setattr(shared, "_sessions", {})
    return one


def test_a_visitors_tabs_count_together(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_MAX_SESSION_MB", "1")
    files = runtime._uploaded_file_mgr.file_storage
    assert refuse_upload("tab-1", "mina", 600_000) == ""
    files["tab-1"]["f"] = SimpleNamespace(data=b"x" * 600_000)
    assert refuse_upload("tab-2", "mina", 400_000) == ""
    assert "Your pictures fill 1 MB" in refuse_upload("tab-2", "mina", 400_001)
    assert refuse_upload("tab-3", "tom", 400_001) == ""
    monkeypatch.setenv("LAB_MAX_SESSION_FILES", "1")
    assert "or 1 files" in refuse_upload("tab-2", "mina", 1)


def left_session(name: str, ended: list[str]) -> Any:
    """What Streamlit stores of a session; `end_forgotten_sessions` frees its state."""
    state = SessionState()
    state["classify_uploads"] = b"pictures"
    metadata: Any = b"a callback that holds pictures"
    state._new_widget_state.widget_metadata["button"] = metadata
    session = SimpleNamespace(shutdown=lambda: ended.append(name), session_state=state)
    return SimpleNamespace(session=session)


def test_a_session_that_nobody_comes_back_to_ends_and_holds_nothing() -> None:
    now, ended = [0.0], list[str]()
    cache: Any = TTLCache(maxsize=9, ttl=120, timer=lambda: now[0])
    end_forgotten_sessions(cache)
    cache["left"] = left = left_session("left", ended)
    now[0] = 119
    cache.expire()
    assert ended == []
    now[0] = 121
    cache.expire()
    assert ended == ["left"]
    assert "classify_uploads" not in left.session.session_state
    assert not left.session.session_state._new_widget_state.widget_metadata


def test_streamlit_forgets_no_session_that_is_not_ended() -> None:
    now, ended = [0.0], list[str]()
    cache: Any = TTLCache(maxsize=2, ttl=120, timer=lambda: now[0])
    end_forgotten_sessions(cache)
    for name in ("first", "second", "third"):  # one more than it keeps
        cache[name] = left_session(name, ended)
    assert ended == ["first"]
    now[0] = 121
    cache["fourth"] = left_session("fourth", ended)  # another visitor leaves
    assert ended == ["first", "second", "third"]
    del cache["fourth"]  # and comes back
    assert ended == ["first", "second", "third"]
