"""XLSX files written row by row: sheets are temporary files until the workbook is closed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.worksheet import Worksheet

from integrations.storage.disk import run_file_io
from resolvers.exports.columns import Column

WORKBOOK_FAILED = "workbook_failed"


class Workbook:
    """A workbook. Strings are written as strings, never as formulas, numbers or hyperlinks."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "workbook.xlsx"
        self._book = xlsxwriter.Workbook(
            self.path, {"constant_memory": True, "tmpdir": str(folder)}
        )
        self._bold = self._book.add_format({"bold": True})
        self._sheets: dict[str, tuple[Worksheet, Sequence[Column]]] = {}
        self._rows: dict[str, int] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncGenerator[Self]:
        """Complete the file at `path` on exit; close it also after an error."""
        workbook = await run_file_io(WORKBOOK_FAILED, cls, folder)
        try:
            yield workbook
        finally:
            await run_file_io(WORKBOOK_FAILED, workbook.close)

    def close(self) -> None:
        """Raises OSError, unwrapped from xlsxwriter's error."""
        try:
            self._book.close()
        except FileCreateError as error:
            raise error.args[0] from None
        finally:
            for sheet in self._book.worksheets():
                # xlsxwriter leaves them open after an error, and an open file takes up space even
                # after its deletion.
                for file in (sheet.row_data_fh, sheet.fh):
                    with suppress(OSError):
                        file.close()

    async def add_sheet(self, name: str, columns: Sequence[Column]) -> None:
        await run_file_io(WORKBOOK_FAILED, self._add_sheet, name, columns)

    async def add_rows(self, name: str, entries: Sequence[Any]) -> None:
        """Append a row for each entry."""
        await run_file_io(WORKBOOK_FAILED, self._add_rows, name, entries)

    def _add_sheet(self, name: str, columns: Sequence[Column]) -> None:
        sheet = self._book.add_worksheet(name)
        for index, column in enumerate(columns):
            sheet.set_column(index, index, column.width)
            sheet.write_string(0, index, column.header, self._bold)
        sheet.freeze_panes(1, 0)
        self._sheets[name] = sheet, columns
        self._rows[name] = 1

    def _add_rows(self, name: str, entries: Sequence[Any]) -> None:
        sheet, columns = self._sheets[name]
        for row, entry in enumerate(entries, start=self._rows[name]):
            for index, column in enumerate(columns):
                value = column.value(entry)
                if isinstance(value, int):
                    sheet.write_number(row, index, value)
                elif value:
                    sheet.write_string(row, index, value)
        self._rows[name] += len(entries)
