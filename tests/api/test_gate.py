"""The gate before pages and API: who comes in, how often, and what every answer tells browsers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from lab.api.gate import HEADERS, Gate, policy, script_hashes
from lab.api.guard import api_token
from lab.api.limits import Buckets
from lab.api.routes import routes
from lab.api.sign_in import (
    COOKIE,
    class_code,
    join_link,
    link_back,
    sign_in_routes,
    teachers_link,
)
from lab.api.topics import hub
from lab.errors import ConfigError, NotAllowedError
from lab.limits import check_limits
from lab.people import Person, acting_as, current_person
from lab.runs.members import members, remove_member
from lab.runs.store import Store, store
from tests.runs.fakes import CONFIG

BASE = "http://localhost:8501"
OWN = {"Origin": BASE, "Sec-Fetch-Site": "same-origin"}
PAGE = {"Accept": "text/html"}

Visit = Callable[..., TestClient]


def _who(request: Request) -> JSONResponse:
    return JSONResponse({"name": current_person().name, "role": current_person().role})


async def _static(request: Request) -> PlainTextResponse:
    return PlainTextResponse("code", headers={"Access-Control-Allow-Origin": "*"})


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    async for data in socket.iter_bytes():
        await socket.send_bytes(data)


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Visit:
    """visit(shared="class", name="Mina") -> a browser of its own, signed in where it has a name."""
    monkeypatch.setattr("lab.api.sign_in._FRESH_SECONDS", 0.0)
    shell = Starlette(
        routes=[
            *sign_in_routes(lambda: "/auth/login?provider=x"),
            Route("/who", _who),
            Route("/static/code.js", _static),
            Route("/_stcore/metrics", _static),
            Route("/_stcore/upload_file/s/f", _who, methods=["PUT"]),
            WebSocketRoute("/_stcore/stream", _socket),
            *routes(),
        ],
        middleware=[
            Middleware(
                Gate,
                refuse_upload=lambda session, visitor, size: "Too full." if size > 10 else "",
            )
        ],
    )

    def visit(shared: str = "class", name: str = "") -> TestClient:
        monkeypatch.setenv("LAB_SHARED", shared)
        browser = TestClient(shell, base_url=BASE, headers=OWN, follow_redirects=False)
        if name:
            answer = browser.post("/sign-in", data={"code": class_code(), "name": name})
            assert answer.status_code == 303, answer.text
        return browser

    return visit


# --- coming in ------------------------------------------------------------------------------------
def test_a_lab_for_one_person_asks_nobody(visit: Visit) -> None:
    assert visit("").get("/who").json() == {"name": "Teacher", "role": "admin"}


def test_a_stranger_is_led_to_the_card_and_a_program_told(visit: Visit) -> None:
    stranger = visit()
    answer = stranger.get("/train?epochs=3", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (
        303, "/sign-in?next=/train%3Fepochs%3D3",
    )  # fmt: skip
    for prefix, start in (("/lab/", "/lab"), ("//evil.example", ""), ("/lab/../x y", "")):
        answer = stranger.get("/", headers={**PAGE, "X-Forwarded-Prefix": prefix})
        assert answer.headers["location"] == f"{start}/sign-in"
    for path in ("/who", "/static/code.js", "/api/runs", "/api/docs"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.json()) == (
            401, {"error": "Sign in first, at /sign-in."},
        )  # fmt: skip
    with pytest.raises(WebSocketDisconnect), stranger.websocket_connect("/_stcore/stream"):
        pass


def test_a_pupil_opens_the_link_chooses_a_name_and_is_in(visit: Visit, runs: Store) -> None:
    pupil = visit()
    card = pupil.get(join_link(BASE, "/train?epochs=3"))
    assert "Your name" in card.text
    answer = pupil.post(
        "/sign-in", data={"code": class_code().lower(), "name": " 미나 ", "next": "/train?epochs=3"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/train?epochs=3")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Max-Age=7776000"))
    assert pupil.get("/who").json() == {"name": "미나", "role": "member"}
    with pupil.websocket_connect("ws://localhost:8501/_stcore/stream"):
        pass
    assert [each.person.name for each in members(runs)] == ["미나"]


def test_a_code_is_typed_first_where_there_is_no_link(visit: Visit) -> None:
    pupil = visit()
    assert "Class code" in pupil.get("/sign-in").text
    assert "Your name" in pupil.post("/sign-in", data={"code": class_code()}).text
    for answer in (
        pupil.post("/sign-in", data={"code": "WRONG-CODE", "name": "Mina"}),
        pupil.get("/sign-in?code=WRONG-CODE"),
        pupil.post("/sign-in", content="x" * 5000),
    ):
        assert answer.status_code == 403
        assert "does not fit" in answer.text
        assert "set-cookie" not in answer.headers


def test_two_of_one_name_are_told_and_are_two(visit: Visit, runs: Store) -> None:
    visit(name="Mina")
    second = visit()
    answer = second.post("/sign-in", data={"code": class_code(), "name": "mina"})
    assert answer.status_code == 409
    assert "There is a mina already" in answer.text
    assert 'value="mina 2"' in answer.text
    visit(name="mina 2")
    answer = visit().post("/sign-in", data={"code": class_code(), "name": "teacher"})
    assert "There is a teacher already" in answer.text
    first, other = members(runs)
    assert first.person.id != other.person.id


def test_who_is_in_goes_on_from_another_link_without_a_new_name(visit: Visit, runs: Store) -> None:
    pupil = visit(name="Mina <b>")
    link = join_link(BASE, "/train?assignment=a-1")
    text = pupil.get(link).text
    assert 'href="./train?assignment=a-1">Go on as <bdi>Mina &lt;b&gt;</bdi>' in text
    assert "Your name" in text  # a pupil beside them at the same computer
    assert 'href="./">' in pupil.get(join_link(BASE)).text
    assert "Go on as" not in visit().get(link).text
    assert len(members(runs)) == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 31, "\u202e\u200b"])
def test_what_is_no_name_is_refused(visit: Visit, name: str) -> None:
    answer = visit().post("/sign-in", data={"code": class_code(), "name": name})
    assert answer.status_code == 400
    assert re.search("A name (has 1 to 30 characters|must not hold)", answer.text)


def test_a_name_is_text_on_the_cards(visit: Visit) -> None:
    pupil = visit(name="<img src=x onerror=1>")
    assert "<img" not in pupil.get("/sign-out").text
    answer = visit().post("/sign-in", data={"code": class_code(), "name": "<IMG src=x onerror=1>"})
    assert "<IMG" not in answer.text


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_no_link_leads_to_another_site(visit: Visit, then: str) -> None:
    answer = visit().post("/sign-in", data={"code": class_code(), "name": "Mina", "next": then})
    assert answer.headers["location"] == "/"


def test_another_sites_form_signs_nobody_in_or_out(visit: Visit) -> None:
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    pupil = visit(name="Mina")
    for path in ("/sign-in", "/sign-out"):
        answer = pupil.post(path, data={"code": class_code(), "name": "Tom"}, headers=foreign)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_the_teachers_link_is_of_the_token_and_ends_with_it(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = visit()
    assert teacher.get(teachers_link(BASE)).status_code == 303
    assert teacher.get("/who").json()["role"] == "admin"
    assert visit().get("/sign-in?token=wrong").status_code == 403
    monkeypatch.setenv("LAB_API_TOKEN", "another")
    assert teacher.get("/who").status_code == 401


def test_a_forged_or_old_cookie_is_a_strangers(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil = visit(name="Mina")
    cookie = pupil.cookies[COOKIE]
    for forged in (cookie[:-2], "x", "", f"A{cookie}", "a.b.c"):
        stranger = visit()
        stranger.headers["Cookie"] = f"{COOKIE}={forged}"
        assert stranger.get("/who").status_code == 401
    monkeypatch.setattr("lab.api.sign_in.COOKIE_SECONDS", -1)
    assert pupil.get("/who").status_code == 401


def test_signing_out_takes_the_cookie(visit: Visit) -> None:
    pupil = visit(name="Mina")
    assert "You are signed in as Mina" in pupil.get("/sign-out").text
    assert pupil.get("/who").status_code == 200
    pupil.post("/sign-out")
    assert pupil.get("/who").status_code == 401


def test_who_is_removed_is_out_and_a_link_lets_back_in(visit: Visit, runs: Store) -> None:
    pupil = visit(name="Mina")
    (mina,) = members(runs)
    other_device = visit()
    assert other_device.get(link_back(BASE, mina.person)).status_code == 303
    assert other_device.get("/who").json()["name"] == "Mina"
    with acting_as(mina.person), pytest.raises(NotAllowedError):
        remove_member(runs, mina.person.id)
    with acting_as(mina.person), pytest.raises(NotAllowedError):
        link_back(BASE, mina.person)
    link = link_back(BASE, mina.person)
    remove_member(runs, mina.person.id)
    assert pupil.get("/who").status_code == other_device.get("/who").status_code == 401
    assert visit().get(link).status_code == 403


def test_accounts_are_offered_one_button_and_no_code(visit: Visit) -> None:
    visit("class")
    code = class_code()
    stranger = visit("oidc")
    assert 'href="auth/login?provider=x"' in stranger.get("/sign-in").text
    answer = stranger.post("/sign-in", data={"code": code, "name": "Mina"})
    assert answer.status_code == 403


# --- what members may do over the API -------------------------------------------------------------
def test_the_api_asks_the_same_rule_as_the_pages(visit: Visit) -> None:
    mina, tom = visit(name="Mina"), visit(name="Tom")
    with acting_as(members(store())[0].person):
        run_id = store().create_run(CONFIG, status="paused")
    assert tom.get(f"/api/runs/{run_id}").json()["person_name"] == "Mina"
    answer = tom.post(f"/api/runs/{run_id}/stop")
    assert (answer.status_code, answer.json()["error"]) == (
        403, f"Run {run_id} belongs to 'Mina'; you may look at it, and cannot change it.",
    )  # fmt: skip
    assert mina.post(f"/api/runs/{run_id}/stop").status_code == 200
    token = {"Authorization": f"Bearer {api_token()}"}
    assert visit().get("/api/runs", headers=token).status_code == 200


# --- how often ------------------------------------------------------------------------------------
def test_a_bucket_fills_in_a_minute() -> None:
    now = [0.0]
    buckets = Buckets(("LAB_MAX_REQUESTS", 3), clock=lambda: now[0])
    assert [buckets.take("mina") for _ in range(4)] == [0, 0, 0, pytest.approx(20)]
    assert buckets.take("tom") == 0
    now[0] = 20.1
    assert (buckets.take("mina"), buckets.take("mina") > 0) == (0, True)


def test_a_member_who_asks_too_often_is_told_when_to_come_back(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_MAX_REQUESTS", "2")
    mina, tom = visit(name="Mina"), visit(name="Tom")
    assert [mina.get("/api/datasets").status_code for _ in range(3)] == [200, 200, 429]
    assert mina.get("/api/datasets").headers["Retry-After"] == "30"
    assert tom.get("/api/datasets").status_code == 200
    assert [visit("").get("/api/datasets").status_code for _ in range(3)] == [200, 200, 200]


def test_a_limit_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_MAX_REQUESTS", "many")
    with pytest.raises(ConfigError, match="LAB_MAX_REQUESTS is 'many'"):
        check_limits()


def test_codes_are_not_tried_for_ever(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_MAX_SIGN_INS", "2")
    stranger = visit()
    codes = [stranger.post("/sign-in", data={"code": f"TRY-{n}"}).status_code for n in range(3)]
    assert codes == [403, 403, 429]
    other = visit()
    assert other.get("/sign-in").status_code == 200
    codes = [other.get(f"/sign-in?code=TRY-{n}").status_code for n in range(3)]
    assert codes[-1] == 429


def test_pictures_beyond_the_limit_are_refused_before_they_come(visit: Visit) -> None:
    one = visit("")
    assert one.put("/_stcore/upload_file/s/f", content=b"x" * 10).status_code == 200
    answer = one.put("/_stcore/upload_file/s/f", content=b"x" * 11)
    assert (answer.status_code, answer.json()["error"]) == (413, "Too full.")
    assert one.put("/_stcore/upload_file/s/f", content=iter([b"x"])).status_code == 411


# --- what browsers are told -----------------------------------------------------------------------
def test_every_answer_has_the_headers(visit: Visit) -> None:
    for browser, path in ((visit(""), "/static/code.js"), (visit(), "/who"), (visit(), "/sign-in")):
        headers = browser.get(path).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert "access-control-allow-origin" not in headers
        assert "frame-ancestors" in headers["content-security-policy"]


def test_the_pages_run_no_script_but_the_servers_own_and_those_in_its_shell() -> None:
    hashes = script_hashes('<script>\n  a = 1\n</script><script src="x.js"></script>')
    assert hashes == ("'sha256-nHiJsB1GRX6Ku2XBkWKVt2F3CJiowPuMwhcJv+CWmC0='",)
    rules = dict(rule.split(" ", 1) for rule in policy("lab.org:8501", hashes).split("; "))
    assert rules["script-src"] == f"'self' 'wasm-unsafe-eval' blob: {hashes[0]}"
    assert "ws://lab.org:8501" in rules["connect-src"]
    assert "evil" not in policy("x; script-src evil")


def test_a_shared_lab_shows_no_metrics(visit: Visit) -> None:
    assert visit("").get("/_stcore/metrics").status_code == 200
    assert visit("open").get("/_stcore/metrics").status_code == 404
    assert visit(name="Mina").get("/_stcore/metrics").status_code == 404


def test_nobody_acts_after_the_request(visit: Visit) -> None:
    assert visit(name="Mina").get("/who").json()["role"] == "member"
    assert current_person() == Person("", "Teacher", "admin")


def test_a_person_has_only_so_many_pages_open(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_MAX_PAGES", "1")
    address = "ws://localhost:8501/_stcore/stream"
    mina, tom = visit(name="Mina"), visit(name="Tom")
    with mina.websocket_connect(address):
        with pytest.raises(WebSocketDenialResponse) as refused, mina.websocket_connect(address):
            pass
        assert refused.value.status_code == 429
        assert refused.value.json()["error"].startswith("You have 1 pages of this lab open")
        with tom.websocket_connect(address):  # another one
            pass
    with mina.websocket_connect(address):  # once the other page is closed
        pass
    teacher = visit()
    teacher.get(teachers_link(BASE))
    with teacher.websocket_connect(address), teacher.websocket_connect(address):
        pass
    alone = visit("")
    with alone.websocket_connect(address), alone.websocket_connect(address):
        pass


@pytest.mark.parametrize("shared", ["class", "open"])
def test_a_flood_of_messages_of_one_visitor_waits_and_none_is_lost(
    visit: Visit, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        monkeypatch.setenv("LAB_MAX_CLICKS", "1000")  # a minute later
        await asyncio.sleep(0.07)

    monkeypatch.setattr("lab.api.gate.sleep", sleep)
    monkeypatch.setenv("LAB_MAX_CLICKS", "2")
    pupil = visit(shared, "Mina" if shared == "class" else "")
    with pupil.websocket_connect("ws://localhost:8501/_stcore/stream") as socket:
        for number in range(3):
            socket.send_bytes(bytes([number]))
        assert [socket.receive_bytes() for _ in range(3)] == [b"\0", b"\1", b"\2"]
    assert 25 < waits[0] <= 30


@pytest.mark.parametrize("shared", ["class", "open"])
def test_one_visitor_does_not_hold_all_event_streams(
    visit: Visit, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_MAX_STREAMS", "2")
    mina = visit(shared, "Mina" if shared == "class" else "")
    whose = members(store())[0].person.id if shared == "class" else "testclient"
    hers = [object(), object()]
    monkeypatch.setattr(hub, "_all", dict.fromkeys(hers, whose))
    run = store().create_run(CONFIG)
    paths = (f"/api/runs/{run}/events", f"/api/events?topic=run:{run}")
    for path in paths:
        answer = mina.head(path)
        assert answer.status_code == 503, answer.text
    assert (
        "already, the most that one person may (LAB_MAX_STREAMS)" in mina.get(path).json()["error"]
    )
    if shared == "class":
        assert visit(name="Tom").head(path).status_code == 200
    monkeypatch.setattr(hub, "_all", {hers[0]: whose, object(): "somebody else"})
    assert mina.head(path).status_code == 200


def test_a_stream_counts_for_its_viewer_while_it_is_open() -> None:
    async def watch() -> None:
        stream = hub.stream([("run:r-none", "")], "p-1")
        await anext(stream)
        assert (hub.viewers_of("p-1"), hub.viewers_of("p-2")) == (1, 0)
        await stream.aclose()
        assert hub.viewers_of("p-1") == 0

    asyncio.run(watch())
