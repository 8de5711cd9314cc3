"""Document 004: VGG16 written out, on unequal classes."""

from __future__ import annotations

from lab.experiments.recipes.recipe import Recipe, Reported, Variant

RECIPES = (
    Recipe(
        id="vgg-scratch",
        title="VGG16 on unequal classes",
        asks="What does accuracy hide when classes are unequal?",
        question="imbalance",
        document="004",
        story="Of one class only a ninth is kept, so nine of ten training pictures show the other. "
        "Three runs: as it is, with the rare class drawn as often, and that with a smaller rate.",
        watch_for=(
            "First run: training accuracy is 90% from the first epoch on, and the confusion "
            "matrix has one column only: everything is called “cat”.",
            "With oversampling, training accuracy falls at first: the rare class now counts as "
            "much.",
            "Depth without BatchNorm is hard to start: at rate 0.001 the loss may not move at all.",
        ),
        reported="lesson: 0.9 accuracy while only class 0 was ever predicted -> per-class scores, "
        "oversampling; then batch/lr/epochs tuned to 0.98",
        datasets=("cats-dogs", "drawn-cats-dogs"),
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
                Reported("90%, only one class predicted", drawn=0.9),
            ),
            Variant(
                "vgg-scratch-oversampled",
                "oversampled",
                Reported("about 70%", drawn=0.7),
                {"class_balancing": "oversampling"},
            ),
            Variant(
                "vgg-scratch-tuned",
                "oversampled, tuned",
                Reported("98% after tuning", drawn=0.98),
                {"class_balancing": "oversampling", "learning_rate": 1e-4, "batch_size": 64},
                {"learning_rate": 1e-4},
            ),
        ),
        differences=(
            "The document shows the network on cats and dogs but reports results on ECG "
            "signals of five unequal classes, which the lab does not have. Here one class of cats "
            "and dogs is thinned, so the lesson can be compared and the results cannot.",
            "Validation and test images stay half and half. Always saying “cat” gives 90% on the "
            "training images but 50% on these, so the failure shows at once.",
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
