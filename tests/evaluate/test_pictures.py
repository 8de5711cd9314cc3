"""Pictures on their way in: cut inside the picture, and made as the data set's own were."""

from __future__ import annotations

import dataclasses
import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lab.config import RunConfig
from lab.data import catalog
from lab.data.decode import Fit, decode
from lab.data.preprocess import Preprocess
from lab.data.resize import own_image_size
from lab.errors import NotFoundError
from lab.evaluate.pictures import Crop, pack_picture, upload_picture
from lab.training.checkpoint import CheckpointMetadata
from tests.tiny_data import make_tiny_pack


def card(
    *, data_channels: int = 3, channels: int = 3, image_size: int = 16, fit: Fit = "stretch"
) -> CheckpointMetadata:
    return CheckpointMetadata(
        config=RunConfig(),
        class_names=("a", "b"),
        preprocess=Preprocess(channels, image_size, (0.5,) * channels, (0.25,) * channels),
        dataset_hash="",
        data_channels=data_channels,
        fit=fit,
    )


def photograph(width: int, height: int, *, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (1, 1), (7, 2000)])
def test_a_crop_is_a_square_inside_the_picture(size: tuple[int, int]) -> None:
    for x, y, side in itertools.product((0, 0.3, 1), (0, 0.5, 1), (0, 0.2, 0.5, 1, 3)):
        left, top, right, bottom = Crop(x, y, side).box(*size)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert right - left == bottom - top
        assert right - left == max(1, min(round(side * min(size)), min(size)))


def test_a_crop_is_where_it_says() -> None:
    assert Crop().box(100, 60) == (20, 0, 80, 60)
    assert Crop(0.5, 0.5, 0.5).box(100, 60) == (35, 15, 65, 45)
    assert Crop(0.1, 0.9, 0.5).box(100, 60) == (0, 30, 30, 60)  # moved inside


def test_a_picture_of_the_pack() -> None:
    pack = catalog.open_pack(make_tiny_pack())
    picture = pack_picture(pack, 4)
    assert (picture.pixels == pack.images[4]).all()
    assert (picture.name, picture.label, picture.index) == ("bar 4", 1, 4)
    picture.pixels[:] = 0  # ours: the pack stays as it was
    assert pack.images[4].any()
    for index in (-1, 120):
        with pytest.raises(NotFoundError, match="numbered 0 to 119"):
            pack_picture(pack, index)


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_an_upload_becomes_what_the_data_set_would_hold(tmp_path: Path, fit: Fit) -> None:
    """The same file as an upload and in an imported data set: the same pixels."""
    folder = tmp_path / "mine"
    images = [photograph(90, 60, seed=seed) for seed in range(4)]
    for number, image in enumerate(images):
        place = folder / ("a" if number < 2 else "b") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        image.save(place)
    catalog.add_dataset("mine", folder, fit=fit, image_size=32)
    for size in (32, 20, 48):  # the data set's own, and a network's that is another
        pack = catalog.open_pack("mine", image_size=size)
        assert own_image_size(pack) == 32
        own = dataclasses.replace(card(image_size=size, fit=fit), data_image_size=32)
        for index, name in enumerate(pack.names):
            upload = decode((folder / name).read_bytes(), name=name).image
            picture = upload_picture(upload, own, name=name)
            assert picture.pixels.shape == pack.images[index].shape
            assert (picture.pixels == pack.images[index]).all()
            assert (picture.label, picture.index) == (None, None)


def test_grey_data_in_a_colour_network_stay_grey() -> None:
    picture = upload_picture(
        photograph(40, 40), card(data_channels=1, channels=3), name="colourful.png"
    )
    assert picture.pixels.shape == (16, 16, 1)
    tensor = picture.tensor(card(data_channels=1).preprocess)
    assert tensor.shape == (1, 3, 16, 16)
    assert torch.equal(tensor[:, 0], tensor[:, 2])


def test_the_crop_is_taken_from_the_upload() -> None:
    image = Image.new("RGB", (100, 50), "black")
    image.paste("white", (50, 0, 100, 50))
    crop = Crop(1.0, 0.5, 1.0)
    picture = upload_picture(image, card(), name="half", crop=crop)
    assert (picture.pixels == 255).all()


def test_a_tensor_is_what_the_preprocess_makes_of_the_pixels() -> None:
    data = io.BytesIO()
    photograph(16, 16).save(data, "PNG")
    picture = upload_picture(decode(data.getvalue(), name="p").image, card(), name="p")
    expected = (torch.from_numpy(picture.pixels).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
    torch.testing.assert_close(picture.tensor(card().preprocess), expected)
