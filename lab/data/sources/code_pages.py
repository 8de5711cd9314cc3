"""Which code page a text without a mark is written in, decided by its characters.

Zips and tables of Korean, Japanese, Chinese and Western Windows hold bytes without a word about
their meaning, and many bytes are text in several code pages: "고양이" in Korean bytes is three
Chinese characters, too, but rare ones. So each code page is asked how probable its reading is.
Where two are about as probable, a person chooses; the names themselves are the examples.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from lab.data.sources.common_characters import HANGUL, KANJI, SIMPLIFIED, TRADITIONAL
from lab.data.sources.source import Question

CODE_PAGES: dict[str, str] = {
    "utf-8": "UTF-8",
    "cp949": "Korean (cp949)",
    "cp932": "Japanese (cp932)",
    "gbk": "Chinese of the mainland (gbk)",
    "cp950": "Chinese of Taiwan and Hong Kong (cp950, Big5)",
    "cp437": "Western, as DOS has it (cp437)",
    "cp850": "Western European, as DOS has it (cp850)",
    "cp866": "Cyrillic, as DOS has it (cp866)",
    "cp1252": "Western European (cp1252)",
    "cp1251": "Cyrillic (cp1251)",
}
ZIP_PAGES = ("utf-8", "cp949", "cp932", "gbk", "cp950", "cp437", "cp850", "cp866", "cp1251")
"""What zip programs write without saying so. cp437 is what the zip format itself says."""
TABLE_PAGES = ("cp949", "cp932", "gbk", "cp950", "cp1252", "cp1251")

SURE = math.log(100)
"""How much more probable the best reading has to be before nobody is asked."""
_IMAGINABLE = math.log(1e6)
"""Readings less probable than the best by more than this are not offered."""
_MANY = 400
"""Pieces of text that are looked at; more add nothing but time."""


@dataclass(frozen=True)
class Reading:
    """One code page for all the texts, and the logarithm of how probable they are in it."""

    code_page: str
    score: float


def readings(texts: Iterable[bytes], code_pages: Iterable[str]) -> list[Reading]:
    """Returns the code pages in which all the texts can be read, the most probable first."""
    # No code page here has characters below @ as the second byte, so these bytes part words. Words
    # count once: a hundred files called 사진 are no more evidence than one.
    words = dict.fromkeys(
        word
        for text in texts
        for word in re.split(rb"[\x00-?]+", text)
        if any(byte > 127 for byte in word)
    )
    found: dict[tuple[str, ...], Reading] = {}
    for code_page in code_pages:
        try:
            decoded = tuple(word.decode(code_page) for word in words)
        except UnicodeDecodeError:
            continue
        score = sum(map(_SCORES[code_page], decoded[:_MANY])) + _PRIOR.get(code_page, 0.0)
        found.setdefault(decoded, Reading(code_page, score))  # the same text is no other reading
    return sorted(found.values(), key=lambda reading: -reading.score)


def question(key: str, text: str, found: list[Reading], examples: list[bytes]) -> Question | None:
    """Returns the question which code page it is, or None where the characters tell.

    `found` is what `readings` returned; the examples are shown as each choice reads them.
    """
    if len(found) < 2 or found[0].score - found[1].score >= SURE:
        return None
    offered = [reading for reading in found[:5] if found[0].score - reading.score < _IMAGINABLE]
    return Question(
        key=key,
        text=text,
        choices=tuple(
            (
                reading.code_page,
                f"{CODE_PAGES[reading.code_page]}: "
                + ", ".join(example.decode(reading.code_page, "replace") for example in examples),
            )
            for reading in offered
        ),
        default=found[0].code_page,
        why="They carry no mark of their code page, and these readings are about as probable.",
    )


@dataclass(frozen=True)
class DecodedText:
    """A text file as text; `code_page` is "" for UTF-8, `question` stands where there is doubt."""

    text: str
    code_page: str = ""
    question: Question | None = None

    @property
    def note(self) -> str:
        """Such as "read as Korean (cp949)"; empty for UTF-8, which is what everybody expects."""
        return f"read as {CODE_PAGES.get(self.code_page, self.code_page)}" if self.code_page else ""


_MARKS = {
    codecs.BOM_UTF8: ("utf-8", ""),
    codecs.BOM_UTF16_LE: ("utf-16-le", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16-be", "UTF-16"),
}


def utf_of(beginning: bytes) -> tuple[str, int, str] | None:
    """Returns (codec, bytes of its mark, its name) of a text in UTF-8 with a mark or in UTF-16."""
    for mark, (codec, name) in _MARKS.items():
        if beginning.startswith(mark):
            return codec, len(mark), name
    # UTF-16 without a mark: every other byte of a table's first line is zero.
    even, odd = beginning[:200:2], beginning[1:200:2]
    if len(odd) > 4 and odd.count(0) > 0.7 * len(odd) and even.count(0) < 0.1 * len(even):
        return "utf-16-le", 0, "UTF-16"
    if len(odd) > 4 and even.count(0) > 0.7 * len(even) and odd.count(0) < 0.1 * len(odd):
        return "utf-16-be", 0, "UTF-16"
    return None


def decode_text(data: bytes, name: str, answers: Mapping[str, str]) -> DecodedText:
    """Returns the text of a file in UTF-8, UTF-16 or the most probable code page.

    `name` is the file's, for the question. Raises UnicodeDecodeError when it is no text at all.
    """
    if (utf := utf_of(data)) is not None:
        codec, skip, said = utf
        return DecodedText(data[skip:].decode(codec), said)
    try:
        return DecodedText(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        lines = [line for line in data.split(b"\n") if not line.isascii()]
        found = readings(lines, TABLE_PAGES)
        if not found or b"\0" in data[:4096]:
            raise error
        asked = question(
            f"encoding:{name}",
            f"Which script is {name} written in?",
            found,
            [line.strip()[:60] for line in lines[:3]],
        )
        page = asked.answer(answers) if asked else found[0].code_page
        return DecodedText(data.decode(page, "replace"), page, asked)


# --- how probable a reading is ----------------------------------------------------------------
# Shares of a language's characters, spread evenly over each kind. The kinds matter, not the third
# digit: a rare character costs some five units more than a frequent one.

_ASCII = math.log(0.5 / 95)
_PRIOR = {"utf-8": 2.0, "cp866": -2.0, "cp1251": -3.0}
"""Programs that forget the mark for UTF-8 are frequent, Cyrillic zips less so."""
_MIXED = -2.5
"""A letter a-z right beside an East Asian character, or two accents in a row: unusual."""


def _share(part: float, count: int) -> float:
    return math.log(0.5 * part / count)


def _encodable(codec: str, first: int, last: int) -> Callable[[str], bool]:
    """Whether a character's first byte in the codec lies between these two."""

    def check(character: str) -> bool:
        try:
            encoded = character.encode(codec)
        except UnicodeEncodeError:
            return False
        return len(encoded) == 2 and first <= encoded[0] <= last

    return check


