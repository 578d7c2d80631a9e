"""How long a process goes on with the keys it knows, when it cannot ask for them again."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .errors import OptionError


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """
    Limits of a key cache, in seconds since keystore and KEK provider were last asked and answered.

    Time is taken from the monotonic clock: a clock that is set forward or back changes nothing.
    `math.inf` is no limit.

    Attributes:
        refresh: from this age on, the next use asks again, in the background where that may take
            long. 300 by default.
        fresh: past this age nothing is sealed any more: the primary may have been replaced, or
            the access withdrawn. 3,600 by default.
        cache: past this age nothing is opened any more, and the keys are forgotten. 86,400 by
            default.
        retry: how long to wait after a failure before asking again. 1 by default.

    Raises:
        OptionError: a limit that is no positive number, or not refresh <= fresh <= cache.

    The rule that writing ends before reading is that of the Kubernetes KMS plugin, version 2.
    """

    refresh: float = 300.0
    fresh: float = 3600.0
    cache: float = 86400.0
    retry: float = 1.0

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        for field in fields(self):
            limit = getattr(self, field.name)
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
                raise OptionError(
                    f"the limit {field.name!r} of keys must be a number of seconds above 0"
                )
        if not self.refresh <= self.fresh <= self.cache:
            raise OptionError(
                "the limits of keys must be refresh <= fresh <= cache, and are "
                f"{self.refresh:g}, {self.fresh:g} and {self.cache:g} seconds"
            )
