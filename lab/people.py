"""Who acts: the person behind a page, a request or a command, and what they may do.

A lab of one's own knows one person, the operator, who may do everything; threads and the command
line are the operator's, too. A lab that several people use (LAB_SHARED) has an admin, who may do
the same, and members: they look at all runs (or at their own alone, see `others_hidden`), and
change what is theirs. The run store, the sweeps and the catalog ask `require_owner`; so pages, API
and command line cannot differ.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, cast

from lab.errors import ConfigError, NotAllowedError

Role = Literal["admin", "member"]
Sharing = Literal["", "class", "oidc", "open"]

SHARED_VARIABLE = "LAB_SHARED"
OTHERS_VARIABLE = "LAB_OTHERS"

_SHARINGS = ("", "class", "oidc", "open")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who uses the lab."""

    id: str
    """"" is the operator: who runs the lab and its command line."""
    name: str
    """As they chose it: a text like any other that a person typed."""
    role: Role

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


OPERATOR = Person("", "Teacher", "admin")


def name_of(stored: str) -> str:
    """Returns how pages call the person whose name a run keeps; it keeps none of the operator."""
    return stored or OPERATOR.name


_acting: ContextVar[Person | None] = ContextVar("acting person", default=None)
_finders: list[Callable[[], Person | None]] = []


def sharing() -> Sharing:
    """Returns how people sign in: "" is a lab for one person, "open" one for everybody who reaches
    it, without sign-in. Raises ConfigError for another value of LAB_SHARED."""
    value = os.environ.get(SHARED_VARIABLE, "").strip()
    if value not in _SHARINGS:
        raise ConfigError(
            f"{SHARED_VARIABLE} is {value!r:.80}; allowed are class (a code that a teacher hands "
            "out), oidc (accounts), open (no sign-in) and nothing."
        )
    return cast(Sharing, value)


def has_sign_in() -> bool:
    """Whether people sign in, so that there is more than one."""
    return sharing() in ("class", "oidc")


def others_hidden() -> bool:
    """Whether members see their own runs alone (LAB_OTHERS=hidden)."""
    value = os.environ.get(OTHERS_VARIABLE, "").strip() or "shown"
    if value not in ("shown", "hidden"):
        raise ConfigError(f"{OTHERS_VARIABLE} is {value!r:.80}; allowed are shown and hidden.")
    return value == "hidden"


def current_person() -> Person:
    """Returns who acts now: the one of `acting_as`, else of the page that runs, else the operator.

    Raises NotAllowedError in a page whose visitor has not signed in.
    """
    if (acting := _acting.get()) is not None:
        return acting
    for find in _finders:
        if (person := find()) is not None:
            return person
    return OPERATOR


@contextlib.contextmanager
def acting_as(person: Person) -> Iterator[None]:
    """Has `person` act in this block, and in what it awaits or runs in a copy of its context."""
    token = _acting.set(person)
    try:
        yield
    finally:
        _acting.reset(token)


def find_person_by(find: Callable[[], Person | None]) -> None:
    """Registers how to find the person of a page: its callbacks and fragments run in threads of
    their own, outside any block. `find` returns None where no page runs."""
    if find not in _finders:
        _finders.append(find)


def may_change(owner: str) -> bool:
    """Whether the current person may change what belongs to the person with the id `owner`."""
    person = current_person()
    return person.is_admin or person.id == owner


def may_see(owner: str) -> bool:
    """Whether the current person may look at it."""
    return not others_hidden() or may_change(owner)


def require_owner(owner: str, owner_name: str, thing: str) -> None:
    """Raises NotAllowedError unless the current person may change `thing` ("Run r-1")."""
    if not may_change(owner):
        whose = f"{owner_name!r:.84}" if owner else "the teacher"
        raise NotAllowedError(
            f"{thing} belongs to {whose}; you may look at it, and cannot change it."
        )


def require_admin(what: str) -> None:
    """Raises NotAllowedError unless the current person is an admin; `what` begins a sentence."""
    if not current_person().is_admin:
        raise NotAllowedError(f"{what} is for the teacher alone.")
