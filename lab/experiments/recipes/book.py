"""All documents, questions and recipes, and the recipe of an id.

To add a recipe, add an entry of plain data to its document's file; the Experiments page,
`python -m lab recipes` and the tests follow. Settings and reported numbers are the documents' (see
`Recipe.document`); every sentence is the lab's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.errors import NotFoundError, unknown_name
from lab.experiments.recipes import (
    cats_and_dogs,
    resnet_depth,
    sign_mnist,
    unequal_classes,
    vgg16_features,
)
from lab.experiments.recipes.recipe import Question, Recipe


@dataclass(frozen=True)
class Document:
    """A published report on experiments that the lab repeats."""

    title: str
    reference: str
    """What it is, when and in which language it was published."""
    link_title: str
    link: str
    """The data or the article that it works with; the documents' own addresses are not known."""


DOCUMENTS = {
    "000": Document(
        "Cats and dogs, from perceptrons to ResNet-18",
        "“DNN & CNN classification (cats and dogs)”, blog post, January 2024, in Korean",
        "Dogs vs. Cats on Kaggle",
        "https://www.kaggle.com/c/dogs-vs-cats/data",
    ),
    "001": Document(
        "Sign-Language MNIST with a small CNN",
        "A blog post on convolutional networks and the sign-language alphabet, August 2021, "
        "in Korean",
        "Sign Language MNIST on Kaggle",
        "https://www.kaggle.com/datamunge/sign-language-mnist",
    ),
    "002": Document(
        "VGG16 as a feature extractor",
        "A blog post on image classification with a pretrained network, December 2022, in Korean",
        "Dogs vs. Cats on Kaggle",
        "https://www.kaggle.com/c/dogs-vs-cats/data",
    ),
    "003": Document(
        "ResNet-50 against ResNet-101",
        "“classification_resnet”, notebooks in a public repository, in Korean",
        "Dogs vs. Cats on Kaggle",
        "https://www.kaggle.com/c/dogs-vs-cats/data",
    ),
    "004": Document(
        "VGG16 written out, on unequal classes",
        "“[Keras] VGG16 implementation”, blog post, April 2023, in Korean",
        "the article that it follows",
        "https://towardsdatascience.com/step-by-step-vgg16-implementation-in-keras-for-beginners-"
        "a833c686ae6c",
    ),
}

QUESTIONS = (
    Question(
        "pixels",
        "Pixels or patterns",
        "Can a network judge pictures pixel by pixel?",
        "A perceptron gives each pixel a fixed weight, so it can only learn what is always in the "
        "same place. A convolution finds the same small pattern everywhere.",
    ),
    Question(
        "depth",
        "Depth",
        "Does depth help without the right activation?",
        "The gradient passes every layer on its way back. Sigmoid passes on at most a quarter of "
        "it, so after ten layers next to nothing arrives.",
    ),
    Question(
        "augmentation",
        "Augmentation",
        "Does augmentation help?",
        "Turned, zoomed and shifted copies are new pictures with known answers. The network cannot "
        "memorise them, so training accuracy is lower and that on new pictures higher.",
    ),
    Question(
        "freezing",
        "Freezing",
        "What should be frozen?",
        "A network that has seen a million photographs knows edges, fur and eyes already. The "
        "question is how much of that may be changed by a few thousand pictures more.",
    ),
    Question(
        "resnet",
        "ResNet depth",
        "Deeper ResNet or shallower?",
        "More layers can express more and are harder to train. With few pictures the larger "
        "network is not always the better one.",
    ),
    Question(
        "imbalance",
        "Unequal classes",
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
