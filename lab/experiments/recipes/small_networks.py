"""Recipes of documents 000 and 001 with networks small enough for any machine."""

from __future__ import annotations

from typing import Any

from lab.experiments.recipes.recipe import Figure, Recipe, Variant

SAME_SET = (
    "The document's “validation” figure is measured on its test set. Here a tenth of the training "
    "images is set apart to choose the epoch, and the test set is looked at once, at the end: "
    "7,200 training, 800 validation, 2,000 test images of the 8,000 + 2,000."
)
SQUASHED = (
    "The photographs are Kaggle's, squashed to squares; the document does not say how its own were "
    "cut to size."
)
CATS_DOGS = ("cats-dogs", "drawn-cats-dogs")
_SOFTMAX = (
    "The document's networks have 10 outputs for two classes and a softmax in front of the "
    "cross-entropy loss, which applies softmax again and so flattens the gradient; at first the "
    "picture's axes were mixed up as well (224×224×3 read as 3×224×224). Here: one output a class, "
    "no softmax before the loss, axes in order."
)
_SIGNS = ("sign-mnist", "drawn-signs")
_SMALL: dict[str, Any] = {"image_size": 64, "subset_per_class": 500, "epochs": 5}
_MLP: dict[str, Any] = {
    "image_size": 224,
    "normalisation": "unit",
    "optimizer": "adam",
    "epochs": 10,
}
_TWO_SETTINGS = (
    "Of the document's batch sizes (32, 64, 128, 256) and rates (0.001, 0.0001) the two are run "
    "that it draws its conclusion from; the whole grid is on the Sweep tab."
)
_SIGN_SET = (
    "The document validates on the official test set. Here a tenth of the training images chooses "
    "the epoch, and the 7,172 test images are looked at once, at the end; its “validation” "
    "accuracy is to be compared with our test accuracy."
)
_NEAR_COPIES = (
    "The set was grown from 1,704 photographs, so near-copies of training images are in the test "
    "set: all figures flatter, the document's as well."
)
_LETTERS = (
    "Labels run from 0 to 24 without 9 (J moves, and so does Z). They are numbered anew for the "
    "24 outputs and keep their letters, so label 10 is K here as well."
)
_SIGN_KNOBS: dict[str, Any] = {
    "image_size": 28,
    "normalisation": "unit",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 256,
    "epochs": 20,
}
_SIGN_QUICK: dict[str, Any] = {"subset_per_class": 200, "batch_size": 64, "epochs": 5}

