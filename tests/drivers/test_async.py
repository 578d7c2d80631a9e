"""What only asyncio has: streams, results that are read outside of the greenlet, cold keys."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from counted import Parts
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import registry

from drivers.places import Place
from drivers.stored import assert_sealed
from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer
from sqlalchemy_sealed.errors import ColdKeyError

NAMES = [f"canary {number}" for number in range(500)] + ["", "x" * 70_000]
ROWS = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]


def people(sealer: Sealer) -> sa.Table:
    """Return a table with a column of a sealer."""
    name = EncryptedString(index=BlindIndex(), sealer=sealer)
    return sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", name),
    )


@pytest.fixture
def parts() -> Parts:
    """Return a remote keystore and a remote provider."""
    return Parts()


def run(place: Place, table: sa.Table, main: Any) -> Any:
    """Run a coroutine with an engine on a database that has the table, and drop the table."""

    async def whole() -> Any:
        engine = place.async_engine()
        try:
            return await main(engine)
        finally:
            async with engine.begin() as connection:
                await connection.run_sync(table.metadata.drop_all)

    place.run(table.metadata.create_all)
    return asyncio.run(whole())


def test_streams(async_place: Place, sealer: Sealer) -> None:
    """Connections and sessions stream rows, one by one and in parts."""
    table = people(sealer)
    class_: Any = type("Person", (), {})
    registry().map_imperatively(class_, table)

    async def main(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(table.insert(), ROWS)
            query = sa.select(table.c.name).order_by(table.c.id)
            async with connection.stream(query) as rows:
                assert [name async for name in rows.scalars()] == NAMES
            async with connection.stream(query.execution_options(yield_per=100)) as rows:
                read = [[row.name for row in part] async for part in rows.partitions()]
                assert [len(part) for part in read] == [100] * 5 + [2]
                assert [name for part in read for name in part] == NAMES
        async with AsyncSession(engine) as session:
            stream = await session.stream_scalars(sa.select(class_).order_by(class_.id))
            assert [person.name async for person in stream] == NAMES

    run(async_place, table, main)


def test_results_of_connections_and_sessions(async_place: Place, sealer: Sealer) -> None:
    """A result is opened when it is fetched; what the ORM writes is sealed in the database."""
    table = people(sealer)
    class_: Any = type("Person", (), {})
    registry().map_imperatively(class_, table)

    async def main(engine: AsyncEngine) -> list[dict[str, Any]]:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            items = [class_() for _ in range(3)]
            for item, name in zip(items, ("canary a", "", None), strict=True):
                item.name = name
            session.add_all(items)
            await session.commit()
            await session.refresh(items[0])
            assert items[0].name == "canary a"
            found = await session.scalars(sa.select(class_).filter_by(name=""))
            assert found.one() is items[1]
        async with engine.connect() as connection:
            result = await connection.execute(sa.select(table.c.name).order_by(table.c.id))
            assert result.scalars().all() == ["canary a", "", None]

        async def read(number: int) -> str:
            async with engine.connect() as connection:
                return await connection.scalar(sa.select(table.c.name).where(table.c.id == number))

        assert await asyncio.gather(*(read(n % 2 + 1) for n in range(8))) == ["canary a", ""] * 4
        return await asyncio.to_thread(async_place.raw, "SELECT name FROM people ORDER BY id")

    raw = run(async_place, table, main)
    for row, value in zip(raw, ("canary a", "", None), strict=True):
        assert_sealed(row["name"], table.c.name, value, sealer, async_place)


def test_warm_keys(async_place: Place, parts: Parts) -> None:
    """A cold key is an error, and no call on the loop; after `awarm` there are none."""
    writer = parts.sealer()
    written = people(writer)

    async def write(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            with pytest.raises(ColdKeyError):  # That of the index.
                await connection.execute(written.insert(), ROWS[:2])
        await writer.awarm()
        async with engine.begin() as connection:
            await connection.execute(written.insert(), ROWS[:2])
        parts.manager.rotate("default")
        cold, warm = parts.sealer(), parts.sealer()
        parts.provider.delay = 0.05
        parts.provider.threads.clear()
        parts.keystore.threads.clear()
        async with engine.connect() as connection:
            with pytest.raises(ColdKeyError):
                (await connection.execute(sa.select(people(cold).c.name))).all()
        await warm.awarm()
        table = people(warm)
        async with engine.begin() as connection:
            await connection.execute(table.insert(), ROWS[2])
            names = await connection.scalars(sa.select(table.c.name).order_by(table.c.id))
            assert names.all() == NAMES[:3]
            found = await connection.scalars(
                sa.select(table.c.id).where(table.c.name.in_(NAMES[1:3])).order_by(table.c.id)
            )
            assert found.all() == [2, 3]
        assert threading.get_ident() not in parts.provider.threads | parts.keystore.threads
        assert parts.provider.threads

    run(async_place, written, write)
