"""Assignments: settings that a teacher hands out, with the few knobs that may be moved."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lab.config import KNOBS, RunConfig
from lab.errors import ConfigError, LabError, NotFoundError, StateError
from lab.names import typed_name, typed_notes
from lab.people import require_admin
from lab.runs import schema
from lab.runs.class_rules import read_setting, write_setting
from lab.runs.database import Database, retried
from lab.runs.naming import setting_words

LONGEST_TITLE, LONGEST_TEXT = 80, 2000
_PREFIX = "assignment:"


@dataclass(frozen=True)
class Assignment:
    """What everybody is to train, and what of it they may choose."""

    id: str
    title: str
    text: str
    """What to do, in the teacher's words."""
    config: RunConfig
    open: tuple[str, ...]
    """The knobs that may be moved, in the form's order; all others are as in `config`."""
    created_at: float
    closed: bool = False
    """A closed one takes no more runs; its board stays."""

    def fixed(self) -> list[str]:
        """Data set, network and the other fixed knobs that are not at their defaults, in words."""
        named = ["dataset", "architecture", *self.config.differences()]
        return [
            setting_words(KNOBS[name], getattr(self.config, name))
            for name in dict.fromkeys(named)
            if name not in self.open and getattr(self.config, name) not in ("", None)
        ]

    def with_open(self, config: RunConfig) -> RunConfig:
        """Returns the assignment's settings with the open knobs of `config`."""
        return self.config.changed(**{name: getattr(config, name) for name in self.open})

    def check(self, config: RunConfig) -> None:
        """Raises ConfigError unless `config` differs in open knobs alone."""
        if self.closed:
            raise StateError(f"The assignment “{self.title}” is closed; it takes no more runs.")
        wanted = self.with_open(config)
        for name in KNOBS:
            asked, fixed = getattr(config, name), getattr(wanted, name)
            # A resolved run names the size that an assignment leaves to the data set.
            if asked != fixed and not (name == "image_size" and fixed is None):
                raise ConfigError(
                    f"{name} is {asked!r}; in the assignment “{self.title}” it is fixed at "
                    f"{fixed!r}."
                )


def create_assignment(
    database: Database, *, title: str, text: str, config: RunConfig, open: Iterable[str]
) -> Assignment:
    """Adds an assignment, for an admin. Raises ConfigError for a title or text that is too long."""
    require_admin("Handing out an assignment")
    title = typed_name(title, "A title", LONGEST_TITLE)
    text = typed_notes(text, "The words of an assignment", LONGEST_TEXT)
    chosen = set(open)
    new = Assignment(
        id=f"a-{secrets.token_hex(4)}",
        title=title,
        text=text,
        config=config,
        open=tuple(name for name in KNOBS if name in chosen),
        created_at=time.time(),
    )
    _save(database, new)
    return new


def close_assignment(database: Database, assignment_id: str, *, closed: bool = True) -> None:
    require_admin("Closing an assignment")
    found = assignment(database, assignment_id)
    _save(database, Assignment(**{**found.__dict__, "closed": closed}))


@retried
def delete_assignment(database: Database, assignment_id: str) -> None:
    """Forgets the assignment; its runs stay."""
    require_admin("Deleting an assignment")
    with database.write() as connection:
        write_setting(connection, _PREFIX + assignment_id, None)


def assignment(database: Database, assignment_id: str) -> Assignment:
    """Raises NotFoundError."""
    with database.read() as connection:
        values = read_setting(connection, _PREFIX + assignment_id[:40])
    if values is None:
        raise NotFoundError(
            f"There is no assignment {assignment_id!r:.60} here. Ask the teacher for the link."
        )
    return _read(assignment_id, values)


def require_open(connection: sa.Connection, run_id: str, name: str) -> None:
    """Raises StateError where the run answers an assignment that has fixed the knob `name`."""
    runs = schema.runs
    query = sa.select(runs.c.assignment).where(runs.c.id == run_id)
    answered = connection.execute(query).scalar()
    values = read_setting(connection, _PREFIX + answered) if answered else None
    if values is not None and name not in values.get("open", ()):
        title = values.get("title", answered)
        raise StateError(
            f"{KNOBS[name].title} is fixed in the assignment “{title}”, which run {run_id} answers."
        )


def assignments(database: Database) -> list[Assignment]:
    """Returns all of them, the newest first; those that this version cannot read are left out."""
    table = schema.settings
    with database.read() as connection:
        rows = connection.execute(
            sa.select(table.c.key, table.c.value).where(table.c.key.startswith(_PREFIX))
        ).all()
    found = []
    for key, values in rows:
        try:
            found.append(_read(key.removeprefix(_PREFIX), values))
        except (LabError, KeyError, TypeError, ValueError, AttributeError):  # or damaged
            continue
    return sorted(found, key=lambda each: -each.created_at)


@retried
def _save(database: Database, new: Assignment) -> None:
    values = {
        "title": new.title,
        "text": new.text,
        "config": new.config.model_dump(mode="json"),
        "open": list(new.open),
        "created_at": new.created_at,
        "closed": new.closed,
    }
    with database.write() as connection:
        write_setting(connection, _PREFIX + new.id, values)


def _read(assignment_id: str, values: Any) -> Assignment:
    return Assignment(
        id=assignment_id,
        title=values["title"],
        text=values["text"],
        config=RunConfig.from_mapping(values["config"]),
        open=tuple(name for name in values["open"] if name in KNOBS),
        created_at=values["created_at"],
        closed=values["closed"],
    )