SMALL_NETWORKS = (
    Recipe(
        id="cd-slp",
        title="Single-layer perceptron on cats and dogs",
        question="pixels",
        document="000",
        story="150,528 numbers go in, each with one weight for “cat” and one for “dog”: the "
        "simplest network there is. It learns which colours tend to be where.",
        watch_for=(
            "Training accuracy climbs while validation stays near 50 %: it learns the training "
            "pictures, not cats and dogs.",
            "The smaller rate makes a calmer curve, and the better result.",
        ),
        reported="about 50 %; batch 32 + lr 1e-4: 55-61 %",
        datasets=CATS_DOGS,
        knobs={**_MLP, "architecture": "single-layer-perceptron"},
        quick=_SMALL,
        variants=(
            Variant(
                "cd-slp",
                "batch 128, rate 0.001",
                Figure("about 50 %", 0.5, 0.5),
                {"batch_size": 128, "learning_rate": 1e-3},
            ),
            Variant(
                "cd-slp-slow",
                "batch 32, rate 0.0001",
                Figure("55-61 %", 0.55, 0.61),
                {"batch_size": 32, "learning_rate": 1e-4},
            ),
        ),
        differences=(SAME_SET, _SOFTMAX, _TWO_SETTINGS, SQUASHED),
        beside=("cd-mlp", "cd-simplecnn"),
    ),
    Recipe(
        id="cd-mlp",
        title="Multi-layer perceptron on cats and dogs",
        question="pixels",
        document="000",
        story="A hidden layer of 50 units with sigmoid between pixels and answer. It can bend the "
        "line between the classes, but still sees no neighbourhoods.",
        watch_for=(
            "With the larger rate the loss may stay at 0.69 = ln 2 from the first epoch on: the "
            "sigmoid units are at their flat ends, and the answer is a coin.",
        ),
        reported="about 50 %",
        datasets=CATS_DOGS,
        knobs={**_MLP, "architecture": "mlp", "hidden_sizes": (50,), "activation": "sigmoid"},
        quick=_SMALL,
        variants=(
            Variant(
                "cd-mlp",
                "batch 128, rate 0.001",
                Figure("about 50 %", 0.5, 0.5),
                {"batch_size": 128, "learning_rate": 1e-3},
            ),
            Variant(
                "cd-mlp-slow",
                "batch 32, rate 0.0001",
                Figure("about 50 %", 0.5, 0.5),
                {"batch_size": 32, "learning_rate": 1e-4},
            ),
        ),
        differences=(SAME_SET, _SOFTMAX, _TWO_SETTINGS, SQUASHED),
        beside=("cd-slp", "cd-simplecnn"),
    ),
    Recipe(
        id="cd-simplecnn",
        title="A small CNN on cats and dogs",
        question="pixels",
        document="000",
        story="Three times convolve and halve, then decide. The same filters look everywhere, so a "
        "cat is a cat wherever it sits.",
        watch_for=(
            "It passes the perceptrons within an epoch or two.",
            "Later training accuracy runs away from validation: overfitting. The best epoch is "
            "kept, not the last.",
        ),
        reported="better than the MLPs",
        datasets=CATS_DOGS,
        knobs={
            **_MLP,
            "architecture": "simple-cnn",
            "batch_size": 32,
            "learning_rate": 1e-3,
        },
        quick=_SMALL,
        variants=(
            Variant(
                "cd-simplecnn",
                "batch 32, rate 0.001",
                Figure("better than the MLPs", than=("above", "cd-mlp")),
            ),
        ),
        differences=(
            SAME_SET,
            "The document does not list the layers of its CNN (its dense layer takes 165,656 "
            "numbers) nor its batch size. This is the lab's own: 16, 32 and 64 filters, Dense 128, "
            "batches of 32.",
            SQUASHED,
        ),
        beside=("cd-slp", "cd-mlp"),
        inspect=True,
    ),
    Recipe(
        id="sl-mlp",
        title="Sign letters with an MLP",
        question="pixels",
        document="001",
        story="24 letters of the hand alphabet, 28×28 pixels, all hands in the middle: here even a "
        "network that knows no neighbourhoods gets far.",
        watch_for=(
            "Compare it with the CNN below: same pictures, same training, fewer weights there.",
            "Which letters does it mix up? Look at the confusion matrix of the run.",
        ),
        reported="below the CNN",
        datasets=_SIGNS,
        knobs={**_SIGN_KNOBS, "architecture": "sign-mlp"},
        quick=_SIGN_QUICK,
        variants=(Variant("sl-mlp", "MLP", Figure("below the CNN", than=("below", "sl-cnn"))),),
        differences=(
            _SIGN_SET,
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
        question="pixels",
        document="001",
        story="Three convolutions with 32, 64 and 32 filters shrink the hand to 288 numbers; a "
        "wide dense layer with dropout reads the letter from them.",
        watch_for=(
            "Validation accuracy reaches 100 % early and the test figure stays behind: validation "
            "images have near-copies among the training images.",
        ),
        reported="val about 95 %",
        datasets=_SIGNS,
        knobs={**_SIGN_KNOBS, "architecture": "sign-cnn", "dropout": 0.3},
        quick=_SIGN_QUICK,
        variants=(Variant("sl-cnn", "CNN", Figure("val about 95 %", 0.95, 0.95)),),
        differences=(_SIGN_SET, _LETTERS, _NEAR_COPIES),
        beside=("sl-mlp", "sl-cnn-aug"),
        inspect=True,
    ),
    Recipe(
        id="cd-deep",
        title="Ten layers: sigmoid against ReLU",
        question="depth",
        document="000",
        story="Twice the same ten layers, once with sigmoid between them and once with ReLU. "
        "Deeper should be better, and with sigmoid it is not.",
        watch_for=(
            "Gradient health of the sigmoid run: the first layers receive a tiny part of the last "
            "layer's gradient, so they hardly change.",
            "Its loss sits at 0.69 = ln 2, a coin's, while the ReLU network at least learns its "
            "training pictures.",
            "Neither tells cats from dogs well: depth does not replace convolutions.",
        ),
        reported="about 50 %; the point is the gradient that vanishes",
        datasets=CATS_DOGS,
        knobs={
            **_MLP,
            "architecture": "deep-mlp",
            "depth": 10,
            "batch_size": 128,
            "learning_rate": 1e-3,
        },
        quick=_SMALL,
        variants=(
            Variant(
                "cd-deep-sigmoid",
                "Sigmoid",
                Figure("about 50 %", 0.5, 0.5),
                {"activation": "sigmoid"},
            ),
            Variant("cd-deep-relu", "ReLU", Figure("about 50 %", 0.5, 0.5), {"activation": "relu"}),
        ),
        differences=(
            SAME_SET,
            _SOFTMAX,
            "The document does not give the width of its layers; here each has 50 units. Batch 128 "
            "and rate 0.001 are its first setting.",
            SQUASHED,
        ),
        beside=("cd-mlp",),
    ),
    Recipe(
        id="sl-cnn-aug",
        title="Sign letters, with augmentation",
        question="augmentation",
        document="001",
        story="The CNN of sl-cnn, with every training picture turned by up to 10 degrees, zoomed "
        "and shifted by up to a tenth, differently in each epoch.",
        watch_for=(
            "Training accuracy is lower than without, and the test figure higher: that is what "
            "augmentation is for.",
            "It needs more epochs. In the quick size it may still be behind.",
            "No mirror images here: a mirrored hand is another hand.",
        ),
        reported="higher accuracy, lower val loss than sl-cnn",
        datasets=_SIGNS,
        knobs={
            **_SIGN_KNOBS,
            "architecture": "sign-cnn",
            "dropout": 0.3,
            "rotation_degrees": 10.0,
            "zoom": 0.1,
            "width_shift": 0.1,
            "height_shift": 0.1,
        },
        quick={**_SIGN_QUICK, "epochs": 8},
        variants=(
            Variant(
                "sl-cnn-aug",
                "CNN, augmented",
                Figure("higher accuracy, lower val loss than sl-cnn", than=("above", "sl-cnn")),
            ),
        ),
        differences=(
            _SIGN_SET,
            "Zoom is the same in both directions here; Keras draws one for the width and one for "
            "the height.",
            _LETTERS,
            _NEAR_COPIES,
        ),
        beside=("sl-cnn",),
    ),
)
