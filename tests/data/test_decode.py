"""Any picture a person may hand in, and everything that only claims to be one."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.decode import (
    CUT_OFF,
    SEVERAL,
    UnreadableFile,
    common_range,
    could_be_wide,
    decode,
    read_at_most,
    read_picture,
    to_square,
    wide_limits,
)
from lab.errors import DataError
from tests.data.pictures import BAD_PICTURES, encoded, photo


def half_transparent(mode: str) -> Image.Image:
    """Left half opaque dark grey, right half fully transparent black."""
    image = Image.new("RGBA", (40, 30), (60, 60, 60, 255))
    image.paste((0, 0, 0, 0), (20, 0, 40, 30))
    return image.convert(mode)


def sixteen_bit() -> Image.Image:
    values = np.full((30, 40), 60 * 256 + 17, dtype=np.uint16)
    values[0, 0] = 40_000  # uses all 16 bits
    return Image.fromarray(values)


def palette_with_transparency() -> bytes:
    image = Image.new("P", (40, 30), 0)
    image.putpalette([60, 60, 60, 0, 0, 0] + [0] * 762)
    image.paste(1, (20, 0, 40, 30))
    return encoded(image, "PNG", transparency=1)


FILES = Path(__file__).with_name("files")
"""HEIC has no writer here: made with pillow-heif."""
GREY = Image.new("RGB", (40, 30), (60, 60, 60))
FLAT = {
    "grey jpeg": encoded(GREY.convert("L")),
    "rgb png": encoded(GREY, "PNG"),
    "webp": encoded(GREY, "WEBP", lossless=True),
    "cmyk jpeg": encoded(GREY.convert("CMYK")),
    "palette png": encoded(GREY.quantize(4), "PNG"),
    "16 bit png": encoded(sixteen_bit(), "PNG"),
    "16 bit tiff": encoded(sixteen_bit(), "TIFF", compression="tiff_deflate"),
    "bmp": encoded(GREY, "BMP"),
    "gif": encoded(GREY, "GIF"),
    "tiff": encoded(GREY, "TIFF"),
    "cmyk tiff": encoded(GREY.convert("CMYK"), "TIFF"),
    "avif": encoded(GREY, "AVIF"),
    "ppm": encoded(GREY, "PPM"),
    "heic": (FILES / "grey.heic").read_bytes(),
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
    image = decode(FLAT[kind], name="a.jpg").image
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert np.abs(np.asarray(image)[1:].astype(int) - 60).max() <= 4


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_lies_on_white(kind: str) -> None:
    pixels = np.asarray(decode(TRANSPARENT[kind], name="a.png").image).astype(int)
    assert np.abs(pixels[:, :19] - 60).max() <= 1
    assert (pixels[:, 21:] == 255).all()


def test_black_and_white_png() -> None:
    image = decode(encoded(Image.new("1", (8, 8), 1), "PNG"), name="a.png").image
    assert (np.asarray(image) == 255).all()


def test_a_transparent_colour_of_an_rgb_png_is_white() -> None:
    data = encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert (np.asarray(decode(data, name="a.png").image) == 255).all()


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
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF"):
        options = {"quality": 95} if kind in ("JPEG", "AVIF") else {}
        decoded = decode(encoded(stored, kind, exif=exif, **options), name="a")
        assert decoded.size == decoded.image.size == (40, 30), kind
        assert np.abs(np.asarray(decoded.image)[4, 4].astype(int) - (255, 0, 0)).max() < 30, kind


def test_a_turned_heic_is_upright() -> None:
    decoded = decode((FILES / "turned.heic").read_bytes(), name="a.heic")
    assert decoded.size == decoded.image.size == (30, 40)
    assert np.abs(np.asarray(decoded.image)[4, 4].astype(int) - (200, 30, 30)).max() < 30


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_note_does_not_refuse_the_picture() -> None:
    data = encoded(photo(), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode(data, name="a.jpg").image.size == (40, 30)


def test_an_open_file_works_like_bytes() -> None:
    assert decode(io.BytesIO(encoded(photo())), name="upload").image.size == (40, 30)


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "TIFF", "PNG"])
def test_an_animation_or_stack_gives_its_first_picture_and_says_so(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    decoded = decode(data, name="a")
    assert (np.asarray(decoded.image) == 255).all()
    assert decoded.remark == SEVERAL
    assert decode(encoded(frames[0], kind, **options), name="a").remark == ""


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_what_is_no_picture_says_so_by_name(name: str) -> None:
    data, reason = BAD_PICTURES[name]
    with pytest.raises(UnreadableFile) as caught:
        decode(data, name=name)
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
    "heic": (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "is a damaged HEIC or AVIF image"),
    "film": (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00", "is a video"),
    "sound": (b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00", "is not a JPEG, PNG"),
    "photoshop": (b"8BPS\x00\x01" + b"\x00" * 20, "is a Photoshop file"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_other_files_are_called_by_their_kind(kind: str) -> None:
    data, reason = OTHER_FILES[kind]
    with pytest.raises(UnreadableFile) as caught:
        decode(data, name="a file")
    assert caught.value.reason.startswith(reason)


def test_an_svg_is_told_what_to_do() -> None:
    with pytest.raises(UnreadableFile, match="export it as PNG"):
        decode(b"<svg></svg>", name="logo.svg")


def layered(layers: int) -> bytes:
    """A progressive JPEG whose last layer is repeated again and again."""
    data = encoded(photo(5, (64, 64)), progressive=True)
    last = data[data.rfind(b"\xff\xc4", 0, data.rfind(b"\xff\xda")) : -2]
    return data[:-2] + last * layers + data[-2:]


def test_a_jpeg_of_endless_layers_is_refused_before_it_is_decoded() -> None:
    assert decode(layered(0), name="a.jpg").image.size == (64, 64)
    assert decode(layered(20), name="a.jpg").image.size == (64, 64)
    with pytest.raises(UnreadableFile, match="more than 100 layers"):
        decode(layered(150_000), name="a.jpg")


def test_what_a_phone_appends_to_a_jpeg_is_not_counted() -> None:
    film = b"\xff\xda\x00\x02" * 1000
    assert decode(encoded(photo(6)) + film, name="a.jpg").image.size == (40, 30)
    small = encoded(photo(7, (8, 8)))
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00" + film + small
    assert decode(encoded(photo(6), exif=exif), name="a.jpg").image.size == (40, 30)


def test_bad_bytes_anywhere_are_an_error_of_ours() -> None:
    """Damage at random places never escapes as another kind of exception."""
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"):
        good = encoded(photo(1, (64, 48)), kind)
        for _ in range(40):
            data = bytearray(good)
            for position in rng.integers(0, len(data), 4):
                data[position] = rng.integers(0, 256)
            with contextlib.suppress(UnreadableFile):
                decode(bytes(data[: rng.integers(1, len(data) + 1)]), name="a.jpg")


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


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2, 3, 100, 2000])
def test_a_jpeg_without_its_last_bytes_is_read_and_told(progressive: bool, missing: int) -> None:
    data = encoded(photo(1, (400, 300)), quality=90, progressive=progressive)
    whole = np.asarray(decode(data, name="a.jpg").image).astype(int)
    decoded = decode(data[:-missing], name="a.jpg")
    assert decoded.remark == CUT_OFF
    assert decoded.size == (400, 300)
    upper = np.asarray(decoded.image).astype(int)[:140]
    assert np.abs(upper - whole[:140]).mean() < 10
    assert decode(data, name="a.jpg").remark == ""
    assert decode(data[:-missing], name="a.jpg", at_least=64).image.size == (100, 75)


def test_only_what_is_missing_of_a_cut_jpeg_is_grey() -> None:
    data = encoded(photo(1, (400, 300)), quality=90)
    lower = np.asarray(decode(data[: int(0.7 * len(data))], name="a.jpg").image)[-16:]
    assert (lower == 128).all()
    with pytest.raises(UnreadableFile, match="less than half"):
        decode(data[: len(data) // 3], name="a.jpg")


# --- more than 8 bits a value -----------------------------------------------------------------
def png_16(values: np.ndarray) -> bytes:
    """A PNG of (H, W, C) uint16; Pillow writes none in colour."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def ramp(high: int, channels: int = 1) -> np.ndarray:
    values = np.linspace(0, high, 40 * 30 * channels).reshape(30, 40, channels)
    return np.rint(values).astype(np.uint16)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("high", "white"), [(255, 255), (1000, 1023), (4095, 4095), (65535, 65535)]
)
def test_sixteen_bits_are_spread_to_those_in_use(high: int, white: int, channels: int) -> None:
    data = png_16(ramp(high, channels))
    assert wide_limits(data, name="a.png") == (0, high)
    assert common_range([(0, high)]) == (0, white)
    pixels = np.asarray(decode(data, name="a.png").image).astype(float)
    right = np.broadcast_to(ramp(high, channels) * (255 / white), (30, 40, 3))
    assert np.abs(pixels - right).max() <= 0.501


