"""Who a request comes from: signed cookies, and the pages that give them and take them away.

    a class      /sign-in?code=ABCD-2345   a name, one button        -> cookie of a new member
    accounts     /sign-in                  one button, the provider  -> cookie of that account
    the teacher  /sign-in?token=...        printed when the lab starts -> cookie of the operator
    back again   /sign-in?again=...        a link that the teacher hands to one member

A cookie holds an id and a signature by a key in LAB_HOME; name and role are in the database, so
who was removed there is out. No password is kept anywhere.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from lab.api.guard import api_token, is_from_own_page
from lab.api.sign_in_page import POLICY, button_card, code_card, name_card
from lab.errors import LabError
from lab.people import OPERATOR, Person, require_admin, sharing
from lab.runs.members import NameTakenError, join, member
from lab.runs.store import store
from lab.secret_file import secret_file

COOKIE = "epochlab"
COOKIE_SECONDS = 90 * 24 * 3600
AGAIN_SECONDS = 24 * 3600
"""How long a link back holds."""

CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""None that looks like another one."""

MOST_FORM_BYTES = 4000

_FRESH_SECONDS = 2.0
_people: dict[str, tuple[Person | None, float]] = {}
"""Cookie -> whose it is and when that was read: a page asks a hundred times."""

_FOREIGN = "This form was not the lab's own; use this one."


# --- secrets --------------------------------------------------------------------------------------
def class_code(*, renewed: bool = False) -> str:
    """Returns the code that lets somebody join, such as "K7QM-3XNR"; `renewed`: another one."""
    return secret_file("class-code", _new_code, renewed=renewed)


def renew_class_code() -> str:
    """Makes the code of before worthless, for the admin; who has joined stays."""
    require_admin("A new class code")
    return class_code(renewed=True)


def join_link(base: str, then: str = "") -> str:
    """Returns the link that a teacher hands out; `then` is the page that it leads to, such as
    "/train?epochs=3"."""
    return f"{base}/sign-in?{urlencode({'code': class_code()} | ({'next': then} if then else {}))}"


def link_back(base: str, person: Person) -> str:
    """Returns a link by which a member gets in again, on any device, for a day; for the admin."""
    require_admin("A link back")
    return f"{base}/sign-in?{urlencode({'again': _signer('again').dumps(person.id)})}"


def teachers_link(base: str) -> str:
    """Returns the operator's own link. Whoever has it may do everything."""
    return f"{base}/sign-in?{urlencode({'token': api_token()})}"


def person_of(cookies: Mapping[str, str]) -> Person | None:
    """Returns who these cookies are of, as of some seconds ago; None for a stranger."""
    cookie = cookies.get(COOKIE, "")
    if not cookie:
        return None
    now = time.monotonic()
    person, since = _people.get(cookie, (None, -_FRESH_SECONDS))
    if person is None or now - since >= _FRESH_SECONDS:
        person = _read_person(cookie)
        if len(_people) > 1000:
            _people.clear()
        _people[cookie] = person, now
    return person


def _read_person(cookie: str) -> Person | None:
    try:
        person_id, mark = _signer("person").loads(cookie, max_age=COOKIE_SECONDS)
    except (BadData, ValueError, TypeError):
        return None
    if person_id:
        return member(store(), person_id)
    # The operator's cookie ends with the token that it came by.
    return OPERATOR if mark == _operators_mark() else None


def _operators_mark() -> str:
    return hashlib.sha256(api_token().encode()).hexdigest()[:16]


def _signer(salt: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_file("session-key"), salt=salt)


def _new_code() -> str:
    letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def _is_code(text: str) -> bool:
    typed, code = ("".join(c for c in t.upper() if c.isalnum()) for t in (text, class_code()))
    return secrets.compare_digest(typed.encode(), code.encode())


