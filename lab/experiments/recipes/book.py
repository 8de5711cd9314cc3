"""All documents, questions and recipes, and the recipe of an id.

To add a recipe, add an entry of plain data to its document's file; the Experiments page,
`python -m lab recipes` and the tests follow. Settings and reported numbers are the documents' (see
`Recipe.document`); every sentence is the lab's own.
"""

from __future__ import annotations

from lab.errors import NotFoundError, unknown_name
from lab.experiments.recipes import (
    cats_and_dogs,
    resnet_depth,
    sign_mnist,
    unequal_classes,
    vgg16_features,
)
from lab.experiments.recipes.recipe import Question, Recipe

DOCUMENTS = {
    "000": "cats and dogs, from perceptrons to ResNet-18",
    "001": "Sign-Language MNIST with a small CNN",
    "002": "VGG16 as a feature extractor",
    "003": "ResNet-50 against ResNet-101",
    "004": "VGG16 written out, on unequal classes",
}

QUESTIONS = (
    Question(
        "pixels",
        "Can a network judge pictures pixel by pixel?",
        "A perceptron gives each pixel a fixed weight, so it can only learn what is always in the "
        "same place. A convolution looks for the same small pattern everywhere.",
    ),
    Question(
        "depth",
        "Does depth help without the right activation?",
        "The gradient passes every layer on its way back. Sigmoid passes on at most a quarter of "
        "it, so after ten layers next to nothing arrives.",
    ),
    Question(
        "augmentation",
        "Does augmentation help?",
        "Turned, zoomed and shifted copies are new pictures with known answers. The network cannot "
        "learn them by heart, so training looks worse while new pictures go better.",
    ),
    Question(
        "freezing",
        "What should be frozen?",
        "A network that has seen a million photographs knows edges, fur and eyes already. The "
        "question is how much of that may be changed by a few thousand pictures more.",
    ),
    Question(
        "resnet",
        "Deeper ResNet or shallower?",
        "More layers can express more and are harder to train. With few pictures the larger "
        "network need not be the better one.",
    ),
    Question(
        "imbalance",
        "What does imbalance hide?",
        "When nine of ten pictures are cats, always saying “cat” is right nine times of ten. One "
        "accuracy over all classes does not show that; scores per class do.",
    ),
)

RECIPES: tuple[Recipe, ...] = (
    *cats_and_dogs.RECIPES,
    *sign_mnist.RECIPES,
    *vgg16_features.RECIPES,
    *resnet_depth.RECIPES,
    *unequal_classes.RECIPES,
)


def all_recipes() -> tuple[Recipe, ...]:
    """Returns the recipes in the order of the page: question by question."""
    return tuple(r for q in QUESTIONS for r in RECIPES if r.question == q.key)


def recipe(recipe_id: str) -> Recipe:
    """Returns the recipe of this id, or that of the variant with this key; raises NotFoundError."""
    for each in RECIPES:
        if recipe_id == each.id or any(recipe_id == v.key for v in each.variants):
            return each
    raise NotFoundError(unknown_name("recipe", recipe_id, [r.id for r in all_recipes()]))
