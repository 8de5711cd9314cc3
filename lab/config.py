"""RunConfig: every knob of a run, and every fact about it, in this one place.

A knob added here appears by itself in the form, the YAML file, the URL, the command line, the run's
record, the sweep form and the tables that compare runs; the learning-rate finder, sweeps and time
measurements read from its facts what it means for them. This module knows nothing of data sets and
networks: whether the knobs fit them is checked by `lab.training.plan.check`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from lab.errors import ConfigError, cut, unknown_name, unknown_names
from lab.metrics import METRICS
from lab.settings_text import read_json, read_yaml

Activation = Literal["auto", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu"]
Precision = Literal["fp32", "bf16", "fp16"]
"""A number format of training steps."""
Freeze = Literal["scratch", "full", "last_k", "head_only", "two_phase"]
FREEZING: tuple[Freeze, ...] = ("last_k", "head_only", "two_phase")
"""The strategies that leave stages as they are for some epochs at least."""
FINE_TUNING: tuple[Freeze, ...] = ("full", "last_k", "two_phase")
"""The strategies that go on training pretrained stages."""

StartWith = Literal["stretched", "restart", "constant", "weights"]
"""How a run makes use of the run that it starts from."""

Group = Literal[
    "data", "augmentation", "network", "start", "freeze", "optimisation", "stopping", "machine"
]
Effect = Literal["result", "speed", "watch"]
SweepUse = Literal["any", "grid", "never"]
Condition = tuple[Any, ...] | Literal["changed"]

GROUP_TITLES: dict[Group, str] = {
    "data": "Data",
    "augmentation": "Augmentation (training images only)",
    "network": "Network",
    "start": "Start from a run of yours",
    "freeze": "What is trained",
    "optimisation": "Optimisation",
    "stopping": "Checkpoints and stopping",
    "machine": "Machine",
}


_METRIC_TITLES = {
    f"val_{name}": f"Validation {METRICS[name].title.lower()}" for name in ("loss", "accuracy")
}


def knob(
    default: Any,
    title: str,
    help: str,
    *,
    group: Group,
    unit: str = "",
    step: float | None = None,
    log: bool = False,
    zero_word: str = "",
    choice_titles: Mapping[str, str] = types.MappingProxyType({}),
    used_with: Mapping[str, Condition] = types.MappingProxyType({}),
    by_architecture: bool = False,
    essential: bool = False,
    effect: Effect = "result",
    rate_finder: bool = True,
    sweep: SweepUse | None = None,
    pattern: str | None = None,
    text_words: str = "",
    ge: float | None = None,
    le: float | None = None,
    gt: float | None = None,
    lt: float | None = None,
) -> Any:
    """A field of RunConfig with its facts, which `Knob` explains.

    Left out, `sweep` is "any" for a knob that changes the result and "never" for the others, which
    the learning-rate finder ignores, too.
    """
    extra: dict[str, Any] = {
        "group": group,
        "unit": unit,
        "step": step,
        "log": log,
        "zero_word": zero_word,
        "choice_titles": dict(choice_titles),  # plain, so that pydantic can make its JSON schema
        "used_with": dict(used_with),
        "by_architecture": by_architecture,
        "essential": essential,
        "effect": effect,
        "rate_finder": rate_finder and effect == "result",
        "sweep": sweep or ("any" if effect == "result" else "never"),
        "text_words": text_words,
    }
    return Field(
        default,
        title=title,
        description=help,
        json_schema_extra=extra,
        pattern=pattern,
        ge=ge,
        le=le,
        gt=gt,
        lt=lt,
    )


class RunConfig(BaseModel):
    """Everything that decides a run. Frozen; same config, seed and machine: same curve."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # --- data -----------------------------------------------------------------------------------
    dataset: str = knob(
        "drawn-cats-dogs",
        "Data set",
        "The pictures to learn from. The drawn sets and the digits are built in; photographs are "
        "added on the Data page.",
        group="data",
        essential=True,
        pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$",
        text_words="a name of small letters a to z, digits and dashes between them",
    )
    dataset_version: str = knob(
        "",
        "Data set version",
        "The content hash of the version to train on. Empty: the newest one when the run starts.",
        group="data",
        essential=True,
        sweep="never",
        pattern=r"^[0-9A-Za-z-]{0,64}$",
        text_words="the content hash of a version, or empty",
    )
    image_size: int | None = knob(
        None,
        "Image size",
        "Side of the square that every image is resized to. Larger shows more detail; the time "
        "grows with the square of the side. Empty: the data set's own size.",
        group="data",
        unit="pixels",
        ge=8,
        le=512,
    )
    subset_per_class: int = knob(
        0,
        "Images per class",
        "Train on at most this many images of each class. Fewer is faster and overfits sooner.",
        zero_word="all",
        group="data",
        ge=0,
        le=1_000_000,
    )
    validation_fraction: float = knob(
        0.1,
        "Validation part",
        "Share of the training images set aside, class by class, to choose the best epoch. The "
        "test set is not touched. Used only when the data set brings no validation images of its "
        "own.",
        group="data",
        ge=0.01,
        le=0.5,
        step=0.01,
    )
    split_by: Literal["image", "group"] = knob(
        "image",
        "Validation cut by",
        "Picture: every picture is drawn by itself. Group of copies: copies and near-copies of one "
        "photograph stay on one side, so that the network is not validated on what it was trained "
        "on; they are looked for before the run. Used only when the data set brings no validation "
        "images of its own. Bursts of the camera always stay together.",
        group="data",
        choice_titles={"image": "Picture", "group": "Group of copies"},
        rate_finder=False,
    )
    reduced_class: str = knob(
        "",
        "Class to make rarer",
        "One class of which only a part is kept, to see what unequal classes do.",
        group="data",
        pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,255}$",
        text_words="the name of a class, or empty",
    )
    reduced_class_keep: float = knob(
        1.0,
        "Share of that class to keep",
        "1 keeps all of that class; 0.1 keeps a tenth and makes the set unequal. Training images "
        "only.",
        group="data",
        used_with={"reduced_class": "changed"},
        gt=0,
        le=1,
        step=0.05,
    )
    class_balancing: Literal["none", "weighted_loss", "oversampling"] = knob(
        "none",
        "Class balancing",
        "What to do about unequal classes. Weighted loss: rare classes count more in the loss. "
        "Oversampling: their images are drawn more often. The rare class gains accuracy, the "
        "common one may lose some.",
        group="data",
    )
    normalisation: Literal["auto", "unit", "standard", "imagenet"] = knob(
        "auto",
        "Pixel scaling",
        "How pixel values are scaled. Unit: divided by 255. Standard: also minus the mean of "
        "the training images and over their deviation, which usually trains faster. ImageNet: "
        "with ImageNet's mean and deviation. Automatic: ImageNet for pretrained networks, else "
        "standard.",
        group="data",
        choice_titles={"imagenet": "ImageNet"},
    )

    # --- augmentation ---------------------------------------------------------------------------
    horizontal_flip: bool = knob(
        False,
        "Horizontal flip",
        "Mirror every second image. Right for cats and dogs; wrong for hand signs, which have a "
        "side.",
        group="augmentation",
    )
    rotation_degrees: float = knob(
        0.0,
        "Rotation",
        "Turn by up to this angle either way. More makes a net robust to tilt and slows learning.",
        group="augmentation",
        unit="degrees",
        ge=0,
        le=180,
        step=1,
    )
    zoom: float = knob(
        0.0,
        "Zoom",
        "Scale by up to this share in or out: 0.1 means 90% to 110%.",
        group="augmentation",
        ge=0,
        le=0.9,
        step=0.05,
    )
    width_shift: float = knob(
        0.0,
        "Width shift",
        "Move sideways by up to this share of the width.",
        group="augmentation",
        ge=0,
        le=0.5,
        step=0.05,
    )
    height_shift: float = knob(
        0.0,
        "Height shift",
        "Move up or down by up to this share of the height.",
        group="augmentation",
        ge=0,
        le=0.5,
        step=0.05,
    )
    shear_degrees: float = knob(
        0.0,
        "Shear",
        "Slant by up to this angle either way.",
        group="augmentation",
        unit="degrees",
        ge=0,
        le=45,
        step=1,
    )
    brightness: float = knob(
        0.0,
        "Brightness",
        "Make lighter or darker by up to this share.",
        group="augmentation",
        ge=0,
        le=0.9,
        step=0.05,
    )
    contrast: float = knob(
        0.0,
        "Contrast",
        "Raise or lower the contrast by up to this share.",
        group="augmentation",
        ge=0,
        le=0.9,
        step=0.05,
    )
    crop_scale: float = knob(
        0.0,
        "Random crop",
        "Cut out a part of at least this share of the picture's area, and show it at full size. "
        "0.5 or more keeps the subject in; 0.08 is usual for ImageNet's million pictures.",
        group="augmentation",
        zero_word="off",
        ge=0,
        le=1,
        step=0.05,
    )
    auto_augment: Literal["off", "trivial", "rand"] = knob(
        "off",
        "Automatic augmentation",
        "TrivialAugment: each picture gets one change out of fourteen, of any strength; nothing to "
        "tune. RandAugment: two changes, of one strength. Both turn and shift, and change colours; "
        "wrong where colour or direction is what tells the classes apart.",
        group="augmentation",
        choice_titles={"trivial": "TrivialAugment", "rand": "RandAugment"},
    )
    rand_magnitude: int = knob(
        9,
        "Strength of RandAugment",
        "From 0, nothing, to 30.",
        group="augmentation",
        used_with={"auto_augment": ("rand",)},
        ge=0,
        le=30,
    )
    random_erasing: float = knob(
        0.0,
        "Random erasing",
        "Share of the pictures in which a rectangle is painted over with the picture's mean "
        "colour: the network must not rely on one detail.",
        group="augmentation",
        ge=0,
        le=1,
        step=0.05,
    )
    mixup: float = knob(
        0.0,
        "Mixup",
        "Lay each picture of a batch over another one, and ask for both classes in the same "
        "shares. The share is drawn from Beta(a, a) with this a: 0.2 mostly shows one picture, 1 "
        "any share. Training accuracy then counts the class of the larger share, so it lies below "
        "validation accuracy.",
        group="augmentation",
        zero_word="off",
        ge=0,
        le=10,
        step=0.1,
    )
    cutmix: float = knob(
        0.0,
        "CutMix",
        "Like mixup, but a rectangle of the other picture is pasted in; its area is the share. "
        "With both, each batch gets one of the two.",
        group="augmentation",
        zero_word="off",
        ge=0,
        le=10,
        step=0.1,
    )

    # --- network --------------------------------------------------------------------------------
    architecture: str = knob(
        "simple-cnn",
        "Architecture",
        "The network. Perceptrons take the pixels as one long list; convolutional networks use "
        "which pixels are neighbours.",
        group="network",
        essential=True,
        pattern=r"^[0-9A-Za-z_.:/+ -]{1,300}$",
        text_words="the name of a network",
    )
    activation: Activation = knob(
        "auto",
        "Activation",
        "The function between the layers. With sigmoid and tanh the gradient shrinks from "
        "layer to layer, so deep networks hardly learn; with ReLU and its relatives they do. "
        "Pretrained weights work only with the activation they were trained with.",
        group="network",
        choice_titles={
            "tanh": "tanh",
            "relu": "ReLU",
            "leaky_relu": "Leaky ReLU",
            "elu": "ELU",
            "gelu": "GELU",
            "silu": "SiLU",
        },
        essential=True,
    )
    hidden_sizes: tuple[int, ...] = knob(
        (50,),
        "Hidden layers",
        "Units in each hidden layer of the MLP, for example 512, 128. More units: more capacity, "
        "slower, quicker to overfit.",
        group="network",
        by_architecture=True,
        essential=True,
    )
    depth: int = knob(
        10,
        "Depth",
        "Number of layers. With sigmoid, every further layer makes the gradient smaller.",
        group="network",
        by_architecture=True,
        essential=True,
        ge=2,
        le=50,
    )
    head: Literal["linear", "dense"] = knob(
        "linear",
        "Head",
        "Linear: the network's own pooling and one layer. Dense: flatten, a dense layer, "
        "dropout, then the classes; many more weights to train.",
        group="network",
        by_architecture=True,
    )
    head_units: int = knob(
        256,
        "Head units",
        "Width of the dense head.",
        group="network",
        used_with={"head": ("dense",)},
        ge=1,
        le=8192,
    )
    dropout: float | None = knob(
        None,
        "Dropout",
        "Share of units switched off at random in each training step. More fights overfitting "
        "and slows learning. Empty: the network's own.",
        group="network",
        ge=0,
        le=0.95,
        step=0.05,
    )

    # --- where it starts ------------------------------------------------------------------------
    start_from: str = knob(
        "",
        "Start from",
        "A run of yours whose weights this one starts with. Empty: none, a new network.",
        group="start",
        pattern=r"^[0-9A-Za-z_-]{0,40}$",
        text_words="the id of a run, or empty",
        sweep="never",
    )
    start_epoch: int = knob(
        0,
        "After its epoch",
        "After which of its epochs, of those whose weights are kept.",
        zero_word="last, or best for weights only",
        group="start",
        used_with={"start_from": "changed"},
        unit="epochs",
        sweep="never",
        ge=0,
        le=10_000,
    )
    start_with: StartWith = knob(
        "stretched",
        "What goes on",
        "Going on counts its epochs on, with the optimizer's memory where that is kept. Schedule "
        "as planned: the rate is what it would be, had all the epochs been planned at first. "
        "Schedule anew: the schedule begins again. At the last rate: the learning rate stays what "
        "it was. Weights only: a new training from epoch 1, also on other data; where the classes "
        "are others, the head is new.",
        group="start",
        choice_titles={
            "stretched": "Go on, schedule as planned",
            "restart": "Go on, schedule anew",
            "constant": "Go on, at the last rate",
            "weights": "Weights only",
        },
        used_with={"start_from": "changed"},
        sweep="never",
    )
    start_imagenet: bool = knob(
        False,
        "Once from ImageNet",
        "Whether that run's own weights began as ImageNet's. The lab sets it by itself.",
        group="start",
        used_with={"start_from": "changed"},
        sweep="never",
    )

    # --- what is trained ------------------------------------------------------------------------
    freeze: Freeze = knob(
        "scratch",
        "Freeze strategy",
        "From scratch: random weights, all trained. The others start from ImageNet weights, or "
        "from a run of yours. Fine-tune all: all are trained on. Last stages + head: the last "
        "stages and the new head. Head only: just the new head, the quickest. Two phases: first "
        "the head, then also the last stages at a smaller learning rate.",
        group="freeze",
        choice_titles={
            "scratch": "From scratch",
            "full": "Fine-tune all",
            "last_k": "Last stages + head",
            "two_phase": "Two phases",
        },
        essential=True,
    )
    last_k: int = knob(
        1,
        "Stages to train",
        "How many of the last stages are trained besides the head; with Two phases, in the "
        "second one.",
        group="freeze",
        used_with={"freeze": ("last_k", "two_phase")},
        essential=True,
        ge=1,
        le=30,
    )
    head_epochs: int = knob(
        2,
        "Epochs of the first phase",
        "Epochs in which only the head is trained, before the last stages join.",
        group="freeze",
        used_with={"freeze": ("two_phase",)},
        essential=True,
        rate_finder=False,
        unit="epochs",
        ge=1,
        le=1000,
    )
    second_phase_factor: float = knob(
        0.1,
        "Rate factor of the second phase",
        "The learning rate is multiplied by this when the last stages join. Large steps would "
        "destroy what they learned on ImageNet.",
        group="freeze",
        used_with={"freeze": ("two_phase",)},
        essential=True,
        gt=0,
        le=1,
        log=True,
        step=0.05,
    )

    frozen_features: Literal["auto", "off"] = knob(
        "auto",
        "Run frozen stages once",
        "Automatic: the output of the frozen stages is computed once an image and kept, so "
        "that later epochs, and other runs, cost only the trained part. Off: all stages run at "
        "every step, for comparison.",
        group="freeze",
        used_with={"freeze": FREEZING},
        effect="speed",
    )
    kept_views: int = knob(
        0,
        "Augmented views kept",
        "With augmentation, frozen stages can run once only if the pictures repeat. So many "
        "augmented versions of each image are made in the first epochs and used again later; "
        "with none kept, frozen stages run at every step.",
        zero_word="none",
        group="freeze",
        used_with={"freeze": FREEZING, "frozen_features": ("auto",)},
        unit="views",
        ge=0,
        le=100,
    )

    # --- optimisation ---------------------------------------------------------------------------
    batch_size: int = knob(
        32,
        "Batch size",
        "Images per step. Larger: smoother steps, fewer of them, more memory; often needs a "
        "larger learning rate.",
        group="optimisation",
        essential=True,
        unit="images",
        ge=1,
        le=4096,
    )
    learning_rate: float = knob(
        1e-3,
        "Learning rate",
        "Size of a step, and the first setting to tune. Too high: the loss jumps or becomes "
        "NaN. Too low: it hardly falls.",
        group="optimisation",
        essential=True,
        rate_finder=False,
        gt=0,
        le=10,
        log=True,
        step=1e-4,
    )
    epochs: int = knob(
        10,
        "Epochs",
        "Passes over the training images. More learns more, until validation loss rises: that "
        "is overfitting.",
        group="optimisation",
        essential=True,
        rate_finder=False,
        sweep="grid",
        unit="epochs",
        ge=1,
        le=10_000,
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = knob(
        "adam",
        "Optimizer",
        "How gradients become steps. Adam, AdamW and RMSprop adapt the step for each weight; "
        "SGD does not and needs a larger learning rate.",
        group="optimisation",
        choice_titles={"adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"},
    )
    momentum: float = knob(
        0.9,
        "Momentum",
        "How much of the last step is carried on. Higher is smoother and faster, and may "
        "overshoot.",
        group="optimisation",
        used_with={"optimizer": ("sgd", "rmsprop")},
        ge=0,
        lt=1,
        step=0.05,
    )
    nesterov: bool = knob(
        False,
        "Nesterov",
        "Takes the gradient where the momentum is about to lead.",
        group="optimisation",
        used_with={"optimizer": ("sgd",)},
    )
    weight_decay: float = knob(
        0.0,
        "Weight decay",
        "Pulls weights towards zero. Some fights overfitting; too much stops learning. Biases and "
        "norm layers are left alone. AdamW takes it off the weights themselves; with the other "
        "optimizers it is L2, added to the gradient, which Adam and RMSprop then rescale.",
        group="optimisation",
        ge=0,
        le=1,
        log=True,
        step=1e-4,
    )
    layer_decay: float = knob(
        1.0,
        "Rate factor from stage to stage",
        "Each stage learns at this share of the rate of the stage behind it; the head at the full "
        "one. First stages know edges and colours, which hold for any photograph. 1: all alike.",
        group="optimisation",
        used_with={"freeze": FINE_TUNING},
        gt=0,
        le=1,
        step=0.05,
    )
    smoothing: float = knob(
        0.0,
        "Label smoothing",
        "Ask for a little less than certainty: this share of each label is spread over all "
        "classes. The network becomes less sure of itself, and training loss does not reach 0.",
        group="optimisation",
        ge=0,
        lt=1,
        step=0.05,
    )
    model_ema_decay: float = knob(
        0.0,
        "Weight averaging (EMA)",
        "Keep a running average of the weights beside those that are trained: after each step it "
        "keeps this share of itself, less in the first steps. Validation, checkpoints and test use "
        "the average, which is steadier. 0.99 to 0.9999.",
        group="optimisation",
        zero_word="off",
        rate_finder=False,
        ge=0,
        lt=1,
        step=0.001,
    )
    schedule: Literal["constant", "step", "cosine", "one_cycle", "on_plateau"] = knob(
        "constant",
        "Learning-rate schedule",
        "How the learning rate changes. Constant: not at all. Step: times the factor every few "
        "epochs. Cosine: falls smoothly to zero. One cycle: rises, then falls. On plateau: "
        "times the factor when validation loss stops falling.",
        group="optimisation",
        rate_finder=False,
    )
    warmup_epochs: int = knob(
        0,
        "Warm-up",
        "Epochs at the beginning, and at that of a second phase, in which the rate rises evenly "
        "from a hundredth. Keeps the first steps, taken when nothing is known yet, from destroying "
        "pretrained weights.",
        group="optimisation",
        used_with={"schedule": ("constant", "step", "cosine", "on_plateau")},
        rate_finder=False,
        zero_word="none",
        unit="epochs",
        ge=0,
        le=1000,
    )
    schedule_epochs: int = knob(
        5,
        "Schedule interval",
        "Step: epochs between two drops. On plateau: epochs without improvement before a drop.",
        group="optimisation",
        used_with={"schedule": ("step", "on_plateau")},
        rate_finder=False,
        unit="epochs",
        ge=1,
        le=1000,
    )
    schedule_factor: float = knob(
        0.1,
        "Schedule factor",
        "The learning rate is multiplied by this at each drop.",
        group="optimisation",
        used_with={"schedule": ("step", "on_plateau")},
        rate_finder=False,
        gt=0,
        lt=1,
    )
    gradient_clip: float = knob(
        0.0,
        "Gradient clipping",
        "Longest gradient allowed (L2 norm over all parameters). Helps where the loss jumps or "
        "becomes NaN.",
        zero_word="off",
        group="optimisation",
        ge=0,
        le=1000,
    )
    steps_per_epoch: int = knob(
        0,
        "Steps per epoch",
        "End each epoch after this many steps.",
        zero_word="whole epoch",
        group="optimisation",
        unit="steps",
        ge=0,
        le=1_000_000,
    )

    # --- checkpoints and stopping ---------------------------------------------------------------
    best_metric: Literal["val_loss", "val_accuracy"] = knob(
        "val_loss",
        "Best epoch by",
        "Which validation metric chooses the epoch whose weights are kept as the best and "
        "tested at the end.",
        group="stopping",
        choice_titles=_METRIC_TITLES,
        rate_finder=False,
    )
    early_stopping_patience: int = knob(
        0,
        "Early stopping",
        "End the run after this many epochs in which the metric below did not improve.",
        zero_word="off",
        group="stopping",
        rate_finder=False,
        unit="epochs",
        ge=0,
        le=1000,
    )
    early_stopping_metric: Literal["val_loss", "val_accuracy"] = knob(
        "val_loss",
        "Early stopping watches",
        "The validation metric that must keep improving. When a network overfits, loss gets "
        "worse before accuracy does.",
        group="stopping",
        choice_titles=_METRIC_TITLES,
        used_with={"early_stopping_patience": "changed"},
        rate_finder=False,
    )
    keep_every: int = knob(
        0,
        "Keep weights every",
        "Besides the best and the last, keep the weights of every n-th epoch for the Inspect page.",
        zero_word="off",
        group="stopping",
        effect="watch",
        unit="epochs",
        ge=0,
        le=1000,
    )

    # --- machine --------------------------------------------------------------------------------
    seed: int = knob(
        0,
        "Seed",
        "Fixes every random choice: the same seed on the same machine gives the same curve. "
        "Runs with other seeds show how much is chance.",
        group="machine",
        sweep="never",
        ge=0,
        le=2**31 - 1,
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = knob(
        "auto",
        "Device",
        "Where to compute. Automatic: the graphics card if there is one.",
        group="machine",
        choice_titles={"cpu": "CPU", "cuda": "CUDA graphics card", "mps": "Apple graphics"},
        effect="speed",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = knob(
        "auto",
        "Number format",
        "Number format of the training steps. Automatic: bf16 where a short trial shows that "
        "it is clearly faster, else fp32. Validation and test are always in fp32.",
        group="machine",
    )
    workers: int = knob(
        1,
        "Workers",
        "How many graphics cards, or machines, train this one run together on a Ray cluster: each "
        "takes its share of every batch. The result is that of one worker up to rounding, except "
        "for dropout's chance and, without graphics cards, batch normalisation.",
        group="machine",
        rate_finder=False,
        sweep="never",
        ge=1,
        le=64,
    )
    memory_layout: Literal["auto", "channels_last", "channels_first"] = knob(
        "auto",
        "Memory layout",
        "How images lie in memory. Changes the speed of convolutions, not the result. "
        "Automatic: what suits the network and the device.",
        group="machine",
        effect="speed",
    )
    reuse_memory: bool = knob(
        True,
        "Reuse memory",
        "Keep the memory of a training step for the next one, which is faster. It is given "
        "back when the run ends.",
        group="machine",
        effect="speed",
    )
    compile_steps: Literal["off", "on"] = knob(
        "off",
        "Compile",
        "Let torch.compile translate the training steps. That takes seconds to minutes at the "
        "start and needs a C++ compiler; large networks may gain, small ones mostly do not. "
        "The result is the same up to rounding.",
        group="machine",
        effect="speed",
    )
    film_strip: bool = knob(
        True,
        "Film strip",
        "After each epoch keep the answers and the Grad-CAM maps of up to eight pictures. "
        "Costs about 3% of the time at most: where one record costs more, there are fewer. "
        "Does not change the training.",
        group="machine",
        effect="watch",
    )
    layer_statistics: Literal["auto", "off"] = knob(
        "auto",
        "Gradient health",
        "Automatic: every few steps record each layer's gradient, weight change and output. "
        "Costs at most 3% of the time and does not change the training.",
        group="machine",
        effect="watch",
    )

    @model_validator(mode="after")
    def _hidden_sizes_in_range(self) -> RunConfig:
        if not 1 <= len(self.hidden_sizes) <= 20 or not all(
            1 <= n <= 8192 for n in self.hidden_sizes
        ):
            raise ValueError(
                "allowed are 1 to 20 hidden layers of 1 to 8192 units each, for example 512,128"
            )
        return self

    @property
    def pretrained(self) -> bool:
        """Whether the network began with ImageNet weights, here (all strategies but `scratch`) or
        in the run that this one starts from: it then takes pictures as those weights want them."""
        return self.start_imagenet if self.start_from else self.freeze != "scratch"

    @property
    def loads_imagenet(self) -> bool:
        """Whether the run itself starts from ImageNet weights."""
        return self.pretrained and not self.start_from

    @property
    def goes_on(self) -> bool:
        """Whether the run counts on the epochs of the run that it starts from."""
        return bool(self.start_from) and self.start_with != "weights"

    @property
    def augments(self) -> bool:
        """Whether training images are changed at random."""
        return any(
            self.in_effect(k.name) != k.default for k in KNOBS.values() if k.group == "augmentation"
        )

    @property
    def mixes(self) -> bool:
        """Whether training images are mixed with others of their batch, and their labels too."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def keeps_features(self) -> bool:
        """Whether frozen stages run once an image: allowed, and the same pictures come again."""
        repeats = not self.augments or (self.kept_views > 0 and not self.mixes)
        return self.freeze in FREEZING and self.frozen_features == "auto" and repeats

    def in_effect(self, name: str) -> Any:
        """A knob's value, or its default while other knobs keep it from doing anything; knobs that
        only some architectures have are as they are."""
        knob_ = KNOBS[name]
        used = all(
            KNOBS[other]._meets(getattr(self, other), condition)
            for other, condition in knob_.used_with.items()
        )
        return getattr(self, name) if used else knob_.default

    # --- in and out -----------------------------------------------------------------------------
    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> RunConfig:
        """From plain values, as JSON, YAML or a form hold them.

        Raises ConfigError: one sentence for each unknown knob and each value that is not allowed.
        """
        unknown = [name for name in values if name not in cls.model_fields]
        if unknown:
            raise ConfigError(unknown_names("knob", unknown, cls.model_fields))
        known = dict(values)
        if known.get("compile_steps") == "auto":  # runs of version 0.1, which compiled long ones
            known["compile_steps"] = "off"
        try:
            return cls.model_validate(known)
        except ValidationError as error:
            raise ConfigError(" ".join(_sentence(e) for e in error.errors()[:5])) from None

    def changed(self, **values: Any) -> RunConfig:
        """A copy with some knobs changed, validated again."""
        return RunConfig.from_mapping({**self.model_dump(), **values})

    def differences(self) -> dict[str, Any]:
        """The knobs that differ from their defaults, as JSON-ready values."""
        default = RunConfig()
        values = self.model_dump(mode="json")
        return {k: v for k, v in values.items() if v != default.model_dump(mode="json")[k]}

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """Raises ConfigError when the text is not a JSON object of knobs."""
        return cls.from_mapping(read_json(text))

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> RunConfig:
        """Raises ConfigError when the text is not a YAML mapping of knobs."""
        return cls.from_mapping(read_yaml(text))

    def to_query(self) -> dict[str, str]:
        """For a URL: only what differs from the defaults."""
        return {name: _to_text(value) for name, value in self.differences().items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str], base: RunConfig | None = None) -> RunConfig:
        """From `knob=value` texts, as a URL and `--set` hold them, on top of `base`."""
        values = (base or cls()).model_dump()
        for name, text in texts.items():
            values[name] = _from_text(name, text)
        return cls.from_mapping(values)


@dataclass(frozen=True)
class Knob:
    """The facts of one field of RunConfig."""

    name: str
    title: str
    help: str
    group: Group
    unit: str
    kind: Literal["bool", "int", "float", "choice", "text", "ints"]
    default: Any
    optional: bool
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    open_ended: tuple[bool, bool]
    """Whether the minimum, the maximum are themselves forbidden."""
    step: float | None
    """From one number of the form to the next."""
    log: bool
    """Numbers that differ by factors: a logarithmic axis, ranges in equal factors."""
    zero_word: str
    """What 0 means where it is no number: "all", "off". A form shows an empty box for it."""
    choice_titles: Mapping[str, str]
    """Words of those choices that do not read well as they are."""
    used_with: Mapping[str, Condition]
    """The knob does something only while each of these others has one of the values, or, with
    "changed", another value than its default."""
    by_architecture: bool
    """Only architectures that name the knob among their own have it."""
    essential: bool
    """Stands open at the top of the form; the others wait in their groups."""
    effect: Effect
    """What changes with it: the result, only how long the run takes, or only what is watched and
    kept. A result that differs by rounding only is the same one."""
    rate_finder: bool
    """Whether what the learning-rate finder says depends on it."""
    sweep: SweepUse
    """Which sweeps may vary it; numbers as a list or as a range, all others as a list."""
    text_words: str
    """What is allowed of a text, in words."""

    def text(self, value: Any) -> str:
        """A value as a person reads it in a table, a chart or a name."""
        if value is None:
            return "automatic"
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, (tuple, list)):
            return "-".join(map(str, value))
        if self.zero_word and value == 0:
            return self.zero_word
        if isinstance(value, float):
            return f"{value:g}"
        if self.kind != "choice":
            return str(value) or "none"
        words = "automatic" if value == "auto" else str(value).replace("_", " ")
        return self.choice_titles.get(value, words[:1].upper() + words[1:])

    def to_widget(self, value: Any) -> Any:
        """A value as the knob's widget of a form holds it; `from_widget` is the way back."""
        if self.kind == "ints":
            return ", ".join(str(v) for v in value)
        return None if self.zero_word and value == 0 else value

    def from_widget(self, value: Any) -> Any:
        if self.kind == "ints" and isinstance(value, str):
            parts = [part for part in value.replace(" ", "").split(",") if part]
            return tuple(int(part) if part.isdecimal() else part for part in parts)
        return 0 if self.zero_word and value is None else value

    def is_used(self, values: Mapping[str, Any], architecture_knobs: Collection[str]) -> bool:
        """Whether the knob does something while the others have these values; one that `values`
        lacks may have any. `architecture_knobs` are those that the architecture names."""
        if self.by_architecture and self.name not in architecture_knobs:
            return False
        return all(
            KNOBS[name].is_used(values, architecture_knobs)
            and (name not in values or KNOBS[name]._meets(values[name], condition))
            for name, condition in self.used_with.items()
        )

    def _meets(self, value: Any, condition: Condition) -> bool:
        return value != self.default if condition == "changed" else value in condition

    @property
    def summary(self) -> str:
        """Title, allowed values, default and what it goes with, for the command line."""
        words = f"{self.title}: {self.allowed}; default {self.default!r}"
        if self.by_architecture:
            words += "; only for architectures that have it"
        for name, condition in self.used_with.items():
            words += f"; only with {name} "
            words += "set" if condition == "changed" else " or ".join(map(str, condition))
        return words

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "bool":
            return "true or false"
        if self.kind == "ints":
            return "whole numbers of units, separated by commas, such as 512,128"
        if self.kind == "text":
            return self.text_words
        number = "a whole number" if self.kind == "int" else "a number"
        low = (
            f" above {_number(self.minimum)}"
            if self.open_ended[0]
            else f" from {_number(self.minimum)}"
        )
        high = (
            f" and below {_number(self.maximum)}"
            if self.open_ended[1]
            else f" to {_number(self.maximum)}"
        )
        if self.open_ended == (True, False):
            high = f", at most {_number(self.maximum)}"
        zero = f" (0: {self.zero_word})" if self.zero_word else ""
        return number + low + high + zero + (", or empty" if self.optional else "")


def _describe(name: str, field: FieldInfo) -> Knob:
    annotation: Any = field.annotation
    optional = False
    if typing.get_origin(annotation) in (types.UnionType, Union):
        optional = True
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    is_choice = typing.get_origin(annotation) is Literal
    kinds: dict[Any, Any] = {bool: "bool", int: "int", float: "float", str: "text"}
    bounds: dict[str, float] = {}
    for constraint in field.metadata:
        for side in ("ge", "gt", "le", "lt"):
            if getattr(constraint, side, None) is not None:
                bounds[side] = getattr(constraint, side)
    extra = typing.cast("dict[str, Any]", field.json_schema_extra)
    return Knob(
        name=name,
        title=field.title or name,
        help=field.description or "",
        kind="choice" if is_choice else kinds.get(annotation, "ints"),
        default=field.default,
        optional=optional,
        choices=typing.get_args(annotation) if is_choice else (),
        minimum=bounds.get("ge", bounds.get("gt")),
        maximum=bounds.get("le", bounds.get("lt")),
        open_ended=("gt" in bounds, "lt" in bounds),
        **extra,
    )


KNOBS: dict[str, Knob] = {
    name: _describe(name, field) for name, field in RunConfig.model_fields.items()
}


def assignments(pairs: Iterable[str]) -> dict[str, str]:
    """`["batch_size=64", ...]` as a mapping; raises ConfigError for a text without '='."""
    texts: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise ConfigError(f"{pair!r} is not of the form knob=value, for example batch_size=64.")
        texts[name.strip()] = value.strip()
    return texts


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(v) for v in value)
    return str(value)


def _from_text(name: str, text: str) -> Any:
    knob_ = KNOBS.get(name)
    if knob_ is None:
        raise ConfigError(unknown_name("knob", name, KNOBS))
    if knob_.optional and text.lower() in ("", "none", "null", "auto"):
        return None
    if knob_.kind == "ints":
        return tuple(part for part in text.replace(" ", "").split(",") if part)
    return text


def _sentence(error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else "hidden_sizes"
    knob_ = KNOBS[name]
    value = error["input"] if error["loc"] else None
    if not error["loc"]:
        return f"{name}: {error['ctx']['error'] if 'ctx' in error else error['msg']}."
    return f"{name} is {cut(value)}; allowed is {knob_.allowed}."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if abs(value) < 1e5 else f"{value:.0f}"
