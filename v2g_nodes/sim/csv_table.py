"""CSV files as columns: found by name, whatever the case, separator or line ending; every error names a line.

Accepted: UTF-8 with or without byte order mark, LF / CRLF / CR, comma, semicolon or tab, quoted fields,
comment lines (`#`) above the header, blank lines. Refused, with file and line: anything that would have
to be guessed.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray

_DELIMITERS = ",;\t"


def number(value: float) -> str:
    """A number as a message shows it."""
    return f"{value:.6g}" if abs(value) < 1e5 else f"{value:.10g}"


@dataclass(frozen=True)
class Table:
    """A CSV file split into a header and lines that are parsed when a column is asked for.

    Args:
        path: where it was read from, as messages name it.
        header: column names, lower case, stripped.
        delimiter: separator found in the header.
        lines: non-blank lines below the header.
        line_numbers: line in the file of each of them, from 1.
        header_line: line of the header.
    """

    path: str
    header: tuple[str, ...]
    delimiter: str
    lines: Sequence[str]
    line_numbers: Sequence[int]
    header_line: int

    def fail(self, row: int, what: str) -> NoReturn:
        """Refuse a row.

        Raises:
            InputError: file, line, what was found and what is allowed.
        """
        raise InputError(f"{self.path}:{self.line_numbers[row]}: {what}")

    def has(self, column: str) -> bool:
        """Whether the column exists."""
        return column in self.header

    def require(self, names: Sequence[str], what: str) -> str:
        """The first of `names` that is a column.

        Raises:
            InputError: none is; the message lists the columns found.
        """
        for name in names:
            if name in self.header:
                return name
        found = ", ".join(self.header)
        raise InputError(f"{self.path}:{self.header_line}: no column for {what}: found {found}; "
                         f"allowed {' or '.join(names)}")

    def numbers(self, column: str) -> FloatArray:
        """A column of finite numbers, shape (rows,).

        Raises:
            InputError: first line whose field is missing, not a number or not finite.
        """
        index = self.header.index(column)
        _ = self._widths_agree
        try:
            values = np.loadtxt(self.lines, delimiter=self.delimiter, usecols=index, quotechar='"',
                                comments=None, ndmin=1)
        except ValueError:
            values = np.array([self._number(row, text, column) for row, text in enumerate(self.texts(column))])
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            self.fail(int(bad[0]), f"{column} is {self.texts(column)[int(bad[0])]!r}, allowed is a finite number")
        return values

    def texts(self, column: str) -> list[str]:
        """A column as stripped text.

        Raises:
            InputError: first line with another number of fields than the header.
        """
        index = self.header.index(column)
        return [fields[index].strip() for fields in self._fields]

    @cached_property
    def _widths_agree(self) -> bool:
        # checked once: numpy takes the wanted field of a row that has too many, so a decimal comma would
        # pass as a whole number
        wanted = len(self.header) - 1
        for row, line in enumerate(self.lines):
            if line.count(self.delimiter) != wanted and '"' not in line:
                self.fail(row, f"{line.count(self.delimiter) + 1} fields, allowed are {wanted + 1} as in the header")
            if '"' in line:
                return len(self._fields) > 0  # quoted fields may hold the separator: split them properly
        return True

    @cached_property
    def _fields(self) -> list[list[str]]:
        rows = []
        for row, line in enumerate(self.lines):
            fields = next(csv.reader([line], delimiter=self.delimiter))
            if len(fields) != len(self.header):
                self.fail(row, f"{len(fields)} fields, allowed are {len(self.header)} as in the header")
            rows.append(fields)
        return rows

    def _number(self, row: int, text: str, column: str) -> float:
        try:
            return float(text)
        except ValueError:
            hint = " (decimal comma; write a point)" if _is_decimal_comma(text) else ""
            self.fail(row, f"{column} is {text!r}, allowed is a finite number{hint}")


def _is_decimal_comma(text: str) -> bool:
    try:
        return text.count(",") == 1 and math.isfinite(float(text.replace(",", ".")))
    except ValueError:
        return False


def read_table(path: str | Path) -> Table:
    """Open a CSV file and read its header.

    Args:
        path: file with a header row.

    Raises:
        InputError: missing, unreadable, empty, not UTF-8, only a header, doubled column.
    """
    name = str(path)
    lines = io.StringIO(_text(path), newline=None).read().split("\n")
    start = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if start is None:
        raise InputError(f"{name}: the file is empty, allowed is a header row and at least one row of data")
    delimiter = max(_DELIMITERS, key=lines[start].count)
    header = tuple(field.strip().lower() for field in next(csv.reader([lines[start]], delimiter=delimiter)))
    doubled = sorted({field for field in header if field and header.count(field) > 1})
    if doubled:
        raise InputError(f"{name}:{start + 1}: column {', '.join(doubled)} appears more than once, allowed is once")
    numbers = [k for k, line in enumerate(lines) if k > start and line and not line.isspace()]
    if not numbers:
        raise InputError(f"{name}:{start + 1}: only a header, allowed is a header row and at least one row of data")
    return Table(name, header, delimiter, [lines[k] for k in numbers], [k + 1 for k in numbers], start + 1)


def _text(path: str | Path) -> str:
    name = str(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}, allowed is a readable CSV file") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8, allowed is UTF-8 text") from error
