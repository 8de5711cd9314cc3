"""Who asked for a run."""

from collections.abc import Callable

from lab.runs.queue import Queue, run_in_foreground
from lab.runs.store import Store

from .fakes import CONFIG, FakeEngine


def test_a_run_knows_who_asked_for_it(runs: Store) -> None:
    assert runs.run(runs.create_run(CONFIG)).origin == ""
    assert runs.run(runs.create_run(CONFIG, origin="fix:r-1")).origin == "fix:r-1"


def test_queue_and_run_here_pass_the_origin_on(
    runs: Store, start_queue: Callable[..., Queue]
) -> None:
    run_id = start_queue().submit(CONFIG, "Mine", origin="recipe:x:full")
    assert runs.run(run_id).origin == "recipe:x:full"
    row = run_in_foreground(
        CONFIG, origin="sweep:s-1:0", engine=FakeEngine(), resolve=lambda c: "cpu"
    )
    assert (row.origin, row.status) == ("sweep:s-1:0", "completed")


def test_runs_are_found_by_origin_or_by_its_beginning(runs: Store) -> None:
    origins = ["", "recipe:sl-cnn", "recipe:sl-cnn:quick", "recipe:sl-cnn-aug:quick", "RECIPE:x"]
    for origin in origins:
        runs.create_run(CONFIG, origin=origin)

    def matching(origin: str) -> list[str]:
        return sorted(row.origin for row in runs.runs(origin=origin))

    assert matching("recipe:sl-cnn") == ["recipe:sl-cnn", "recipe:sl-cnn:quick"]
    assert matching("recipe") == ["recipe:sl-cnn", "recipe:sl-cnn-aug:quick", "recipe:sl-cnn:quick"]
    assert matching("recipe:sl-cnn:quick") == ["recipe:sl-cnn:quick"]
    assert matching("") == [""]
    assert matching("recipe:sl_cnn") == matching("%") == matching("recip") == []
    assert len(runs.runs()) == len(origins)
    assert len(runs.runs(origin="recipe", status="queued", search="simple-cnn")) == 3
