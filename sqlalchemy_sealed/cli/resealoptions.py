"""Options of the commands that run over rows, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
import sqlalchemy as sa

from ..reseal.checks import check_keys
from ..reseal.models import SealedColumn, by_table, loaded, sealed_columns
from ..reseal.moves import Kind, job_of
from ..reseal.order import Job
from ..reseal.pace import MOST, Pace
from ..reseal.retries import Waits
from ..reseal.throttle import Throttle
from .database import engine_of

F = TypeVar("F", bound=Callable[..., Any])

URL_VARIABLE = "SEALED_DATABASE_URL"


def columns_arguments(command: F) -> F:
    """Add what says which columns: the models, names among them, and the database."""
    command = click.option(
        "--url",
        envvar=URL_VARIABLE,
        required=True,
        show_envvar=True,
        help="The database.",
    )(command)
    command = click.argument("names", metavar="[NAME]...", nargs=-1)(command)
    return click.argument("models", metavar="MODULE:OBJECT")(command)


def run_options(command: F) -> F:
    """Add the options of a run, and pass them as one `RunOptions`."""

    @click.option(
        "--key",
        "key",
        metavar="COLUMN",
        multiple=True,
        help="A unique column that is NOT NULL, for a table without a primary key; for several "
        "columns, several times.",
    )
    @click.option(
        "--workers",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="How many processes of this machine do it; more than one on PostgreSQL only.",
    )
    @click.option(
        "--shared",
        is_flag=True,
        help="Share the run with other machines that run the same command. PostgreSQL only.",
    )
    @click.option(
        "--batch",
        type=click.IntRange(1),
        default=MOST,
        show_default=True,
        metavar="ROWS",
        help="The most rows of a batch.",
    )
    @click.option(
        "--lock-timeout",
        type=click.FloatRange(0, min_open=True),
        default=Waits().locked,
        show_default=True,
        metavar="SECONDS",
        help="How long rows that others hold are tried, before they are left for the end.",
    )
    @click.option(
        "--max-lag",
        type=click.FloatRange(0, min_open=True),
        default=Throttle().lag_seconds,
        show_default=True,
        metavar="SECONDS",
        help="Wait while a replica is further behind. PostgreSQL only.",
    )
    @click.option(
        "--load",
        type=click.IntRange(1, 100),
        default=100,
        show_default=True,
        metavar="PERCENT",
        help="The share of the time that it works.",
    )
    @wraps(command)
    def wrapper(  # noqa: PLR0913 - the options
        *args: Any,
        key: tuple[str, ...],
        workers: int,
        shared: bool,
        batch: int,
        lock_timeout: float,
        max_lag: float,
        load: int,
        **kwargs: Any,
    ) -> Any:
        options = RunOptions(key, workers, shared, batch, lock_timeout, max_lag, load)
        return command(*args, options=options, **kwargs)

    return wrapper  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is done."""

    key: tuple[str, ...]
    workers: int
    shared: bool
    batch: int
    lock_timeout: float
    max_lag: float
    load: int

    def arguments(self) -> dict[str, Any]:
        """Return them as the engine takes them."""
        return {
            "workers": self.workers,
            "shared": self.shared,
            "pace": Pace(self.batch),
            "waits": Waits(locked=self.lock_timeout),
            "throttle": Throttle(load=self.load / 100, lag_seconds=self.max_lag),
        }


@dataclass(frozen=True, slots=True)
class Order:
    """
    What a command is to do. It can be pickled, for the processes of other workers.

    Attributes:
        url: the database.
        models: `module:object`.
        names: tables and columns; none for all.
        kind: what is done.
        other: see `job_of`.
        key: see `moved_table`.
        resume: see `job_of`.
    """

    url: str
    models: str
    names: tuple[str, ...]
    kind: Kind
    other: str | None
    key: tuple[str, ...]
    resume: Path | None = None

    def tables(self) -> list[list[SealedColumn]]:
        """Return the columns, by table."""
        columns = sealed_columns(loaded(self.models), self.names)
        return list(by_table(columns).values())

    def job(self, engine: sa.Engine, columns: Sequence[SealedColumn]) -> Job:
        """Return the job over the columns of one table."""
        with engine.connect() as connection:
            key = self.key or None
            return job_of(connection, self.kind, columns, self.other, key=key, resume=self.resume)


def made(order: Order, number: int) -> tuple[sa.Engine, Job]:
    """Return engine and job of one table of an order, in the process of another worker."""
    columns = order.tables()[number]
    check_keys(order.kind, columns)
    engine = engine_of(order.url)
    return engine, order.job(engine, columns)