_Kind = tuple[Callable[[str], bool], float]


def _within(*ranges: tuple[str, str]) -> Callable[[str], bool]:
    return lambda character: any(low <= character <= high for low, high in ranges)


_KOREAN: tuple[_Kind, ...] = (
    (HANGUL.__contains__, _share(0.935, len(HANGUL))),
    (_encodable("euc_kr", 0xB0, 0xC8), _share(0.035, 1900)),
    (_within(("ㄱ", "ㅣ")), _share(0.02, 51)),
    (_within(("가", "힣")), _share(0.003, 8822)),
    (_within(("一", "鿿"), ("豈", "﫿")), _share(0.002, 4888)),
    (lambda _: True, _share(0.005, 1000)),
)
_JAPANESE: tuple[_Kind, ...] = (
    (_within(("ぁ", "ゖ"), ("ァ", "ヺ"), ("ー", "ー")), _share(0.45, 170)),
    (KANJI.__contains__, _share(0.45, len(KANJI))),
    (_encodable("shift_jis", 0x88, 0x97), _share(0.06, 2400)),
    (_encodable("shift_jis", 0x98, 0xEA), _share(0.015, 3390)),
    (_within(("｡", "ﾟ")), _share(0.02, 63)),
    (lambda _: True, _share(0.015, 500)),
)
_CHINESE: tuple[_Kind, ...] = (
    (SIMPLIFIED.__contains__, _share(0.92, len(SIMPLIFIED))),
    (_encodable("gb2312", 0xB0, 0xD7), _share(0.05, 2780)),
    (_encodable("gb2312", 0xD8, 0xF7), _share(0.02, 3008)),
    (_within(("一", "鿿")), _share(0.002, 15000)),
    (lambda _: True, _share(0.008, 1000)),
)
_TAIWANESE: tuple[_Kind, ...] = (
    (TRADITIONAL.__contains__, _share(0.92, len(TRADITIONAL))),
    (_encodable("big5", 0xA4, 0xC6), _share(0.06, 4560)),
    (_encodable("big5", 0xC9, 0xF9), _share(0.01, 7650)),
    (lambda _: True, _share(0.01, 1000)),
)
_WESTERN: tuple[_Kind, ...] = (
    (frozenset("äöüßéèêëàâçñáíóúîïôûåæøãõìòùœ").__contains__, _share(0.85, 30)),
    (frozenset("ÄÖÜÉÈÊËÀÂÇÑÁÍÓÚÎÏÔÛÅÆØÃÕÌÒÙŒ").__contains__, _share(0.1, 28)),
    (lambda _: True, _share(0.05, 70)),
)
_CYRILLIC: tuple[_Kind, ...] = (
    (_within(("а", "я"), ("ё", "ё")), _share(0.92, 33)),
    (_within(("А", "Я"), ("Ё", "Ё")), _share(0.07, 33)),
    (lambda _: True, _share(0.01, 60)),
)
_ANY: tuple[_Kind, ...] = (
    (_within(("\x80", "\u07ff")), _share(0.3, 1920)),
    (lambda _: True, _share(0.7, 20000)),
)


