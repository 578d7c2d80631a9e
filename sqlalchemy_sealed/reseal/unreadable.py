"""A value that is in the database, and that no driver or type makes a Python value of."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NotAnEnvelopeError, ValueRefusedError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """
    Stands for the value in a page.

    Attributes:
        problem: why it cannot be read; nothing of the value.
    """

    problem: str

    def __len__(self) -> int:
        """Return a size, as values have one."""
        return 0

    def as_plaintext(self, label: str | None) -> ValueRefusedError:
        """Return the error if it should be sealed."""
        return ValueRefusedError(self.problem, where=label)

    def as_sealed(self) -> NotAnEnvelopeError:
        """Return the error if it should be opened."""
        return NotAnEnvelopeError(self.problem)
