"""Faults: kill -9 at random moments, flipped bits and cut files; then everything is looked at.

    python -m benchmarks faults [--times N] [--quick]      (make faults)

A child process trains, resumes, imports, evaluates, exports, downloads or migrates in a LAB_HOME of
its own and is killed at a random moment. Another process then recovers as a server does when it
starts, and checks: the database is whole, the run is interrupted with the last recorded step, what
was broken off is done again to the very same result, no stray file stays. Children are forked from
a process that has imported torch and opened nothing, so that a kill costs a second.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import itertools
import json
import logging
import os
import random
import re
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from lab.config import RunConfig
from lab.data import catalog
from lab.data.pack import PackMeta, PackWriter, load_pack, verify_images
from lab.download.fetch import RemoteFile, fetch
from lab.errors import LabError
from lab.evaluate.predictions import predict, saved_predictions
from lab.export.exporting import kept_export, make_export
from lab.home import home_folder, sweep_temporaries
from lab.runs import worker
from lab.runs.foreground import run_in_foreground
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training import checkpoint, fit, tensor_file
from lab.training.checkpoint import CheckpointMetadata, weights_digest
from lab.training.events import Event, StepDone
from lab.training.plan import make_plan  # noqa: F401  (imported before the fork)
from lab.training.watch import class_map_files, film_files, layer_file

OLD_STORE = Path(__file__).parents[1] / "tests/runs/version_2.sql"
CONFIG = RunConfig(
    dataset="bars", architecture="sign-cnn", batch_size=8, epochs=4, device="cpu", width_shift=0.1
)
EXPORTED = ("safetensors", "onnx", "dataset")
_port = 0  # of the download's server; chosen once
DOWNLOAD = np.random.Generator(np.random.Philox(1)).bytes(3_000_000)

Result = dict[str, Any]


def main(*, quick: bool = False, times: int | None = None, seed: int | None = None) -> list[str]:
    """Print a table of what was tried; raises AssertionError where something was lost."""
    count = times or (5 if quick else 100)
    rng = random.Random(seed)
    with _served():
        pass
    lines = ["| fault | times | what happened | lost |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        template = root / "template"
        usual = _in_child(template, _prepare)
        assert "error" not in usual, usual["error"]
        tries = Counter(itertools.islice(itertools.cycle(ORDER), count))
        for name in tries:
            work, check = SCENARIOS[name]
            home = root / "home"
            results = [
                _kill_one(template, home, work, check, usual, rng) for _ in range(tries[name])
            ]
            lines.append(_line(f"kill -9: {TITLES[name]}", results))
            print(lines[-1], flush=True)
        damage = _in_child(template, lambda: {"lines": _damage(count * 10, rng)})
        assert "error" not in damage, damage["error"]
        lines += damage["lines"]
    print("\n".join(lines))
    failed = [line for line in lines if "**" in line]
    assert not failed, "\n".join(failed)
    return lines


def _line(fault: str, results: list[Result]) -> str:
    happened = Counter(result["happened"] for result in results)
    errors = [result["error"] for result in results if result.get("error")]
    for error in errors:
        print(error)
    lost = f"**{len(errors)} times: {errors[0].splitlines()[-1]}**" if errors else "nothing"
    text = "; ".join(f"{count} {what}" for what, count in happened.most_common())
    return f"| {fault} | {len(results)} | {text} | {lost} |"


# --- processes ------------------------------------------------------------------------------------
def _fork(home: Path, work: Callable[[], Result], answer: Path) -> int:
    """Do `work` in a process of its own, on `home`; its result goes to the file `answer`."""
    pid = os.fork()
    if pid:
        return pid
    os.environ["LAB_HOME"] = str(home)
    code = 0
    try:
        torch.set_num_threads(1)
        result = work()
    except BaseException as error:
        result = {"error": "".join(traceback.format_exception(error)), "happened": "an error"}
        code = 1
    answer.write_text(json.dumps(result))
    os._exit(code)  # as a kill: nobody tidies up


def _in_child(home: Path, work: Callable[[], Result]) -> Result:
    with tempfile.TemporaryDirectory() as place:
        answer = Path(place) / "answer"
        os.waitpid(_fork(home, work, answer), 0)
        result: Result = json.loads(answer.read_text())
        return result


def _kill_one(
    template: Path,
    home: Path,
    work: Callable[[], Result],
    check: Callable[[Result], str],
    usual: Result,
    rng: random.Random,
) -> Result:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(template, home)
    began = time.monotonic()
    pid = _fork(home, work, home.with_name("answer"))
    time.sleep(rng.uniform(0, 1.1) * usual["seconds"][work.__name__])
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status)
    after = time.monotonic() - began

    def look() -> Result:
        _recover()
        happened = check(usual) if killed else "had ended"
        _nothing_stray()
        return {"happened": happened}

    result = _in_child(home, look)
    if result.get("error"):
        result["error"] += f"\n(killed after {after:.2f} s: {work.__name__})"
    return result


def _recover() -> None:
    """What a server does when it starts."""
    worker.recover(store())
    worker.sweep(store())
    with closing(sqlite3.connect(home_folder() / "lab.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def _nothing_stray() -> None:
    assert sweep_temporaries(home_folder()) == 0
    hidden = [p for p in home_folder().rglob(".*") if p.name != ".versions"]
    assert not hidden, hidden


# --- what is killed, and what must be true afterwards ---------------------------------------------
def _prepare() -> Result:
    """Makes the template: a data set, a completed run, an old store; measures each kind of work."""
    _bars()
    seconds = {}
    _begin()
    for work in (_train, _resume, _evaluate, _export, _import, _download, _migrate):
        began = time.monotonic()
        work()
        seconds[work.__name__] = time.monotonic() - began
    rows = {row.name: row for row in store().runs()}
    done = rows["whole"]
    usual = {"seconds": seconds, "weights": _weights(done.id), "done": done.id}
    usual |= {"losses": _losses(done.id), "files": _files(done.id), "import": _hash("pictures")}
    store().delete(rows["begun"].id)
    usual["begun"] = _begin()
    shutil.rmtree(home_folder("runs") / done.id / "evaluation")
    usual["exports"] = _exports(done.id)
    shutil.rmtree(home_folder("runs") / done.id / "exports")
    for path in (*home_folder("downloads").iterdir(), home_folder("packs") / "pictures"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(home_folder("old"))
    return usual


def _begin() -> str:
    """Returns the id of a run that was stopped in the middle."""
    run = store().create_run(CONFIG, name="begun", status="queued")

    def stop_at(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 15:
            store().request(run, "stop")

    assert run_in_foreground(run, on_event=stop_at).status == "stopped"
    return run


def _bars() -> None:
    rng = np.random.Generator(np.random.Philox(3))
    labels = np.arange(120, dtype=np.int64) % 3
    images = rng.integers(0, 200, size=(120, 16, 16, 1), dtype=np.uint8)
    meta = PackMeta("bars", "Bars", "", ("a", "b", "c"), False, 1, 16, "stretch", "", "", "2026")
    with PackWriter(home_folder("packs") / "bars", image_size=16, channels=1) as writer:
        writer.add(images, [str(i) for i in range(120)])
        split = np.repeat(np.array([0, 1, 2], np.uint8), [80, 20, 20])
        writer.finish(meta, labels, split)


def _train() -> Result:
    fit.SAVE_AT_LEAST_EVERY = fit.SAVE_COST_FACTOR = 0.0  # so that kills meet writers
    run_in_foreground(CONFIG, name="whole")
    return {}


def _check_train(usual: Result) -> str:
    there = (usual["done"], usual["begun"])
    row = next((row for row in store().runs() if row.id not in there), None)
    return "killed before the run was recorded" if row is None else _check_run(row, usual)


def _check_run(row: RunRow, usual: Result) -> str:
    fit.SAVE_AT_LEAST_EVERY, fit.SAVE_COST_FACTOR = 2.0, 33.0
    happened = "killed after its end was recorded"
    if row.status != "completed":
        recorded = store().steps(row.id).step
        assert row.step == (int(recorded[-1]) if len(recorded) else 0), (row.step, recorded[-3:])
        if row.status != "stopped":  # it had not begun to go on
            assert row.status == "interrupted", row.status
            assert (f"after step {row.step:,}:" in row.message) == bool(row.step), row.message
        ended = run_in_foreground(row.id)
        assert ended.status == "completed", ended.message
        happened = "interrupted, resumed to the same weights"
    assert _weights(row.id) == usual["weights"]
    assert _losses(row.id) == usual["losses"]
    assert _files(row.id) == usual["files"], (_files(row.id), row.status, row.step)
    return happened


def _resume() -> Result:
    """A second kill: of a run that goes on."""
    fit.SAVE_AT_LEAST_EVERY = fit.SAVE_COST_FACTOR = 0.0
    run_in_foreground(next(row.id for row in store().runs() if row.name == "begun"))
    return {}


def _check_resume(usual: Result) -> str:
    return _check_run(store().run(usual["begun"]), usual)


def _evaluate() -> Result:
    run = store().runs(status="completed")[0].id
    for split in ("val", "test"):
        predict(store().folder(run), "last", split)
    return {}


def _check_evaluate(usual: Result) -> str:
    folder = store().folder(usual["done"])
    kept = saved_predictions(folder, "last", "val")
    again = predict(folder, "last", "val")
    assert kept is None or np.array_equal(kept.probabilities, again.probabilities)
    return "nothing kept, made again" if kept is None else "kept whole"


def _export() -> Result:
    run = store().runs(status="completed")[0]
    for name in EXPORTED:
        make_export(run, name)
    return {}


def _exports(run: str, names: Iterable[str] = EXPORTED) -> dict[str, str]:
    """A digest of what is in each export that is there."""
    made = {name: kept_export(store().run(run), name) for name in names}
    return {n: _digest(each.file_name, each.file.read_bytes()) for n, each in made.items() if each}


def _digest(name: str, content: bytes) -> str:
    """A digest of what an export says, without the times at which its parts were made."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {each: _digest(each, archive.read(each)) for each in archive.namelist()}
        content = json.dumps(parts, sort_keys=True).encode()
    elif name.endswith(".safetensors"):  # its header's facts have a new order each time
        length = 8 + int.from_bytes(content[:8], "little")
        facts = json.loads(content[8:length])["__metadata__"]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        content = tensor_file.update_digest(digest, safetensors.torch.load(content)).digest()
    elif name.endswith((".html", ".json")):  # a lab card
        content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:.+]+", b"", content)
    return hashlib.sha256(content).hexdigest()


