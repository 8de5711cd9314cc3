"""Sign-in by an identity provider, through Streamlit's own routes and the lab's gate, with a small
provider that the test starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import auth_util
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.starlette.starlette_app import create_streamlit_middleware
from streamlit.web.server.starlette.starlette_auth_routes import create_auth_routes

from lab.api.gate import Gate
from lab.api.sign_in import COOKIE, sign_in_routes
from lab.people import current_person
from lab.runs.members import members
from lab.runs.store import close_stores, store
from lab.ui.shared import find_account, provider_link

from .oidc_provider import Provider, provider

pytest.importorskip("authlib")

BASE = "http://localhost:8501"


@pytest.fixture(scope="module")
def accounts() -> Iterator[Provider]:
    with provider() as one:
        yield one


@pytest.fixture
def lab(accounts: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starlette]:
    """Streamlit's sign-in, the lab's gate, and one address that tells who asks."""
    monkeypatch.setenv("LAB_SHARED", "oidc")
    secrets = {
        "auth": {
            "redirect_uri": f"{BASE}/oauth2callback",
            "cookie_secret": "a secret of at least thirty-two characters",
            "client_id": "lab",
            "client_secret": "lab's",
            "server_metadata_url": f"{accounts.url}/.well-known/openid-configuration",
        }
    }
    monkeypatch.setattr(secrets_singleton, "_secrets", secrets)
    monkeypatch.setattr(secrets_singleton, "load_if_toml_exists", lambda: True)
    assert auth_util.get_secrets_auth_section()

    def who(request: Request) -> JSONResponse:
        person = current_person()
        return JSONResponse({"id": person.id, "name": person.name, "role": person.role})

    yield Starlette(
        routes=[*sign_in_routes(provider_link), *create_auth_routes(""), Route("/", who)],
        middleware=[Middleware(Gate, find_account=find_account), *create_streamlit_middleware()],
    )
    close_stores()


def sign_in(lab: Starlette, accounts: Provider, **claims: Any) -> TestClient:
    """Follows a browser's way: the lab's card, the provider, back to the lab."""
    import httpx

    accounts.claims = claims
    browser = TestClient(
        lab, base_url=BASE, headers={"Accept": "text/html"}, follow_redirects=False
    )
    assert browser.get("/").headers["location"] == "/sign-in"
    card = browser.get("/sign-in").text
    link = card.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    there = browser.get(link).headers["location"]
    assert there.startswith(accounts.url)
    back = httpx.get(there).headers["location"]
    answer = browser.get(f"{urlsplit(back).path}?{urlsplit(back).query}")
    assert answer.status_code in (302, 303), answer.text
    assert browser.get("/").status_code == 303  # the lab's own cookie comes with this answer
    return browser


def test_an_account_is_one_person_each_time(
    lab: Starlette, accounts: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In one second: then both sign-ins end in the same cookie.
    monkeypatch.setattr("itsdangerous.TimestampSigner.get_timestamp", lambda _: 1_800_000_000)
    first = sign_in(lab, accounts, sub="1", name="미나", email="mina@school.org").get("/").json()
    again = (
        sign_in(lab, accounts, sub="1", name="Mina Kim", email="mina@school.org").get("/").json()
    )
    other = sign_in(lab, accounts, sub="2", name="미나").get("/").json()
    assert (first["name"], again["name"], first["role"]) == ("미나", "Mina Kim", "member")
    assert first["id"] == again["id"] != other["id"]
    assert len(members(store())) == 2


@pytest.mark.parametrize(
    ("verified", "role"), [(True, "admin"), (False, "member"), (None, "member")]
)
def test_an_admin_is_named_by_an_address_that_the_provider_has_checked(
    lab: Starlette,
    accounts: Provider,
    verified: bool | None,
    role: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_ADMINS", "head@school.org, Teacher@school.org")
    claims = {} if verified is None else {"email_verified": verified}
    teacher = sign_in(lab, accounts, sub="9", name="T", email="teacher@School.org", **claims)
    assert teacher.get("/").json()["role"] == role


def test_without_the_provider_nobody_comes_in(lab: Starlette, accounts: Provider) -> None:
    stranger = TestClient(lab, base_url=BASE, follow_redirects=False)
    stranger.headers["Cookie"] = "_streamlit_user=forged"
    assert stranger.get("/").status_code == 401
    signed_in = sign_in(lab, accounts, sub="1", name="Mina")
    signed_in.headers["Origin"] = BASE
    assert signed_in.post("/sign-out").headers["location"] == "/auth/logout"
    signed_in.get("/auth/logout")
    assert COOKIE not in signed_in.cookies
    assert signed_in.get("/").headers["location"] == "/sign-in"
