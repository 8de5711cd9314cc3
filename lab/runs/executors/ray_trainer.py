"""Trains a run on a machine of a cluster, in a worker process of Ray's, which trains one at a time.

    LAB_NODE_HOME (default ~/.cache/epochlab)/<content hash>/    the LAB_HOME of runs on that data
    ├── packs/<name>/      came once, whichever run was the first
    ├── features/<key>/    kept outputs of frozen layers: they stay on the machine
    └── runs/<run id>/     while the run trains; all that happens in it is sent to the server

Three threads: the engine's, one that waits for wishes, and the one that Ray asks for batches.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lab.data.pack import read_meta
from lab.data.pack_lock import pack_lock
from lab.data.version_files import link_pack
from lab.errors import ConfigError, DataError, LabError, ResourceError, WeightsError
from lab.home import atomic_folder, home_folder, require_free_space
from lab.progress import Cancel, Progress, Report, never, silent, throttled
from lab.runs.executors.folder_sync import PIECE_BYTES, Change, FolderReader, FolderWriter
from lab.runs.executors.pack_store import VARIABLE, get_pack
from lab.runs.executors.ray_job import (
    NO_MORE,
    Batch,
    Failed,
    Finished,
    Item,
    Job,
    PackFiles,
    Started,
    Wish,
)
from lab.training import devices
from lab.training.control import Control
from lab.training.events import RunEnded, SaveReached, StepDone

HOME_VARIABLE = "LAB_NODE_HOME"

BATCH_SECONDS = 0.25
"""Between two batches, which cost each side 2 ms: under 1 % of a core. The server records a batch
as it comes, so that a step is seen after half of that."""

SEND_COST_FACTOR = 33.0
"""Files are sent when that many times as long has passed as sending them took the last time, so
that sending takes about 3 % of the time; at the end of a run in any case."""

MOST_ITEMS, MOST_PIECES = 4096, 16
"""What may wait to be sent before training waits: in all, and before a further piece of a file."""

SEND_SECONDS, REPORT_SECONDS = 0.25, 0.2
"""Between two looks for changed files while steps are taken, and between two reports."""

SIOCGIFADDR = 0x8915
"""Linux's request for the address of a network interface."""

OLD_SECONDS = 86_400.0
"""After which the folder of a run that ended with its machine is deleted."""

Pieces = Callable[[], Iterable[Change]]


def train(
    job: Job,
    *,
    files: Iterable[tuple[str, Change]],
    pack: Pieces,
    wishes: Callable[[int], Wish],
    threads: int,
    host: str,
) -> Iterator[Batch]:
    """Train one session of a run; yields what happens in it, in order.

    `files` are those of `ray_job.files_of`, each with its run; `pack` fetches the data set's.
    `wishes(number)` waits for a wish with another number than this. Other machines reach this one
    as `host`.
    """
    items: queue.Queue[Item] = queue.Queue(MOST_ITEMS)
    control = Control()
    _obey(control, wishes)
    address = _invite(job, threads, host) if job.config.workers > 1 else ""
    threading.Thread(
        target=_train,
        args=(job, files, pack, control, threads, items),
        name=f"trainer-{job.run_id}",
        daemon=True,
    ).start()
    yield [Started(socket.gethostname(), address)]
    yield from _batches(items)


def follow(job: Job, *, pack: Pieces, rank: int, address: str, threads: int, host: str) -> None:
    """Train one session of a run as its worker `rank` beside the first one, whose rank is 0.
    Raises LabError."""
    _set_threads(threads)
    _use_network_of(host)
    _make_home(job)
    if job.pack is not None:
        place_pack(job.pack, pack)
    from lab.training import workers

    workers.follow(address, rank, job.config.workers, job.device)


def _invite(job: Job, threads: int, host: str) -> str:
    _set_threads(threads)  # before torch comes
    _use_network_of(host)
    from lab.training import workers

    return workers.invite(host, job.config.workers)


def _use_network_of(host: str) -> None:
    """Let workers find one another by this address: the name of a Linux machine often leads to
    the machine itself alone (127.0.1.1), and torch goes by the name."""
    if sys.platform != "linux":
        return
    import fcntl

    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
            request = struct.pack("256s", name.encode())
            answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
            if socket.inet_ntoa(answer[20:24]) == host:
                os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
                os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def _batches(items: queue.Queue[Item]) -> Iterator[Batch]:
    """Yields what comes until all has come: at once if it holds files, else not too often."""
    while True:
        batch: list[Item] = [items.get()]
        size = _bytes(batch[-1])
        with contextlib.suppress(queue.Empty):
            while size < PIECE_BYTES and not isinstance(batch[-1], Finished):
                batch.append(items.get_nowait())
                size += _bytes(batch[-1])
        yield batch
        if isinstance(batch[-1], Finished):
            return
        if not size:
            time.sleep(BATCH_SECONDS)


def _bytes(item: Item) -> int:
    return len(item.data) if isinstance(item, Change) else 0


def _obey(control: Control, wishes: Callable[[int], Wish]) -> None:
    def listen() -> None:
        number = 0
        while True:
            try:
                wish = wishes(number)
            except Exception:  # the server has gone, and with it this process
                return
            number = wish.number
            if number == NO_MORE:
                return
            control.request(wish.wanted)
            if wish.rate is not None:
                control.request_rate(wish.rate)

    threading.Thread(target=listen, name="wishes", daemon=True).start()