def _check_export(usual: Result) -> str:
    kept = _exports(usual["done"])
    assert all(usual["exports"][name] == digest for name, digest in kept.items()), kept
    _export()
    assert _exports(usual["done"]) == usual["exports"]
    return f"{len(kept)} of {len(EXPORTED)} kept whole, the rest made again"


def _import() -> Result:
    rng = np.random.Generator(np.random.Philox(5))
    file = home_folder("incoming") / "pictures.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(60):
            picture = io.BytesIO()
            pixels = rng.integers(0, 255, size=(40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(picture, format="PNG")
            archive.writestr(f"{'ab'[number % 2]}/{number}.png", picture.getvalue())
    catalog.add_dataset("pictures", file, image_size=32)
    return {}


def _check_import(usual: Result) -> str:
    folder = home_folder("packs") / "pictures"
    if folder.exists():
        assert _hash("pictures") == usual["import"]
        return "the whole set is there"
    _import()
    assert _hash("pictures") == usual["import"]
    return "no set, added again"


def _download() -> Result:
    with _served():
        file = RemoteFile(
            url=f"http://127.0.0.1:{_port}/file", title="the file", by_hand="Or copy it."
        )
        fetch(file, home_folder("downloads") / "file.bin")
    return {}


def _check_download(usual: Result) -> str:
    part = home_folder("downloads") / "file.bin.part"
    kept = part.stat().st_size if part.exists() else 0
    _download()
    assert (home_folder("downloads") / "file.bin").read_bytes() == DOWNLOAD
    left = sorted(p.name for p in home_folder("downloads").iterdir())
    assert left == ["file.bin"], left
    return "went on from what had come" if kept else "downloaded from its beginning"


def _migrate() -> Result:
    os.environ["LAB_HOME"] = str(home_folder("old"))
    if not (file := home_folder() / "lab.sqlite").exists():
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(OLD_STORE.read_text(encoding="utf-8"))
            connection.execute("PRAGMA journal_mode = WAL")
    assert len(store().runs()) == 3
    os.environ["LAB_HOME"] = str(home_folder().parent)
    return {}


def _check_migrate(usual: Result) -> str:
    os.environ["LAB_HOME"] = str(home_folder("old"))
    _recover()
    rows = store().runs()
    os.environ["LAB_HOME"] = str(home_folder().parent)
    assert len(rows) in (0, 3), rows
    return "the old store opens, migrated" if rows else "killed before the old store was there"


SCENARIOS: dict[str, tuple[Callable[[], Result], Callable[[Result], str]]] = {
    "train": (_train, _check_train),
    "resume": (_resume, _check_resume),
    "import": (_import, _check_import),
    "evaluate": (_evaluate, _check_evaluate),
    "export": (_export, _check_export),
    "download": (_download, _check_download),
    "migrate": (_migrate, _check_migrate),
}
ORDER = ("train", "resume", "import", "train", "evaluate", "export", "train", "download", "train",
         "migrate", "train")  # fmt: skip
"""Of kills: nearly half of them meet a run."""

TITLES = {
    "train": "a run, from preparing to its end, saving after every step",
    "resume": "a run that goes on",
    "import": "an import of a zip",
    "evaluate": "predictions of two parts",
    "export": "weights, an ONNX file and the data set, exported",
    "download": "a download",
    "migrate": "the migration of a store of version 2",
}


class _SlowFile(http.server.BaseHTTPRequestHandler):
    """Serves DOWNLOAD in a third of a second, with ranges."""

    def do_GET(self) -> None:
        first = int((self.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(DOWNLOAD) - first))
        self.send_header("ETag", '"1"')
        if first:
            whole = len(DOWNLOAD)
            self.send_header("Content-Range", f"bytes {first}-{whole - 1}/{whole}")
        self.end_headers()
        for place in range(first, len(DOWNLOAD), 100_000):
            self.wfile.write(DOWNLOAD[place : place + 100_000])
            time.sleep(0.01)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _served() -> Iterator[None]:
    """At the same address in every process."""
    global _port
    server = http.server.ThreadingHTTPServer(("127.0.0.1", _port), _SlowFile)
    _port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


# --- what is compared -----------------------------------------------------------------------------
def _weights(run: str) -> list[str]:
    folder = store().folder(run)
    return [weights_digest(folder, name) for name in ("last", "best")]


def _losses(run: str) -> list[list[float]]:
    steps, epochs = store().steps(run), store().epochs(run)
    return [list(map(float, steps["loss"])), list(map(float, epochs["val_loss"]))]


def _files(run: str) -> list[str]:
    folder = store().folder(run)
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def _hash(name: str) -> str:
    pack = load_pack(home_folder("packs") / name)
    verify_images(pack)
    return pack.meta.content_hash


# --- flipped bits and cut files -------------------------------------------------------------------
def _damage(count: int, rng: random.Random) -> list[str]:
    """One line of the table for each kind of file."""
    logging.disable(logging.CRITICAL)
    run = store().runs(status="completed")[0].id
    folder, pack = store().folder(run), home_folder("packs") / "bars"
    checkpoint.begin_resume(folder, "fp32")
    shutil.copy(folder / checkpoint.END, folder / checkpoint.RESUME)
    predict(folder, "best", "val")
    kinds: dict[str, tuple[Path, Callable[[], object]]] = {
        "resume state": (folder / "resume.safetensors", lambda: _state(folder)),
        "weights": (folder / "best.safetensors", lambda: weights_digest(folder, "best")),
        "network card": (folder / "network.json", lambda: CheckpointMetadata.read(folder)),
        "film strip": (folder / "probes/epoch-0000.npz", lambda: _film(folder)),
        "class map": (folder / "class-map/epoch-0001.npz", lambda: _class_map(folder)),
        "layer health": (folder / "layers/samples.bin", lambda: _layers(folder)),
        "predictions": (folder / "evaluation/best-val.npz", lambda: _fields(
            saved_predictions(folder, "best", "val"))),
        "pictures of a pack": (pack / "images.npy", lambda: _hash("bars")),
        "labels of a pack": (pack / "labels.npy", lambda: _hash("bars")),
        "facts of a pack": (pack / "meta.json", lambda: load_pack(pack).meta),
    }  # fmt: skip
    lines = []
    for kind, (file, read) in kinds.items():
        data, right, stat = file.read_bytes(), read(), file.stat()
        found: Counter[str] = Counter()
        error = ""
        for number in range(count):
            damaged = bytearray(data)
            if (
                number % 4 == 3 and kind != "layer health"
            ):  # which is appended to: then it is shorter
                damaged = damaged[: rng.randrange(len(data))]
            else:
                bit = rng.randrange(len(data) * 8)
                damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(damaged)
            os.utime(file, ns=(number, number))
            try:
                same = read() == right
                found["made no difference" if same else "silently different"] += 1
            except LabError:
                found["noticed"] += 1
            except Exception as wrong:
                found["not a sentence"] += 1
                error = repr(wrong)
        file.write_bytes(data)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # predictions belong to one write
        bad = found["silently different"] + found["not a sentence"]
        text = "; ".join(f"{n} {what}" for what, n in found.most_common())
        lost = f"**{bad} times {error}**" if bad else "nothing silently"
        lines.append(f"| a flipped bit or a cut: {kind} | {count} | {text} | {lost} |")
        print(lines[-1], flush=True)
    return lines


class _Noticed(LabError):
    pass


def _state(folder: Path) -> tuple[str, str]:
    state = checkpoint.read_resume(folder, whole=True)
    if state is None or state.warning:
        raise _Noticed
    digest = hashlib.sha256()
    for name, tensor in sorted(state.tensors.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest(), json.dumps(state.header, sort_keys=True)


def _fields(kept: Any) -> dict[str, str]:
    if kept is None:
        raise _Noticed
    values = {name: getattr(kept, name) for name in kept.__dataclass_fields__}
    return {
        n: repr(v.tolist()) if isinstance(v, np.ndarray) else repr(v) for n, v in values.items()
    }


def _film(folder: Path) -> dict[str, str]:
    snapshot = film_files.read_snapshot(folder, 0)
    if snapshot is None or not snapshot.stages:
        raise _Noticed
    maps = [film_files.read_maps(folder, 0, stage) for stage in snapshot.stages]
    if any(each is None for each in maps):
        raise _Noticed
    return _fields(snapshot) | {"maps": repr([each.tolist() for each in maps if each is not None])}


def _class_map(folder: Path) -> dict[str, str]:
    first = class_map_files.read_snapshots(folder)[0]
    if first.epoch != 1:
        raise _Noticed
    return _fields(first)


def _layers(folder: Path) -> dict[str, str]:
    history = layer_file.layer_history(folder, points=10_000)
    if history is None or len(history.steps) != history.samples:
        raise _Noticed
    return _fields(history)
