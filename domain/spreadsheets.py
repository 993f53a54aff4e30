"""Export formats, and protection against formulas in exported text."""

from enum import StrEnum

from domain.characters import nfkc


class ExportFormat(StrEnum):
    CSV = "CSV"
    XLSX = "XLSX"


_FORMULA_CHARACTERS = "=+-@"
_CONTROLS = ("\t", "\r", "\n")


def escape_formula(text: str) -> str:
    """The text for a CSV file, after an apostrophe if a spreadsheet could read it as a formula.

    Spreadsheets recognise the full-width forms of the first character too.
    """
    if text[:1].isascii() and text[:1].isalnum():
        return text
    start = nfkc(text.lstrip()[:1])
    if text.startswith(_CONTROLS) or (start and start[0] in _FORMULA_CHARACTERS):
        return f"'{text}"
    return text
