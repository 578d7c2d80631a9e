"""
Dicts and lists that tell the ORM when they change, at any depth.

`sqlalchemy.ext.mutable` sees changes of the outermost object only, and cannot hold a JSON text
or number beside objects. These are plain `dict` and `list` otherwise: equal to them, and copied
as them. Pickled and deep-copied they stay what they are, for the sake of the row around them.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, SupportsIndex, TypeAlias, cast

from sqlalchemy import event
from sqlalchemy.orm import InstanceState, QueryableAttribute
from sqlalchemy.orm.attributes import flag_modified

from ..codecs.json import MAX_DEPTH, refuse_depth

_State: TypeAlias = InstanceState[Any]


class Tracked:
    """What tracked dicts and lists share: where they hang, and what to do on a change."""

    _owners: weakref.WeakKeyDictionary[_State, str]
    _outer: weakref.ref[Tracked] | None

    def changed(self) -> None:
        """Mark the mapped attributes that hold this object, or an object around it."""
        document: Tracked | None = self
        while document is not None:
            for state, key in list(document._owners.items()):
                instance = state.obj()
                if instance is not None:
                    flag_modified(instance, key)
            document = document._outer() if document._outer is not None else None

    def _adopt(self, value: Any) -> Any:
        # Always a copy: an object that was put into itself would be a circle.
        return tracked(value._content() if isinstance(value, Tracked) else value, self)

    def _hang(self, outer: Tracked | None) -> None:
        self._owners = weakref.WeakKeyDictionary()
        self._outer = None if outer is None else weakref.ref(outer)

    @property
    def _is_free(self) -> bool:
        """Whether it hangs nowhere, as after it was unpickled."""
        return not self._owners and (self._outer is None or self._outer() is None)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Pickle as itself: only so can a row that was pickled go on to see changes."""
        return type(self), (self._content(),)

    def __copy__(self) -> Any:
        return self._content()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # As itself, like a pickle: the copy of a row goes on to see changes.
        return tracked(copy.deepcopy(self._content(), memo))

    def _content(self) -> Any:
        raise NotImplementedError  # pragma: no cover


class TrackedDict(Tracked, dict[str, Any]):
    """A dict that reports changes."""

    def __init__(
        self,
        value: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        outer: Tracked | None = None,
        depth: int = 0,
    ) -> None:
        self._hang(outer)
        items = dict(value).items()
        super().__init__({key: tracked(item, self, depth + 1) for key, item in items})

    def _content(self) -> dict[str, Any]:
        return dict(self)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, self._adopt(value))
        self.changed()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.changed()

    def __ior__(self, other: Any) -> TrackedDict:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As `dict.setdefault`."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As `dict.update`."""
        super().update({k: self._adopt(v) for k, v in dict(*args, **kwargs).items()})
        self.changed()

    def pop(self, *args: Any) -> Any:
        """As `dict.pop`."""
        value = super().pop(*args)
        self.changed()
        return value

    def popitem(self) -> tuple[str, Any]:
        """As `dict.popitem`."""
        item = super().popitem()
        self.changed()
        return item

    def clear(self) -> None:
        """As `dict.clear`."""
        super().clear()
        self.changed()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class TrackedList(Tracked, list[Any]):
    """A list that reports changes."""

    def __init__(
        self, value: Iterable[Any] = (), outer: Tracked | None = None, depth: int = 0
    ) -> None:
        self._hang(outer)
        super().__init__([tracked(item, self, depth + 1) for item in value])

    def _content(self) -> list[Any]:
        return list(self)

    def __setitem__(self, index: Any, value: Any) -> None:
        many = isinstance(index, slice)
        super().__setitem__(index, list(map(self._adopt, value)) if many else self._adopt(value))
        self.changed()

    def __delitem__(self, index: Any) -> None:
        super().__delitem__(index)
        self.changed()

    def __iadd__(self, other: Iterable[Any]) -> TrackedList:  # type: ignore[misc]
        self.extend(other)
        return self

    def __imul__(self, count: SupportsIndex) -> TrackedList:
        self[:] = list(self) * count
        return self

    def append(self, value: Any) -> None:
        """As `list.append`."""
        super().append(self._adopt(value))
        self.changed()

    def extend(self, values: Iterable[Any]) -> None:
        """As `list.extend`."""
        super().extend([self._adopt(value) for value in values])
        self.changed()

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """As `list.insert`."""
        super().insert(index, self._adopt(value))
        self.changed()

    def pop(self, *args: Any) -> Any:
        """As `list.pop`."""
        value = super().pop(*args)
        self.changed()
        return value

    def remove(self, value: Any) -> None:
        """As `list.remove`."""
        super().remove(value)
        self.changed()

    def clear(self) -> None:
        """As `list.clear`."""
        super().clear()
        self.changed()

    def sort(self, **kwargs: Any) -> None:
        """As `list.sort`."""
        try:
            super().sort(**kwargs)
        finally:
            self.changed()  # A comparison that raises leaves another order.

    def reverse(self) -> None:
        """As `list.reverse`."""
        super().reverse()
        self.changed()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def tracked(value: Any, outer: Tracked | None = None, depth: int = 0) -> Any:
    """
    Return *value* as a tracked dict or list, or as it is if it is neither.

    Raises:
        ValueRefusedError: it contains itself, or is nested too deep to be stored.
    """
    if isinstance(value, Tracked) and value._is_free:
        value._hang(outer)
        return value
    if not isinstance(value, dict | list | tuple):
        return value
    if depth >= MAX_DEPTH:
        refuse_depth()
    kind = TrackedDict if isinstance(value, dict) else TrackedList
    return kind(cast("Any", value), outer, depth)


def track(attribute: QueryableAttribute[Any]) -> None:  # noqa: C901 - one listener an event
    """Make a mapped attribute hold tracked values, however they come to it."""
    key = attribute.key

    def adopt(state: _State, value: Any) -> Any:
        wrapped = tracked(value)
        if isinstance(wrapped, Tracked):
            wrapped._owners[state] = key
        return wrapped

    def on_pickle(state: _State, pickled: dict[str, Any]) -> None:
        # The values of the row come after its state: the state brings its own reference along.
        if isinstance(state.dict.get(key), Tracked):
            pickled.setdefault("sqlalchemy_sealed.tracked", {})[key] = state.dict[key]

    def on_unpickle(state: _State, pickled: dict[str, Any]) -> None:
        document = pickled.get("sqlalchemy_sealed.tracked", {}).get(key)
        if document is not None:
            document._owners[state] = key

    def on_load(state: _State, *_: Any) -> None:
        if key in state.dict:
            state.dict[key] = adopt(state, state.dict[key])

    def on_refresh(state: _State, _context: Any, names: Iterable[str] | None) -> None:
        if not names or key in names:
            on_load(state)

    def on_set(state: _State, value: Any, old: Any, _initiator: Any) -> Any:
        if value is old:
            return value
        if isinstance(old, Tracked):
            old._owners.pop(state, None)
        return adopt(state, value)

    listen = cast("Callable[..., None]", event.listen)
    listen(attribute.class_, "load", on_load, raw=True, propagate=True)
    listen(attribute.class_, "refresh", on_refresh, raw=True, propagate=True)
    listen(attribute.class_, "refresh_flush", on_refresh, raw=True, propagate=True)
    listen(attribute.class_, "pickle", on_pickle, raw=True, propagate=True)
    listen(attribute.class_, "unpickle", on_unpickle, raw=True, propagate=True)
    listen(attribute, "set", on_set, raw=True, retval=True, propagate=True)
