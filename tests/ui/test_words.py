"""Sentences of the lab in the pages' words."""

import pytest

from lab.ui.words import page_words


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
