"""Decoding picture files to upright RGB images, or an error that says what they are instead.

For files of a data set and for uploads to be classified.
The header is read first (format, width, height), so that a small file that would unfold to
gigabytes is refused before a pixel is decoded.

Files of more than 8 bits a value (X-rays, depth, microscopes) rarely use them all: 12 bits in a
16-bit file would be nearly black. What a data set uses is measured over all its files
(`wide_limits`, `common_range`) and every picture, an upload included, is spread by that one range.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lab.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM")
"""What Pillow reads by itself; with `pi_heif` also HEIF."""
FORMAT_WORDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF"
"""The formats in a sentence."""
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".heic", ".heif", ".hif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
MAX_PIXELS = 64_000_000
"""Largest picture that is held in memory: 64 megapixels, 192 MB."""
MAX_REDUCED_PIXELS = 300_000_000
"""Largest JPEG: its decoder can halve a picture up to three times before it is held in memory."""
MAX_BYTES = 200_000_000
"""Largest file that is read as a picture."""
_SMALL = 65_536
MAX_SCANS = 100
"""A JPEG may come in layers, each drawn over all pixels; cameras and web tools write up to ten
or so. A file of 10 MB can hold 150,000 empty ones, which is an hour of work."""
LARGE_PIXELS = 16_000_000
"""From so many pixels on, pictures are decoded one at a time: a dozen threads with one each would
fill the memory."""

Fit = Literal["stretch", "crop", "pad"]
FITS: dict[Fit, str] = {
    "stretch": "squeezed to a square",
    "crop": "cut to a centred square",
    "pad": "filled up to a square with black bars",
}
"""How a picture becomes a square, and that in words."""

ValueRange = tuple[float, float]
"""The values that are shown as black and as white."""

CUT_OFF = "Cut off at the end, so that the missing part is grey"
SEVERAL = "Several pictures in one file, of which the first is used"

# Process-wide, because `catch_warnings` is not thread-safe and images are decoded in threads.
Image.MAX_IMAGE_PIXELS = MAX_REDUCED_PIXELS
# Between 1x and 2x that limit Pillow only warns.
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Odd notes beside the pixels (EXIF and the like) are no news for a person who has 10,000 files.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)


class UnreadableFile(DataError):
    """One file that cannot be used. `reason` is the sentence without the file's name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}.")
        self.name = name
        self.reason = reason


@dataclass(frozen=True)
class DecodedImage:
    """`image` is RGB and upright; `size` is the width and height before any reduction."""

    image: Image.Image
    size: tuple[int, int]
    remark: str = ""
    """What a person should know of how it was read: CUT_OFF, SEVERAL or nothing."""


def read_picture(path: str | Path) -> bytes:
    """Returns the bytes of a picture file, not yet decoded. Raises UnreadableFile."""
    name = str(path)
    try:
        with open(name, "rb") as file:
            return read_at_most(file, MAX_BYTES + 1)  # one more than is allowed: is refused
    except IsADirectoryError:
        raise UnreadableFile(name, "is a folder; name the pictures in it") from None
    except FileNotFoundError:
        raise UnreadableFile(name, "is not there") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(name, f"cannot be read ({reason})") from None


def read_at_most(file: BinaryIO, count: int) -> bytes:
    """Returns up to `count` bytes of a buffered file.

    `file.read(count)` alone first sets that much memory aside, which for a small picture takes
    three times as long as to read it.
    """
    data = file.read(min(count, _SMALL))
    return data if len(data) < _SMALL else data + file.read(count - _SMALL)


