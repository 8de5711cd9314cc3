"""The lab behind nginx as docs/nginx.conf has it: sign-in, a path, WebSocket, the event stream."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import free_port, missing

ROOT = Path(__file__).parents[2]
NAME = "lab.test"
SOON = 60_000
MINA = "mina:of the tests"


@pytest.fixture
def base(serve: Callable[..., str], tmp_path: Path) -> Iterator[str]:
    """The address of nginx; the lab is below /lab/."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        missing("nginx is not installed (apt-get install nginx-light)")
    lab = serve(ROOT / "streamlit_app.py", LAB_SHARED="open", LAB_HOSTS=NAME)
    port = free_port()
    (tmp_path / "htpasswd").write_text(MINA.replace(":", ":{PLAIN}") + "\n")
    text = (ROOT / "docs" / "nginx.conf").read_text(encoding="utf-8")
    for documented, here in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("http://127.0.0.1:8501/;", f"{lab}/;"),
        ("/etc/nginx/lab.htpasswd", str(tmp_path / "htpasswd")),
    ):
        assert text.count(documented) == 1, documented
        text = text.replace(documented, here)
    folders = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # The certificate goes: a test has none.
    text = "\n".join(line for line in text.splitlines() if "ssl_certificate" not in line)
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"{'user root;' if os.geteuid() == 0 else ''}"
        f"http {{ access_log off; {folders}{text} }}\n"
    )
    with subprocess.Popen(
        [nginx, "-e", f"{tmp_path}/error.log", "-c", f"{tmp_path}/nginx.conf"]
    ) as server:
        try:
            deadline = time.monotonic() + 20
            while server.poll() is None and time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            assert server.poll() is None, (tmp_path / "error.log").read_text()
            yield f"http://{NAME}:{port}"
        finally:
            server.terminate()


def _status(base: str, host: str, path: str, headers: dict[str, str], login: str = MINA) -> int:
    """What nginx answers to a request by that host name."""
    login = base64.b64encode(login.encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(base).port, timeout=20)
    with contextlib.closing(connection):
        headers = {"Host": host, "Authorization": f"Basic {login}", **headers}
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def test_the_lab_behind_nginx(base: str, chromium: Any) -> None:
    assert [_status(base, NAME, "/lab/", {}, login=login) for login in ("x:y", MINA)] == [401, 200]
    credentials = dict(zip(("username", "password"), MINA.split(":"), strict=True))
    # A browser of its own, in which the documented name leads to this machine.
    browser = chromium.browser.browser_type.launch(
        executable_path=os.environ.get("LAB_CHROMIUM", "/usr/bin/chromium"),
        args=["--no-sandbox", f"--host-resolver-rules=MAP {NAME} 127.0.0.1"],
    )
    try:
        page = browser.new_context(http_credentials=credentials).new_page()
        sockets, asked = list[str](), list[str]()
        page.on("websocket", lambda ws: sockets.append(ws.url))
        page.on("request", lambda r: asked.append(r.url))
        with page.expect_response(lambda r: "/lab/api/events?" in r.url, timeout=SOON) as stream:
            page.goto(f"{base}/lab")  # without its slash: led there
            status, run = page.evaluate(
                """async () => {
                    const config = { dataset: "drawn-signs", architecture: "sign-cnn", epochs: 1,
                                     subset_per_class: 20 }
                    const body = JSON.stringify({ config })
                    const answer = await fetch("/lab/api/runs", { method: "POST", body })
                    return [answer.status, (await answer.json()).id]
                }"""
            )
            assert status == 201
            page.goto(f"{base}/lab/train?run={run}")
        assert stream.value.headers["content-type"].startswith("text/event-stream")
        status = page.evaluate(
            """(run) => new Promise((done) => {
                const source = new EventSource(`/lab/api/runs/${run}/events`)
                source.onmessage = ({ data }) => {
                    const { status } = JSON.parse(data).run ?? {}
                    if (status === "completed") { source.close(); done(status) }
                }
                setTimeout(() => done("no end was heard of"), 60_000)
            })""",
            run,
        )
        assert status == "completed"
        page.get_by_text("Completed").first.wait_for(timeout=SOON)
        assert {urlsplit(each).path for each in sockets} == {"/lab/_stcore/stream"}
        paths = {urlsplit(each).path for each in asked if each.startswith("http")}
        assert [path for path in paths if path != "/lab" and not path.startswith("/lab/")] == []
        assert f"{base}/lab/api/runs" in page.evaluate(
            "async () => (await fetch('/lab/api/docs')).text()"
        )

        opened = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        opened["Sec-WebSocket-Key"] = base64.b64encode(bytes(16)).decode()
        assert _status(base, NAME, "/lab/_stcore/stream", opened) == 101
        assert _status(base, "evil.test", "/lab/_stcore/stream", opened) == 403
        assert _status(base, "evil.test", "/lab/api/runs", {}) == 403
    finally:
        browser.close()
