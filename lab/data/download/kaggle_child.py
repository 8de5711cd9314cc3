"""One kagglehub download in a process of its own; `lab.data.download.kaggle` starts it.

    python -m lab.data.download.kaggle_child OWNER/NAME WHAT PAGE      with KAGGLEHUB_CACHE set

Says on standard output, one JSON object a line: {"total": bytes} when the size is known, then one
of
    {"path": folder}        it is there, unpacked
    {"dropped": how}        another try may mend it
    {"refused": sentence}   another try would not help
    {"damaged": how}        what arrived did not pass kagglehub's checks
    {"full": true}          the disk is full
Ends when standard input is closed, so that it never outlives the lab.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

from lab.data.download import refusals
from lab.data.download.patience import Patience

# What kagglehub itself waits for (kagglehub/clients.py).
ITS_PATIENCE = Patience(connect_seconds=5, read_seconds=15)

WHAT_IT_MEANS = {
    "DataCorruptionError": "its checksum is wrong",
    "ValueError": "it is neither a zip nor a tar file",  # "Unsupported archive type."
    "BadZipFile": "the zip file is damaged",
}


def main(handle: str, what: str, page: str) -> None:
    # kagglehub logs and warns on standard output; that goes to standard error, ours stays clean.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    answered = False

    def say(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    threading.Thread(target=end_with_the_lab, daemon=True).start()
    try:
        # kagglehub's only sign of life is a tqdm bar. This process is ours alone, so tqdm can be
        # replaced before kagglehub imports it; should a later version have no bar, the size stays
        # unknown and nothing else changes.
        import tqdm  # type: ignore[import-untyped]

        class Told(tqdm.tqdm):  # type: ignore[misc]
            def __init__(self, *args: Any, **options: Any) -> None:
                nonlocal answered
                answered = True
                if options.get("unit") == "B" and options.get("total"):
                    say(total=int(options["total"]))
                super().__init__(*args, **{**options, "disable": True})

        tqdm.tqdm = Told
        import kagglehub

        say(path=kagglehub.dataset_download(handle))
    except Exception as error:
        logging.exception("kagglehub failed")  # to standard error, which the lab keeps
        say(**verdict(error, what, page, answered=answered))


def verdict(error: Exception, what: str, page: str, *, answered: bool) -> dict[str, Any]:
    """What the lab should make of kagglehub's error."""
    import requests

    if isinstance(error, requests.RequestException):
        host = urlsplit(error.request.url or "").hostname if error.request else None
        host = host or "www.kaggle.com"
        if error.response is not None:
            status, reason = error.response.status_code, error.response.reason
            if status == 429 or status >= 500:
                return {"dropped": f"{host} answers with an error (HTTP {status} {reason})"}
            return {"refused": refusals.http_status(status, reason, host, what, page)}
        broken = refusals.broken_connection(error, read_seconds=ITS_PATIENCE.read_seconds)
        if broken is not None or (answered and refusals.is_unreachable(error)):
            return {"dropped": f"{host} {broken or 'cannot be reached any more'}"}
        return {"refused": refusals.not_reached(error, host, what, page, ITS_PATIENCE)}
    if isinstance(error, ImportError):
        return {
            "refused": f"kagglehub cannot be used here ({error}): {what} was not downloaded. "
            f"Install it with `pip install -r requirements.txt`. {refusals.by_hand(page)}"
        }
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return {"full": True}
    return {
        "damaged": WHAT_IT_MEANS.get(type(error).__name__) or f"{type(error).__name__}: {error}"
    }


def end_with_the_lab() -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdin.buffer.read()
    os._exit(3)


if __name__ == "__main__":
    main(*sys.argv[1:4])
