"""The tables of the run store.

Times of day are seconds since 1970 (UTC), durations are seconds. The columns of metrics follow from
`lab.metrics`; a metric that a run does not measure is NULL there. SQLite keeps NaN as NULL too;
readers turn NULL into NaN again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)

from lab.metrics import METRICS, epoch_columns, run_columns, step_columns

STEP_METRICS = step_columns(METRICS.values())
EPOCH_METRICS = epoch_columns(METRICS.values())
RUN_METRICS = run_columns(METRICS.values())

metadata = MetaData()

version = Table("lab_version", metadata, Column("version_num", String(32), primary_key=True))
"""Alembic's own; see `lab.runs.migrations`. By this name, because Optuna keeps its tables, and its
version, in the same database."""

first_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))
"""The version before Alembic: kept so that an old lab refuses a newer store."""


def _metrics(columns: Iterable[str]) -> Iterator[Column[float]]:
    return (Column(name, Float) for name in columns)


runs = Table(
    "runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(80), nullable=False),
    # Who asked for it: "" is a person, else "recipe:<id>:quick", "sweep:<id>:<trial>", "fix:<run>".
    Column("origin", Text, nullable=False, default="", server_default=""),
    # Who started it (lab.people), by id; "" is the operator. The name is a copy of then.
    Column("person", String(40), nullable=False, default="", server_default=""),
    Column("person_name", String(80), nullable=False, default="", server_default=""),
    # The assignment that it is an answer to (lab.runs.assignments); "" is none.
    Column("assignment", String(40), nullable=False, default="", server_default=""),
    # A person's own label, to find the run by; "" is none.
    Column("tag", String(40), nullable=False, default="", server_default=""),
    Column("notes", Text, nullable=False, default="", server_default=""),
    Column("starred", Boolean, nullable=False, default=False, server_default=false()),
    # The one run that the others are compared with, if there is one.
    Column("is_baseline", Boolean, nullable=False, default=False, server_default=false()),
    # What a person expected of it, as JSON (lab.experiments.forecasts); "" is nothing.
    Column("forecast", Text, nullable=False, default="", server_default=""),
    Column("status", String(20), nullable=False),
    Column("config", Text, nullable=False),  # RunConfig as JSON
    # Copies out of the config, so that the list of runs can be searched without parsing it.
    Column("parent", String(40), nullable=False, default="", server_default=""),
    Column("parent_epoch", Integer),
    Column("dataset", Text, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("expected_seconds", Float),  # how long it will take, estimated while it waits
    Column("most_seconds", Float),  # of training, after which it is finished
    Column("queue_position", Integer),  # 1, 2, ... for queued runs, else NULL
    # The process that works on it or, of an interrupted one, may still come back to it.
    Column("owner", String(40), nullable=False, default=""),
    Column("home", String(40), nullable=False, default="", server_default=""),  # has its files
    Column("requested", String(10)),  # stop, pause or finish, until the trainer has seen it
    Column("wanted_rate", Float),  # a learning rate, until the trainer has seen it
    Column("rate_changes", Text, nullable=False, default="[]", server_default="[]"),
    Column("message", Text, nullable=False, default=""),
    Column("device", String(20), nullable=False, default=""),  # "" while "auto" is not resolved
    # What is done at this moment beside training steps; "" while they go on. A total of 0 is
    # unknown.
    Column("activity", Text, nullable=False, default="", server_default=""),
    Column("activity_done", BigInteger, nullable=False, default=0, server_default="0"),
    Column("activity_total", BigInteger, nullable=False, default=0, server_default="0"),
    Column("activity_unit", String(20), nullable=False, default="", server_default=""),
    Column("activity_seconds_left", Float),
    Column("progress", Float, nullable=False, default=0.0),
    # Grows when a resume from an earlier checkpoint deletes recorded steps: charts that hold more
    # than the store does then start again.
    Column("revision", Integer, nullable=False, default=0),
    Column("epoch", Integer, nullable=False, default=0),
    Column("step", Integer, nullable=False, default=0),
    Column("steps_per_epoch", Integer),
    Column("total_steps", Integer),
    Column("total_parameters", Integer),
    Column("trainable_parameters", Integer),
    Column("train_samples", Integer),
    Column("val_samples", Integer),
    Column("test_samples", Integer),
    Column("class_names", Text, nullable=False, default="[]"),  # JSON list
    Column("best_epoch", Integer),
    Column("test_looks", Integer, nullable=False, default=0, server_default="0"),
    *_metrics(RUN_METRICS),
    Column("seconds", Float, nullable=False, default=0.0),  # of training steps only
    Column("elapsed", Float),  # of everything since the first step, pauses left out
    Column("seconds_left", Float),
    Column("images_per_second", Float),
    Index("runs_by_status", "status", "queue_position"),
    Index("runs_by_person", "person"),
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("status", String(20), nullable=False),  # running, stopped, completed or failed
    Column("config", Text, nullable=False),  # SweepConfig as JSON
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("message", Text, nullable=False, default=""),
    # JSON: what its driver says of a trial beyond what its runs say ("stopped early at epoch 3").
    Column("notes", Text, nullable=False, default="{}"),
    Column("person", String(40), nullable=False, default="", server_default=""),  # as of a run
    Column("person_name", String(80), nullable=False, default="", server_default=""),
    Column("driver", String(40), nullable=False, default="", server_default=""),  # an owner
)

homes = Table(
    "homes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("path", Text, nullable=False),
)
"""Each LAB_HOME that was used with this store, and on which machine it was last."""

owners = Table(
    "owners",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("home", String(40), nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    # By the database's clock, as all of this table; see `lab.runs.leases`.
    Column("alive_until", Float, nullable=False),
    Column("suspected_at", Float),
)

people = Table(
    "people",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("role", String(10), nullable=False),  # admin or member
    Column("account", String(200), nullable=False, default="", server_default=""),
    Column("joined_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Index("people_by_account", "account"),
)
"""Who has signed in. `account` is who an identity provider says that it is ("issuer subject"); ""
for somebody who joined by a class code."""

settings = Table(
    "settings",
    metadata,
    Column("key", String(60), primary_key=True),
    Column("value", JSON, nullable=False),
)
"""What is set for the whole lab: `lab.runs.class_rules`, `lab.runs.assignments`."""


def _run_id() -> Column[str]:
    return Column("run_id", String(40), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)


steps = Table(
    "steps",
    metadata,
    _run_id(),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
    *_metrics(STEP_METRICS),
    Column("learning_rate", Float),
    Column("seconds", Float),
    Column("samples", Integer),
    # The rows of a run lie together in step order, so "what is new since N" is one short range.
    sqlite_with_rowid=False,
)

epochs = Table(
    "epochs",
    metadata,
    _run_id(),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, nullable=False),
    Column("phase", Text, nullable=False),
    *_metrics(EPOCH_METRICS),
    Column("learning_rate", Float),
    Column("seconds", Float),
    Column("elapsed", Float),
    Column("images_per_second", Float),
    Column("is_best", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

log = Table(
    "log",
    metadata,
    Column("seq", Integer, primary_key=True),  # over all runs; grows within each run
    Column("run_id", String(40), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("at", Float, nullable=False),
    Column("level", String(10), nullable=False),
    Column("text", Text, nullable=False),
    Index("log_by_run", "run_id", "seq"),
)
