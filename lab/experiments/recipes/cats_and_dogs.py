"""Document 000: cats and dogs, from perceptrons to ResNet-18."""

from __future__ import annotations

from typing import Any

from lab.experiments.recipes.recipe import Recipe, Reported, Variant

_DATASETS = ("cats-dogs", "drawn-cats-dogs")
_KNOBS: dict[str, Any] = {
    "image_size": 224,
    "normalisation": "unit",
    "optimizer": "adam",
    "epochs": 10,
}
_QUICK: dict[str, Any] = {"image_size": 64, "subset_per_class": 500, "epochs": 5}
_SAME_SET = (
    "The document's “validation” accuracy is measured on its test set. Here a tenth of the "
    "training images is set apart to choose the epoch, and the test set is looked at once, at the "
    "end: 7,200 training, 800 validation, 2,000 test images of the 8,000 + 2,000."
)
_SQUASHED = (
    "The photographs are Kaggle's, squashed to squares; the document does not say how its own were "
    "cut to size."
)
_SOFTMAX = (
    "The document's networks have 10 outputs for two classes and a softmax in front of the "
    "cross-entropy loss, which applies softmax again and so flattens the gradient; at first the "
    "picture's axes were mixed up as well (224×224×3 read as 3×224×224). Here: one output a class, "
    "no softmax before the loss, axes in order."
)
_TWO_SETTINGS = (
    "Of the document's batch sizes (32, 64, 128, 256) and rates (0.001, 0.0001) the two are run "
    "that it draws its conclusion from; the whole grid is on the Sweep tab."
)
_ABOUT_50 = Reported("about 50%", 0.475, 0.525)  # as rounded to fives

