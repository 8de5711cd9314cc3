"""Recipes: the experiments of the five source documents, each one click.

    recipe   one question of one document, with one or several runs (its variants)
    size     "full": the document's settings; "quick": the same idea in a minute or so
    prepare  recipe, size, data set, network  ->  RunConfigs, or the sentence why one cannot run

The recipes themselves are plain data, a file a document; `lab.experiments.recipes.book` knows all.
A run that came from a recipe carries its origin, "recipe:<id>:<size>" and ":<variant>" where a
recipe has several runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lab.config import RunConfig
from lab.data import catalog
from lab.errors import ConfigError, NotFoundError, unknown_name
from lab.runs.naming import shortened, title_of, value_text

Size = Literal["full", "quick"]
SIZES: tuple[Size, ...] = get_args(Size)


@dataclass(frozen=True)
class Reported:
    """The result that the document reports for one run. Accuracies are fractions."""

    text: str
    """In the document's words."""
    low: float | None = None
    high: float | None = None
    """The same as numbers; None where the document gives only words."""
    than: tuple[Literal["above", "below"], str] | None = None
    """Words as something that can be checked: above or below the variant of that key."""
    beyond: float | None = None
    """Where the picture's arrow begins, which points up or down as `than` says."""
    drawn: float | None = None
    """An accuracy that the picture shows although it cannot be compared with ours."""


@dataclass(frozen=True)
class Variant:
    """One run of a recipe."""

    key: str
    """The row of the digest that it stands for, such as "cd-deep-relu"."""
    title: str
    reported: Reported
    knobs: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    """On top of the recipe's own quick knobs."""


@dataclass(frozen=True)
class Question:
    """What several recipes are about."""

    key: str
    topic: str
    """In a word or two, for the filter."""
    title: str
    answer: str
    """What to keep in mind while the recipes of this question run."""


@dataclass(frozen=True)
class Recipe:
    """One experiment of a document, as plain data."""

    id: str
    title: str
    asks: str
    """The question that its card asks, in a few words."""
    question: str
    """The key of its Question."""
    document: str
    """Number of the source document."""
    story: str
    watch_for: tuple[str, ...]
    reported: str
    """The document's result in its digest's words."""
    datasets: tuple[str, ...]
    """The document's own first, then what may stand in for it."""
    knobs: Mapping[str, Any]
    quick: Mapping[str, Any]
    variants: tuple[Variant, ...]
    differences: tuple[str, ...]
    """What here is not as in the document, in plain words."""
    networks: tuple[str, ...] = ()
    """Architectures where there is a choice: the document's own first, then the stand-ins."""
    beside: tuple[str, ...] = ()
    """Recipes whose results belong next to these."""
    inspect: bool = False
    """Whether it is worth seeing afterwards where the networks look."""

    def variant(self, key: str) -> Variant:
        for variant in self.variants:
            if variant.key == key:
                return variant
        raise NotFoundError(unknown_name("variant", key, [v.key for v in self.variants]))

    def origin(self, size: Size | None = None, variant: Variant | None = None) -> str:
        """The `RunRow.origin` of its runs; without a size the beginning that all share."""
        parts = ["recipe", self.id]
        if size is not None:
            parts.append(size)
            if variant is not None and len(self.variants) > 1:
                parts.append(variant.key)
        return ":".join(parts)


@dataclass(frozen=True)
class Prepared:
    """One run of a recipe, ready to be queued."""

    recipe: Recipe
    variant: Variant
    size: Size
    config: RunConfig
    missing: str = ""
    """Why it cannot run and what to do about it; empty when it can."""
    download: str = ""
    """Which weights would be downloaded first, and from where; empty when all are here."""

    @property
    def origin(self) -> str:
        return self.recipe.origin(self.size, self.variant)

    @property
    def name(self) -> str:
        """Such as "Deep MLP on Drawn cats and dogs, Sigmoid (quick)"."""
        end = "" if self.size == "full" else " (quick)"
        title = title_of(self.config)
        if self.variant.title not in title:  # as "ResNet-50" is
            title += f", {self.variant.title}"
        return shortened(title, end)


def dataset_choices(recipe: Recipe) -> list[catalog.DatasetInfo]:
    """Returns the recipe's data sets that can be used now, the document's own first."""
    return [info for name in recipe.datasets if (info := catalog.describe(name)).usable]


