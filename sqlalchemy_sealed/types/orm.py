"""What mapped attributes of sealed types need: tracking of JSON, masking of what is assigned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.orm import InstanceState, Mapper, QueryableAttribute

from ..masked import MaskedStr
from .base import Encrypted
from .json import EncryptedJSON
from .tracked import track


def configure_mapper(mapper: Mapper[Any], class_: type[Any]) -> None:
    """Set up the sealed attributes of a class when its mapper is configured."""
    for prop in mapper.column_attrs:
        if prop.parent is not mapper:
            continue  # Inherited: listeners of the parent class propagate.
        type_ = prop.columns[0].type
        if isinstance(type_, EncryptedJSON) and type_.tracked:
            track(getattr(class_, prop.key))
        elif isinstance(type_, Encrypted) and type_.settings.masked:
            _mask(getattr(class_, prop.key))


def _mask(attribute: QueryableAttribute[Any]) -> None:
    key = attribute.key

    def on_set(_instance: Any, value: Any, _old: Any, _initiator: Any) -> Any:
        return MaskedStr(value) if type(value) is str else value

    def on_flush(state: InstanceState[Any], _context: Any, _names: Any) -> None:
        # A default, and what a bulk UPDATE changed, come in without being set.
        if type(state.dict.get(key)) is str:
            state.dict[key] = MaskedStr(state.dict[key])

    listen = cast("Callable[..., None]", event.listen)
    listen(attribute, "set", on_set, retval=True, propagate=True)
    listen(attribute.class_, "refresh_flush", on_flush, raw=True, propagate=True)
    listen(attribute.class_, "refresh", on_flush, raw=True, propagate=True)


event.listen(Mapper, "mapper_configured", configure_mapper)
