"""Any picture a person may hand in, and everything that only claims to be one."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from lab.data.decode import UnreadableFile, decode, decode_image, to_square
from lab.errors import DataError
from tests.data.pictures import BAD_PICTURES, encoded, photo


def half_transparent(mode: str) -> Image.Image:
    """Left half opaque dark grey, right half fully transparent black."""
    image = Image.new("RGBA", (40, 30), (60, 60, 60, 255))
    image.paste((0, 0, 0, 0), (20, 0, 40, 30))
    return image.convert(mode)


def sixteen_bit() -> Image.Image:
    return Image.fromarray(np.full((30, 40), 60 * 256 + 17, dtype=np.uint16))


def palette_with_transparency() -> bytes:
    image = Image.new("P", (40, 30), 0)
    image.putpalette([60, 60, 60, 0, 0, 0] + [0] * 762)
    image.paste(1, (20, 0, 40, 30))
    return encoded(image, "PNG", transparency=1)


GREY = Image.new("RGB", (40, 30), (60, 60, 60))
FLAT = {
    "grey jpeg": encoded(GREY.convert("L")),
    "rgb png": encoded(GREY, "PNG"),
    "webp": encoded(GREY, "WEBP", lossless=True),
    "cmyk jpeg": encoded(GREY.convert("CMYK")),
    "palette png": encoded(GREY.quantize(4), "PNG"),
    "16 bit png": encoded(sixteen_bit(), "PNG"),
    "mpo (phones)": encoded(GREY, "MPO", save_all=True, append_images=[GREY]),
}
TRANSPARENT = {
    "rgba png": encoded(half_transparent("RGBA"), "PNG"),
    "grey + alpha png": encoded(half_transparent("LA"), "PNG"),
    "palette png": palette_with_transparency(),
    "rgba webp": encoded(half_transparent("RGBA"), "WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", FLAT)
def test_every_mode_becomes_rgb(kind: str) -> None:
    image = decode_image(FLAT[kind], name="a.jpg")
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert np.abs(np.asarray(image).astype(int) - 60).max() <= 4


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_lies_on_white(kind: str) -> None:
    pixels = np.asarray(decode_image(TRANSPARENT[kind], name="a.png")).astype(int)
    assert np.abs(pixels[:, :19] - 60).max() <= 1
    assert (pixels[:, 21:] == 255).all()


def test_black_and_white_png() -> None:
    image = decode_image(encoded(Image.new("1", (8, 8), 1), "PNG"), name="a.png")
    assert (np.asarray(image) == 255).all()


def test_a_transparent_colour_of_an_rgb_png_is_white() -> None:
    data = encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert (np.asarray(decode_image(data, name="a.png")) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(orientation: int) -> None:
    upright = Image.new("RGB", (40, 30), "white")
    upright.paste((255, 0, 0), (0, 0, 10, 10))  # red at the top left
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(stored, exif=exif, quality=95), name="a.jpg")
    assert decoded.size == decoded.image.size == (40, 30)
    assert np.abs(np.asarray(decoded.image)[4, 4].astype(int) - (255, 0, 0)).max() < 12


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_note_does_not_refuse_the_picture() -> None:
    data = encoded(photo(), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode_image(data, name="a.jpg").size == (40, 30)


def test_an_open_file_works_like_bytes() -> None:
    assert decode_image(io.BytesIO(encoded(photo())), name="upload").size == (40, 30)


def test_an_animation_gives_its_first_picture() -> None:
    frames = [Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert (np.asarray(decode_image(data, name="a.webp")) == 255).all()


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_what_is_no_picture_says_so_by_name(name: str) -> None:
    data, reason = BAD_PICTURES[name]
    with pytest.raises(UnreadableFile) as caught:
        decode_image(data, name=name)
    assert isinstance(caught.value, DataError)
    assert reason in caught.value.reason
    assert str(caught.value).startswith(name + " ")
    assert str(caught.value).count("\n") == 0


OTHER_FILES = {
    "plain svg": (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "is an SVG"),
    "svg with all that may come first": (
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made by hand -->\n<!DOCTYPE svg>\n<svg>',
        "is an SVG",
    ),
    "svg with a prefix": (b"<svg:svg width='3'/>", "is an SVG"),
    "text about svg": (b"How to use the <svg> element", "holds text"),
    "other xml": (b'<?xml version="1.0"?><kml/>', "holds text"),
    "web page": (b"<!DOCTYPE html>\n<html><svg></svg></html>", "is a web page"),
    "heic": (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "is a HEIC or AVIF image"),
    "heic of a burst": (b"\x00\x00\x00\x18ftyphevc\x00\x00\x00\x00", "is a HEIC or AVIF"),
    "film": (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00", "is a video"),
    "sound": (b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00", "is not a JPEG, PNG or WebP"),
    "photoshop": (b"8BPS\x00\x01" + b"\x00" * 20, "is a Photoshop file"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_other_files_are_called_by_their_kind(kind: str) -> None:
    data, reason = OTHER_FILES[kind]
    with pytest.raises(UnreadableFile) as caught:
        decode_image(data, name="a file")
    assert caught.value.reason.startswith(reason)


def test_an_svg_is_told_what_to_do() -> None:
    with pytest.raises(UnreadableFile, match="export it as PNG"):
        decode_image(b"<svg></svg>", name="logo.svg")


def layered(layers: int) -> bytes:
    """A progressive JPEG whose last layer is repeated again and again."""
    data = encoded(photo(5, (64, 64)), progressive=True)
    last = data[data.rfind(b"\xff\xc4", 0, data.rfind(b"\xff\xda")) : -2]
    return data[:-2] + last * layers + data[-2:]


def test_a_jpeg_of_endless_layers_is_refused_before_it_is_decoded() -> None:
    assert decode_image(layered(0), name="a.jpg").size == (64, 64)
    assert decode_image(layered(20), name="a.jpg").size == (64, 64)
    with pytest.raises(UnreadableFile, match="more than 100 layers"):
        decode_image(layered(150_000), name="a.jpg")


def test_what_a_phone_appends_to_a_jpeg_is_not_counted() -> None:
    film = b"\xff\xda\x00\x02" * 1000
    assert decode_image(encoded(photo(6)) + film, name="a.jpg").size == (40, 30)
    small = encoded(photo(7, (8, 8)))
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00" + film + small
    assert decode_image(encoded(photo(6), exif=exif), name="a.jpg").size == (40, 30)


def test_bad_bytes_anywhere_are_an_error_of_ours() -> None:
    """Damage at random places never escapes as another kind of exception."""
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP"):
        good = encoded(photo(1, (64, 48)), kind)
        for _ in range(60):
            data = bytearray(good)
            for position in rng.integers(0, len(data), 4):
                data[position] = rng.integers(0, 256)
            with contextlib.suppress(UnreadableFile):
                decode_image(bytes(data[: rng.integers(1, len(data) + 1)]), name="a.jpg")


def test_a_reduced_jpeg_looks_the_same_after_the_last_step() -> None:
    data = encoded(photo(4, (1600, 1200)), quality=90)
    whole = decode(data, name="a.jpg")
    reduced = decode(data, name="a.jpg", at_least=448)
    assert reduced.size == whole.size == (1600, 1200)
    assert 448 <= min(reduced.image.size) < 1200
    squares = [
        np.asarray(to_square(d.image, image_size=224, fit="stretch")).astype(int)
        for d in (whole, reduced)
    ]
    assert np.abs(squares[0] - squares[1]).mean() < 1


def test_stretch_keeps_all_and_crop_keeps_the_middle() -> None:
    image = Image.new("RGB", (60, 30), "white")
    image.paste("red", (0, 0, 15, 30))
    stretched = np.asarray(to_square(image, image_size=30, fit="stretch"))
    cropped = np.asarray(to_square(image, image_size=30, fit="crop"))
    assert stretched.shape == cropped.shape == (30, 30, 3)
    assert (stretched[:, 0, 1] < 20).all()
    assert (cropped == 255).all()


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(to_square(Image.fromarray(stripes), image_size=16, fit="stretch"))
    assert np.abs(small.astype(int) - 128).max() < 20
