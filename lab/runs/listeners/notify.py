"""Tells people elsewhere that a run has ended or failed, or that a verdict has appeared.

    LAB_NOTIFY="https://example.com/hook ntfy://topic"     addresses, with blanks between them

An address of HTTP is sent one JSON object by POST; any other one is apprise's (e-mail, chats,
phones). Addresses hold secrets: pages and logs only ever name scheme and host.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import requests

from lab.errors import ConfigError, LabError
from lab.evaluate.verdicts.judge import TITLES, Verdict
from lab.installation import how_to_install_extra
from lab.metrics import METRICS
from lab.runs.judging import judge
from lab.runs.listeners.kinds import NOTIFY_VARIABLE as VARIABLE
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.events import EpochDone, Event, RunEnded, RunStarted

logger = logging.getLogger(__name__)

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0

PAUSES = (0.0, 2.0)
"""Seconds before each try to deliver."""

JUDGE_SECONDS, REST = 10.0, 200.0
"""Between two judgements of a run, at least; and so many times what one took, so that they cost the
run half a percent at most."""


class Notifier:
    """A listener (`lab.runs.listeners`)."""

    def __init__(self, run: RunRow) -> None:
        self._id = run.id
        self._verdicts: set[str] = set()
        """The kinds that were told already."""
        self._judge_at = 0.0

    def receive(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, RunStarted) and event.resumed_from_step:
                self._new_verdicts()  # an earlier session told them
        if any(isinstance(event, EpochDone | RunEnded) for event in events):
            self._tell_verdicts(is_last=isinstance(events[-1], RunEnded))
        if isinstance(events[-1], RunEnded):
            run = store().run_for_all(self._id)
            self._send(run, run.status, ending_text(run))

    def close(self) -> None:
        """Nothing waits."""

    def _tell_verdicts(self, *, is_last: bool) -> None:
        began = time.monotonic()
        if began < self._judge_at and not is_last:
            return
        found = self._new_verdicts()
        now = time.monotonic()
        self._judge_at = now + max(JUDGE_SECONDS, REST * (now - began))
        for verdict in found:
            run = store().run_for_all(self._id)
            text = f"{TITLES[verdict.kind]} in run {run.name}: {verdict.sentence}"
            self._send(run, "verdict", f"{text} {verdict.suggestion}", verdict)

    def _new_verdicts(self) -> list[Verdict]:
        try:
            judged = judge(store(), store().run_for_all(self._id), may_predict=False)
        except LabError as error:
            logger.info("run %s is not judged: %s", self._id, error)
            return []
        new = [each for each in judged.verdicts if each.kind not in self._verdicts]
        self._verdicts |= {each.kind for each in new}
        return new

    def _send(self, run: RunRow, what: str, text: str, verdict: Verdict | None = None) -> None:
        values = {"event": what, "text": text, "run": _run_values(run)}
        if verdict is not None:
            values["verdict"] = {**asdict(verdict), "title": TITLES[verdict.kind]}
        for address in addresses():
            problem = deliver(address, values)
            if problem:
                about = "a verdict" if verdict else "the end of the run"
                store().write_log(
                    self._id,
                    "warning",
                    f"The notification of {about} was not delivered to {place_of(address)}: "
                    f"{problem}.",
                )


def ending_text(run: RunRow) -> str:
    """Returns how a run has ended, for people."""
    results = {"validation": run.best_val_accuracy, "test": run.test_accuracy}
    known = [
        f"{part} {METRICS['accuracy'].text(value)}"
        for part, value in results.items()
        if value is not None
    ]
    accuracy = f" Accuracy: {', '.join(known)}." if known else ""
    return f"Run {run.name} has {_WORDS[run.status]}: {run.message}{accuracy}"


_WORDS = {
    "completed": "completed",
    "failed": "failed",
    "stopped": "been stopped",
    "paused": "been paused",
    "interrupted": "been interrupted",
}


def _run_values(run: RunRow) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "message": run.message,
        "dataset": run.dataset,
        "architecture": run.architecture,
        "epoch": run.epoch,
        "step": run.step,
        "seconds": run.seconds,
        "best_epoch": run.best_epoch,
        "best_val": dict(run.best_val),
        "test": dict(run.test),
    }


def addresses() -> tuple[str, ...]:
    """Returns the addresses of LAB_NOTIFY. Raises ConfigError for one that is none."""
    return _checked(os.environ.get(VARIABLE, ""))


@functools.lru_cache(maxsize=4)
def _checked(text: str) -> tuple[str, ...]:
    for address in text.split():
        place = place_of(address)
        if _is_web(address) and place == "?":
            raise ConfigError(f"{VARIABLE} has a web address that cannot be read; write it anew.")
        if _is_web(address):
            continue
        if importlib.util.find_spec("apprise") is None:
            raise ConfigError(
                f"{VARIABLE} has an address of apprise ({place}), and apprise is not installed. "
                f"Run {how_to_install_extra('apprise')}, or use a web address."
            )
        if _apprise_service(address) is None:
            raise ConfigError(
                f"{VARIABLE} has an address that apprise cannot read ({place}); "
                "https://appriseit.com lists what it takes."
            )
    return tuple(text.split())


def _is_web(address: str) -> bool:
    return address.partition("://")[0].lower() in ("http", "https")


def place_of(address: str) -> str:
    """Returns what of an address may be shown: without user, password, path and query, and "?" for
    one that cannot be read; of one of apprise, whose hosts are secrets at times, the scheme."""
    if not _is_web(address):
        scheme, mark, _ = address.partition("://")
        return f"{scheme[:20]}://…" if mark else "?"
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "?"
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else "?"


def deliver(address: str, values: dict[str, Any]) -> str:
    """Send a notification; returns "" or why it was not delivered, without any secret."""
    problem = ""
    for pause in PAUSES:
        time.sleep(pause)
        problem = _post(address, values) if _is_web(address) else _apprise(address, values["text"])
        if not problem:
            break
    return problem


def _post(address: str, values: dict[str, Any]) -> str:
    try:
        answer = requests.post(
            address,
            json=values,
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            allow_redirects=False,  # the secret is for this host
        )
    except requests.Timeout:
        return f"no answer within {ANSWER_SECONDS:g} s"
    except requests.exceptions.SSLError:
        return "its certificate is not accepted"
    except requests.ConnectionError:
        return "no connection"
    except (requests.RequestException, ValueError) as error:
        return type(error).__name__
    return "" if answer.status_code < 300 else f"it answered {answer.status_code}"


def _apprise_service(address: str) -> Any:
    import apprise

    logging.getLogger("apprise").disabled = True  # it logs addresses
    return apprise.Apprise.instantiate(address)


def _apprise(address: str, text: str) -> str:
    import apprise

    sender = apprise.Apprise()
    sender.add(_apprise_service(address))
    return "" if sender.notify(title="Epochlab", body=text) else "apprise could not send it"
