"""Where the locks of an object of the library are."""

from __future__ import annotations

from threading import Lock, RLock

LOCKS = (type(Lock()), type(RLock()))


def locks_of(thing: object) -> list[tuple[object, str]]:
    """Return owner and name of every lock of an object of ours, and of what it is made of."""
    places: list[tuple[object, str]] = []
    waiting, seen = [thing], set()
    while waiting:
        owner = waiting.pop()
        if id(owner) in seen or not type(owner).__module__.startswith("sqlalchemy_sealed"):
            continue
        seen.add(id(owner))
        slots = (name for each in type(owner).__mro__ for name in getattr(each, "__slots__", ()))
        for name in sorted({*slots, *getattr(owner, "__dict__", ())}):
            part = getattr(owner, name, None)
            if isinstance(part, LOCKS):
                places.append((owner, name))
            else:
                waiting.append(part)
    return places
