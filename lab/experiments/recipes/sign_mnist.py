"""Document 001: the letters of Sign-Language MNIST with an MLP and a small CNN."""

from __future__ import annotations

from typing import Any

from lab.experiments.recipes.recipe import Recipe, Reported, Variant

_DATASETS = ("sign-mnist", "drawn-signs")
_KNOBS: dict[str, Any] = {
    "image_size": 28,
    "normalisation": "unit",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 256,
    "epochs": 20,
}
_QUICK: dict[str, Any] = {"subset_per_class": 200, "batch_size": 64, "epochs": 5}
_SAME_SET = (
    "The document validates on the official test set. Here a tenth of the training images chooses "
    "the epoch, and the 7,172 test images are looked at once, at the end; its “validation” "
    "accuracy is to be compared with our test accuracy."
)
_NEAR_COPIES = (
    "The set was grown from 1,704 photographs. Nearly every training image has near-copies among "
    "the others, so a validation part drawn picture by picture reaches 100% and says little; few "
    "test images have a near-copy in training, so the test accuracy is hardly too high. The 7,172 "
    "test images are about 350 photographs: differences of a point between runs are chance."
)
_LETTERS = (
    "Labels run from 0 to 24 without 9 (J moves, and so does Z). They are numbered anew for the "
    "24 outputs and keep their letters, so label 10 is K here as well."
)

RECIPES = (
    Recipe(
        id="sl-mlp",
        title="Sign letters with an MLP",
        asks="Can an MLP read sign letters?",
        question="pixels",
        document="001",
        story="24 letters of the hand alphabet, 28×28 pixels, all hands in the middle: here even a "
        "network without convolutions gets far.",
        watch_for=(
            "Compare it with the CNN: same pictures, same training, fewer weights.",
            "Which letters does it mix up? Look at the confusion matrix of the run.",
        ),
        reported="below the CNN",
        datasets=_DATASETS,
        knobs={**_KNOBS, "architecture": "sign-mlp"},
        quick=_QUICK,
        variants=(
            Variant(
                "sl-mlp", "MLP", Reported("below the CNN", than=("below", "sl-cnn"), beyond=0.95)
            ),
        ),
        differences=(
            _SAME_SET,
            "The document only refers to “the MLP of the week before”. This one has 512 and 256 "
            "units with ReLU.",
            _LETTERS,
            _NEAR_COPIES,
        ),
        beside=("sl-cnn",),
    ),
    Recipe(
        id="sl-cnn",
        title="Sign letters with a CNN",
        asks="Can a small CNN read sign letters?",
        question="pixels",
        document="001",
        story="Three convolutions with 32, 64 and 32 filters reduce the picture to 288 numbers; a "
        "dense layer with dropout predicts the letter from them.",
        watch_for=(
            "Validation accuracy reaches 100% early and the test accuracy stays behind: "
            "validation images have near-copies among the training images.",
        ),
        reported="val about 95%",
        datasets=_DATASETS,
        knobs={**_KNOBS, "architecture": "sign-cnn", "dropout": 0.3},
        quick=_QUICK,
        variants=(Variant("sl-cnn", "CNN", Reported("about 95%", 0.945, 0.955)),),
        differences=(_SAME_SET, _LETTERS, _NEAR_COPIES),
        beside=("sl-mlp", "sl-cnn-aug"),
        inspect=True,
    ),
    Recipe(
        id="sl-cnn-aug",
        title="Sign letters, with augmentation",
        asks="Does augmentation help to read sign letters?",
        question="augmentation",
        document="001",
        story="The same small CNN, with every training picture turned by up to 10 degrees, zoomed "
        "and shifted by up to a tenth, differently in each epoch.",
        watch_for=(
            "Training accuracy is lower than without, and the test accuracy higher: that is what "
            "augmentation is for.",
            "It needs more epochs. In the quick size it may still be behind.",
            "No flip here: a mirrored hand is the other hand.",
        ),
        reported="higher accuracy, lower val loss than sl-cnn",
        datasets=_DATASETS,
        knobs={
            **_KNOBS,
            "architecture": "sign-cnn",
            "dropout": 0.3,
            "rotation_degrees": 10.0,
            "zoom": 0.1,
            "width_shift": 0.1,
            "height_shift": 0.1,
        },
        quick={**_QUICK, "epochs": 8},
        variants=(
            Variant(
                "sl-cnn-aug",
                "with augmentation",
                Reported(
                    "higher accuracy and lower validation loss than without",
                    than=("above", "sl-cnn"),
                    beyond=0.95,
                ),
            ),
        ),
        differences=(
            _SAME_SET,
            "Zoom is the same in both directions here; Keras draws one for the width and one for "
            "the height.",
            _LETTERS,
            _NEAR_COPIES,
        ),
        beside=("sl-cnn",),
    ),
)