def decode(
    file: bytes | BinaryIO,
    *,
    name: str,
    at_least: int | None = None,
    value_range: ValueRange | None = None,
) -> DecodedImage:
    """Returns the picture in `file` as RGB, upright, transparency laid on white.

    `name` is what the person calls the file; it is only shown. Reads the FORMATS in any mode (grey,
    16 bit, floats, palette, transparent, CMYK), whatever the file's suffix says; of an animation or
    a stack the first picture; of a JPEG whose end is missing what is there. Raises UnreadableFile.

    With `at_least` a large JPEG may come out smaller, never below that side: its decoder can halve
    it almost for free. One larger than MAX_PIXELS is halved in any case. `value_range` is that of
    the data set for files of more than 8 bits; without it each is spread by its own.
    """
    data = _read(file, name)
    image = _open_image(data, name)
    size = image.size
    side = _check_size(image, data, name, at_least)
    with _in_memory(image, side), _decoding(name):
        remark = SEVERAL if _is_stack(image) else ""
        values = _wide_values(image, data)  # before a PNG is loaded, as for its orientation
        # A TIFF is turned by Pillow itself, which then also reports the size after the turn.
        orientation = 1 if image.format == "TIFF" else _orientation(image)
        if values is not None:
            own = value_range or common_range([_limits(values)]) or (0, 255)
            image = _spread(image, values, own)
        else:
            image, cut = _load(image, data, name, side)
            remark = CUT_OFF if cut else remark
        if (turn := _TURNS.get(orientation)) is not None:
            image = image.transpose(turn)
        turned = orientation in (5, 6, 7, 8)
        return DecodedImage(_to_rgb(image), size[::-1] if turned else size, remark)


def wide_limits(file: bytes | BinaryIO, *, name: str) -> ValueRange | None:
    """The lowest and the highest value of a picture of more than 8 bits a value; None for others.

    Others are told by their header, without decoding. Raises UnreadableFile.
    """
    data = _read(file, name)
    if not data.startswith(_MAY_BE_WIDE):
        return None
    image = _open_image(data, name)
    _check_size(image, data, name, None)
    with _in_memory(image, None), _decoding(name):
        values = _wide_values(image, data)
        return None if values is None else _limits(values)


