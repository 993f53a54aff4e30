"""What leaves the service as a table: the formats, and texts that no spreadsheet runs."""

from enum import StrEnum

from domain.characters import nfkc


class ExportFormat(StrEnum):
    CSV = "CSV"
    XLSX = "XLSX"


# What a spreadsheet takes for the beginning of a formula, also in full width.
_FORMULA_SIGNS = "=+-@"
_CONTROLS = ("\t", "\r", "\n")


def escape_formula(text: str) -> str:
    """The text for a CSV file: what could be a formula begins with an apostrophe."""
    start = nfkc(text.lstrip()[:1])
    if text.startswith(_CONTROLS) or (start and start[0] in _FORMULA_SIGNS):
        return f"'{text}"
    return text
