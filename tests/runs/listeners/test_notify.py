"""Notifications arrive, never hold a run up, and keep the secrets of their addresses."""

import http.server
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from lab.errors import ConfigError
from lab.evaluate.verdicts.evidence import Verdict
from lab.runs.foreground import run_in_foreground
from lab.runs.judging import Judgement
from lab.runs.listeners import background, kinds, notify
from lab.runs.rows import RunRow
from lab.runs.store import Store
from tests.runs.fakes import CONFIG, FakeEngine, ended, epoch, started

DEAD = Verdict("dead_units", "Half of the units are silent.", "Layer 2.", "A smaller rate.", {})


class Hook:
    """A web server that keeps what it is sent, and answers with `status`, or not at all."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        self.silent = threading.Event()
        self.closing = threading.Event()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/json"
                if hook.silent.is_set():
                    hook.closing.wait(60)
                    return
                hook.received.append(json.loads(body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"http://127.0.0.1:{self.server.server_port}"
        self.address = (
            f"http://me:secret@127.0.0.1:{self.server.server_port}/hook/secret?key=secret"
        )
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    made = Hook()
    monkeypatch.setattr(background, "DELIVERY_SECONDS", 0.01)
    monkeypatch.setattr(background, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(notify, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(notify, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(notify, "judge", lambda *_, **__: Judgement(()))
    monkeypatch.setenv(notify.VARIABLE, made.address)
    yield made
    made.closing.set()
    made.server.shutdown()
    made.server.server_close()


def train(engine: Any = None) -> RunRow:
    return run_in_foreground(
        CONFIG, name="Mine", engine=engine or FakeEngine(), resolve=lambda config: "cpu"
    )


def warnings(runs: Store, run_id: str) -> list[str]:
    return [line.text for line in runs.log(run_id) if line.level == "warning"]


def test_the_end_of_a_run(runs: Store, hook: Hook) -> None:
    row = train()
    (told,) = hook.received
    assert told["event"] == "completed"
    assert told["text"] == (
        "Run Mine has completed: completed after 10 steps Accuracy: validation 75.0%, test 70.0%."
    )
    assert told["run"]["id"] == row.id
    assert told["run"]["test"]["accuracy"] == 0.7
    assert warnings(runs, row.id) == []


def test_a_failure(runs: Store, hook: Hook) -> None:
    train(FakeEngine(fail_at=3, error=ValueError("no")))
    (told,) = hook.received
    assert told["event"] == "failed"
    assert "has failed: Unexpected error, ValueError: no" in told["text"]


def test_a_verdict_is_told_once(
    runs: Store, run_id: str, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "judge", lambda *_, **__: Judgement((), (DEAD,)))
    runs.record(run_id, [started()])
    listener = notify.Notifier(runs.run(run_id))
    listener.receive([started(), epoch(1)])
    listener._judge_at = 0.0
    listener.receive([epoch(2)])
    (told,) = hook.received
    assert told["event"] == "verdict"
    assert told["verdict"]["kind"] == "dead_units"
    assert "Half of the units are silent. A smaller rate." in told["text"]

    resumed = notify.Notifier(runs.run(run_id))
    resumed.receive([started(5), epoch(2)])
    assert len(hook.received) == 1, "an earlier session told it"


def test_judging_rests(
    runs: Store, run_id: str, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Any] = []
    monkeypatch.setattr(notify, "judge", lambda *given, **_: judged.append(given) or Judgement(()))
    runs.record(run_id, [started()])
    listener = notify.Notifier(runs.run(run_id))
    for number in range(1, 4):
        listener.receive([epoch(number)])
    assert len(judged) == 1
    runs.record(run_id, [ended()])
    listener.receive([ended()])
    assert len(judged) == 2, "the end is always judged"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("status", "it answered 404"),
        ("silent", "no answer within 0.3 s"),
        ("gone", "no connection"),
    ],
)
def test_one_that_does_not_arrive_is_in_the_log_without_its_secrets(
    runs: Store, hook: Hook, fault: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    if fault == "status":
        hook.status = 404
    elif fault == "silent":
        hook.silent.set()
    else:
        hook.server.server_close()
    row = train()
    assert row.status == "completed"
    assert warnings(runs, row.id) == [
        f"The notification of the end of the run was not delivered to {hook.place}: {why}."
    ]
    assert "secret" not in caplog.text


def test_a_redirect_is_not_followed(runs: Store, hook: Hook) -> None:
    hook.status = 307
    assert notify.deliver(hook.address, {"text": "x"}) == "it answered 307"


def test_an_address_of_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str]] = []

    class Apprise:
        @staticmethod
        def instantiate(address: str) -> str | None:
            return None if "bad" in address else address

        def add(self, service: str) -> None:
            self.service = service

        def notify(self, *, title: str, body: str) -> bool:
            sent.append((self.service, body))
            return "down" not in self.service

    module = ModuleType("apprise")
    vars(module)["Apprise"] = Apprise
    module.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "apprise", module)
    monkeypatch.setenv(notify.VARIABLE, "ntfy://secret mailto://a:b@c.de?to=x,y")
    assert notify.addresses() == ("ntfy://secret", "mailto://a:b@c.de?to=x,y")
    assert notify.deliver("ntfy://secret", {"text": "Done."}) == ""
    assert sent == [("ntfy://secret", "Done.")]
    monkeypatch.setattr(notify, "PAUSES", (0.0,))
    assert notify.deliver("ntfy://down", {"text": "x"}) == "apprise could not send it"
    monkeypatch.setenv(notify.VARIABLE, "tgram://bad-secret")
    with pytest.raises(ConfigError, match=r"apprise cannot read \(tgram://…\)") as refused:
        kinds.chosen()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("address", ["https://", "http://[secret", "https://a:secret:port/x"])
def test_an_address_that_is_none(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(notify.VARIABLE, address)
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        kinds.chosen()
    assert "secret" not in str(refused.value)


def test_apprise_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr(notify.importlib.util, "find_spec", find)
    monkeypatch.setenv(notify.VARIABLE, "ntfy://missing")
    with pytest.raises(ConfigError, match=r"requirements-apprise\.txt"):
        kinds.chosen()