def network_choices(recipe: Recipe) -> list[str]:
    """Returns its architectures, those whose weights are on this machine first; imports torch."""
    if not recipe.networks:
        return []
    from lab.models.architecture import ARCHITECTURES
    from lab.models.weights import weights_ready

    ready = {name: weights_ready(ARCHITECTURES.get(name)) for name in recipe.networks}
    return sorted(recipe.networks, key=lambda name: not ready[name])  # stable: the own one leads


def prepare(
    recipe: Recipe,
    size: Size,
    *,
    dataset: str | None = None,
    network: str | None = None,
    only: Iterable[str] = (),
) -> tuple[Prepared, ...]:
    """Returns the runs of a recipe at one size, checked as far as possible without reading images.

    `dataset` and `network` default to the first that is usable; `only` are keys of variants.
    Raises NotFoundError or ConfigError for a name that this recipe does not know; data and weights
    that are not on the machine are named in `Prepared` instead.
    """
    variants = tuple(recipe.variant(key) for key in only) or recipe.variants
    usable = dataset_choices(recipe) if dataset is None else []
    data = usable[0] if usable else catalog.describe(dataset or recipe.datasets[0])
    choices = network_choices(recipe)
    if network is not None and network not in recipe.networks:
        allowed = ", ".join(recipe.networks) or "only the recipe's own"
        raise ConfigError(
            f"network is {network!r}; allowed for the recipe {recipe.id} is: {allowed}."
        )
    architecture = network or (choices[0] if choices else None)
    return tuple(
        Prepared(recipe, variant, size, config, _missing(data), _download(config))
        for variant in variants
        for config in [_config(recipe, variant, size, data, architecture)]
    )


def stand_ins(recipe: Recipe, config: RunConfig) -> tuple[str, ...]:
    """Returns how a run's data and network differ from the document's own, in words."""
    swaps = []
    own = recipe.datasets[0]
    if config.dataset != own:
        swaps.append(
            f"{value_text('dataset', config.dataset)} instead of {value_text('dataset', own)}"
        )
    if recipe.networks and config.architecture != recipe.networks[0]:
        swaps.append(
            f"{value_text('architecture', config.architecture)} instead of "
            f"{value_text('architecture', recipe.networks[0])}"
        )
    return tuple(swaps)


def _config(
    recipe: Recipe, variant: Variant, size: Size, data: catalog.DatasetInfo, network: str | None
) -> RunConfig:
    knobs: dict[str, Any] = {"dataset": data.name, **recipe.knobs, **variant.knobs}
    if network is not None:
        knobs["architecture"] = network
    if data.name != recipe.datasets[0]:
        # Drawings have no more detail than their own size shows, and there are fewer of them.
        knobs["image_size"] = None
        knobs["subset_per_class"] = 0
    if size == "quick":
        knobs |= {**recipe.quick, **variant.quick}
    names = data.class_names
    if knobs.get("reduced_class") and names and knobs["reduced_class"] not in names:
        knobs["reduced_class"] = names[-1]  # a set of one's own has classes of its own
    return RunConfig.from_mapping(knobs)


def _missing(data: catalog.DatasetInfo) -> str:
    if data.usable:
        return ""
    return f"The data set {data.title} is {data.state}. {data.how_to_get}"


def _download(config: RunConfig) -> str:
    return weights_to_get(config.architecture) if config.pretrained else ""


def weights_to_get(architecture: str) -> str:
    """Returns a sentence on ImageNet weights that are not on this machine, or that the machine that
    trains is asked for; empty when they are there."""
    from lab.models.architecture import ARCHITECTURES
    from lab.models.weights import missing_weights, weights_file, weights_ready, weights_url
    from lab.training.devices import trains_elsewhere
    from lab.training.plan import weights_elsewhere

    spec = ARCHITECTURES.get(architecture)
    if trains_elsewhere():
        return weights_elsewhere(spec)
    if weights_ready(spec):
        return ""
    absent = f"The ImageNet weights of {spec.title} are not on this machine."
    url = weights_url(spec)
    if url is None:
        return f"{absent} They come with a Python package: {missing_weights(spec)}."
    return (
        f"{absent} They are downloaded when a run needs them ({missing_weights(spec)} from {url}); "
        f"without internet, put that file at {weights_file(spec)}."
    )