def test_the_range_of_a_set_keeps_a_dark_picture_dark() -> None:
    data = png_16(ramp(400))
    pixels = np.asarray(decode(data, name="a.png", value_range=(0, 4095)).image)
    assert pixels.max() == round(400 * 255 / 4095)


def test_transparency_of_sixteen_bits_lies_on_white() -> None:
    values = np.concatenate([ramp(4095, 3), np.full((30, 40, 1), 65535)], axis=2)
    values[:, 20:, 3] = 0
    pixels = np.asarray(decode(png_16(values.astype(np.uint16)), name="a.png").image)
    assert (pixels[:, 20:] == 255).all()
    assert pixels[:, :20].max() < 255


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.linspace(0, 1, 1200, dtype=np.float32), (0, 1)),
        (np.linspace(0, 255, 1200, dtype=np.float32), (0, 255)),
        (np.linspace(0, 3000.5, 1200, dtype=np.float32), (0, 4095)),
        (np.linspace(-50, 200, 1200, dtype=np.float32), (-50, 200)),
    ],
)
def test_float_tiffs(values: np.ndarray, expected: tuple[float, float]) -> None:
    square = values.reshape(30, 40)
    data = encoded(Image.fromarray(square), "TIFF")
    value_range = common_range([wide_limits(data, name="a.tif")])
    assert value_range == expected
    pixels = np.asarray(decode(data, name="a.tif").image).astype(float)[..., 0]
    low, high = expected
    assert np.abs(pixels - (square - low) * 255 / (high - low)).max() <= 0.51


