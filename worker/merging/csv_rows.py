"""CSV records that come back as they were, from any reader."""

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

__all__ = ["CsvRows"]


class CsvRows:
    """Writes records, a line feed after each (RFC 4180 but for the carriage return, which Unix tools stumble over).

    Before Python 3.13 the csv module leaves a lone carriage return unquoted, and readers take it for the record's end.

    Args:
        file: opened with ``newline=""``.
    """

    def __init__(self, file: TextIO) -> None:
        self._plain = csv.writer(file, lineterminator="\n")
        self._quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, records: Iterable[Sequence[object]]) -> None:
        """Write records, in order."""
        for record in records:
            awkward = any("\r" in str(cell) for cell in record)
            (self._quoted if awkward else self._plain).writerow(record)
