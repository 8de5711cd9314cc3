"""Sentences of the lab in the pages' words."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.ui.words import page_words, plain

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rate is 'abc'; allowed is", "Learning rate is 'abc'; allowed is"),
        ("choose freeze=scratch, or one of mobilenet_v2, resnet18.",
         "choose “From scratch”, or one of MobileNetV2, ResNet-18."),
        ("Set activation=auto or image_size to 32.",
         "Set Activation “Automatic” or Image size to 32."),
        ("Put https://x.org/resnet18-f37.pth at /a/resnet18-f37.pth.",
         "Put https://x.org/resnet18-f37.pth at /a/resnet18-f37.pth."),
        ("The head of a network; the depth.", "The head of a network; the depth."),
        ("The data set 'cats-dogs' is missing.", "The data set 'Cats and dogs' is missing."),
    ],
)  # fmt: skip
def test_names_become_titles(text: str, words: str) -> None:
    assert page_words(text) == words


def test_what_is_replaced_behind_markdown_is_kept_apart_without_a_visible_sign() -> None:
    for name in ("a -- b", "x -> y", "<-", "<->", "a >= b", "www.a.b", "https://a.b", "me@a.b"):
        escaped = plain(name)
        assert "\u2060" in escaped, name
        assert escaped.replace("\u2060", "").replace("\\", "") == name
    for name in ("cat", "a--b", "x - y", "x->y", "@home", "50% @ night", "wwww"):
        assert "\u2060" not in plain(name), name


MARKDOWN = {"caption", "error", "info", "markdown", "success", "toast", "warning", "write"}
"""What Streamlit draws as Markdown."""


def unescaped(part: ast.AST) -> Iterator[ast.AST]:
    """The texts of errors and jobs in a piece of code that do not go through `plain`."""
    if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
        if part.func.id == "plain":
            return
        if part.func.id == "str" and ast.unparse(part) == "str(error)":
            yield part
    if isinstance(part, ast.Attribute) and part.attr in ("message", "how_to_get", "reason"):
        yield part
    if isinstance(part, ast.FormattedValue) and ast.unparse(part.value) == "error":
        yield part
    for child in ast.iter_child_nodes(part):
        yield from unescaped(child)


def shown_unescaped(code: str) -> list[str]:
    return [
        f"line {call.lineno}: {ast.unparse(found)}"
        for call in ast.walk(ast.parse(code))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if call.func.attr in MARKDOWN
        for argument in call.args[:1]
        for found in unescaped(argument)
    ]


def test_the_texts_of_errors_are_escaped_wherever_they_are_shown() -> None:
    """They quote what people typed: file names, class names, addresses."""
    assert shown_unescaped("st.error(f'No: {error}')\nst.info(str(error))\nst.write(job.message)")
    assert not shown_unescaped("st.error(f'No: {plain(str(error))}')")
    files = [*(ROOT / "lab" / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")]
    found = {str(file.relative_to(ROOT)): shown_unescaped(file.read_text()) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}