def _scorer(
    kinds: tuple[_Kind, ...], unusual: Callable[[str, str], bool]
) -> Callable[[str], float]:
    known: dict[str, float] = {}

    def character_score(character: str) -> float:
        if character.isascii():
            return _ASCII
        if character not in known:
            known[character] = next(score for fits, score in kinds if fits(character))
        return known[character]

    def score(word: str) -> float:
        pairs = sum(unusual(one, other) for one, other in pairwise(word))
        return sum(map(character_score, word)) + _MIXED * pairs

    return score


def _mixed(one: str, other: str) -> bool:
    return one.isascii() != other.isascii() and (one.isascii() or other.isascii())


def _no_western_word(one: str, other: str) -> bool:
    if not one.isascii() and not other.isascii():
        return True
    return one.islower() and other.isupper() and not other.isascii()


def _no_cyrillic_word(one: str, other: str) -> bool:
    return _mixed(one, other) or (one.islower() and other.isupper())


_SCORES: dict[str, Callable[[str], float]] = {
    "utf-8": _scorer(_ANY, lambda _one, _other: False),
    "cp949": _scorer(_KOREAN, _mixed),
    "cp932": _scorer(_JAPANESE, _mixed),
    "gbk": _scorer(_CHINESE, _mixed),
    "cp950": _scorer(_TAIWANESE, _mixed),
    **dict.fromkeys(("cp437", "cp850", "cp1252"), _scorer(_WESTERN, _no_western_word)),
    **dict.fromkeys(("cp866", "cp1251"), _scorer(_CYRILLIC, _no_cyrillic_word)),
}
