"""
Published rules for the width of a truncated index.

* AWS Database Encryption SDK, specification of beacons, "Beacon Length": with X different
  values, sqrt(X) < 2^bits < X/2. The upper bound makes different values share an index value; the
  lower one keeps searches from reading everything.
* CipherSweet, "Blind Index Information Leaks": with R rows, 2 <= C <= sqrt(R), where
  C = R / 2^min(bits, domain) is how many rows share an index value and domain is the logarithm of
  the number of possible values. With more, it says, an index is of no use.

The first one looks at values, the second one at rows.
"""

from __future__ import annotations

import math

from .index import SLOT_BITS

Widths = tuple[int, int]


def coincidences(rows: int, *indexes: tuple[int, int]) -> float:
    """
    Return how many rows share all index values of one row, as CipherSweet counts them.

    Args:
        rows: how many rows there are.
        indexes: for each index its width and the logarithm of the number of possible values, in
            bits.
    """
    return max(1, rows) / 2.0 ** sum(min(bits, domain) for bits, domain in indexes)


def ciphersweet_widths(rows: int, distinct: int) -> Widths | None:
    """Return the least and the largest width by CipherSweet's rule, or None if there is none."""
    domain = math.ceil(math.log2(distinct))
    widths = [
        bits
        for bits in range(1, min(max(domain, 1), SLOT_BITS) + 1)
        if 2 <= coincidences(rows, (bits, domain)) <= math.sqrt(rows)
    ]
    return (widths[0], widths[-1]) if widths else None


def aws_widths(distinct: int) -> Widths | None:
    """Return the least and the largest width by the rule for AWS beacons, or None."""
    widths = [bits for bits in range(1, SLOT_BITS) if math.sqrt(distinct) < 2**bits < distinct / 2]
    return (widths[0], widths[-1]) if widths else None
