"""The database as it is opened: what an older one says of its runs, and writers in turn."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from lab.errors import ConfigError
from lab.runs import schema
from lab.runs.database import Database
from lab.runs.store import store

from .fakes import CONFIG
from .test_migrations import place


@pytest.mark.sqlite
def test_runs_of_an_older_store_start_from_none_and_were_looked_at_once(lab_home: Path) -> None:
    place("2", lab_home)
    waiting, _, finished = store().runs()
    assert (finished.parent, finished.parent_epoch, finished.rate_changes) == ("", None, ())
    assert (finished.test_looks, waiting.test_looks) == (1, 0)
    assert (finished.notes, finished.starred, finished.is_baseline) == ("", False, False)
    assert store().baseline() is None


def test_writers_take_turns(lab_home: Path) -> None:
    """Each adds one to what it reads within its transaction, so none is lost."""
    runs = store()
    run_id = runs.create_run(CONFIG)

    def add() -> None:
        for _ in range(10):
            with runs.database.write() as connection:
                at = schema.runs.c.id == run_id
                step = connection.execute(sa.select(schema.runs.c.step).where(at)).scalar_one()
                connection.execute(schema.runs.update().where(at).values(step=step + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs.run(run_id).step == 40


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "no address"])
def test_a_database_that_cannot_be_shared_is_a_sentence(lab_home: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="LAB_DATABASE_URL is"):
        Database(url)
