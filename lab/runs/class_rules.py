"""What a teacher sets for a class: a run's budget, the queue, whether test results are shown.

The rules hold for members (`lab.people`); a lab of one's own has none. They stand in the run store,
so every server and worker of a lab follows the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.config import RunConfig
from lab.errors import ConfigError, StateError
from lab.people import current_person, has_sign_in, require_admin
from lab.runs import schema
from lab.runs.database import Database, retried

_KEY = "class"


class ClassRules(BaseModel):
    """The rules; 0 is no limit."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    queue_limit: int = Field(
        default=3,
        ge=1,
        le=100,
        title="Waiting runs a person",
        description="Further ones are refused.",
    )
    most_epochs: int = Field(
        default=0, ge=0, le=100_000, title="Most epochs", description="Of one run."
    )
    most_minutes: int = Field(
        default=0,
        ge=0,
        le=10_000,
        title="Most minutes of training",
        description="A run that has trained so long is finished: its best weights so far are "
        "tested.",
    )
    most_image_size: int = Field(
        default=0, ge=0, le=512, title="Largest image size", description="In pixels."
    )
    short_first: bool = Field(
        default=False,
        title="Short runs first",
        description="Among those whose turn it is. Everybody still has one run in turn.",
    )
    test_shown: bool = Field(
        default=False,
        title="Show test results",
        description="Until then everybody but the teacher sees validation results alone, so that "
        "nobody chooses by the test images.",
    )


def read_rules(connection: sa.Connection) -> ClassRules:
    """Returns the rules of this store; those of a value that is no longer allowed are the usual
    ones."""
    try:
        return ClassRules(**(read_setting(connection, _KEY) or {}))
    except (ValidationError, TypeError, ValueError):  # of another version, or damaged
        return ClassRules()


def rules(database: Database) -> ClassRules:
    with database.read() as connection:
        return read_rules(connection)


@retried
def change_rules(database: Database, **values: Any) -> ClassRules:
    """Changes some rules, for an admin; returns all. Raises ConfigError for a value that is not
    allowed."""
    require_admin("Setting the rules of the class")
    with database.write() as connection:
        try:
            new = ClassRules(**{**read_rules(connection).model_dump(), **values})
        except ValidationError as error:
            first = error.errors()[0]
            title = ClassRules.model_fields[str(first["loc"][0])].title
            raise ConfigError(
                f"{title} is {first['input']!r:.40}; {first['msg'].lower()}."
            ) from error
        write_setting(connection, _KEY, new.model_dump())
    return new


def results_hidden(database: Database, *, from_anybody: bool = False) -> bool:
    """Whether the current person, or with `from_anybody` anybody in the lab, must not see results
    on test images yet. All that shows one asks here; the run store leaves them out of its rows."""
    asked = has_sign_in() if from_anybody else not current_person().is_admin
    return asked and not rules(database).test_shown


def check_budget(database: Database, config: RunConfig, *, single: bool = True) -> float | None:
    """Returns the seconds that a run of the current person may train, None for no limit; raises
    ConfigError, StateError for a run that they may not start.

    `single`: it is none of a sweep or a recipe, which may have many waiting: they take turns, too.
    """
    person = current_person()
    if person.is_admin:
        return None
    limits = rules(database)
    for name, value, limit in (
        ("epochs", config.epochs, limits.most_epochs),
        ("image_size", config.image_size, limits.most_image_size),
    ):
        if limit and value and value > limit:
            raise ConfigError(
                f"{name} is {value:,}; the teacher allows at most {limit:,}. Choose less."
            )
    if single:
        check_line(database)
    return limits.most_minutes * 60.0 or None


def check_line(database: Database) -> None:
    """Raises StateError when the current person has as many runs waiting as the rules allow."""
    person = current_person()
    if person.is_admin:
        return
    with database.read() as connection:
        limit = read_rules(connection).queue_limit
        queued = sa.select(sa.func.count()).where(
            schema.runs.c.status == "queued", schema.runs.c.person == person.id
        )
        waiting = connection.execute(queued).scalar_one()
    if waiting >= limit:
        raise StateError(
            f"You have {waiting} run{'s' * (waiting != 1)} waiting, as many as the teacher allows. "
            "Wait for one to start, or take one out of the queue."
        )


# --- values in the store --------------------------------------------------------------------------
def read_setting(connection: sa.Connection, key: str) -> Mapping[str, Any] | None:
    table = schema.settings
    value = connection.execute(sa.select(table.c.value).where(table.c.key == key)).scalar()
    return None if value is None else dict(value)


def write_setting(connection: sa.Connection, key: str, value: Mapping[str, Any] | None) -> None:
    """None takes it away."""
    table = schema.settings
    connection.execute(table.delete().where(table.c.key == key))
    if value is not None:
        connection.execute(table.insert().values(key=key, value=dict(value)))
