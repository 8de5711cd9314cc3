"""Recipes of documents 000, 002, 003 and 004 with networks that take their time.

Rates of RMSprop come with momentum 0, which is what Keras means by it.
"""

from __future__ import annotations

from typing import Any

from lab.experiments.recipes.recipe import Figure, Recipe, Variant
from lab.experiments.recipes.small_networks import CATS_DOGS, SAME_SET

_VGG_KNOBS: dict[str, Any] = {
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
_VGG_AUGMENTED: dict[str, Any] = {"horizontal_flip": True, "rotation_degrees": 36.0, "zoom": 0.2}
_VGG_QUICK: dict[str, Any] = {"image_size": 96, "subset_per_class": 150, "batch_size": 16}
_VGG_NETWORKS = ("vgg16", "mobilenet_v2", "squeezenet1_1")
_VGG_DIFFERENCES = (
    "The numbers of images are the document's (2,000 training, 1,000 validation, 2,000 test), and "
    "like here its validation images choose the epoch; which photographs it took is not known.",
    "Keras brings the ImageNet weights of VGG16's authors, torchvision weights that it trained "
    "itself.",
    "The document's Dense layer has no activation, which makes it and the output one linear layer "
    "in effect. Here ReLU stands between them (with MobileNetV2 its own ReLU6).",
    "One sigmoid output and binary cross-entropy there; two outputs and cross-entropy here, which "
    "is the same for two classes.",
    "PyTorch's RMSprop averages over a longer past (0.99) than Keras's (0.9); pixels are scaled as "
    "torchvision's weights want it, not as Keras's.",
)

LARGE_NETWORKS = (
    Recipe(
        id="cd-resnet18",
        title="ResNet-18 in four strategies",
        question="freezing",
        document="000",
        story="The same network four times: from random weights (S0), all of its ImageNet weights "
        "trained on (S1), only its last part (S2), only a new last layer (S3).",
        watch_for=(
            "S3 is good after one epoch; S0 has to learn what an edge is first.",
            "S1 can fall behind S3: large steps wash out what the network knew.",
            "Frozen parts run once a picture, so S3 costs a fraction of S1.",
        ),
        reported="S2 > 97 %, S3 98 %, lr 1e-3 best; CNNs 95-98 %",
        datasets=CATS_DOGS,
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
                "S0 from scratch",
                Figure("not given alone; CNNs 95-98 %", 0.95, 0.98),
                {"freeze": "scratch"},
            ),
            Variant(
                "cd-resnet18-s1",
                "S1 all trained on",
                Figure("not given alone; CNNs 95-98 %", 0.95, 0.98),
                {"freeze": "full"},
            ),
            Variant(
                "cd-resnet18-s2",
                "S2 last stage + head",
                Figure("> 97 %", 0.97, 1.0),
                {"freeze": "last_k", "last_k": 1},
            ),
            Variant(
                "cd-resnet18-s3",
                "S3 head only",
                Figure("98 %", 0.98, 0.98),
                {"freeze": "head_only"},
            ),
        ),
        differences=(
            SAME_SET,
            "Which layers S2 trains is not given; here it is the last stage and the head. Nor is "
            "the batch size; here 32. Its other rates (0.002, 0.00001) are in the grid on the "
            "Sweep tab.",
            "Frozen BatchNorm layers keep their ImageNet statistics (eval mode); the document does "
            "not say what its own did.",
            "Pictures are squashed to 224×224; torchvision's preprocessing, which the document "
            "uses, scales to 256 and cuts out the middle.",
        ),
        networks=("resnet18", "mobilenet_v2", "squeezenet1_1"),
        inspect=True,
    ),
    Recipe(
        id="vgg-features",
        title="VGG16's features, computed once",
        question="freezing",
        document="002",
        story="VGG16 looks at each picture once and what it sees is kept (5×5×512 numbers). Only a "
        "small classifier on top is trained, in seconds an epoch.",
        watch_for=(
            "The first epoch takes long, all others next to nothing: the log says that frozen "
            "stages ran once.",
            "It overfits fast; the epoch with the lowest validation loss is kept.",
        ),
        reported="test 0.974",
        datasets=CATS_DOGS,
        knobs={**_VGG_KNOBS, "freeze": "head_only", "epochs": 20},
        quick={**_VGG_QUICK, "epochs": 5},
        variants=(Variant("vgg-features", "no augmentation", Figure("test 0.974", 0.974, 0.974)),),
        differences=_VGG_DIFFERENCES,
        networks=_VGG_NETWORKS,
        beside=("vgg-frozen-aug", "vgg-finetune"),
        inspect=True,
    ),
    Recipe(
        id="vgg-frozen-aug",
        title="VGG16 frozen, with augmentation",
        question="freezing",
        document="002",
        story="The same classifier on the same frozen network, but each epoch sees new versions of "
        "the pictures. Nothing can be kept, so every epoch costs what the first one does.",
        watch_for=(
            "A small gain for many times the computing: is it worth it?",
            "Training and validation curves stay closer together than without augmentation.",
        ),
        reported="test 0.976",
        datasets=CATS_DOGS,
        knobs={**_VGG_KNOBS, **_VGG_AUGMENTED, "freeze": "head_only", "epochs": 50},
        quick={**_VGG_QUICK, "epochs": 4},
        variants=(Variant("vgg-frozen-aug", "augmented", Figure("test 0.976", 0.976, 0.976)),),
        differences=(
            *_VGG_DIFFERENCES,
            "A rotation of 0.1 turn is 36 degrees either way. Corners are filled with the border's "
            "pixels; Keras mirrors the picture there.",
        ),
        networks=_VGG_NETWORKS,
        beside=("vgg-features", "vgg-finetune"),
    ),
    Recipe(
        id="vgg-finetune",
        title="VGG16, head first, then the last block",
        question="freezing",
        document="002",
        story="First only the new head is trained, as above. Then the last block of VGG16 joins, "
        "at a hundredth of the rate, so that it changes a little and forgets nothing.",
        watch_for=(
            "The step in the curves where the second phase begins (epoch 51, quick: 3).",
            "Why the head comes first: a random head sends large, senseless gradients back.",
        ),
        reported="test 0.979",
        datasets=CATS_DOGS,
        knobs={
            **_VGG_KNOBS,
            **_VGG_AUGMENTED,
            "freeze": "two_phase",
            "head_epochs": 50,
            "epochs": 80,
            "last_k": 1,
            "second_phase_factor": 0.01,
        },
        quick={**_VGG_QUICK, "head_epochs": 2, "epochs": 4},
        variants=(Variant("vgg-finetune", "two phases", Figure("test 0.979", 0.979, 0.979)),),
        differences=(
            *_VGG_DIFFERENCES,
            "The last 4 layers of Keras's VGG16 are the three convolutions and the pooling of its "
            "fifth block: the last stage before the head here. With a stand-in it is that "
            "network's last stage.",
            "50 epochs of the head (the run above) and 30 more at 0.00001 are one run here, and "
            "the best epoch is chosen over both phases.",
        ),
        networks=_VGG_NETWORKS,
        beside=("vgg-features", "vgg-frozen-aug"),
        inspect=True,
    ),
    Recipe(
        id="rn",
        title="ResNet-50 against ResNet-101",
        question="resnet",
        document="003",
        story="Two networks that differ only in depth learn the same photographs with the same "
        "augmentation. Each epoch sees 1,800 of them.",
        watch_for=(
            "550 short epochs: the order of the two can change on the way.",
            "Afterwards compare feature maps and Grad-CAM of several depths on Inspect, for right "
            "and for wrong answers of each class: where do wrong answers look?",
        ),
        reported="test 93.8 % (50) and 92.7 % (101)",
        datasets=CATS_DOGS,
        knobs={
            "image_size": 224,
            "normalisation": "unit",
            "rotation_degrees": 40.0,
            "shear_degrees": 0.2,
            "zoom": 0.2,
            "horizontal_flip": True,
            "optimizer": "sgd",
            "learning_rate": 1e-3,
            "momentum": 0.9,
            "batch_size": 20,
            "steps_per_epoch": 90,
            "epochs": 550,
        },
        quick={
            "image_size": 48,
            "subset_per_class": 150,
            "steps_per_epoch": 10,
            "epochs": 2,
        },
        variants=(
            Variant(
                "rn50",
                "ResNet-50",
                Figure("test 93.8 %", 0.938, 0.938),
                {"architecture": "resnet50"},
            ),
            Variant(
                "rn101",
                "ResNet-101",
                Figure("test 92.7 %", 0.927, 0.927),
                {"architecture": "resnet101"},
            ),
        ),
        differences=(
            "The document splits 25,000 photographs into 17,000 + 4,000 + 4,000. The lab's set has "
            "8,000 + 2,000: 7,200 training, 800 validation, 2,000 test images.",
            "The document validates on 400 images an epoch (20 steps of 20); here all 800 are "
            "used.",
            "It does not say that it starts from ImageNet weights, so both start from random ones.",
            "A shear of 0.2 means 0.2 degrees in the Keras class that it uses: next to none.",
            "One output with binary cross-entropy there; two outputs with cross-entropy here, "
            "which is the same for two classes.",
        ),
        inspect=True,
    ),
    Recipe(
        id="vgg-scratch",
        title="VGG16 on unequal classes",
        question="imbalance",
        document="004",
        story="Of one class only a ninth is kept, so nine of ten training pictures show the other. "
        "Three runs: as it is, with the rare class drawn as often, and that with a calmer rate.",
        watch_for=(
            "First run: training accuracy is 90 % from the first epoch on, and the confusion "
            "matrix has one column only. Everything is called “cat”.",
            "With oversampling accuracy falls at first. It is the honester figure.",
            "Depth without BatchNorm is hard to start: at rate 0.001 the loss may not move at all.",
        ),
        reported="lesson: 0.9 accuracy while only class 0 was ever predicted -> per-class scores, "
        "oversampling; then batch/lr/epochs tuned to 0.98",
        datasets=CATS_DOGS,
        knobs={
            "architecture": "vgg16-plain",
            "image_size": 96,
            "reduced_class": "dog",
            "reduced_class_keep": 0.111,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "batch_size": 256,
            "epochs": 50,
            "best_metric": "val_accuracy",
            "early_stopping_patience": 20,
            "early_stopping_metric": "val_accuracy",
        },
        quick={"image_size": 32, "subset_per_class": 180, "batch_size": 32, "epochs": 3},
        variants=(
            Variant(
                "vgg-scratch",
                "as it is",
                Figure("0.9 accuracy, only class 0 predicted"),
            ),
            Variant(
                "vgg-scratch-oversampled",
                "oversampled",
                Figure("around 0.7 after oversampling"),
                {"class_balancing": "oversampling"},
            ),
            Variant(
                "vgg-scratch-tuned",
                "oversampled, tuned",
                Figure("tuned to 0.98"),
                {"class_balancing": "oversampling", "learning_rate": 1e-4, "batch_size": 64},
                {"learning_rate": 1e-4},
            ),
        ),
        differences=(
            "The document shows the network on cats and dogs but measures its figures on ECG "
            "signals of five unequal classes, which the lab does not have. Here one class of cats "
            "and dogs is thinned, so the lesson can be compared and the figures cannot.",
            "Validation and test images stay half and half. Always saying “cat” gives 90 % on the "
            "training images but 50 % on these, so the trick is found out at once.",
            "The document oversamples with ADASYN, which makes up new examples; the lab draws the "
            "rare pictures more often.",
            "Its tuned values are not given; here rate 0.0001 and batches of 64 are tried. Nor are "
            "the image size and the number of epochs; here 96 pixels (a batch of 256 at 224 pixels "
            "takes more than 20 GB) and at most 50.",
            "Its early stopping watches the test set; here it watches validation images.",
        ),
        inspect=True,
    ),
)
