"""One HTML file that classifies pictures in a browser, from the disk, without any connection.

    page/page.html   filled in with page.css, page.js,
    page/vendor/     ONNX Runtime Web: its script, and its WebAssembly as gzip in base64,
                     and the run's ONNX model (`lab.export.onnx_file`) likewise

The picture's pixels are resized and normalised inside the model, so the page has to decode only.
"""

from __future__ import annotations

import base64
import functools
import gzip
import html
import json
import lzma
import re
from pathlib import Path
from typing import Any

from lab.evaluate.opened import open_own_network
from lab.export.formats import Written, measured_part
from lab.export.onnx_file import onnx_model
from lab.export.proof import prove
from lab.export.provenance import way_in_words
from lab.progress import Cancel, Progress, Report, check_cancel
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.words import percent, size

PAGE = Path(__file__).parent / "page"
RUNTIME = PAGE / "vendor" / "ort-wasm-simd-threaded.wasm.xz"
RUNTIME_SCRIPT = PAGE / "vendor" / "ort.wasm.bundle.min.mjs"


def write_page(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    report(Progress(0, 0, "Recording the network's graph"))
    opened = open_own_network(store().folder(run.id), checkpoint)
    model = onnx_model(run, opened).SerializeToString()
    part = measured_part(run)
    proof = prove(model, run, checkpoint, part, report, cancelled) if part else None
    check_cancel(cancelled, "The export")
    report(Progress(0, 0, "Writing the page"))
    card = opened.card
    inside, outside = way_in_words(card)
    rows = [
        ("Run", f"{run.name} ({run.id}), checkpoint {checkpoint}"),
        ("Network", card.config.architecture),
        ("Data set", f"{card.config.dataset}, version {card.dataset_hash[:12]}"),
        ("Classes", ", ".join(card.class_names)),
        ("A picture's way", f"{inside} {outside}"),
    ]
    if proof is not None:
        words = "test" if part == "test" else "validation"
        rows.insert(
            3,
            ("Accuracy", f"{percent(proof.accuracy)} of {proof.images:,} {words} pictures"),
        )
    about = f"Tells {len(card.class_names)} classes apart. It answers for every picture, also for "
    about += "one of something else."
    text = page(run.name, {"classes": card.class_names, "about": about, "rows": rows}, model)
    path.write_text(text, encoding="utf-8")
    sentences = [
        f"One file of {size(len(text))} that needs no server and loads nothing; the network in it "
        f"takes {size(len(model))}.",
        "The browser decodes JPEG and WebP, which may be a few levels off; all from there on is "
        "the graph of the ONNX export.",
    ]
    if proof is not None:
        sentences.insert(1, proof.sentence)
    facts = {
        "classes": list(card.class_names),
        "proof": None if proof is None else proof.values(),
    }
    return Written(tuple(sentences), facts)


def page(title: str, facts: dict[str, Any], model: bytes) -> str:
    """Returns the file's text; `facts` are what page.js shows."""
    parts = {
        "title": html.escape(title),
        "style": (PAGE / "page.css").read_text(encoding="utf-8"),
        "facts": json.dumps(facts).replace("<", "\\u003c"),
        "runtime": _packed_runtime(),
        "model": _packed(model),
        "ort": runtime_script(),
        "script": (PAGE / "page.js").read_text(encoding="utf-8"),
    }
    template = (PAGE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def runtime_script() -> str:
    """Returns the runtime's module with `ort` as a constant in place of exports, so that it and
    page.js are one module: a page on the disk may not import another file."""
    text = RUNTIME_SCRIPT.read_text(encoding="utf-8")
    body, _, exports = text.rpartition("export{")
    names = dict(re.findall(r"(\w+) as (\w+)", exports.partition("}")[0]))
    wanted = {name: local for local, name in names.items()}
    members = ",".join(f"{n}:{wanted[n]}" for n in ("InferenceSession", "Tensor", "env"))
    return f"{body}\nconst ort={{{members}}};"


@functools.cache
def _packed_runtime() -> str:
    return _packed(lzma.decompress(RUNTIME.read_bytes()))


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, compresslevel=9, mtime=0)).decode("ascii")
