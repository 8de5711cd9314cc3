"""No listener can end, slow or hang a run, and the run's log says what became of it."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import requests

from lab.errors import ConfigError, DataError
from lab.runs.foreground import run_in_foreground
from lab.runs.listeners import background, kinds
from lab.runs.listeners.kinds import ListenerKind
from lab.runs.queue import Queue
from lab.runs.rows import RunRow
from lab.runs.store import Store
from lab.training.events import EpochDone, Event, RunEnded, RunStarted, StepDone
from tests.runs.fakes import CONFIG, FakeEngine, ended, started, step

GOES_ON = "the run goes on."


class Kept:
    """A listener that keeps what it gets."""

    def __init__(self, run: RunRow) -> None:
        self.run = run
        self.events: list[Event] = []
        self.closed = threading.Event()

    def receive(self, events: Sequence[Event]) -> None:
        self.events += events

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """listen(make, ...): such listeners follow the runs of this test, "A", "B" and so on."""
    monkeypatch.setattr(background, "DELIVERY_SECONDS", 0.01)
    monkeypatch.setattr(background, "WATCH_SECONDS", 0.01)

    def choose(*makes: Callable[[RunRow], Any], takes_steps: bool = True) -> None:
        chosen = tuple(
            ListenerKind(letter.lower(), letter, (), make, takes_steps)
            for letter, make in zip("ABC", makes, strict=False)
        )
        monkeypatch.setattr(background, "chosen", lambda: chosen)

    return choose


def train(engine: Any = None) -> RunRow:
    return run_in_foreground(CONFIG, engine=engine or FakeEngine(), resolve=lambda config: "cpu")


def warnings(runs: Store, run_id: str) -> list[str]:
    return [line.text for line in runs.log(run_id) if line.level == "warning"]


# --- what they get --------------------------------------------------------------------------------
def test_a_listener_gets_begin_steps_epochs_and_end(
    runs: Store, listen: Callable[..., None]
) -> None:
    made: list[Kept] = []
    listen(lambda run: made.append(Kept(run)) or made[-1])  # type: ignore[func-returns-value]
    row = train()
    (one,) = made
    assert one.run.id == row.id
    assert one.run.settings["epochs"] == 2
    kinds_in_order = [type(event) for event in one.events]
    assert kinds_in_order[0] is RunStarted
    assert [event.step for event in one.events if isinstance(event, StepDone)] == [*range(1, 11)]
    assert kinds_in_order.count(EpochDone) == 2
    assert isinstance(one.events[-1], RunEnded)
    assert one.events[-1].test == {"loss": 0.6, "accuracy": 0.7}
    assert one.closed.is_set()
    assert not warnings(runs, row.id)


def test_runs_from_the_queue_have_them_too(
    runs: Store, listen: Callable[..., None], start_queue: Callable[..., Queue]
) -> None:
    made: list[Kept] = []
    listen(lambda run: made.append(Kept(run)) or made[-1])  # type: ignore[func-returns-value]
    queue = start_queue()
    run_id = queue.submit(CONFIG)
    assert queue.wait(run_id, 20).status == "completed"
    assert made[0].closed.wait(60)
    assert len(made[0].events) == 1 + 10 + 2 + 1


def test_one_without_steps_gets_the_rest(runs: Store, listen: Callable[..., None]) -> None:
    made: list[Kept] = []
    make = lambda run: made.append(Kept(run)) or made[-1]  # type: ignore[func-returns-value]  # noqa: E731
    listen(make, takes_steps=False)
    train()
    assert [type(e) for e in made[0].events] == [RunStarted, EpochDone, EpochDone, RunEnded]


def test_a_run_that_never_started_tells_its_end(runs: Store, listen: Callable[..., None]) -> None:
    made: list[Kept] = []
    listen(lambda run: made.append(Kept(run)) or made[-1])  # type: ignore[func-returns-value]

    def missing(*_: Any) -> Iterator[Event]:
        raise DataError("The data set 'x' is not here.")

    def no_device(config: Any) -> str:
        raise ConfigError("device is 'cuda', which is not here.")

    train(missing)
    run_in_foreground(CONFIG, engine=FakeEngine(), resolve=no_device)
    for one, why in zip(made, ("'x'", "'cuda'"), strict=True):
        (event,) = one.events
        assert isinstance(event, RunEnded)
        assert event.status == "failed"
        assert why in event.message


# --- what goes wrong with them --------------------------------------------------------------------
@pytest.mark.parametrize("where", ["__init__", "receive", "close"])
@pytest.mark.parametrize("error", [ValueError("no such thing."), SystemExit(1)])
def test_one_that_raises(
    runs: Store, listen: Callable[..., None], where: str, error: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise error

    other: list[Kept] = []
    listen(
        type("Raises", (Kept,), {where: fail}),
        lambda run: other.append(Kept(run)) or other[-1],  # type: ignore[func-returns-value]
    )
    row = train()
    assert (row.status, row.step, row.test_accuracy) == ("completed", 10, 0.7)
    (said,) = warnings(runs, row.id)
    reason = "ValueError: no such thing" if isinstance(error, ValueError) else "SystemExit: 1"
    assert said.startswith(f"A stopped: {reason}; the run ")
    assert len(other[0].events) == 14, "the other one goes on"


def test_one_that_hangs(
    runs: Store, listen: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "LONGEST_CALL", 0.2)
    release = threading.Event()
    listen(type("Hangs", (Kept,), {"receive": lambda self, events: release.wait(60)}))
    engine = FakeEngine(hold_at=6)
    trained: list[RunRow] = []
    thread = threading.Thread(target=lambda: trained.append(train(engine)))
    thread.start()
    assert engine.held.wait(60), "training goes on while it hangs"
    (run_id,) = [row.id for row in runs.runs()]
    until = time.monotonic() + 10
    while not warnings(runs, run_id) and time.monotonic() < until:
        time.sleep(0.01)
    assert warnings(runs, run_id) == [f"A stopped: it did not answer for 0 s; {GOES_ON}"]
    engine.release.set()
    thread.join(60)
    assert [row.status for row in trained] == ["completed"]
    release.set()


def test_a_program_that_ends_does_not_wait_for_one_that_hangs(
    runs: Store, listen: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "EXIT_SECONDS", 0.1)
    release = threading.Event()
    listen(type("Hangs", (Kept,), {"close": lambda self: release.wait(60)}))
    began = time.monotonic()
    row = train()
    assert time.monotonic() - began < 30
    assert row.status == "completed"
    (said,) = warnings(runs, row.id)
    assert said.startswith("A stopped: the program ended before it had written everything")
    release.set()


def test_one_whose_server_goes_away(runs: Store, listen: Callable[..., None]) -> None:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, *_: Any) -> None:
            pass

    arrived = threading.Event()
    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://me:secret@127.0.0.1:{server.server_port}/api?token=secret"

    class Posts(Kept):
        def receive(self, events: Sequence[Event]) -> None:
            requests.post(url, json=len(events), timeout=5).raise_for_status()

    def close(number: int) -> None:
        assert arrived.wait(60), "it worked at first"
        server.shutdown()
        server.server_close()

    class GoesAway(FakeEngine):
        def __call__(self, *given: Any) -> Iterator[Event]:
            for event in super().__call__(*given):
                yield event
                if isinstance(event, StepDone) and event.step == 6:
                    close(event.step)

    listen(Posts)
    row = train(GoesAway())
    thread.join(60)
    assert row.status == "completed"
    (said,) = warnings(runs, row.id)
    assert said.startswith("A stopped: ConnectionError: ")
    assert "secret" not in said


def test_steps_that_find_no_room_are_counted(
    runs: Store, listen: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MOST_WAITING", 4)
    start = threading.Event()
    made: list[Kept] = []

    def make(run: RunRow) -> Kept:
        start.wait(60)
        made.append(Kept(run))
        return made[-1]

    listen(make)
    run_id = runs.create_run(CONFIG, status="preparing")
    with background.Listeners(runs, run_id) as listeners:
        listeners.put(started())
        for number in range(1, 11):
            listeners.put(step(number))
        listeners.put(ended())
        start.set()
    listeners.wait(60)
    assert [type(event) for event in made[0].events] == [RunStarted, *[StepDone] * 3, RunEnded]
    assert warnings(runs, run_id) == ["A did not keep up: it lacks 7 steps of the run."]


def test_one_that_costs_much_rests_longer_and_then_gets_fewer_steps() -> None:
    kind = ListenerKind("a", "A", (), Kept)
    lane = background._Lane(kind, None, "r-1")  # type: ignore[arg-type]  # it asks for nothing
    assert lane._pause_after(0.0001) == background.DELIVERY_SECONDS
    assert lane._pause_after(0.02) == pytest.approx(0.02 / background.COST_SHARE)
    assert lane._every == 1
    assert lane._pause_after(0.1) == background.LONGEST_PAUSE
    assert lane._every == 3
    for number in range(1, 8):
        lane.put(step(number))
    assert [event.step for event in lane._waiting if isinstance(event, StepDone)] == [1, 3, 6]
    for _ in range(9):
        lane._pause_after(0.1)
    assert lane._every == background.MOST_THINNED


# --- the setting ----------------------------------------------------------------------------------
def test_no_setting_is_no_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kinds.VARIABLE, raising=False)
    assert kinds.chosen() == ()


def test_a_wrong_name_is_refused_before_there_is_a_run(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kinds.VARIABLE, "tensorbord")
    with pytest.raises(ConfigError, match=r"LAB_LISTENERS: .* Did you mean 'tensorboard'\?"):
        train()
    assert runs.runs() == []


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv(kinds.VARIABLE, "mlflow, wandb")
    with pytest.raises(ConfigError, match=r"mlflow is not installed.*requirements-mlflow\.txt"):
        kinds.chosen()
