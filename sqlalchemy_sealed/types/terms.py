"""What is searched in a match index, as a bound parameter: terms in, their tokens out."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from ..envelope import TOKEN_SIZE, to_text
from ..errors import NotConfiguredError, ValueRefusedError
from ..match import MatchIndex, Place, searched_tokens
from .literals import rendering
from .token_sql import NO_TOKENS

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.type_api import _BindProcessorType, _LiteralProcessorType

    from .base import Encrypted


class TermType(TypeDecorator[Any]):
    """
    The type of what is searched: a term in, its tokens under every index key in use out.

    They are made when the statement runs, so one compiled statement serves all terms, and one or
    two index keys. They are bound as one text, together with how many of them have to be there.

    Args:
        source: the type of the searched column.
        place: where the term has to stand; None if a share of the words' grams is enough. Then
            the value is a pair of the words and the share.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = Text
    cache_ok = True

    def __init__(self, source: Encrypted[Any], place: Place | None) -> None:
        super().__init__()
        self.source = source
        self.place = place

    @property
    def match(self) -> MatchIndex:
        """The match index of the column."""
        return cast("MatchIndex", self.source.settings.match)

    @property
    def _static_cache_key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (type(self), self.source._static_cache_key, self.place)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Return this type."""
        return self

    def bind_processor(self, dialect: Dialect) -> _BindProcessorType[Any]:
        """Return the function from what is searched to the text that is bound."""
        write = _for_postgresql if dialect.name == "postgresql" else _as_json
        match: Callable[[Any], list[bytes]] | None = None

        def process(value: Any) -> str | None:
            nonlocal match
            if value is None:
                return None
            if match is None:
                match = self._matching()
            try:
                sets = [self._stored(tokens, dialect) for tokens in match(value)]
            except (ValueRefusedError, NotConfiguredError) as error:
                problem = error
            else:
                least = len(sets[0]) if self.place else least_common(len(sets[0]), value[1])
                return write(least, sets)
            raise problem.at(str(self.source.context))

        return process

    def literal_processor(self, dialect: Dialect) -> _LiteralProcessorType[Any]:
        """Return the function that renders the tokens into SQL text; it does not raise."""
        return rendering(self.bind_processor(dialect), dialect)

    def grams(self, value: Any) -> list[bytes]:
        """Return the grams of what is searched."""
        if self.place is None:
            return self.match.word_grams(value[0])
        return self.match.term_grams(value, self.place)

    def _matching(self) -> Callable[[Any], list[bytes]]:
        label = str(self.source.context)
        return self.source.sealer.matching(partial(searched_tokens, self.match, self.grams, label))

    def _stored(self, tokens: bytes, dialect: Dialect) -> list[str]:
        """Return tokens in the form in which the SQL for the column has them."""
        if self.source.settings.is_text:
            form = to_text(tokens)
            size = TOKEN_SIZE * 4 // 3
        else:
            form = tokens.hex() if dialect.name == "postgresql" else tokens.hex().upper()
            size = TOKEN_SIZE * 2
        return [form[at : at + size] for at in range(0, len(form), size)]


def least_common(grams: int, share: float) -> int:
    """Return how many of so many grams are the least share, one at least."""
    return max(1, ceil(round(grams * share, 9)))  # 10 times 0.7 is a little more than 7.


def _for_postgresql(least: int, sets: list[list[str]]) -> str:
    """
    Return the number, the two sets, and two samples of them, with bars between them.

    A text that has enough tokens of a set has one of any so many that too few are left.
    """
    first, second = sets if len(sets) > 1 else (sets[0], [NO_TOKENS])
    samples = (tokens[: max(1, len(tokens) - least + 1)] for tokens in (first, second))
    parts = (" ".join(tokens) for tokens in (first, second, *samples))
    return "|".join((str(least), *parts))


def _as_json(least: int, sets: list[list[str]]) -> str:
    """Return a list of sets, each of them with its number before the tokens."""
    items = [*([least, *tokens] for tokens in sets), [1, NO_TOKENS]]
    return json.dumps(items, separators=(",", ":"))
