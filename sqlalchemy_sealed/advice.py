"""What a plan for a blind index says in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .index import FEWEST_VALUES, SLOT_BITS, BlindIndex

if TYPE_CHECKING:
    from .plan import IndexPlan

OUTSTANDING = 0.1
"""A value in at least this share of the rows stands out at any width: 10 %."""
TELLING = 0.01
"""Lengths are warned of if they give away at least this share of the rows more: 1 %."""


def share(part: float) -> str:
    """Return a share, 0 to 1, in percent; small ones do not become 0."""
    if 0 < part < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= part < 1:
        return "> 99.9 %"
    return f"{100 * part:.1f} %"


def number(rows: float) -> str:
    """Return a number of rows."""
    return f"{rows:,.1f}" if rows < 10 and rows != int(rows) else f"{rows:,.0f}"


def reason(plan: IndexPlan) -> str:
    """Return why a plan recommends what it does."""
    if plan.has_few_values:
        return _few_values(plan)
    if plan.is_unique_like:
        if plan.repeated:
            which = (
                f"only {share(plan.repeated)} of the rows have a value that another row has, too"
            )
        else:
            which = "no value is there twice"
        return (
            f"{which}: equality shows little more than duplicates, and fewer bits would only make "
            "searches slower"
        )
    return (
        "the widest index of which a value is shared by more than two values on average: 2^bits "
        f"is less than half of {plan.distinct:,}"
    )


def _few_values(plan: IndexPlan) -> str:
    shown = (
        f"fewer than {FEWEST_VALUES}: at any width an index gives them away to whoever knows "
        "roughly how often each is there"
    )
    if plan.population is not None and plan.population < FEWEST_VALUES:
        shown = f"the type of the column has {plan.population} values, {shown}"
    elif plan.repeated:
        shown = f"there are {plan.distinct} different values, {shown}"
    else:
        shown = f"there are {plan.rows} values in all, too few to tell whether they will repeat"
    if plan.is_refused:
        return (
            f"{shown}. Leave the column without an index, and filter by other columns or after "
            "reading; if what it shows is accepted, say few_values"
        )
    return f"{shown}; that is accepted by few_values, and fewer bits would not help"


def notes(plan: IndexPlan) -> Iterator[str]:
    """Yield what else is to be known about a plan."""
    if plan.shares(1)[0] >= OUTSTANDING and plan.repeated:
        yield (
            f"The most frequent value is in {share(plan.shares(1)[0])} of the rows. Its index "
            "value stands out at any width, and so does which rows have another one."
        )
    if plan.recommended is None:
        return
    yield from _lengths(plan, plan.recommended)
    if plan.recommended == SLOT_BITS:
        yield (
            "Whoever reads the table and can have values of their choice sealed, as in a form, "
            "finds the rows that have one of them."
        )
    else:
        yield from _narrow(plan, plan.recommended)
    if plan.index.is_truncated and plan.index.bits != plan.recommended:
        yield from _asked(plan, plan.recommended)


def _lengths(plan: IndexPlan, bits: int) -> Iterator[str]:
    """Yield a warning if lengths give away much of what the index hides."""
    shown = plan.exposure(bits)
    if shown.with_length - shown.by_frequency >= TELLING * plan.rows:
        yield (
            f"Lengths help the attacker: {share(shown.with_length / plan.rows)} of the rows, and "
            f"{share(shown.by_frequency / plan.rows)} without them. Pad the column to more than "
            "its longest value: pad=."
        )


def _narrow(plan: IndexPlan, bits: int) -> Iterator[str]:
    """Yield what is to be known of a truncated index."""
    yield "An index of fewer bits is searched with execute_exact() and cannot be unique."
    least = plan.ciphersweet and plan.ciphersweet[0]
    if least is None:
        yield (
            f"By CipherSweet's rule no width is worth its leakage: each value is in "
            f"{number(plan.rows / plan.distinct)} rows on average, the square root of the rows is "
            f"{number(math.sqrt(plan.rows))}."
        )
    elif least > bits:
        yield (
            f"CipherSweet's rule asks for at least {least} bits, for faster searches: here the "
            "two rules exclude each other, and the one that hides more was taken."
        )


def _asked(plan: IndexPlan, recommended: int) -> Iterator[str]:
    """Yield a judgement of the width that was asked about."""
    if plan.index.bits > recommended:
        yield (
            f"{plan.index.bits} bits are more than recommended: fewer values share an index value, "
            "and more can be guessed."
        )
    else:
        yield f"{plan.index.bits} bits are fewer than recommended: searches read more rows."


def text(plan: IndexPlan) -> str:
    """Return a plan as lines of text."""
    most = ", ".join(share(part) for part in plan.shares())
    lines = [
        f"{plan.rows:,} values, {plan.distinct:,} different ones, {plan.nulls:,} NULL",
        f"the most frequent are in {most} of the rows",
        f"entropy {plan.shannon:.1f} bits (Shannon), {plan.min_entropy:.1f} bits (min-entropy)",
        f"widths: {_widths(plan.aws)} (AWS), {_widths(plan.ciphersweet)} (CipherSweet)",
    ]
    for bits in sorted({plan.recommended or SLOT_BITS, plan.index.bits, SLOT_BITS}):
        shown = plan.exposure(bits)
        lines.append(
            f"at {bits} bits an attacker names {share(shown.by_frequency / plan.rows)} of the rows "
            f"rightly by frequency, {share(shown.with_length / plan.rows)} with the length, at "
            f"most {share(shown.at_most / plan.rows)}; a search reads {number(shown.per_search)} "
            f"rows, {number(shown.false_matches)} of them in vain"
        )
    lines.append(f"recommended: {recommendation(plan)}, since {plan.reason}")
    return "\n".join([*lines, *plan.notes])


def recommendation(plan: IndexPlan) -> str:
    """Return the declaration that a plan recommends."""
    index: BlindIndex | None = plan.recommended_index
    return "no index" if index is None else repr(index)


def _widths(widths: tuple[int, int] | None) -> str:
    return "no width" if widths is None else f"{widths[0]} to {widths[1]} bits"
