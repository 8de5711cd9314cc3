"""Sentences of the lab in the pages' words."""

import pytest

from lab.ui.words import page_words, plain


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
