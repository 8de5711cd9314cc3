"""Augmentation: what each knob does to a known image, and that chance is where it should be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lab.config import KNOBS, RunConfig
from lab.data.augment import Augmentation, AugmentationParameters, preview

EVERYTHING = {
    "horizontal_flip": True,
    "rotation_degrees": 30.0,
    "zoom": 0.2,
    "width_shift": 0.1,
    "height_shift": 0.2,
    "shear_degrees": 15.0,
    "brightness": 0.3,
    "contrast": 0.4,
}

LATER = {"crop_scale": 0.3, "auto_augment": "trivial", "random_erasing": 0.9}
ALL = EVERYTHING | LATER


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 2, channels: int = 3, size: int = 12) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=generator(99))


def parameters(n: int = 2, **changed: float | bool) -> AugmentationParameters:
    """No change but what is named, the same for all n images."""
    values: dict[str, float | bool] = {
        "flip": False,
        "shear": 0.0,
        "zoom": 1.0,
        "rotation": 0.0,
        "shift_x": 0.0,
        "shift_y": 0.0,
        "brightness": 1.0,
        "contrast": 1.0,
    }
    values |= changed
    return AugmentationParameters(**{k: torch.tensor([v] * n) for k, v in values.items()})


def everything() -> Augmentation:
    return Augmentation(RunConfig(**EVERYTHING))


def warped(images: torch.Tensor, **changed: float | bool) -> torch.Tensor:
    return Augmentation(RunConfig(rotation_degrees=1)).apply(
        images, parameters(len(images), **changed)
    )


def test_this_file_knows_every_augmentation_knob():
    mixing = {"mixup", "cutmix"}  # of batches: tests/data/test_mixing.py
    others = set(LATER) | {"rand_magnitude"} | mixing
    assert set(EVERYTHING) | others == {k.name for k in KNOBS.values() if k.group == "augmentation"}


def test_without_knobs_the_images_come_back_themselves():
    augmentation, x, g = Augmentation(RunConfig()), pictures(), generator()
    assert not augmentation.active
    assert augmentation(x, g) is x
    assert augmentation.apply(x, augmentation.draw(2, g)) is x


@pytest.mark.parametrize("knob", ALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_knob_changes_images_and_leaves_the_original_alone(knob, channels):
    config = RunConfig(**{knob: ALL[knob]})
    augmentation, x = Augmentation(config), pictures(16, channels)
    before = x.clone()
    y = augmentation(x, generator())
    assert config.augments
    assert augmentation.active
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    assert not torch.equal(y, x)
    assert torch.equal(x, before)
    assert y.min() >= 0
    assert y.max() <= 1 + 1e-6


def test_no_change_in_every_parameter_is_no_change():
    x = pictures()
    assert torch.allclose(everything().apply(x, parameters()), x, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quarter_turns", [1, 2, 3, -1])
@pytest.mark.parametrize("size", [12, 13])
def test_quarter_turns_are_exact_and_counter_clockwise(channels, quarter_turns, size):
    x = pictures(2, channels, size)
    y = warped(x, rotation=90.0 * quarter_turns)
    assert torch.allclose(y, torch.rot90(x, quarter_turns, (2, 3)), atol=1e-4)


def test_flip_alone_is_exact_and_for_the_images_that_drew_it():
    x, augmentation = pictures(3), Augmentation(RunConfig(horizontal_flip=True))
    drawn = dataclasses.replace(parameters(3), flip=torch.tensor([True, False, True]))
    y = augmentation.apply(x, drawn)
    assert torch.equal(y[0], x[0].flip(2))
    assert torch.equal(y[1], x[1])
    assert torch.equal(y[2], x[2].flip(2))


def test_flip_with_the_others_is_the_same_flip():
    x = pictures()
    assert torch.allclose(warped(x, flip=True), x.flip(3), atol=1e-5)


def test_flip_comes_before_the_turn():
    x = pictures()
    expected = torch.rot90(x.flip(3), 1, (2, 3))
    assert torch.allclose(warped(x, flip=True, rotation=90.0), expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_shift_by_whole_pixels_moves_right_and_down_and_repeats_the_border(channels):
    x = pictures(2, channels, 10)
    y = warped(x, shift_x=0.3, shift_y=-0.2)
    expected = torch.empty_like(x)
    for row in range(10):
        for column in range(10):
            expected[..., row, column] = x[..., min(row + 2, 9), max(column - 3, 0)]
    assert torch.allclose(y, expected, atol=1e-5)


def test_shift_comes_after_the_turn():
    x = torch.zeros(1, 1, 11, 11)
    x[..., 5, 7] = 1  # right of the centre
    y = warped(x, rotation=90.0, shift_x=3 / 11)
    assert y[0, 0, 3, 8].item() == pytest.approx(1, abs=1e-4)  # up, then to the right
    assert y.sum().item() == pytest.approx(1, abs=1e-3)


def test_zoom_in_enlarges_about_the_centre():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 3:5, 3:5] = 1
    y = warped(x, zoom=2.0)
    assert torch.equal(y[0, 0, 3:5, 3:5], torch.ones(2, 2))
    assert y.sum().item() == pytest.approx(4 * x.sum().item(), rel=1e-4)
    assert torch.allclose(y, y.flip(2), atol=1e-5)
    assert torch.allclose(y, y.flip(3), atol=1e-5)


def test_zoom_out_shrinks_and_repeats_the_border():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 2:6, 2:6] = 1
    x[..., 0] = 0.5
    y = warped(x, zoom=0.5)
    assert torch.allclose(y[0, 0, 3:5, 3:5], torch.ones(2, 2), atol=1e-5)
    assert torch.allclose(y[0, 0, :, :2], torch.full((8, 2), 0.5), atol=1e-5)


def test_positive_shear_leans_to_the_right_and_keeps_rows():
    x = torch.zeros(1, 1, 9, 9)
    x[..., 4] = 1  # an upright line
    y = warped(x, shear=45.0)
    for row in range(9):
        assert y[0, 0, row].argmax() == min(max(4 + (4 - row), 0), 8)  # the top to the right
    assert y[0, 0, 4, 4].item() == pytest.approx(1, abs=1e-5)
    left_to_right = pictures(1).mean(3, keepdim=True).expand(1, 3, 12, 12).contiguous()
    assert torch.allclose(warped(left_to_right, shear=30.0), left_to_right, atol=1e-5)


def test_all_together_move_a_point_as_flip_shear_zoom_turn_and_shift_in_turn():
    size, n = 65, 12
    drawn = everything().draw(n, generator(8))
    old = torch.tensor([9.0, -6.0], dtype=torch.float64)  # right of the centre and above it
    place = torch.arange(size) - size // 2
    spot = torch.exp(-((place - old[0]) ** 2 + (place[:, None] - old[1]) ** 2) / 8)
    y = Augmentation(RunConfig(rotation_degrees=1)).apply(
        spot.to(torch.float32).expand(n, 1, size, size), drawn
    )[:, 0]
    for i in range(n):
        turn, slant = torch.deg2rad(drawn.rotation[i]), torch.deg2rad(drawn.shear[i]).tan()
        cos, sin = turn.cos(), turn.sin()
        x_, y_ = (-old[0] if drawn.flip[i] else old[0]), old[1]
        x_, y_ = x_ - slant * y_, y_
        x_, y_ = x_ * drawn.zoom[i], y_ * drawn.zoom[i]
        x_, y_ = cos * x_ + sin * y_, cos * y_ - sin * x_
        x_, y_ = x_ + drawn.shift_x[i] * size, y_ + drawn.shift_y[i] * size
        centre = (y[i] * place).sum() / y[i].sum(), (y[i].T * place).sum() / y[i].sum()
        assert [f.item() for f in centre] == pytest.approx([x_.item(), y_.item()], abs=0.05)


def test_brightness_is_a_factor_and_clips():
    x = torch.tensor([0.1, 0.5, 0.9, 1.0]).view(1, 1, 2, 2)
    y = Augmentation(RunConfig(brightness=0.5)).apply(x, parameters(1, brightness=1.5))
    assert y.flatten().tolist() == pytest.approx([0.15, 0.75, 1, 1])


def test_contrast_pulls_from_the_mean_of_each_image():
    x = torch.tensor([[0.2, 0.4, 0.3, 0.3], [0.0, 1.0, 1.0, 0.0]]).view(2, 1, 2, 2)
    y = Augmentation(RunConfig(contrast=0.5)).apply(x, parameters(2, contrast=1.5))
    assert y[0].flatten().tolist() == pytest.approx([0.15, 0.45, 0.3, 0.3])
    assert y[1].flatten().tolist() == pytest.approx([0, 1, 1, 0])
    flat = Augmentation(RunConfig(contrast=0.5)).apply(x, parameters(2, contrast=0.0))
    assert flat.flatten().tolist() == pytest.approx([0.3] * 4 + [0.5] * 4)


def test_parameters_are_uniform_within_their_ranges():
    drawn = everything().draw(4000, generator())
    for values, centre, reach in [
        (drawn.shear, 0, 15),
        (drawn.zoom, 1, 0.2),
        (drawn.rotation, 0, 30),
        (drawn.shift_x, 0, 0.1),
        (drawn.shift_y, 0, 0.2),
        (drawn.brightness, 1, 0.3),
        (drawn.contrast, 1, 0.4),
    ]:
        share = (values - centre) / reach
        assert values.shape == (4000,)
        assert share.abs().max() <= 1 + 1e-6
        assert share.min() < -0.99
        assert share.max() > 0.99
        assert share.mean().abs() < 0.05
        assert share.std().item() == pytest.approx(3**-0.5, abs=0.02)
        assert len(values.unique()) > 3900  # each image its own
    assert drawn.flip.dtype == torch.bool
    assert drawn.flip.float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_parameters_do_not_go_together():
    drawn = everything().draw(4000, generator())
    fields = [getattr(drawn, f.name) for f in dataclasses.fields(drawn)]
    columns = torch.stack([values.float() for values in fields if values is not None])
    off_diagonal = torch.corrcoef(columns) - torch.eye(len(columns))
    assert off_diagonal.abs().max() < 0.06


def test_one_knob_more_leaves_the_others_as_they_were():
    one = Augmentation(RunConfig(rotation_degrees=30)).draw(5, generator(3))
    all_ = everything().draw(5, generator(3))
    assert torch.equal(one.rotation, all_.rotation)
    assert not one.flip.any()
    assert torch.equal(one.zoom, torch.ones(5))
    assert torch.equal(everything().draw(3, generator(3)).zoom, all_.zoom[:3])
    with_later = Augmentation(RunConfig(**ALL)).draw(5, generator(3))
    assert torch.equal(with_later.zoom, all_.zoom)
    cropped = Augmentation(RunConfig(crop_scale=0.3)).draw(3, generator(3))
    assert torch.equal(cropped.crop, with_later.crop[:3])


def test_same_generator_state_same_images_and_the_global_generator_is_left_alone():
    x, before = pictures(6), torch.get_rng_state()
    changed = Augmentation(RunConfig(**ALL))
    assert torch.equal(changed(x, generator(5)), changed(x, generator(5)))
    assert not torch.equal(changed(x, generator(5)), changed(x, generator(6)))
    one = generator(5)
    assert not torch.equal(changed(x, one), changed(x, one))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_image_is_changed_differently_in_one_batch():
    x = pictures(1).repeat(8, 1, 1, 1)
    y = everything()(x, generator())
    assert len({image.numpy().tobytes() for image in y}) == 8


def test_an_image_does_not_depend_on_its_neighbours():
    x, augmentation = pictures(6), Augmentation(RunConfig(**ALL))
    drawn = augmentation.draw(6, generator())
    fields = {f.name: getattr(drawn, f.name) for f in dataclasses.fields(drawn)}
    operations, levels = fields.pop("automatic")
    alone = AugmentationParameters(
        **{name: values[4:5] for name, values in fields.items()},
        automatic=(operations[4:5], levels[4:5]),
    )
    whole, single = augmentation.apply(x, drawn), augmentation.apply(x[4:5], alone)
    assert torch.allclose(whole[4:5], single, atol=1e-6)


def test_memory_order_does_not_matter():
    x = pictures(4)
    y = everything()(x.contiguous(memory_format=torch.channels_last), generator())
    assert torch.allclose(y, everything()(x, generator()), atol=1e-6)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="square images, got 8x9"):
        everything()(torch.zeros(1, 3, 8, 9), generator())


@pytest.mark.parametrize("channels", [1, 3])
def test_preview(channels):
    image = (pictures(1, channels)[0].permute(1, 2, 0) * 255).to(torch.uint8).numpy()
    image.setflags(write=False)  # as rows of a pack are
    config = RunConfig(**EVERYTHING)
    shown = preview(image, config, seed=4)
    assert shown.shape == (8, 12, 12, channels)
    assert shown.dtype == np.uint8
    assert len({draw.tobytes() for draw in shown}) == 8
    assert np.array_equal(shown[:3], preview(image, config, draws=3, seed=4))
    assert not np.array_equal(shown, preview(image, config, seed=5))
    assert np.array_equal(preview(image, RunConfig(), draws=2, seed=4), np.stack([image, image]))