def _train(
    job: Job,
    files: Iterable[tuple[str, Change]],
    pack: Pieces,
    control: Control,
    threads: int,
    items: queue.Queue[Item],
) -> None:
    try:
        _set_threads(threads)
        for item in _session(job, files, pack, control, items):
            while isinstance(item, Change) and items.qsize() > MOST_PIECES:
                time.sleep(0.005)
            items.put(item)
    except (ConfigError, WeightsError) as error:  # the server could not know what is missing here
        items.put(Failed(type(error)(f"On the machine {socket.gethostname()}: {error}")))
    except LabError as error:
        items.put(Failed(error))
    except Exception as error:
        # Not the error itself: its class may be one that the server does not have.
        text = f"{type(error).__name__}: {error}"
        kind = MemoryError if isinstance(error, MemoryError) else RuntimeError
        items.put(Failed(kind(text), traceback.format_exc()))
    finally:
        items.put(Finished())


def _set_threads(threads: int) -> None:
    """As many as the run has cores, so that its figures are the same on each machine."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if (torch := sys.modules.get("torch")) is not None:  # from an earlier run of this process
        torch.set_num_threads(threads)


def _session(
    job: Job,
    files: Iterable[tuple[str, Change]],
    pack: Pieces,
    control: Control,
    items: queue.Queue[Item],
) -> Iterator[Item]:
    _make_home(job)
    _drop_old()
    folder = home_folder("runs") / job.run_id
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        writers: dict[str, FolderWriter] = {}
        for run_id, change in files:
            if run_id not in writers:
                writers[run_id] = FolderWriter(home_folder("runs", run_id))
            writers[run_id].apply(change)
        reader = FolderReader(folder, keep=lambda name: name != "lock")
        reader.mark_sent()
        if job.pack is not None:
            items.put(Progress(0, 0, "Fetching the data set"))
            place_pack(
                job.pack,
                pack,
                progress=throttled(items.put, per_second=1 / REPORT_SECONDS),
                cancel=lambda: control.wanted in ("stop", "pause"),
            )
        yield from _events(job, folder, reader, control, items)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _events(
    job: Job, folder: Path, reader: FolderReader, control: Control, items: queue.Queue[Item]
) -> Iterator[Item]:
    """The engine's events, and before each that comes behind a change the files that changed."""
    reported_at = sent_at = -1e9
    send_seconds = 0.0
    save: SaveReached | None = None

    def report(progress: Progress) -> None:
        nonlocal reported_at
        if (now := time.monotonic()) - reported_at >= REPORT_SECONDS:
            reported_at = now
            items.put(progress)

    for event in job.engine(job.config, folder, control, report):
        began = time.monotonic()
        wait = SEND_COST_FACTOR * send_seconds
        wait = max(wait, SEND_SECONDS) if isinstance(event, StepDone) else wait
        if isinstance(event, RunEnded) or began - sent_at > wait:
            if save is not None:  # the server records all so far before it has the state
                yield save
                save = None
            yield from reader.changes()
            sent_at = time.monotonic()
            send_seconds = sent_at - began
        if isinstance(event, SaveReached):
            save = event
        else:
            yield event
    yield from reader.changes()  # what it deleted once the run had ended


def place_pack(
    files: PackFiles, pieces: Pieces, *, progress: Report = silent, cancel: Cancel = never
) -> None:
    """Put the data set into LAB_HOME, unless it is there: from its address, from `pieces`, or from
    the server's folder where this machine sees that. Raises DataError, ResourceError, Cancelled."""
    folder = home_folder("packs") / files.dataset
    with pack_lock(files.dataset, progress=progress, cancel=cancel):
        if _has(folder, files):
            return
        require_free_space(folder.parent, files.size_bytes)
        with atomic_folder(folder) as temporary:
            writer, change = FolderWriter(temporary), None
            for change in pieces():
                writer.apply(change)
            if files.url:
                get_pack(files, temporary, progress=progress, cancel=cancel)
            elif change is None and _has(files.folder, files):
                link_pack(files.folder, temporary)
            if not _has(temporary, files):
                raise DataError(
                    f"The data set {files.dataset!r} takes {files.size_bytes / 1e9:.1f} GB; above "
                    "1 GB it is not sent, and this machine does not see the server's folder "
                    f"{files.folder}. Put LAB_HOME on a disk that all machines share, or have the "
                    f"server keep large data sets at an address ({VARIABLE}, docs/SCALE.md)."
                )


def _has(folder: Path, files: PackFiles) -> bool:
    with contextlib.suppress(DataError):
        meta = read_meta(folder)
        return meta is not None and meta.content_hash == files.content_hash
    return False


def _make_home(job: Job) -> None:
    """Let this process train such runs, if it has the server's version of the lab."""
    from lab import __version__

    if job.version != __version__:
        raise ResourceError(
            f"The machine {socket.gethostname()} has version {__version__} of the lab, the server "
            f"{job.version}: install the server's there."
        )
    os.environ["LAB_HOME"] = str(_home(job))
    os.environ.pop("LAB_DATABASE_URL", None)
    devices.train_on(lambda: {job.device: job.config.workers})


def _home(job: Job) -> Path:
    base = os.environ.get(HOME_VARIABLE) or Path.home() / ".cache" / "epochlab"
    return Path(base) / (job.pack.content_hash[:16] if job.pack else "no-data")


def _drop_old() -> None:
    for folder in home_folder("runs").iterdir():
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > OLD_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