RECIPES = (
    Recipe(
        id="cd-slp",
        title="Single-layer perceptron on cats and dogs",
        asks="Can one layer tell cats from dogs?",
        question="pixels",
        document="000",
        story="150,528 numbers go in, each with one weight for “cat” and one for “dog”: the "
        "simplest network there is. It learns which colours tend to be where.",
        watch_for=(
            "Training accuracy climbs while validation stays near 50%: it learns the training "
            "pictures, not cats and dogs.",
            "The smaller rate makes a calmer curve, and the better result.",
        ),
        reported="about 50%; batch 32 + lr 1e-4: 55-61%",
        datasets=_DATASETS,
        knobs={**_KNOBS, "architecture": "single-layer-perceptron"},
        quick=_QUICK,
        variants=(
            Variant(
                "cd-slp",
                "batch 128, rate 0.001",
                _ABOUT_50,
                {"batch_size": 128, "learning_rate": 1e-3},
            ),
            Variant(
                "cd-slp-slow",
                "batch 32, rate 0.0001",
                Reported("55-61%", 0.55, 0.61),
                {"batch_size": 32, "learning_rate": 1e-4},
            ),
        ),
        differences=(_SAME_SET, _SOFTMAX, _TWO_SETTINGS, _SQUASHED),
        beside=("cd-mlp", "cd-simplecnn"),
    ),
    Recipe(
        id="cd-mlp",
        title="Multi-layer perceptron on cats and dogs",
        asks="Does a hidden layer help?",
        question="pixels",
        document="000",
        story="A hidden layer of 50 sigmoid units between pixels and answer. It can learn a curved "
        "boundary, but does not know which pixels are neighbours.",
        watch_for=(
            "With the larger rate the loss may stay at 0.69 = ln 2, that of guessing, from the "
            "first epoch on: the sigmoid units are saturated.",
        ),
        reported="about 50%",
        datasets=_DATASETS,
        knobs={**_KNOBS, "architecture": "mlp", "hidden_sizes": (50,), "activation": "sigmoid"},
        quick=_QUICK,
        variants=(
            Variant(
                "cd-mlp",
                "batch 128, rate 0.001",
                _ABOUT_50,
                {"batch_size": 128, "learning_rate": 1e-3},
            ),
            Variant(
                "cd-mlp-slow",
                "batch 32, rate 0.0001",
                _ABOUT_50,
                {"batch_size": 32, "learning_rate": 1e-4},
            ),
        ),
        differences=(_SAME_SET, _SOFTMAX, _TWO_SETTINGS, _SQUASHED),
        beside=("cd-slp", "cd-simplecnn"),
    ),
    Recipe(
        id="cd-simplecnn",
        title="A small CNN on cats and dogs",
        asks="Do convolutions beat perceptrons?",
        question="pixels",
        document="000",
        story="Three convolutions, each with pooling, then two dense layers. The same filters are "
        "applied everywhere, so a cat is recognised wherever it sits.",
        watch_for=(
            "It passes the perceptrons within an epoch or two.",
            "Later only training accuracy still rises: overfitting. The best epoch is kept, not "
            "the last.",
        ),
        reported="better than the MLPs",
        datasets=_DATASETS,
        knobs={
            **_KNOBS,
            "architecture": "simple-cnn",
            "batch_size": 32,
            "learning_rate": 1e-3,
        },
        quick=_QUICK,
        variants=(
            Variant(
                "cd-simplecnn",
                "Simple CNN",
                Reported("better than the MLPs", than=("above", "cd-mlp"), beyond=0.5),
            ),
        ),
        differences=(
            _SAME_SET,
            "The document does not list the layers of its CNN (its dense layer takes 165,656 "
            "numbers) nor its batch size. This is the lab's own: 16, 32 and 64 filters, Dense 128, "
            "batches of 32.",
            _SQUASHED,
        ),
        beside=("cd-slp", "cd-mlp"),
        inspect=True,
    ),
    Recipe(
        id="cd-deep",
        title="Ten layers: sigmoid against ReLU",
        asks="Ten layers: sigmoid or ReLU?",
        question="depth",
        document="000",
        story="Twice the same ten layers, once with sigmoid between them and once with ReLU. "
        "Deeper should be better, and with sigmoid it is not.",
        watch_for=(
            "Gradient health of the sigmoid run: the first layers receive a tiny part of the last "
            "layer's gradient, so they hardly change.",
            "Its loss stays at 0.69 = ln 2, that of guessing, while the ReLU network at least "
            "learns its training pictures.",
            "Neither tells cats from dogs well: depth does not replace convolutions.",
        ),
        reported="about 50%; the point is the gradient that vanishes",
        datasets=_DATASETS,
        knobs={
            **_KNOBS,
            "architecture": "deep-mlp",
            "depth": 10,
            "batch_size": 128,
            "learning_rate": 1e-3,
        },
        quick=_QUICK,
        variants=(
            Variant(
                "cd-deep-sigmoid",
                "Sigmoid",
                _ABOUT_50,
                {"activation": "sigmoid"},
            ),
            Variant("cd-deep-relu", "ReLU", _ABOUT_50, {"activation": "relu"}),
        ),
        differences=(
            _SAME_SET,
            _SOFTMAX,
            "The document does not give the width of its layers; here each has 50 units. Batch 128 "
            "and rate 0.001 are its first setting.",
            _SQUASHED,
        ),
        beside=("cd-mlp",),
    ),
    Recipe(
        id="cd-resnet18",
        title="ResNet-18 in four strategies",
        asks="How much of ResNet-18 should be trained?",
        question="freezing",
        document="000",
        story="The same network four times: from random weights, all of its ImageNet weights "
        "trained further, only the last stage and the head, only a new head.",
        watch_for=(
            "The head alone is good after one epoch; from scratch, edges have to be learned first.",
            "Fine-tuning everything can do worse than the head alone: large steps destroy what the "
            "network knew.",
            "Frozen stages run once a picture, so the head alone takes a fraction of the time.",
        ),
        reported="S2 > 97%, S3 98%, lr 1e-3 best; CNNs 95-98%",
        datasets=_DATASETS,
        knobs={
            "image_size": 224,
            "normalisation": "imagenet",
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "batch_size": 32,
            "epochs": 10,
        },
        quick={"image_size": 96, "subset_per_class": 150, "epochs": 3},
        variants=(
            Variant(
                "cd-resnet18-s0",
                "from scratch",
                Reported("95-98% (CNNs together)", 0.95, 0.98),
                {"freeze": "scratch"},
            ),
            Variant(
                "cd-resnet18-s1",
                "fine-tune all",
                Reported("95-98% (CNNs together)", 0.95, 0.98),
                {"freeze": "full"},
            ),
            Variant(
                "cd-resnet18-s2",
                "last stage + head",
                Reported("> 97%", 0.97, 1.0),
                {"freeze": "last_k", "last_k": 1},
            ),
            Variant(
                "cd-resnet18-s3",
                "head only",
                Reported("98%", 0.98, 0.98),
                {"freeze": "head_only"},
            ),
        ),
        differences=(
            _SAME_SET,
            "Which of the last layers the document trains is not given; here it is the last stage "
            "and the head. Nor is the batch size; here 32. Its other rates (0.002, 0.00001) are in "
            "the grid on the Sweep tab.",
            "Frozen BatchNorm layers keep their ImageNet statistics (eval mode); the document does "
            "not say what its own did.",
            "Pictures are squashed to 224×224; torchvision's preprocessing, which the document "
            "uses, scales to 256 and cuts out the middle.",
        ),
        networks=("resnet18", "mobilenet_v2", "squeezenet1_1", "efficientnet_lite0"),
        inspect=True,
    ),
)