def test_values_that_are_no_numbers_are_black_and_count_nowhere() -> None:
    values = np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40)
    values[0, :2] = np.nan, np.inf
    data = encoded(Image.fromarray(values), "TIFF")
    assert wide_limits(data, name="a.tif") == (pytest.approx(values[0, 2]), 1)
    pixels = np.asarray(decode(data, name="a.tif").image)[..., 0]
    assert pixels[0, 0] == 0
    assert pixels[0, 1] == 255


def test_a_tiff_whose_zero_is_white_is_turned_round() -> None:
    image = Image.fromarray(ramp(4095)[:, :, 0])
    data = encoded(image, "TIFF", tiffinfo={262: 0})
    pixels = np.asarray(decode(data, name="a.tif").image)
    assert pixels[0, 0, 0] == 255
    assert pixels[-1, -1, 0] == 0


def test_eight_bits_are_told_by_the_header_alone() -> None:
    assert common_range([None, None]) is None
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"):
        data = encoded(photo(1), kind)
        assert wide_limits(data, name="a") is None
        assert could_be_wide(data[:32]) == (kind in ("TIFF", "PPM"))
    assert could_be_wide(png_16(ramp(9))[:32])


# --- large pictures ---------------------------------------------------------------------------
def test_a_photograph_of_100_megapixels_is_read_at_reduced_scale() -> None:
    data = encoded(Image.new("L", (12_000, 9_000), 60), quality=50)
    decoded = decode(data, name="a.jpg", at_least=448)
    assert decoded.size == (12_000, 9_000)
    assert decoded.image.size == (1500, 1125)
    assert abs(int(np.asarray(decoded.image).mean()) - 60) <= 2
    assert decode(data, name="a.jpg").image.size == (6000, 4500)


def test_a_large_jpeg_in_layers_is_refused_for_it_would_be_held_whole() -> None:
    data = encoded(Image.new("L", (9_000, 9_000), 60), quality=50, progressive=True)
    with pytest.raises(UnreadableFile, match="at most 64 megapixels"):
        decode(data, name="a.jpg")


def test_pad_keeps_all_and_its_shape() -> None:
    image = Image.new("RGB", (60, 30), "white")
    padded = np.asarray(to_square(image, image_size=30, fit="pad"))
    assert padded.shape == (30, 30, 3)
    assert (padded[8:22] == 255).all()
    assert (padded[:7] == 0).all()
    assert (padded[23:] == 0).all()
    thin = np.asarray(to_square(Image.new("RGB", (3000, 1), "white"), image_size=30, fit="pad"))
    assert (thin == 255).all(axis=(1, 2)).sum() == 1


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


@pytest.mark.parametrize("size", [0, 10, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("most", [5, 65_536, 100_000, 10**9])
def test_a_file_is_read_whole_or_as_far_as_is_allowed(size: int, most: int, tmp_path: Path) -> None:
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "a.png").write_bytes(content)
    with (tmp_path / "a.png").open("rb") as file:
        assert read_at_most(file, most) == content[:most]
    assert read_picture(tmp_path / "a.png") == content