# --- pages ----------------------------------------------------------------------------------------
def sign_in_routes(provider_link: Callable[[], str] | None = None) -> list[BaseRoute]:
    """Returns the routes; `provider_link` makes the address where an identity provider asks."""

    async def sign_in(request: Request) -> Response:
        secure = request.url.scheme == "https"
        if request.method != "POST":
            person = await run_in_threadpool(person_of, request.cookies)
            return await run_in_threadpool(
                _shown, request.query_params, provider_link, secure, person
            )
        if not is_from_own_page(request):
            return _page(code_card(_FOREIGN), 403)
        return await run_in_threadpool(_joined, await _form(request), secure)

    async def sign_out(request: Request) -> Response:
        if request.method != "POST":
            person = await run_in_threadpool(person_of, request.cookies)
            if person is None:
                return _to("/sign-in")
            words = f"You are signed in as {person.name}."
            return _page(button_card("Sign out?", words, "Sign out", post="sign-out"))
        if not is_from_own_page(request):
            return _page(code_card(_FOREIGN), 403)
        answer = _to("/auth/logout" if sharing() == "oidc" else "/sign-in")
        answer.delete_cookie(COOKIE)
        return answer

    return [
        Route("/sign-in", sign_in, methods=["GET", "POST"]),
        Route("/sign-out", sign_out, methods=["GET", "POST"]),
    ]


def _shown(
    query: QueryParams,
    provider_link: Callable[[], str] | None,
    secure: bool,
    person: Person | None,
) -> Response:
    then = _own_page(query.get("next", ""))
    if token := query.get("token"):
        if secrets.compare_digest(token.encode(), api_token().encode()):
            return set_person(_to(then), OPERATOR, secure=secure)
        return _page(_first_card("This link is of another lab, or was renewed.", then), 403)
    if again := query.get("again"):
        return _back(again, then, secure)
    if sharing() == "oidc":
        if provider_link is None:
            return _page(button_card("Epochlab", "Nobody can sign in here now.", ""), 503)
        return _page(button_card("Epochlab", "", "Sign in", link=provider_link().lstrip("/")))
    code = query.get("code", "")
    if not code:
        return _page(code_card(then=then))
    if not _is_code(code):
        return _page(code_card("This code does not fit; ask for the one of now.", then=then), 403)
    # Each assignment's link is one of these: a pupil must not have to be somebody new for it.
    return _page(name_card(code, then=then, known_as=person.name if person else ""))


def _first_card(problem: str, then: str) -> str:
    if sharing() == "oidc":
        return button_card("Epochlab", problem, "Sign in", link="sign-in")
    return code_card(problem, then=then)


def _back(again: str, then: str, secure: bool) -> Response:
    try:
        person = member(store(), _signer("again").loads(again, max_age=AGAIN_SECONDS))
    except BadData:
        person = None
    if person is None:
        return _page(_first_card("This link has had its day; ask for another one.", then), 403)
    return set_person(_to(then), person, secure=secure)


def _joined(form: Mapping[str, str], secure: bool) -> Response:
    code, then = form.get("code", ""), _own_page(form.get("next", ""))
    if sharing() != "class" or not _is_code(code):
        return _page(_first_card("This code does not fit; ask for the one of now.", then), 403)
    if "name" not in form:  # the code was typed: now the name
        return _page(name_card(code, then=then))
    try:
        person = join(store(), form["name"])
    except NameTakenError as error:
        return _page(name_card(code, str(error), name=error.free, then=then), 409)
    except LabError as error:
        return _page(name_card(code, str(error), name=form["name"], then=then), 400)
    return set_person(_to(then), person, secure=secure)


def set_person(answer: Response, person: Person, *, secure: bool) -> Response:
    """Puts the person's cookie into the answer; `secure`: for HTTPS alone."""
    mark = "" if person.id else _operators_mark()
    cookie = str(_signer("person").dumps([person.id, mark]))
    _people.pop(cookie, None)  # two sign-ins within a second get the same one
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=secure,
    )
    return answer


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM_BYTES:  # longer than any of the lab's
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _own_page(path: str) -> str:
    """Returns the address if it is one of this server, else the first page's: a link must not lead
    elsewhere."""
    is_own = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if is_own else "/"


def _to(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})


def _page(html: str, status: int = 200) -> Response:
    headers: dict[str, Any] = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(html, status_code=status, headers=headers)
