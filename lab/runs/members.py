"""The people of a shared lab, as the database keeps them: a name each, no password."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

import sqlalchemy as sa

from lab.errors import ConfigError, DataError, NotFoundError
from lab.names import typed_name, visible
from lab.people import OPERATOR, Person, Role, require_admin
from lab.runs import schema
from lab.runs.database import retried
from lab.runs.store import Store

LONGEST_NAME = 30


class NameTakenError(ConfigError):
    """Somebody of that name is here; `free` is a name that nobody has."""

    def __init__(self, name: str, free: str) -> None:
        super().__init__(
            f"There is a {name} already. If that is you, ask your teacher for your own link; "
            f"otherwise take another name, such as {free}."
        )
        self.free = free


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who has signed in at some time."""

    person: Person
    joined_at: datetime
    """UTC."""


@retried
def join(runs: Store, name: str) -> Person:
    """Enters somebody by a name of their choice. Raises NameTakenError, ConfigError for none."""
    clean = typed_name(name, "A name", LONGEST_NAME)
    people = schema.people
    with runs.database.write() as connection:
        # Not in SQL: SQLite knows the capitals of English only.
        taken = {each.casefold() for each in connection.execute(sa.select(people.c.name)).scalars()}
        taken.add(OPERATOR.name.casefold())  # nobody is taken for the teacher
        if clean.casefold() in taken:
            numbered = (f"{clean[: LONGEST_NAME - 5]} {number}" for number in count(2))
            free = next(each for each in numbered if each.casefold() not in taken)
            raise NameTakenError(clean, free)
        return _enter(connection, clean, "member", "")


@retried
def sign_in_account(runs: Store, account: str, name: str, role: Role) -> Person:
    """Returns who has this account at an identity provider ("issuer subject"), entered at the first
    time; name and role are as of now."""
    people = schema.people
    clean = " ".join(visible(name).split())[:80] or "Somebody"
    with runs.database.write() as connection:
        known = connection.execute(
            sa.select(people.c.id).where(people.c.account == account)
        ).scalar()
        if known is None:
            return _enter(connection, clean, role, account)
        connection.execute(
            people.update()
            .where(people.c.id == known)
            .values(name=clean, role=role, seen_at=time.time())
        )
        return Person(known, clean, role)


def member(runs: Store, person_id: str) -> Person | None:
    """Returns who has that id; None for somebody who was removed."""
    people = schema.people
    with runs.database.read() as connection:
        query = sa.select(people.c.id, people.c.name, people.c.role)
        row = connection.execute(query.where(people.c.id == person_id)).first()
    return None if row is None else Person(*row)


def members(runs: Store) -> list[Member]:
    """Returns everybody, in the order of their joining."""
    people = schema.people
    with runs.database.read() as connection:
        rows = connection.execute(sa.select(people).order_by(people.c.joined_at)).all()
    return [
        Member(Person(row.id, row.name, row.role), datetime.fromtimestamp(row.joined_at, UTC))
        for row in rows
    ]


@retried
def remove_member(runs: Store, person_id: str) -> None:
    """Signs somebody out for good, for the admin; their runs stay. Raises NotAllowedError,
    NotFoundError."""
    require_admin("To remove somebody")
    people = schema.people
    with runs.database.write() as connection:
        if connection.execute(people.delete().where(people.c.id == person_id)).rowcount == 0:
            raise NotFoundError("There is nobody with this id; they may have been removed before.")


def _enter(connection: sa.Connection, name: str, role: Role, account: str) -> Person:
    if len(account) > 200:
        raise DataError("The identity provider names this account in over 200 characters.")
    person, now = Person(f"p-{secrets.token_hex(8)}", name, role), time.time()
    connection.execute(
        schema.people.insert().values(
            id=person.id, name=name, role=role, account=account, joined_at=now, seen_at=now
        )
    )
    return person
