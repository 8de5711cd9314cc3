"""The page /api/docs: every endpoint with examples, made from the endpoints. No script, no request
to anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lab.api.endpoint import Endpoint, Parameter
from lab.api.examples import PYTHON_START, curl, python
from lab.api.serving import STATUS_WORDS
from lab.installation import COMMAND

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Content-Security-Policy of the page."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --get: #0a6e4f; --post: #8a4600; }
@media (prefers-color-scheme: dark) { :root { --get: #5fd3a8; --post: #f0b06a; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 0 auto; padding: 1rem; }
h1 { margin-bottom: 0 } h2 { margin-top: 3rem } h3 { margin: 2rem 0 0; font-size: 1.05rem }
h3 code { font-size: 1rem } .get { color: var(--get) } .post { color: var(--post) }
p { margin: .3rem 0 .6rem }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .4rem;
      padding: .6rem .8rem; overflow-x: auto; font-size: .85rem; line-height: 1.4 }
table { border-collapse: collapse; margin: .5rem 0; font-size: .9rem }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top }
nav ul { columns: 16rem 3; padding-left: 1.2rem } summary { cursor: pointer }
a { color: inherit }
"""

FOLLOW_PYTHON = """\
run = requests.post(
    LAB + "/api/runs",
    json={"config": {"dataset": "drawn-signs", "architecture": "sign-cnn", "epochs": 3}},
    headers=AUTH,
).json()

last = 0
with requests.get(f"{LAB}/api/runs/{run['id']}/events", stream=True, timeout=60) as answer:
    for line in answer.iter_lines():
        if not line.startswith(b"data: "):
            continue  # an id, an empty line, or a sign of life
        event = json.loads(line[6:])
        if "gone" in event:  # deleted
            break
        history = event.get("history", {"epoch": []})
        for row, epoch in enumerate(history["epoch"]):
            if epoch > last:  # at the start, what you have may come once more
                last = epoch
                accuracy = history["epoch_columns"]["val_accuracy"][row]
                print(f"epoch {epoch}: {accuracy:.1%} of the validation images")
        if event["run"]["status"] not in ("queued", "preparing", "running"):
            break

print(event["run"]["message"])
"""
"""Starts a run and follows it, after PYTHON_START."""


def docs_page(endpoints: Sequence[Endpoint], base: str) -> str:
    """Returns the page as HTML; `base` is the server's address as the reader sees it."""
    groups = dict.fromkeys(endpoint.group for endpoint in endpoints)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8"><title>Epochlab: API</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body>",
            "<h1>Epochlab: API</h1>",
            "<nav><ul>",
            *(f"<li><a href='#{e.operation}'>{escape(e.summary)}</a></li>" for e in endpoints),
            "</ul></nav>",
            "<p>Everything is JSON; the same as an <a href='openapi.json'>OpenAPI document</a>. "
            "Reading needs nothing. What changes something needs the token:</p>",
            _pre(f"TOKEN=$({COMMAND} api-token)   # on the server, in the lab's folder"),
            "<details><summary>A refusal is <code>{&quot;error&quot;: &quot;one sentence&quot;}"
            "</code>, with one of these statuses</summary>",
            _table([(str(status), words) for status, words in STATUS_WORDS.items()]),
            "</details>",
            "<p>Every Python example begins with this:</p>",
            _pre(f"TOKEN = ...  # what `{COMMAND} api-token` prints\n{_start(base)}"),
            "<h2 id='follow'>Follow a run</h2>",
            "<p>In a shell, the events as they come:</p>",
            _pre(_follow_curl(base)),
            "<p>In Python, with nothing but requests, from its start to its end:</p>",
            _pre(FOLLOW_PYTHON),
            "<p>The first event brings all that there is, the next ones what has changed. To go on "
            "after a break, send the last event's id as the header <code>Last-Event-ID</code>. "
            "When <code>history.whole</code> is true, forget the points that you have; else the "
            "second event may repeat some of the first.</p>",
            *(
                "\n".join(
                    [
                        f"<h2>{escape(group)}</h2>",
                        *(_section(e, base) for e in endpoints if e.group == group),
                    ]
                )
                for group in groups
            ),
            "</body></html>",
        ]
    )


def _start(base: str) -> str:
    return PYTHON_START.format(base=base)


def _follow_curl(base: str) -> str:
    return f"curl -N {base}/api/runs/r-20261129-120000-ab12/events"


def _section(endpoint: Endpoint, base: str) -> str:
    method = endpoint.method
    parts = [
        f"<section><h3 id='{endpoint.operation}'><code><span class='{method.lower()}'>{method}"
        f"</span> /api{escape(endpoint.path)}</code></h3>",
        f"<p>{escape(endpoint.summary)}. {_text(endpoint.description)}</p>",
    ]
    if endpoint.parameters:
        parts.append(_table([(p.name, _parameter(p)) for p in endpoint.parameters]))
    parts.append(_pre(curl(endpoint, base)))
    parts.append(f"<details><summary>Python</summary>{_pre(python(endpoint))}</details></section>")
    return "\n".join(parts)


def _parameter(parameter: Parameter) -> str:
    text = parameter.about
    if parameter.choices:
        text += f" One of: {', '.join(parameter.choices)}."
    if parameter.maximum is not None:
        text += f" {parameter.minimum or 0:,} to {parameter.maximum:,}."
    if parameter.default not in (None, "") and not parameter.many:
        default = str(parameter.default)
        text += f" Default: {default.lower() if parameter.kind == 'boolean' else default}."
    return text


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th scope='row'><code>{escape(name)}</code></th><td>{_text(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table>{cells}</table>"


def _text(text: str) -> str:
    """Returns plain text with `code` as HTML."""
    parts = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts))


def _pre(text: str) -> str:
    return f"<pre tabindex='0'>{escape(text)}</pre>"
