"""
Dicts and lists that tell the ORM when they change, at any depth.

`sqlalchemy.ext.mutable` sees changes of the outermost object only, and cannot hold a JSON text
or number beside objects. These are plain `dict` and `list` otherwise: equal to them, pickled and
deep-copied as them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex, TypeAlias, cast

from sqlalchemy import event
from sqlalchemy.orm import InstanceState, QueryableAttribute
from sqlalchemy.orm.attributes import flag_modified

_State: TypeAlias = InstanceState[Any]


class Tracked:
    """What tracked dicts and lists share: where they hang, and what to do on a change."""

    _owners: weakref.WeakKeyDictionary[_State, str]
    _outer: weakref.ref[Tracked] | None

    def changed(self) -> None:
        """Mark the mapped attributes that hold this object, or an object around it."""
        outer = self._outer() if self._outer is not None else None
        if outer is not None:
            outer.changed()
        for state, key in list(self._owners.items()):
            instance = state.obj()
            if instance is not None:
                flag_modified(instance, key)

    def _adopt(self, value: Any) -> Any:
        return tracked(value, self)


class TrackedDict(Tracked, dict[str, Any]):
    """A dict that reports changes."""

    def __init__(self, value: Iterable[tuple[str, Any]] = (), outer: Tracked | None = None) -> None:
        self._owners = weakref.WeakKeyDictionary()
        self._outer = None if outer is None else weakref.ref(outer)
        super().__init__((key, tracked(item, self)) for key, item in value)

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

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return dict, (list(self.items()),)


class TrackedList(Tracked, list[Any]):
    """A list that reports changes."""

    def __init__(self, value: Iterable[Any] = (), outer: Tracked | None = None) -> None:
        self._owners = weakref.WeakKeyDictionary()
        self._outer = None if outer is None else weakref.ref(outer)
        super().__init__(tracked(item, self) for item in value)

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
        super().sort(**kwargs)
        self.changed()

    def reverse(self) -> None:
        """As `list.reverse`."""
        super().reverse()
        self.changed()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return list, (list(self),)


def tracked(value: Any, outer: Tracked | None = None) -> Any:
    """Return *value* as a tracked dict or list, or as it is if it is neither."""
    if isinstance(value, dict):
        return TrackedDict(value.items(), outer)
    if isinstance(value, list | tuple):
        return TrackedList(value, outer)
    return value


def track(attribute: QueryableAttribute[Any]) -> None:
    """Make a mapped attribute hold tracked values, however they come to it."""
    key = attribute.key

    def adopt(state: _State, value: Any) -> Any:
        wrapped = tracked(value)
        if isinstance(wrapped, Tracked):
            wrapped._owners[state] = key
        return wrapped

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
    listen(attribute.class_, "unpickle", on_load, raw=True, propagate=True)
    listen(attribute, "set", on_set, raw=True, retval=True, propagate=True)
