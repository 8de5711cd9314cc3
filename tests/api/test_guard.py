"""Who may ask: pages of this server, whoever has the token, and nobody else who would change
something."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from lab.api import guard
from lab.api.guard import Guard, api_token, host_name
from lab.cli.main import main

OWN = {"Origin": "http://localhost:8501", "Sec-Fetch-Site": "same-origin"}


async def _answer(request: Request) -> JSONResponse:
    return JSONResponse({"method": request.method})


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def server(*hosts: str) -> TestClient:
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    app = Starlette(
        routes=[Route("/", _answer, methods=methods), WebSocketRoute("/socket", _socket)],
        middleware=[Middleware(Guard, hosts=hosts)],
    )
    return TestClient(app, base_url="http://localhost:8501")


def ask(client: TestClient, method: str = "POST", **headers: str) -> int:
    answer = client.request(
        method, "/", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    if answer.status_code == 403:
        assert list(answer.json()) == ["error"]
    return answer.status_code


# --- reading --------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_needs_nothing(method: str) -> None:
    assert ask(server(), method) == 200
    assert ask(server(), method, Sec_Fetch_Site="same-origin") == 200
    assert ask(server(), method, Sec_Fetch_Site="none") == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_do_not_read_but_may_link(site: str) -> None:
    assert ask(server(), "GET", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors") == 403
    assert ask(server(), "GET", Sec_Fetch_Site=site, Sec_Fetch_Mode="cors") == 403
    assert ask(server(), "GET", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate") == 200


# --- writing --------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_page_of_this_server_may_write(method: str) -> None:
    assert ask(server(), method, **OWN) == 200
    assert ask(server(), method, Origin="http://localhost:8501") == 200, "a browser before 2020"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},  # a browser's write has an Origin
        {"Sec-Fetch-Site": "none", "Origin": "http://localhost:8501"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8501"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Origin": "null"},
        {"Origin": "null"},
        {"Origin": "http://localhost"},
        {"Origin": "http://localhost:8501.evil.example"},
        {"Origin": "localhost:8501"},
        {"Origin": "file://localhost:8501"},
        {"Origin": "null", "Host": ""},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic wrong"},
        {"Authorization": "Bearer \u00e9"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_others_may_not_write(headers: dict[str, str], method: str) -> None:
    encoded = {k: v.encode("latin-1") for k, v in headers.items()}
    answer = server().request(method, "/", headers=encoded)
    assert answer.status_code == 403
    assert "python -m lab api-token" in answer.json()["error"]


def test_the_token_opens_from_anywhere() -> None:
    bearer = f"Bearer {api_token()}"
    assert ask(server(), Authorization=bearer) == 200
    assert ask(server(), Authorization=bearer.replace("Bearer", "bearer")) == 200
    assert ask(server(), Authorization=bearer, Origin="https://evil.example") == 200
    assert ask(server(), "GET", Authorization=bearer, Sec_Fetch_Site="cross-site") == 200


# --- names ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("host", "may_write"),
    [
        ("localhost:8501", True),
        ("LOCALHOST:8501", True),
        ("lab.localhost", True),
        ("127.0.0.1:8501", True),
        ("[::1]:8501", True),
        ("192.168.1.7:8501", True),
        ("evil.example:8501", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
    ],
)
def test_dns_rebinding_cannot_write(host: str, may_write: bool) -> None:
    """A foreign name that suddenly leads here: to the browser its page is of this server."""
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    answer = server().post("/", headers=headers)
    assert (answer.status_code == 200) is may_write
    assert may_write or "LAB_HOSTS" in answer.json()["error"]


def test_the_machines_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Host": "gpubox:8501", "Origin": "http://gpubox:8501"}
    monkeypatch.setattr(guard.socket, "gethostname", lambda: "GPUbox")
    assert server().post("/", headers=headers).status_code == 200
    monkeypatch.setattr(guard.socket, "gethostname", lambda: "other")
    assert server().post("/", headers=headers).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_with_allowed_hosts_other_names_are_refused(method: str) -> None:
    client = server("lab.example.com", "*.uni.example", "::1")
    bearer = f"Bearer {api_token()}"

    def status(host: str) -> int:
        headers = {"Host": host, "Authorization": bearer}
        return client.request(method, "/", headers=headers).status_code

    for host in ("lab.example.com", "LAB.example.com:8501", "lab.example.com.", "a.uni.example",
                 "[::1]:8501"):  # fmt: skip
        assert status(host) == 200, host
    for host in ("localhost:8501", "uni.example", "lab.example.com.evil", "eviluni.example", "",
                 "[::1", "lab.example.com:port", "lab.example.com@evil", "a b"):  # fmt: skip
        assert status(host) == 403, host


def test_a_page_at_an_allowed_name_may_write() -> None:
    headers = {"Host": "lab.example.com", "Origin": "https://lab.example.com"}
    assert server("lab.example.com").post("/", headers=headers).status_code == 200
    assert server("*").post("/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("Localhost.:80", "localhost"),
        ("[2001:db8::1]:8501", "2001:db8::1"),
        ("a:b", ""),
        ("a/b", ""),
        ("x@y", ""),
        ("[::1", ""),
        ("a:99999", ""),
        ("", ""),
    ],
)
def test_host_names(header: str, name: str) -> None:
    assert host_name(header) == name


def test_websockets_pass_untouched() -> None:
    with server("lab.example.com").websocket_connect("/socket") as socket:
        assert socket.receive_text() == "hello"


# --- the token ------------------------------------------------------------------------------------
def test_the_token_is_kept_and_only_the_owner_reads_it(lab_home: Path) -> None:
    old = os.umask(0)
    try:
        token = api_token()
    finally:
        os.umask(old)
    assert len(token) > 40
    assert api_token() == token
    file = lab_home / "api-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [f.name for f in lab_home.iterdir()] == ["api-token"], "nothing half-written is left"


def test_all_that_begin_at_once_get_one_token(lab_home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: api_token(), range(32)))
    assert len(tokens) == 1


def test_an_empty_file_lets_nobody_in(lab_home: Path) -> None:
    lab_home.mkdir()
    (lab_home / "api-token").write_text("\n")
    assert ask(server(), Authorization="Bearer ") == 403
    assert len(api_token()) > 40


def test_the_variable_sets_another(monkeypatch: pytest.MonkeyPatch, lab_home: Path) -> None:
    monkeypatch.setenv("LAB_API_TOKEN", "mine")
    assert ask(server(), Authorization="Bearer mine") == 200
    assert not (lab_home / "api-token").exists()
    monkeypatch.setenv("LAB_API_TOKEN", " ")
    assert ask(server(), Authorization="Bearer ") == 403


def test_a_file_system_without_links(monkeypatch: pytest.MonkeyPatch, lab_home: Path) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(guard.os, "link", refuse)
    assert api_token() == api_token()
    assert stat.S_IMODE((lab_home / "api-token").stat().st_mode) == 0o600


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api-token"]) == 0
    assert capsys.readouterr().out == f"{api_token()}\n"
