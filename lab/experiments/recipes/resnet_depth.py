"""Document 003: ResNet-50 against ResNet-101 on cats and dogs."""

from __future__ import annotations

from lab.experiments.recipes.recipe import Recipe, Reported, Variant

RECIPES = (
    Recipe(
        id="rn",
        title="ResNet-50 against ResNet-101",
        asks="ResNet-50 or ResNet-101?",
        question="resnet",
        document="003",
        story="Two networks that differ only in depth learn the same photographs with the same "
        "augmentation. Each epoch sees 1,800 of them.",
        watch_for=(
            "550 short epochs: which of the two leads can change on the way.",
            "Afterwards compare feature maps and Grad-CAM of several depths on Inspect, for right "
            "and for wrong answers of each class: where do wrong answers look?",
        ),
        reported="test 93.8% (50) and 92.7% (101)",
        datasets=("cats-dogs", "drawn-cats-dogs"),
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
                Reported("93.8%", 0.938, 0.938),
                {"architecture": "resnet50"},
            ),
            Variant(
                "rn101",
                "ResNet-101",
                Reported("92.7%", 0.927, 0.927),
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
)
