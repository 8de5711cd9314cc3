"""Decoding picture files to upright RGB images, or an error that says what they are instead.

For files of a data set and for uploads to be classified.
The header is read first (format, width, height), so that a small file that would unfold to
gigabytes is refused before a pixel is decoded.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lab.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"})
MAX_PIXELS = 25_000_000
"""Largest picture that is decoded: 25 megapixels, more than most cameras and phones save."""
MAX_BYTES = 50_000_000
"""Largest file that is read as a picture."""
MAX_SCANS = 100
"""A JPEG may come in layers, each drawn over all pixels; cameras and web tools write up to ten
or so. A file of 10 MB can hold 150,000 empty ones, which is an hour of work."""

Fit = Literal["stretch", "crop"]

# Between 1x and 2x Pillow's own limit it only warns. Process-wide, because `catch_warnings` is not
# thread-safe and images are decoded in threads.
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Odd notes beside the pixels (EXIF and the like) are no news for a person who has 10,000 files.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


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


def decode_image(file: bytes | BinaryIO, *, name: str) -> Image.Image:
    """The picture in `file` as RGB, upright, transparency laid on white.

    `name` is what the person calls the file; it is only shown. Reads JPEG, PNG and WebP of up to
    25 megapixels in any mode (grey, 16 bit, palette, transparent, CMYK), whatever the file's suffix
    says; of an animation the first picture. Raises UnreadableFile, a DataError.
    """
    return decode(file, name=name).image


def decode(file: bytes | BinaryIO, *, name: str, at_least: int | None = None) -> DecodedImage:
    """As `decode_image`. With `at_least`, a large JPEG may come out smaller, never below that side.

    A JPEG decoder can halve a picture almost for free; when the result will be shrunk further
    anyway, the eye cannot tell.
    """
    data = file if isinstance(file, bytes) else file.read(MAX_BYTES + 1)
    if not data:
        raise UnreadableFile(name, "is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise UnreadableFile(name, f"is larger than {MAX_BYTES // 1_000_000} MB, the most allowed")
    image = _open_image(data, name)
    size = image.size
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(name, f"has {size[0]:,} x {size[1]:,} pixels")
    if data.startswith(_JPEG) and _scans(data) > MAX_SCANS:
        raise UnreadableFile(
            name, f"is a JPEG in more than {MAX_SCANS} layers; save it anew and try again"
        )
    try:
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        image.load()
        upright, turned = _upright(image)
        return DecodedImage(_to_rgb(upright), size[::-1] if turned else size)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "unfolds to far too many pixels") from None
    except MemoryError:
        raise UnreadableFile(name, "needs more memory than is free; make it smaller") from None
    except Exception as error:
        # Pillow's readers meet damaged data with OSError, SyntaxError, ValueError, struct.error,
        # IndexError, zlib.error and others; which one depends on the byte that is wrong.
        raise UnreadableFile(
            name, f"is damaged and cannot be decoded ({_error_text(error)})"
        ) from error


def to_square(image: Image.Image, *, image_size: int, fit: Fit) -> Image.Image:
    """The picture as a square of `image_size` pixels, antialiased when it shrinks.

    `stretch` squashes the sides to a square, as the source documents do; `crop` scales the shorter
    side and cuts the middle out of the longer one.
    """
    target = (image_size, image_size)
    if image.size == target:
        return image
    if fit == "crop":
        return ImageOps.fit(image, target, method=Image.Resampling.BICUBIC)
    return image.resize(target, Image.Resampling.BICUBIC)


def _open_image(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnreadableFile(name, _describe_content(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "unfolds to more than 89 megapixels") from None
    except Exception as error:
        raise UnreadableFile(name, f"has a damaged header ({_error_text(error)})") from error


_JPEG = b"\xff\xd8\xff"

_SIGNATURES = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\x00": "a TIFF",
    b"MM\x00*": "a TIFF",
    b"8BPS": "a Photoshop file",
    b"\x00\x00\x01\x00": "an icon (ICO)",
    b"\xff\x0a": "a JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000",
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
            return f"is {kind}, not a JPEG, PNG or WebP image"
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIF_BRANDS:
            return "is a HEIC or AVIF image; save it as JPEG, PNG or WebP"
        return "is a video, not a JPEG, PNG or WebP image"
    if data.startswith((_JPEG, b"\x89PNG")) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
        return "is damaged: it begins like an image, but its header cannot be read"
    beginning = data[:4000].removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(beginning):
        return "is a web page, not a JPEG, PNG or WebP image"
    if beginning.lstrip().startswith(b"<") and _SVG.search(beginning):
        return (
            "is an SVG, a drawing made of lines and shapes instead of pixels; "
            "export it as PNG and use that"
        )
    if b"\x00" not in data[:1000] and data[:1000].isascii():
        return "holds text, not a JPEG, PNG or WebP image"
    return "is not a JPEG, PNG or WebP image"


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


def _too_large(name: str, what: str) -> UnreadableFile:
    limit = MAX_PIXELS // 1_000_000
    return UnreadableFile(name, f"{what}; at most {limit} megapixels are decoded: make it smaller")


def _error_text(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:120] or type(error).__name__


def _upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """The image turned as its EXIF orientation says, and whether width and height swapped."""
    try:
        orientation = image.getexif().get(0x0112, 1)
        upright = ImageOps.exif_transpose(image)
    except Exception:
        return image, False  # a damaged note about the picture is no reason to refuse the picture
    return upright, orientation in (5, 6, 7, 8)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 bit grey; convert() would clip it at 255
        high_bytes = np.asarray(image) >> 8
        return Image.fromarray(high_bytes.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        white = Image.new("RGBA", transparent.size, "white")
        return Image.alpha_composite(white, transparent).convert("RGB")
    return image.convert("RGB")