def taken_at(data: bytes, *, name: str) -> float | None:
    """When a camera says that it took the picture, in seconds by its own clock; None where it says
    nothing. Raises UnreadableFile."""
    image = _open_image(data, name)
    try:
        notes = image.getexif().get_ifd(_CAMERA_NOTES)
        moment = datetime.strptime(str(notes[_TAKEN]), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
        return moment.timestamp()
    except Exception:
        return None  # as for the orientation


def common_range(limits: Iterable[ValueRange | None]) -> ValueRange | None:
    """The range that spreads pictures with these limits; None when no picture is wide.

    From 0 to the highest number of as many bits as are used, at least 8 (12 bits: 0 to 4,095);
    fractions up to 1 from 0 to 1; with values below 0 from the lowest to the highest.
    """
    wide = [pair for pair in limits if pair is not None]
    if not wide:
        return None
    low, high = min(pair[0] for pair in wide), max(pair[1] for pair in wide)
    if low < 0:
        return (low, high if high > low else low + 1)
    if high <= 1:
        return (0.0, 1.0)
    return (0.0, float(2 ** max(8, math.ceil(high).bit_length()) - 1))


def could_be_wide(beginning: bytes) -> bool:
    """Whether a file that begins with these bytes (26 or more) may have more than 8 bits a value:
    a PNG of 16 bits, a TIFF or a PNM."""
    if beginning.startswith(_PNG):
        return beginning[24:25] == b"\x10"
    return beginning.startswith(_MAY_BE_WIDE)


def begins_like_a_picture(beginning: bytes) -> bool:
    """Whether a file that begins with these bytes (12 or more) may be one of the FORMATS."""
    if beginning.startswith(b"RIFF"):
        return beginning[8:12] == b"WEBP"
    return beginning.startswith(_BEGINNINGS) or beginning[4:8] == b"ftyp"


def to_square(image: Image.Image, *, image_size: int, fit: Fit) -> Image.Image:
    """The picture as a square of `image_size` pixels, antialiased when it shrinks.

    `stretch` squashes the sides to a square, as the source documents do; `crop` scales the shorter
    side and cuts the middle out of the longer one; `pad` scales the longer side and lays the
    picture in the middle of a black square.
    """
    target = (image_size, image_size)
    if image.size == target:
        return image
    if fit == "crop":
        return ImageOps.fit(image, target, method=Image.Resampling.BICUBIC)
    if fit == "stretch":
        return image.resize(target, Image.Resampling.BICUBIC)
    scale = image_size / max(image.size)
    width, height = (min(image_size, max(1, round(side * scale))) for side in image.size)
    square = Image.new(image.mode, target)
    inside = image.resize((width, height), Image.Resampling.BICUBIC)
    square.paste(inside, ((image_size - width) // 2, (image_size - height) // 2))
    return square


_LARGE = threading.Lock()

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes an EXIF orientation."""
_CAMERA_NOTES, _TAKEN = 0x8769, 0x9003
"""EXIF's part of the camera, and in it the time of the picture."""


def _read(file: bytes | BinaryIO, name: str) -> bytes:
    data = file if isinstance(file, bytes) else read_at_most(file, MAX_BYTES + 1)
    if not data:
        raise UnreadableFile(name, "is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise UnreadableFile(name, f"is larger than {MAX_BYTES // 1_000_000} MB, the most allowed")
    return data


def _open_image(data: bytes, name: str) -> Any:
    try:
        return _pillow_image(data)
    except UnidentifiedImageError:
        raise UnreadableFile(name, _describe_content(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "is far too large", MAX_REDUCED_PIXELS) from None
    except Exception as error:
        if _is_text(data):  # "BMW" begins like a BMP
            raise UnreadableFile(name, _describe_content(data)) from None
        raise UnreadableFile(name, f"has a damaged header ({_error_text(error)})") from error


def _pillow_image(data: bytes) -> Any:
    """The image as Pillow opens it, of one of the formats."""
    if data[4:8] != b"ftyp":
        return Image.open(io.BytesIO(data), formats=FORMATS)
    import pi_heif  # 50 ms that only those pay who have such a file

    if "HEIF" not in Image.OPEN:
        pi_heif.register_heif_opener(thumbnails=False)
    return Image.open(io.BytesIO(data), formats=(*FORMATS, "HEIF"))


def _check_size(image: Image.Image, data: bytes, name: str, at_least: int | None) -> int | None:
    """Returns the side to which a JPEG may be reduced while it is decoded, None for the whole.

    Raises UnreadableFile for what would not fit the memory.
    """
    width, height = image.size
    what = f"has {width:,} x {height:,} pixels"
    if not data.startswith(_JPEG):
        if width * height > MAX_PIXELS:
            raise _too_large(name, what, MAX_PIXELS)
        return None
    scans = _scans(data)
    if scans > MAX_SCANS:
        raise UnreadableFile(
            name, f"is a JPEG in more than {MAX_SCANS} layers; save it anew and try again"
        )
    # Of a JPEG in layers the decoder holds the whole in memory, however small it comes out.
    limit = MAX_PIXELS if scans > 1 else MAX_REDUCED_PIXELS
    if width * height > limit:
        raise _too_large(name, what, limit)
    if width * height > MAX_PIXELS:
        # The square root of 64 megapixels cannot be undershot by halving up to three times.
        most = math.floor(min(width, height) * math.sqrt(MAX_PIXELS / 4 / (width * height)))
        return most if at_least is None else min(at_least, most)
    return at_least


def _in_memory(image: Image.Image, side: int | None) -> AbstractContextManager[Any]:
    """Holds the lock of large pictures while one of these is decoded."""
    reduced = 1 if side is None else min(8, max(1, min(image.size) // max(1, side)))
    large = image.width * image.height / reduced**2 > LARGE_PIXELS
    return _LARGE if large else contextlib.nullcontext()


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns whatever a decoder raises into an UnreadableFile."""
    try:
        yield
    except UnreadableFile:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "unfolds to far too many pixels", MAX_PIXELS) from None
    except MemoryError:
        raise UnreadableFile(name, "needs more memory than is free; make it smaller") from None
    except Exception as error:
        # Pillow's readers meet damaged data with OSError, SyntaxError, ValueError, struct.error,
        # IndexError, zlib.error and others; which one depends on the byte that is wrong.
        raise UnreadableFile(
            name, f"is damaged and cannot be decoded ({_error_text(error)})"
        ) from error


def _load(image: Image.Image, data: bytes, name: str, side: int | None) -> tuple[Image.Image, bool]:
    """The image with its pixels, and whether it is a JPEG whose end is missing."""
    try:
        if side is not None:
            image.draft(None, (side, side))
        image.load()
        return image, False
    except OSError as error:
        if not data.startswith(_JPEG) or "truncated" not in str(error):
            raise
    # With an end mark the decoder gives what is there and leaves the rest grey.
    image = _pillow_image(data + b"\xff\xd9")
    if side is not None:
        image.draft(None, (side, side))
    image.load()
    if _grey_end(image) > 0.5:
        raise UnreadableFile(name, "is cut off: less than half of the picture is there")
    return image, True


def _grey_end(image: Image.Image) -> float:
    """The share of rows at the bottom that the decoder of a cut JPEG left at middle grey."""
    pixels = np.asarray(image)
    filled = np.flatnonzero((pixels != 128).reshape(len(pixels), -1).any(axis=1))
    return 1 - (int(filled[-1]) + 1 if len(filled) else 0) / len(pixels)


# --- more than 8 bits a value ---------------------------------------------------------------------
def _wide_values(image: Image.Image, data: bytes) -> NDArray[Any] | None:
    """(H, W) or (H, W, C) values of a picture of more than 8 bits each; None for others."""
    if image.mode.startswith(("I", "F")):
        return np.asarray(image)
    low = _low_bytes_mode(image)
    if low is None:
        return None
    # Pillow keeps the high byte of each colour only; read once more for the low bytes.
    other = _pillow_image(data)
    [tile] = other.tile
    other.tile = [tile._replace(args=_with_mode(tile.args, low))]
    high_bytes = np.asarray(image).astype(np.uint16)
    values: NDArray[Any] = (high_bytes << 8) | np.asarray(other)
    return values


def _low_bytes_mode(image: Image.Image) -> str | None:
    """The raw mode that reads the low bytes of a 16-bit colour image, None for other images."""
    tiles = getattr(image, "tile", [])
    if image.mode not in ("RGB", "RGBA") or len(tiles) != 1:
        return None
    args = tiles[0].args
    mode = args if isinstance(args, str) else args[0] if args else ""
    match = re.fullmatch(r"(RGBA?);16([LBN])", mode) if isinstance(mode, str) else None
    if match is None:
        return None
    little = match[2] == "L" or (match[2] == "N" and sys.byteorder == "little")
    return f"{match[1]};16{'B' if little else 'L'}"


def _with_mode(args: Any, mode: str) -> Any:
    return mode if isinstance(args, str) else (mode, *args[1:])


def _limits(values: NDArray[Any]) -> ValueRange | None:
    if values.ndim == 3:
        values = values[:, :, :3]  # transparency is no brightness
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else None


def _spread(image: Image.Image, values: NDArray[Any], value_range: ValueRange) -> Image.Image:
    """The picture in 8 bits: the lower end of the range is black, the upper one white."""
    low, high = value_range
    alpha = None
    if values.ndim == 3 and values.shape[2] == 4:
        alpha = Image.fromarray((values[:, :, 3] >> 8).astype(np.uint8))
        values = values[:, :, :3]
    scaled = values.astype(np.float32)
    np.nan_to_num(scaled, copy=False, nan=low, posinf=high, neginf=low)
    scaled -= low
    scaled *= 255 / (high - low)
    pixels = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        pixels = 255 - pixels  # "white is zero", as X-rays are often saved
    spread = Image.fromarray(pixels)
    if alpha is not None:
        spread.putalpha(alpha)
    return spread


_PHOTOMETRIC = 262


# --- what a file is -------------------------------------------------------------------------------
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BEGINNINGS = (_JPEG, _PNG, *_TIFF, b"BM", b"GIF8", *(b"P%d" % n for n in range(1, 8)), b"Pf")
"""Of the FORMATS, apart from WebP and those that name their format after their length."""
_MAY_BE_WIDE = (_PNG, *_TIFF, b"P2", b"P3", b"P5", b"P6", b"Pf")

_SIGNATURES = {
    b"8BPS": "a Photoshop file",
    b"\x00\x00\x01\x00": "an icon (ICO)",
    b"\xff\x0a": "a JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000",
}
"""Pictures of kinds that are not read."""
_OTHER_SIGNATURES = {
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a zip",
    b"\x1f\x8b": "a compressed (gzip) file",
}
_HEIF_BRANDS = (b"heic heix hevc hevx heim heis hevm hevs mif1 msf1 avif avis").split()

# The root element may come after a byte order mark, a declaration, comments and a doctype.
_SVG = re.compile(rb"<(?:\w+:)?svg[\s>/]", re.IGNORECASE)
_HTML = re.compile(rb"^\s*(?:<!--.{0,200}?-->\s*)?<(?:!doctype\s+html|html)\b", re.I | re.S)


def _describe_content(data: bytes) -> str:
    """What the bytes are instead of a picture, as the end of a sentence."""
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return f"is {kind}, which is not read; save it as PNG"
    for signature, kind in _OTHER_SIGNATURES.items():
        if data.startswith(signature):
            return f"is {kind}, not a picture"
    if data.startswith(_TIFF):
        return (
            "is a TIFF of a kind that is not read (such as more than four bands, or 64 bits a "
            "value); save it as PNG"
        )
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIF_BRANDS:
            return "is a damaged HEIC or AVIF image"
        return "is a video, not a picture"
    if data.startswith((_JPEG, b"\x89PNG", b"GIF8")) or (
        (data[:4], data[8:12]) == (b"RIFF", b"WEBP")
    ):
        return "is damaged: it begins like an image, but its header cannot be read"
    beginning = data[:4000].removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(beginning):
        return "is a web page, not a picture"
    if beginning.lstrip().startswith(b"<") and _SVG.search(beginning):
        return (
            "is an SVG, a drawing made of lines and shapes instead of pixels; "
            "export it as PNG and use that"
        )
    if _is_text(data):
        return "holds text, not a picture"
    return f"is not a {FORMAT_WORDS} image"


def _is_text(data: bytes) -> bool:
    return b"\x00" not in data[:1000] and data[:1000].isascii()


def _is_stack(image: Image.Image) -> bool:
    """Whether the file holds several pictures of equal rank. Phones append some that are none."""
    return image.format in ("GIF", "TIFF", "WEBP", "PNG", "AVIF") and bool(
        getattr(image, "is_animated", False)
    )


# In the coded data of a scan, FF is followed by 00 or by a restart marker; all else is a marker.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_SOS, _EOI = 0xDA, 0xD9


def _scans(data: bytes) -> int:
    """The number of scans (layers) of a JPEG; counting ends beyond MAX_SCANS.

    Only up to the end of the first image: phones append a film or a second picture.
    """
    scans, place = 0, 2
    while scans <= MAX_SCANS and (match := _MARKER.search(data, place)):
        marker, place = match[1][0], match.end()
        if marker == _EOI:
            break
        scans += marker == _SOS
        if marker not in (0x01, 0xD8):  # the two others without a length
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return scans


def _too_large(name: str, what: str, most: int) -> UnreadableFile:
    limit = most // 1_000_000
    return UnreadableFile(name, f"{what}; at most {limit} megapixels are decoded: make it smaller")


def _error_text(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:120] or type(error).__name__


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:
        return 1  # a damaged note about the picture is no reason to refuse the picture


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        white = Image.new("RGBA", transparent.size, "white")
        return Image.alpha_composite(white, transparent).convert("RGB")
    return image.convert("RGB")
