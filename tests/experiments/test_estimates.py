"""Time estimates: what they are made from, and that they say so."""

from dataclasses import replace

import pytest

from lab.config import RunConfig
from lab.data import catalog
from lab.data.splits import make_splits, steps_in_epoch
from lab.experiments.estimates import (
    PastRun,
    Speed,
    epochs_of_new_images,
    estimate,
    image_counts,
    measure_speeds,
    measured_speeds,
    past_runs,
    rough_time,
)
from lab.experiments.recipes.book import all_recipes
from lab.experiments.recipes.recipe import SIZES, prepare
from lab.jobs import start, wait
from lab.models.architecture import ARCHITECTURES
from lab.progress import Progress
from lab.runs.foreground import run_in_foreground
from lab.runs.store import store
from lab.training import devices
from lab.training.plan import resolve
from tests.tiny_data import make_tiny_pack

PAST = PastRun(
    architecture="sign-cnn",
    image_size=28,
    device="cpu",
    freeze="scratch",
    head="linear",
    keeps_features=False,
    batch_size=256,
    first_epoch=2e-3,
    later_epoch=1e-3,
)
SIGNS = RunConfig(
    dataset="drawn-signs", architecture="sign-cnn", image_size=28, batch_size=256, epochs=5
)


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"subset_per_class": 7},
        {"validation_fraction": 0.25},
        {"reduced_class": "top", "reduced_class_keep": 0.2},
        {"reduced_class": "top", "reduced_class_keep": 0.2, "class_balancing": "oversampling"},
        {"steps_per_epoch": 2, "batch_size": 8},
    ],
)
def test_images_are_counted_as_the_splits_will_be(knobs: dict[str, object]) -> None:
    config = RunConfig(dataset=make_tiny_pack()).changed(**knobs)
    pack = catalog.open_pack("tiny")
    splits = make_splits(pack, config)
    train, val, test = image_counts(config, catalog.describe("tiny"))
    assert (val, test) == (len(splits.val), len(splits.test))
    steps = steps_in_epoch(splits, config, pack.labels)
    assert -(-train // config.batch_size) == steps
    if not {"class_balancing", "steps_per_epoch"} & set(knobs):
        assert train == len(splits.train)


def test_validation_images_of_the_set_are_not_cut_from_training() -> None:
    make_tiny_pack(val=12)
    config = RunConfig(dataset="tiny")
    assert image_counts(config, catalog.describe("tiny")) == (90, 12, 30)


def test_a_finished_run_is_believed_first() -> None:
    train = image_counts(SIGNS, catalog.describe("drawn-signs"))[0]
    measured = {"sign-cnn": Speed(28, 1.0, 1.0)}
    guess = estimate(SIGNS, past=[PAST], measured=measured)
    assert guess is not None
    assert guess.basis == "runs"
    assert guess.seconds == pytest.approx(train * (2e-3 + 4 * 1e-3))
    assert "earlier run" in guess.source
    guess = estimate(SIGNS, measured=measured)
    assert guess is not None
    assert guess.basis == "measured"
    guess = estimate(SIGNS)
    assert guess is not None
    assert guess.basis == "counted"
    assert "another machine" in guess.source


@pytest.mark.parametrize(
    "other",
    [
        {"architecture": "sign-mlp"},
        {"image_size": 56},
        {"device": "cuda"},
        {"freeze": "full"},
        {"keeps_features": True},
        {"batch_size": 16},
    ],
)
def test_a_run_of_another_kind_tells_nothing(other: dict[str, object]) -> None:
    guess = estimate(SIGNS, past=[replace(PAST, **other)])  # type: ignore[arg-type]
    assert guess is not None
    assert guess.basis == "counted"


def test_the_other_machine_has_a_cpu_only() -> None:
    assert estimate(SIGNS, device="cuda") is None
    assert estimate(SIGNS, device="cuda", past=[replace(PAST, device="cuda")]) is not None


def test_data_that_is_not_here_has_no_time() -> None:
    assert estimate(SIGNS.changed(dataset="sign-mnist")) is None


def test_a_run_predicts_its_own_repetition() -> None:
    config = resolve(
        RunConfig(dataset=make_tiny_pack(), architecture="mlp", batch_size=16, epochs=3)
    )
    row = run_in_foreground(config)
    past = past_runs(store())
    assert len(past) == 1
    guess = estimate(config, past=past)
    assert guess is not None
    assert guess.basis == "runs"
    assert guess.seconds == pytest.approx(row.elapsed, rel=1e-6)  # the test included


def test_kept_features_make_later_epochs_cheap() -> None:
    head = RunConfig(
        dataset="drawn-cats-dogs", architecture="mobilenet_v2", freeze="head_only", epochs=20
    )
    frozen, again = estimate(head), estimate(head.changed(horizontal_flip=True))
    everything = estimate(head.changed(freeze="full"))
    assert frozen is not None
    assert again is not None
    assert everything is not None
    assert 3 * frozen.seconds < again.seconds < everything.seconds


def test_augmented_views_that_are_kept_make_later_epochs_cheap() -> None:
    """The first three epochs meet new views, the other seventeen cost what only the head costs."""
    changing = RunConfig(
        dataset="drawn-cats-dogs",
        architecture="mobilenet_v2",
        freeze="head_only",
        horizontal_flip=True,
        epochs=20,
    )
    viewed = changing.changed(kept_views=3)
    assert [epochs_of_new_images(c) for c in (changing, viewed)] == [1, 3]
    seconds = {
        (views, epochs): guess.seconds
        for views in (0, 3)
        for epochs in (3, 20)
        if (guess := estimate(changing.changed(kept_views=views, epochs=epochs))) is not None
    }
    assert 0.8 * seconds[0, 3] < seconds[3, 3] <= seconds[0, 3]  # validation is kept at once
    assert seconds[3, 20] < 0.4 * seconds[0, 20]


def test_a_finished_run_tells_of_new_and_of_kept_views() -> None:
    head = SIGNS.changed(freeze="head_only", zoom=0.1, kept_views=2)  # whatever may be frozen
    past = replace(PAST, freeze="head_only", keeps_features=True)
    train = image_counts(SIGNS, catalog.describe("drawn-signs"))[0]
    guess = estimate(head, past=[past])
    assert guess is not None
    assert guess.basis == "runs"
    assert guess.seconds == pytest.approx(train * (2 * 2e-3 + 3 * 1e-3))
    # The same run without kept views is of another kind.
    other = estimate(SIGNS.changed(architecture="sign-cnn", zoom=0.1), past=[past])
    assert other is not None
    assert other.basis == "counted"


def test_the_second_phase_costs_more_than_the_first() -> None:
    two = RunConfig(
        dataset="drawn-cats-dogs",
        architecture="mobilenet_v2",
        freeze="two_phase",
        last_k=4,
        epochs=20,
        head_epochs=10,
    )
    times = [
        guess.seconds
        for change in ({"head_epochs": 19}, {}, {"head_epochs": 1}, {"freeze": "full"})
        if (guess := estimate(two.changed(**change))) is not None
    ]
    assert times == sorted(times)
    assert len(set(times)) == 4


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_every_architecture_has_an_estimate(name: str) -> None:
    config = RunConfig(dataset="drawn-cats-dogs", architecture=name)
    small, large = estimate(config.changed(image_size=96)), estimate(config.changed(image_size=192))
    assert small is not None
    assert large is not None
    assert 0 < small.seconds < large.seconds


@pytest.mark.parametrize("name", ["sign-cnn", "resnet18"])
def test_a_measurement_scales_what_is_counted(name: str) -> None:
    """A machine that is twice as slow takes twice as long for what the network does."""
    config = RunConfig(dataset="drawn-cats-dogs", architecture=name)
    seconds = [
        guess.seconds
        for factor in (1, 2, 3)
        if (guess := estimate(config, measured={name: Speed(96, factor * 0.1, factor * 0.3)}))
    ]
    assert seconds[2] - seconds[1] == pytest.approx(seconds[1] - seconds[0])
    assert seconds[1] > 1.9 * seconds[0]


def test_every_recipe_has_an_estimate() -> None:
    for each in all_recipes():
        for size in SIZES:
            for prepared in prepare(each, size, dataset=each.datasets[-1]):
                guess = estimate(prepared.config)
                assert guess is not None, prepared.name
                assert guess.seconds > 0
    quick, full = (
        estimate(prepare(all_recipes()[0], size)[0].config, past=()) for size in SIZES[::-1]
    )
    assert quick is not None
    assert full is not None
    assert quick.seconds < full.seconds


def test_a_measurement_is_saved_and_reports_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[Progress] = []
    speeds = measure_speeds(["sign-mlp"], progress=reports.append)
    assert [t.text for t in reports] == ["Timing sign-mlp"]
    assert speeds["sign-mlp"].forward > 0
    assert speeds["sign-mlp"].training > 0
    assert measured_speeds() == speeds
    assert measured_speeds("cuda") == {}
    monkeypatch.setattr(devices, "_elsewhere", True)  # another machine's speed is not this one's
    assert measured_speeds() == {}


def test_a_damaged_measurement_counts_as_none(lab_home: object) -> None:
    measure_speeds(["sign-mlp"])
    file = next((lab_home / "speeds").iterdir())  # type: ignore[operator]
    file.write_text('{"sign-mlp": {"image_size": 28}}')
    assert measured_speeds() == {}


def test_measuring_can_be_cancelled() -> None:
    def work(report: object, cancel: object) -> object:
        return measure_speeds(cancel=lambda: True)

    job = wait(start("measure", "Timing", work).id, timeout=60)
    assert job is not None
    assert job.state == "cancelled"
    assert measured_speeds() == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "about 5 s"),
        (33, "about 35 s"),
        (58, "about 1 min"),
        (400, "about 7 min"),
        (1000, "about 15 min"),
        (5 * 3600, "about 5 h"),
        (340_000, "about 4 days"),
    ],
)
def test_rough_times_do_not_pretend(seconds: float, text: str) -> None:
    assert rough_time(seconds) == text
