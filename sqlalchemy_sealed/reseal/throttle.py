"""Holding a run back: to a share of the load, for replicas that lag, for others that wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..errors import OptionError
from .pace import Pace
from .retries import Patience

log = logging.getLogger("sqlalchemy_sealed.reseal")

_LONGEST_REST = 60.0
_LOOK_SECONDS = 1.0
"""How often the lag of replicas is looked at."""
_WATCH_SECONDS = 0.2
"""How often it is looked whether others wait."""
_LAG = sa.text(
    "SELECT count(*), count(sent_lsn), "
    "coalesce(max(extract(epoch FROM replay_lag)), 0)::float8, "
    "coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::float8 "
    "FROM pg_stat_replication WHERE NOT pg_is_in_recovery()"
)
_WAITING = sa.text(
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> ALL (CAST(:pids AS integer[])) "
    "AND pg_blocking_pids(pid) && CAST(:pids AS integer[])"
)


@dataclass(frozen=True, slots=True)
class Throttle:
    """
    What a run leaves to others. All but the share of the load is for PostgreSQL.

    Attributes:
        load: the share of the time that it works, above 0 and up to 1.
        lag_seconds: it waits while a replica is this many seconds behind; None to not look. The
            database user needs the role pg_monitor to see it.
        lag_bytes: it waits while a replica has this many bytes of WAL to replay; None as above.
        lock_waits: whether batches become smaller when other transactions wait for their rows.

    Raises:
        OptionError: a share or a limit that cannot be.
    """

    load: float = 1.0
    lag_seconds: float | None = 10.0
    lag_bytes: int | None = 256 << 20
    lock_waits: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.load <= 1:
            raise OptionError("the share of the load is a number above 0 and up to 1")
        if any(limit is not None and limit <= 0 for limit in (self.lag_seconds, self.lag_bytes)):
            raise OptionError("a limit of the lag is a number above 0, or None")


class Brake:
    """
    Holds one run back. Used as a context manager around it, and called after each batch.

    Args:
        throttle: how much.
        engine: of the database.
        pace: whose batches become smaller.
        patience: of the run: what stops it, and its connections.
        pulse: called now and then while it waits.
    """

    def __init__(
        self,
        throttle: Throttle,
        engine: sa.Engine,
        pace: Pace,
        patience: Patience,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        self.throttle = throttle
        self.engine = engine
        self.pace = pace
        self.pulse = pulse
        self.waits = 0
        """How often others were seen to wait."""
        self.rested = 0.0
        """Seconds that the run was held back."""
        self._stop = patience.stop
        self._writers = patience.writers
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._since = self._looked = monotonic()
        is_postgresql = engine.dialect.name == "postgresql"
        limits = (throttle.lag_seconds, throttle.lag_bytes)
        self._looks = is_postgresql and any(limit is not None for limit in limits)
        self._watches = is_postgresql and throttle.lock_waits

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._since = monotonic()
        if self._watches:
            self._watcher = threading.Thread(target=self._watch, name="sealed-watcher", daemon=True)
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End watching."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()

    def __call__(self) -> None:
        """Wait after a batch for as long as the throttle asks for."""
        busy = monotonic() - self._since
        self._rest(min(busy * (1 / self.throttle.load - 1), _LONGEST_REST))
        if self._looks and monotonic() - self._looked >= _LOOK_SECONDS:
            while self._is_behind() and not self._stop.is_set():
                self._rest(_LOOK_SECONDS)
            self._looked = monotonic()
        self._since = monotonic()

    def _rest(self, seconds: float) -> None:
        self.rested += seconds
        while seconds > 0 and not self._stop.wait(min(seconds, _LOOK_SECONDS)):
            seconds -= _LOOK_SECONDS
            self.pulse()

    def _is_behind(self) -> bool:
        row = self._told(_LAG)
        if row is None:
            return False
        replicas, seen, seconds, size = row
        if replicas and not seen:
            log.warning(
                "the lag of replicas is not shown to this database user; grant it pg_monitor, or "
                "the run does not wait for them"
            )
            self._looks = False
            return False
        limits = ((seconds, self.throttle.lag_seconds), (size, self.throttle.lag_bytes))
        return any(limit is not None and told > limit for told, limit in limits)

    def _watch(self) -> None:
        while not self._ended.wait(_WATCH_SECONDS):
            writers = list(self._writers)
            row = self._told(_WAITING, {"pids": writers}) if writers else None
            if row is not None and row[0]:
                self.waits += 1
                self.pace.others_wait()

    def _told(self, statement: Any, parameters: Any = None) -> Any:
        """Return what the database says, or nothing if it does not answer."""
        try:
            with self.engine.connect() as connection:
                return connection.execute(statement, parameters).one()
        except SQLAlchemyError:
            return None
