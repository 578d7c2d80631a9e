"""How large a batch is: as large as keeps it short and its values in memory."""

from __future__ import annotations

SECONDS = 0.5
"""How long a batch should take: what another transaction may have to wait for a row of it."""
LEAST, MOST, FIRST = 50, 5000, 500
"""Rows of a batch; fewer only if they are wide. Above some thousands it gets no faster."""
SIZE = 8 << 20
"""Bytes of stored values that a batch may have."""
_RECOVERY = 1.1
"""How much larger than the one before a batch may be after others had to wait."""


class Pace:
    """
    Adapts the number of rows in a batch to how long the last one took and how wide its rows were.

    Args:
        most: the most rows of a batch.
        seconds: how long a batch should take.
    """

    def __init__(self, most: int = MOST, seconds: float = SECONDS) -> None:
        self.most = most
        self.seconds = seconds
        self.rows = min(FIRST, most)
        self._ceiling = float(most)

    def took(self, rows: int, size: int, seconds: float) -> None:
        """Learn from a batch: its rows, the bytes of its values, and how long it took."""
        if not rows:
            return
        wanted = self.rows * min(2.0, max(0.5, self.seconds / max(seconds, 1e-6)))
        widest = int(SIZE * rows / max(size, 1))
        self.rows = max(min(self._bounded(min(wanted, self._ceiling)), widest), 1)
        self._ceiling = min(self._ceiling * _RECOVERY, self.most)

    def others_wait(self) -> None:
        """Learn that other transactions wait for rows of a batch: halve it, and grow slowly."""
        self._ceiling = self._bounded(self.rows / 2)
        self.rows = self._bounded(self._ceiling)

    def _bounded(self, rows: float) -> int:
        return int(max(min(rows, self.most), min(LEAST, self.most)))
