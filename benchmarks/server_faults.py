"""kill -9 of the real server at random moments, while people train, import, export, upload, delete.

    python -m benchmarks.server_faults [--times N] [--seed N] [--quick | --only-exports]

A server (`streamlit run streamlit_app.py`) works for an API client and visitors of its pages on a
LAB_HOME of its own, is killed, and is started again. Then: the database is whole, the run is
interrupted with its last recorded step and, resumed over the API, gets the weights and losses of an
uninterrupted one; the data set is whole or can be added; an export is whole or not there, and one
made again says the same; the deleted run is gone or whole; every page opens; nothing stray is left.
The run saves its state after every step, so that kills meet writers.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from benchmarks import faults
from benchmarks.page_session import PageError, PageSession
from benchmarks.server import COLD, Server, lab_server
from lab.data.uploads import KEPT_SECONDS
from lab.data.uploads import sweep as sweep_uploads
from lab.home import home_folder, temporaries
from lab.runs.foreground import run_in_foreground
from lab.runs.store import store

TOKEN = "of-the-benchmark"
SAVING = f"""
from lab.training import fit
fit.SAVE_AT_LEAST_EVERY = fit.SAVE_COST_FACTOR = 0.0
{COLD}"""
CONFIG = faults.CONFIG.changed(epochs=25, precision="fp32")
"""In which number format it trains, is not left to a trial of which is quicker here and now."""
PAGES = ("", "data", "train", "runs", "compare", "experiments", "inspect", "classify", "board")
EXPORTED = ("onnx", "html", "zip")
EXPORT_ROUNDS = 2
"""Of making them; in the second each takes the place of one that is there."""
PATIENCE = 300.0
"""Seconds for anything at all: beside twenty other programs a page took two minutes."""
UPLOAD_PIECES = 40
"""Of 50 kB, one every 50 ms."""


def main(
    *, times: int = 20, seed: int | None = None, quick: bool = False, only_exports: bool = False
) -> str:
    """Prints and returns a line of the table; raises AssertionError where something was lost."""
    rng = random.Random(seed)
    results: list[faults.Result] = []
    beside: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        template, home = Path(place) / "template", Path(place) / "home"
        there = faults._in_child(template, _prepare)
        assert "error" not in there, there["error"]
        there |= {"exported": EXPORTED[:1] if quick else EXPORTED, "only_exports": only_exports}
        _fresh(template, home)
        usual = _rehearse(home, there)
        for number in range(times):
            _fresh(template, home)
            try:
                happened, others = _kill_one(home, there, usual, rng)
                results.append({"happened": happened})
                beside.update(others)
                print(f"{number + 1} {happened}; {'; '.join(others)}", flush=True)
            except (AssertionError, PageError) as error:
                results.append({"happened": "an error", "error": str(error)[-1000:]})
                print(number + 1, results[-1], flush=True)
    title = "the server, while it trains, imports a zip, exports, takes an upload and deletes a run"
    title = "the server, while it exports" if only_exports else title
    line = faults._line(f"kill -9: {title}", results)
    print(line)
    print("Beside it:", "; ".join(f"{count} {what}" for what, count in sorted(beside.items())))
    assert "**" not in line, line
    return line


def _prepare() -> faults.Result:
    """Makes the template: a data set, a zip of pictures, a run to look at and one to delete."""
    faults._bars()
    done = run_in_foreground(faults.CONFIG, name="done").id
    victim = faults._begin()
    faults._import()
    zip_file = home_folder("incoming") / "pictures.zip"
    shutil.rmtree(home_folder("packs") / "pictures")
    return {"done": done, "victim": victim, "zip": str(zip_file.relative_to(home_folder()))}


def _fresh(template: Path, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(template, home)


@contextlib.contextmanager
def _server(home: Path) -> Iterator[Server]:
    settings = {"OMP_NUM_THREADS": "1", "LAB_API_TOKEN": TOKEN}
    with lab_server(home, warm=False, code=SAVING, **settings) as server:
        yield server
    assert "Traceback" not in (log := (home / "server.log").read_text()), log[-3000:]


# --- what people do -------------------------------------------------------------------------------
def _actions(server: Server, home: Path, there: faults.Result) -> list[Callable[[], None]]:
    export = partial(_export, server, there, EXPORT_ROUNDS)
    if there["only_exports"]:
        return [export]
    return [
        export,
        lambda: _train(server),
        lambda: _import(server, home / there["zip"]),
        lambda: _upload(server),
        lambda: _delete(server, there["victim"]),
    ]


def _ask(server: Server, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"{server.url}/api{path}",
        json.dumps(body or {}).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise PageError(f"{path}: {error.code} {error.read()[:300]!r}") from error


def _train(server: Server) -> None:
    _ask(server, "/runs", {"config": CONFIG.model_dump(mode="json"), "name": "mine"})
    _wait_for(lambda: _mine(server)["status"] == "completed", "the run has not ended")


def _mine(server: Server) -> Any:
    return next((run for run in server.runs() if run["name"] == "mine"), None)


def _import(server: Server, file: Path) -> None:
    with PageSession(server.url, timeout=PATIENCE) as visitor:
        visitor.open("data")
        path = visitor.find("text_input", "Path on this machine")
        visitor.act("text_input", path, string_value=str(file))

        def looked() -> bool:
            visitor.rerun()
            return any("60 pictures" in text or "60 images" in text for text in visitor.texts)

        _wait_for(looked, f"the preview has not come: {visitor.texts}")
        visitor.press("Add")
        _wait_for(lambda: "pictures" in _own_sets(server), "the set has not been added")


def _own_sets(server: Server) -> dict[str, Any]:
    sets = json.loads(server.api("/datasets"))["datasets"]
    return {each["name"]: each["images"] for each in sets if each["usable"]}


def _export(server: Server, there: faults.Result, rounds: int = 1) -> None:
    with PageSession(server.url, timeout=PATIENCE) as visitor:
        visitor.open("runs", urlencode({"run": there["done"], "runs_tab": "Take it away"}))
        for _ in range(rounds):
            for name in there["exported"]:
                visitor.act("button", _make_button(visitor, name), trigger_value=True)

            def made() -> bool:
                visitor.rerun()
                buttons = [_make_button(visitor, name) for name in there["exported"]]
                return all(each and each.label == "Make it again" for each in buttons)

            _wait_for(made, f"the exports have not been made: {visitor.texts}")


def _make_button(visitor: PageSession, name: str) -> Any:
    """The button that makes an export; None while it is being made."""
    key = f"-export_{name}_make"
    return next((each for each in visitor.elements("button") if each.id.endswith(key)), None)


def _upload(server: Server) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(UPLOAD_PIECES):
            yield bytes(50_000)
            time.sleep(0.05)

    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    with closing(connection):
        headers = {
            "Authorization": f"Bearer {TOKEN}",
            "Content-Length": str(UPLOAD_PIECES * 50_000),
        }
        connection.request("POST", f"/api/uploads/{uuid.uuid4().hex}", pieces(), headers)
        assert connection.getresponse().status == 200


def _delete(server: Server, run: str) -> None:
    with PageSession(server.url, timeout=PATIENCE) as visitor:
        visitor.open("runs", f"run={run}")
        visitor.press("Delete")
        visitor.press("Delete 1 run")


def _wait_for(is_so: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise PageError(otherwise)
        time.sleep(0.1)


# --- one kill -------------------------------------------------------------------------------------
def _rehearse(home: Path, there: faults.Result) -> faults.Result:
    """All of it without a kill: how long it takes and what comes of it."""
    with _server(home) as server:
        threads: list[threading.Thread] = []
        began, errors = time.monotonic(), _start(_actions(server, home, there), threads, None)
        for thread in threads:
            thread.join()
        assert not errors, errors
        seconds = time.monotonic() - began
        run = "" if there["only_exports"] else _mine(server)["id"]
        assert not run or there["victim"] not in [each["id"] for each in server.runs()]
    usual = faults._in_child(home, lambda: _outcome(run, there))
    assert "error" not in usual, usual["error"]
    print(f"Without a kill all of it takes {seconds:.1f} s", flush=True)
    return usual | {"seconds": seconds}


def _start(
    actions: list[Callable[[], None]],
    threads: list[threading.Thread],
    killed: threading.Event | None,
) -> list[str]:
    """Starts all actions; returns the list to which each adds what went wrong before the kill."""
    errors: list[str] = []

    def guarded(action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # the server's death has many faces
            if killed is None or not killed.is_set():
                errors.append(repr(error))

    for action in actions:
        threads.append(threading.Thread(target=guarded, args=(action,), daemon=True))
        threads[-1].start()
    return errors


def _outcome(run: str, there: faults.Result) -> faults.Result:
    exports = {"exports": faults._exports(there["done"], there["exported"])}
    if not run:
        return exports
    return exports | {
        "weights": faults._weights(run),
        "losses": faults._losses(run),
        "files": faults._files(run),
        "pictures": faults._hash("pictures"),
    }


def _kill_one(
    home: Path, there: faults.Result, usual: faults.Result, rng: random.Random
) -> tuple[str, list[str]]:
    killed = threading.Event()
    threads: list[threading.Thread] = []
    with _server(home) as server:
        errors = _start(_actions(server, home, there), threads, killed)
        time.sleep(rng.uniform(0, 1.05) * usual["seconds"])
        killed.set()
        os.kill(server.process.pid, signal.SIGKILL)
        with contextlib.suppress(psutil.TimeoutExpired):
            server.process.wait(10)
    for thread in threads:
        thread.join(60)
    assert not errors, errors
    exports = home / "runs" / there["done"] / "exports"
    exporting = any(temporaries(exports)) and "killed in an export"
    was, recorded = _on_disk(home)
    kept = faults._in_child(home, lambda: faults._exports(there["done"], there["exported"]))
    assert kept.items() <= usual["exports"].items(), kept
    with _server(home) as server:
        happened, added = _after(server, home, there, was, recorded)
    seen = faults._in_child(home, lambda: _look(there, usual))
    assert "error" not in seen, seen["error"]
    return happened, [seen["victim"], added, exporting or "killed in no export"]


def _on_disk(home: Path) -> tuple[str, int]:
    """Returns the status of the run in the database that the kill left, and its last step."""
    with closing(sqlite3.connect(home / "lab.sqlite")) as connection:
        found = connection.execute("SELECT id, status FROM runs WHERE name = 'mine'").fetchone()
        if found is None:
            return "", 0
        (step,) = connection.execute(
            "SELECT MAX(step) FROM steps WHERE run_id = ?", found[:1]
        ).fetchone()
        return found[1], step or 0


def _after(
    server: Server, home: Path, there: faults.Result, was: str, recorded: int
) -> tuple[str, str]:
    """Looks at the lab that was started again, and finishes what was broken off."""
    if there["only_exports"]:
        _export(server, there)
        return "exports whole or not there, made again", "nothing else"
    with PageSession(server.url, timeout=PATIENCE) as visitor:
        for page in PAGES:
            visitor.open(page)  # raises PageError where a page shows an exception
        if (mine := _mine(server)) is not None:
            visitor.open("train", f"run={mine['id']}")
            visitor.open("runs", f"run={mine['id']}")
    assert (mine is None) == (not was), (mine, was)
    words = "killed before the run was recorded"
    if mine is None:
        _train(server)
    elif was in ("preparing", "running"):
        _wait_for(lambda: _mine(server)["status"] == "interrupted", f"the run is {_mine(server)}")
        mine = _mine(server)
        assert mine["step"] >= recorded, (mine["step"], recorded)  # some waited beside it
        assert not mine["step"] or f"after step {mine['step']:,}:" in mine["message"], mine
        _ask(server, f"/runs/{mine['id']}/resume")
        words = "interrupted, resumed to the same weights"
    elif was == "queued":
        words = "the waiting run trained after the restart"
    else:
        assert was == "completed", was
        words = "the run had ended"
    _export(server, there)
    _wait_for(lambda: _mine(server)["status"] == "completed", f"the run is {_mine(server)}")
    if "pictures" in _own_sets(server):
        return words, "the set was there whole"
    _import(server, home / there["zip"])
    return words, "no set, added again"


def _look(there: faults.Result, usual: faults.Result) -> faults.Result:
    """Checks the folder of the lab, once its server has been stopped."""
    left = [str(path) for path in temporaries(home_folder())]
    assert not left, left
    with closing(sqlite3.connect(home_folder() / "lab.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    rows = {row.id: row for row in store().runs()}
    folders = {path.name for path in home_folder("runs").iterdir()}
    assert folders == set(rows), (folders, set(rows))
    victim = "the deleted run was gone"
    if there["victim"] in rows:
        victim = "the deleted run was whole"
        assert run_in_foreground(there["victim"]).status == "completed"
        assert faults._weights(there["victim"]) == faults._weights(there["done"])
    run = next((row.id for row in rows.values() if row.name == "mine"), "")
    for name, value in _outcome(run, there).items():
        assert value == usual[name], (name, value, usual[name])
    sweep_uploads(time.time() + KEPT_SECONDS + 1)  # what an upload left, goes in its time
    assert not list(home_folder("downloads").iterdir())
    return {"victim": victim}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server_faults", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="how many kills")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only-exports", action="store_true", help="of all that people do")
    parser.add_argument("--quick", action="store_true", help="one kind of export")
    main(**vars(parser.parse_args()))
