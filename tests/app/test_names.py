"""Names that people typed reach Streamlit's Markdown only with backslashes, on every page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

from lab.config import RunConfig
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.entrance import PAGES
from tests.app.conftest import OpenPage
from tests.hostile import READ_AS_MARKDOWN, RUN, hostile, make_hostile_pack

PLAIN = {
    *("Selectbox.options", "MultiSelect.options", "Selectbox.raw_value", "MultiSelect.raw_values"),
    *("TextInput.default", "TextInput.value", "TextArea.default", "TextArea.value"),
    *("TextInput.placeholder", "Selectbox.placeholder", "Image.alt", "PlotlyChart.alt"),
    *("BidiComponent.json", "Code.code_text", "DownloadButton.url", "Html.body"),
    *("PlotlyChart.spec", "Arrow.alt", "Dataframe.alt", "Arrow.columns", "ArrowVegaLiteChart.spec"),
}
"""Fields that Streamlit shows as text, or hands on; charts, HTML and components of our own are
looked at in a browser."""


@pytest.fixture
def run_id(finished: Callable[[str], RunRow]) -> str:
    config = RunConfig(
        dataset=make_hostile_pack(), architecture="single-layer-perceptron", epochs=1
    )
    run_id = queue().submit(config, name=RUN)
    assert finished(run_id).status == "completed"
    store().set_notes(run_id, hostile("zqo"))
    store().set_tag([run_id], ":red[zqy] $zqy^2$ <b>zqy")
    return run_id


def markdown_of(message: Message) -> Iterator[tuple[str, str]]:
    """Yields the field and the text of every string that may be read as Markdown."""
    for field, value in message.ListFields():
        name = f"{message.DESCRIPTOR.name}.{field.name}"
        many = value if field.is_repeated else [value]
        if name in PLAIN or isinstance(value, bytes):
            continue
        for each in many:
            if isinstance(each, str):
                yield name, each
            elif isinstance(each, Message):
                yield from markdown_of(each)


def violations(app: AppTest) -> list[str]:
    protos: list[Any] = [node.proto for node in app._tree if getattr(node, "proto", None)]
    texts = [text for proto in protos for text in markdown_of(proto)]
    return [f"{name}: {text[:300]}" for name, text in texts if READ_AS_MARKDOWN.search(text)]


def test_names_are_escaped_on_every_page(open_page: OpenPage, run_id: str) -> None:
    """With the run chosen, its data set shown, and an address that brings hostile texts."""
    bad = hostile("zqu")
    visits = [
        (page.name, {"run": run_id, "dataset": dataset, "epochs": bad})
        for page in PAGES
        for dataset in ["hostile" if page.name == "data" else bad]
    ]
    visits += [(name, {"run": bad, "runs": bad}) for name in ("train", "runs", "compare")]
    visits += [("experiments", {"recipe": bad}), ("proof", {"proof": bad})]
    visits += [("runs", {"run": run_id, "runs_tab": "Results"})]
    read = {f"{name} {query}": violations(open_page(name, **query)) for name, query in visits}
    assert {visit: texts for visit, texts in read.items() if texts} == {}


def test_the_check_notices(tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text("import streamlit as st\nst.button('a', help=':red[zqa]')\nst.tabs(['$zqa'])")
    assert len(violations(AppTest.from_file(str(script)).run())) == 2
