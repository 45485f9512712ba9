"""Delimited text as an array: fast for well-formed files, and exact about the line and column of a mistake."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

__all__ = ["read_delimited"]

_ENCODING = "utf-8-sig"  # UTF-8, with or without a byte order mark
_DELIMITERS = ("\t", ";", ",", None)  # None: runs of spaces


@dataclass
class _Layout:
    """The format of a file, found from its first lines."""

    delimiter: str | None
    names: list[str]  # "column 1", ... where there is no header
    has_header: bool
    skip: int  # physical lines before the first row
    first_line: int  # the line that sets the number of columns


def read_delimited(path: Path, find_label: Callable[[list[str]], str | None]) -> tuple[np.ndarray, np.ndarray | None]:
    """The table in a text file as X (n, d) float64, and the labels (n,) if ``find_label(names)`` names a column.

    ``names`` are those of the header, and empty without one.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a table of numbers; the message has the line and column of the first mistake.
    """
    try:
        layout = _look(path)
        label = find_label(layout.names if layout.has_header else [])
        codes: dict[str, int] = {}  # label -> number, so that one pass can read text labels
        converters: dict[int | str, Callable[[str], float]] = {}
        if layout.has_header and layout.names[0] == "":
            converters[0] = lambda cell: 0.0  # a row index
        if label is not None:
            converters[layout.names.index(label)] = lambda cell: float(codes.setdefault(cell.strip(), len(codes)))
        try:
            X = np.loadtxt(
                path,
                delimiter=layout.delimiter,
                skiprows=layout.skip,
                converters=converters or None,
                comments=None,
                quotechar='"',
                ndmin=2,
                encoding=_ENCODING,
            )
        except ValueError as error:
            problem = _first_problem(path, layout, label) or str(error)
            raise ValueError(f"{path}, {problem}") from None
        if X.shape[1] != len(layout.names) or "" in codes:
            raise ValueError(f"{path}, {_first_problem(path, layout, label)}")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{path} is not delimited text ({error})") from None
    y = None
    if label is not None:
        y = _numbers_if_possible(np.array(list(codes)))[X[:, layout.names.index(label)].astype(np.intp)]
    left_out = [int(j) for j in converters]
    return (np.delete(X, left_out, axis=1) if left_out else X), y


def _look(path: Path) -> _Layout:
    """Delimiter and header from the first two lines that are not empty."""
    with open(path, encoding=_ENCODING, newline="") as file:
        lines = list(islice(((i, line) for i, line in enumerate(file, 1) if line.strip("\r\n")), 2))
    if not lines:
        raise ValueError(f"{path} is empty")
    (number, first), second = lines[0], lines[-1][1]
    if "\0" in first + second:
        raise ValueError(f"{path} is a binary file, not delimited text")
    first = first.lstrip().removeprefix("#")  # as numpy.savetxt writes a header
    delimiter = _delimiter(first, second)
    cells = _split(first, delimiter)
    has_header = _is_header(cells)
    if has_header and len(lines) == 1:
        raise ValueError(f"{path} has a header and no rows")
    names = cells if has_header else [f"column {j}" for j in range(1, len(cells) + 1)]
    return _Layout(delimiter, names, has_header, number if has_header else number - 1, number)


def _delimiter(first: str, second: str) -> str | None:
    """The first delimiter that splits both lines into the same number of cells, else the first that splits line 1."""
    counts = [(len(_split(first, d)), len(_split(second, d)), d) for d in _DELIMITERS]
    for a, b, delimiter in counts:
        if a == b > 1:
            return delimiter
    return next((delimiter for a, _, delimiter in counts[:-1] if a > 1), ",")


def _split(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter))]


def _is_header(cells: list[str]) -> bool:
    """Some cell is text, and all numbers are whole: pandas names columns without names 0, 1, 2, ..."""
    return any(c and not _is_number(c) for c in cells) and not any(_is_number(c) and not c.isdigit() for c in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python accepts 1_000, which is not a number in a text file


def _first_problem(path: Path, layout: _Layout, label: str | None) -> str | None:
    """A message about the first ragged row, empty cell or text, with its place; slow, called for bad files only."""
    for line, row in _rows(path, layout):
        if len(row) != len(layout.names):
            return f"line {line}: {len(row)} cells, but line {layout.first_line} has {len(layout.names)}"
        for j, (name, cell) in enumerate(zip(layout.names, row, strict=True)):
            place = f"line {line}, {f'column {j + 1} ({name!r})' if layout.has_header else name}"
            if layout.has_header and (name == label or (j == 0 and name == "")):
                if name == label and not cell.strip():
                    return f"{place}: the label is missing"
            elif not cell.strip():
                return f"{place}: the cell is empty; fill it or remove the row"
            elif not _is_number(cell):
                hint = "a column of labels needs a header: y, label or target, or one named by label= or --label"
                if _is_number(cell.replace(",", ".")):
                    hint = "write decimals with a point"
                return f"{place}: {cell.strip()!r} is not a number; {hint}"
    return None


def _rows(path: Path, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each row below the header."""
    with open(path, encoding=_ENCODING, newline="") as file:
        for _ in range(layout.skip):
            next(file)
        if layout.delimiter is None:
            yield from ((i, line.split()) for i, line in enumerate(file, layout.skip + 1) if line.strip())
        else:
            reader = csv.reader(file, delimiter=layout.delimiter)
            yield from ((layout.skip + reader.line_num, row) for row in reader if row)


def _numbers_if_possible(labels: np.ndarray) -> np.ndarray:
    """Text labels as int64 if all are whole numbers, as float64 if all are numbers, else unchanged."""
    if not all(_is_number(label) for label in labels):
        return labels
    values = labels.astype(np.float64)
    whole = bool(np.all(np.isfinite(values))) and bool(np.all(values == np.rint(values)))
    return values.astype(np.int64) if whole else values
