"""Document 002: VGG16 as a feature extractor for cats and dogs.

RMSprop comes with momentum 0, which is what Keras means by it.
"""

from __future__ import annotations

from typing import Any

from lab.experiments.recipes.recipe import Recipe, Reported, Variant

_DATASETS = ("cats-dogs", "drawn-cats-dogs")
_NETWORKS = ("vgg16", "mobilenet_v2", "squeezenet1_1", "efficientnet_lite0")
_KNOBS: dict[str, Any] = {
    "image_size": 180,
    # 1,500 a class, a third of them for validation: the document's 2,000 and 1,000.
    "subset_per_class": 1500,
    "validation_fraction": 0.3333,
    "head": "dense",
    "head_units": 256,
    "dropout": 0.5,
    "optimizer": "rmsprop",
    "momentum": 0.0,
    "learning_rate": 1e-3,
    "batch_size": 32,
    "best_metric": "val_loss",
}
_AUGMENTED: dict[str, Any] = {"horizontal_flip": True, "rotation_degrees": 36.0, "zoom": 0.2}
_QUICK: dict[str, Any] = {"image_size": 96, "subset_per_class": 150, "batch_size": 16}
_DIFFERENCES = (
    "The numbers of images are the document's (2,000 training, 1,000 validation, 2,000 test), and "
    "like here its validation images choose the epoch; which photographs it took is not known.",
    "Keras brings the ImageNet weights of VGG16's authors, torchvision weights that it trained "
    "itself.",
    "The document's Dense layer has no activation, which makes it and the output one linear layer "
    "in effect. Here ReLU stands between them (with MobileNetV2 and EfficientNet-Lite0 ReLU6).",
    "One sigmoid output and binary cross-entropy there; two outputs and cross-entropy here, which "
    "is the same for two classes.",
    "PyTorch's RMSprop averages over a longer past (0.99) than Keras's (0.9); pixels are scaled as "
    "torchvision's weights want it, not as Keras's.",
)

RECIPES = (
    Recipe(
        id="vgg-features",
        title="VGG16's features, computed once",
        asks="How good is a small classifier on VGG16's features?",
        question="freezing",
        document="002",
        story="VGG16 runs once on each picture, and its features (5×5×512 numbers) are kept. Only "
        "a small classifier on top is trained, in seconds an epoch.",
        watch_for=(
            "The first epoch takes long, all others next to nothing: the log says that frozen "
            "stages ran once.",
            "It overfits fast; the epoch with the lowest validation loss is kept.",
        ),
        reported="test 0.974",
        datasets=_DATASETS,
        knobs={**_KNOBS, "freeze": "head_only", "epochs": 20},
        quick={**_QUICK, "epochs": 5},
        variants=(Variant("vgg-features", "features only", Reported("97.4%", 0.974, 0.974)),),
        differences=_DIFFERENCES,
        networks=_NETWORKS,
        beside=("vgg-frozen-aug", "vgg-finetune"),
        inspect=True,
    ),
    Recipe(
        id="vgg-frozen-aug",
        title="VGG16 frozen, with augmentation",
        asks="Does augmentation help a frozen VGG16?",
        question="freezing",
        document="002",
        story="The same classifier on the same frozen network, but each epoch sees new versions of "
        "the pictures. Nothing can be kept, so every epoch costs what the first one does.",
        watch_for=(
            "A small gain for many times the computing: is it worth it?",
            "Training and validation curves stay closer together than without augmentation.",
        ),
        reported="test 0.976",
        datasets=_DATASETS,
        knobs={**_KNOBS, **_AUGMENTED, "freeze": "head_only", "epochs": 50},
        quick={**_QUICK, "epochs": 4},
        variants=(Variant("vgg-frozen-aug", "with augmentation", Reported("97.6%", 0.976, 0.976)),),
        differences=(
            *_DIFFERENCES,
            "A rotation of 0.1 turn is 36 degrees either way. Corners are filled with the border's "
            "pixels; Keras mirrors the picture there.",
        ),
        networks=_NETWORKS,
        beside=("vgg-features", "vgg-finetune"),
    ),
    Recipe(
        id="vgg-finetune",
        title="VGG16, head first, then the last block",
        asks="Does training VGG16's last block help, too?",
        question="freezing",
        document="002",
        story="First only the new head is trained, as above. Then the last block of VGG16 joins, "
        "at a hundredth of the rate, so that it changes only a little.",
        watch_for=(
            "The step in the curves where the second phase begins (epoch 51, quick: 3).",
            "Why the head comes first: an untrained head sends large, random gradients back.",
        ),
        reported="test 0.979",
        datasets=_DATASETS,
        knobs={
            **_KNOBS,
            **_AUGMENTED,
            "freeze": "two_phase",
            "head_epochs": 50,
            "epochs": 80,
            "last_k": 1,
            "second_phase_factor": 0.01,
        },
        quick={**_QUICK, "head_epochs": 2, "epochs": 4},
        variants=(Variant("vgg-finetune", "two phases", Reported("97.9%", 0.979, 0.979)),),
        differences=(
            *_DIFFERENCES,
            "The last 4 layers of Keras's VGG16 are the three convolutions and the pooling of its "
            "fifth block: the last stage before the head here. With a stand-in it is that "
            "network's last stage.",
            "50 epochs of the head (the run above) and 30 more at 0.00001 are one run here, and "
            "the best epoch is chosen over both phases.",
        ),
        networks=_NETWORKS,
        beside=("vgg-features", "vgg-frozen-aug"),
        inspect=True,
    ),
)
