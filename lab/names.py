"""Names and notes that a person types: what is taken, and how one that was taken before is shown.

What may stand in them is text of any script. Control characters (a terminal obeys them), halves of
characters (no database keeps them) and marks that turn the direction of all that follows are not.
How a medium shows a name without reading Markdown, HTML or markup in it: `lab.ui.words.plain` for
pages, `lab.charts.style.chart_text` for charts, `lab.cli.console.Console` for tables, and
`csv_cell` for spreadsheets.
"""

from __future__ import annotations

import re

from lab.errors import ConfigError, cut

_UNSEEN = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069"
_REPLACED = re.compile(f"[{_UNSEEN}]")
_REPLACED_IN_LINES = re.compile(rf"(?![\n\t])[{_UNSEEN}]")


_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³])(\..*)?", re.IGNORECASE)
FOLDER_WORDS = (
    'no / \\ : * ? " < > |, no dot at the beginning or the end, and no name that Windows keeps for '
    "a device, such as con"
)


def is_device(name: str) -> bool:
    """Whether Windows keeps this name for a device: no file or folder can be called so there."""
    return _DEVICES.fullmatch(name) is not None


def fits_a_folder(name: str) -> bool:
    """Whether a folder can be called so on every system; FOLDER_WORDS says what is allowed."""
    ends = name[:1] in ("", ".", " ") or name[-1] in ". "
    return not (ends or is_device(name) or re.search(rf'[/\\:*?"<>|{_UNSEEN}]', name))


def visible(text: str) -> str:
    """Returns the text with � for each character that must not reach a page or a terminal."""
    return _REPLACED_IN_LINES.sub("\ufffd", text)


def csv_cell(name: str) -> str:
    """Returns a name as a spreadsheet will not run it as a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def typed_name(text: str, what: str, longest: int, *, least: int = 1) -> str:
    """Returns a name without spare spaces. `what` is how a sentence calls it: "A run's name".
    Raises ConfigError."""
    clean = " ".join(text.split())
    if not least <= len(clean) <= longest:
        raise ConfigError(
            f"{what} has {least} to {longest} characters; {cut(clean, 60)} has {len(clean):,}."
        )
    _refuse_unseen(clean, what, _REPLACED)
    return clean


def typed_notes(text: str, what: str, longest: int) -> str:
    """Returns a text of several lines, or "". Raises ConfigError."""
    clean = "\n".join(text.strip().splitlines())
    if len(clean) > longest:
        raise ConfigError(f"{what} have at most {longest:,} characters; these have {len(clean):,}.")
    _refuse_unseen(clean, what, _REPLACED_IN_LINES)
    return clean


def _refuse_unseen(text: str, what: str, unseen: re.Pattern[str]) -> None:
    if found := unseen.search(text):
        raise ConfigError(
            f"{what} must not hold the control character U+{ord(found[0]):04X}, which "
            f"{cut(text, 60)} does. Type it anew."
        )
