"""On an event loop: no call of a remote keystore or provider on its thread."""

from __future__ import annotations

import asyncio
import threading
from uuid import uuid4

import pytest
import sqlalchemy as sa
from counted import Parts, until
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from sqlalchemy_sealed import (
    Context,
    EncryptedString,
    KeyLimits,
    KeyManager,
    MemoryKeystore,
    get_sealer,
)
from sqlalchemy_sealed.errors import ColdKeyError, ProviderUnreachableError, StaleKeysError
from sqlalchemy_sealed.providers.passphrase import FEWEST_ITERATIONS, Passphrase


def table_of(sealer) -> sa.Table:
    """Return a table with a column of a sealer."""
    column = sa.Column("email", EncryptedString(context="a.b", sealer=sealer.name))
    return sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), column)


async def retried(work):
    """Return what *work* gives, trying again while a key is being fetched, and how often."""
    for tries in range(500):
        try:
            return await work(), tries
        except ColdKeyError:
            await asyncio.sleep(0.01)
    raise AssertionError("the key never came")


@pytest.mark.parametrize("known", [True, False], ids=["not unwrapped", "unknown"])
@pytest.mark.parametrize("use", ["connection", "session"])
def test_a_cold_key_is_an_error_and_then_there(use: str, known: bool, parts: Parts) -> None:
    """The loop is not held up; the key is fetched in the background, and a retry succeeds."""
    early = parts.sealer()
    if not known:
        parts.manager.rotate("default")
    data = parts.sealer().seal(b"ada", "a.b")
    parts.manager.rotate("default")
    reader = parts.sealer() if known else early
    table = table_of(reader)
    parts.provider.delay = parts.keystore.delay = 0.02
    parts.provider.threads.clear()
    parts.keystore.threads.clear()

    async def main():
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.run_sync(table.create)
            await connection.execute(sa.text("INSERT INTO t (email) VALUES (:e)"), {"e": data})

        async def read():
            if use == "connection":
                async with engine.connect() as connection:
                    return (await connection.execute(sa.select(table.c.email))).scalar_one()
            async with AsyncSession(engine) as session:
                return (await session.scalars(sa.select(table.c.email))).one()

        try:
            return await retried(read)
        finally:
            await engine.dispose()

    value, tries = asyncio.run(main())
    assert (value, tries > 0) == ("ada", True)
    assert threading.get_ident() not in parts.provider.threads | parts.keystore.threads
    assert parts.provider.threads


def test_warming_leaves_nothing_cold(parts: Parts) -> None:
    """After `await sealer.awarm()` every value opens at the first try."""
    data = parts.sealer().seal(b"ada", "a.b")
    parts.manager.rotate("default")
    reader = parts.sealer()
    parts.provider.threads.clear()

    async def main() -> bytes:
        await reader.awarm()
        await reader.arefresh()
        return reader.open(data, "a.b")

    assert asyncio.run(main()) == b"ada"
    assert threading.get_ident() not in parts.provider.threads


def test_an_index_key_that_is_rotated_elsewhere_is_not_cold(parts: Parts, clock) -> None:
    """A process that searches has the next index key before it is used: a refresh brings it."""
    sealer = parts.sealer(KeyLimits(refresh=10, fresh=100, cache=1000))
    match = sealer.matching(lambda key: lambda _value: key)
    seal = sealer.sealing_indexed(Context("a.b"), 1, lambda *keys: lambda _value: keys[0][:15])

    async def main() -> None:
        await sealer.awarm()
        assert len(match(None)) == 1
        for number, change in enumerate((parts.manager.announce_index, rotate_index), 1):
            change("default")
            known = sealer.kept().cache
            clock.ahead = 11 * number
            match(None)
            until(lambda known=known: sealer.kept().cache is not known)
            assert len(match(None)) == 2
            seal(b"", None)

    def rotate_index(name: str) -> None:
        parts.manager.rotate(name, index=True)

    asyncio.run(main())


def test_a_passphrase_is_not_stretched_on_the_loop() -> None:
    """That takes as long as a network does: after a change of iterations, older keys are cold."""
    store, text = MemoryKeystore(), "correct horse battery staple"
    before = Passphrase(text, iterations=FEWEST_ITERATIONS)
    KeyManager(store, before).create("default")
    writer, reader = (get_sealer(f"passphrase-{uuid4()}") for _ in range(2))
    writer.configure(keystore=store, provider=before, key_name="default")
    data = writer.seal(b"ada", "a.b")
    after = Passphrase(text, iterations=FEWEST_ITERATIONS + 1)
    KeyManager(store, after).rotate("default")
    new = Passphrase(text, iterations=FEWEST_ITERATIONS + 1)
    reader.configure(keystore=store, provider=new, key_name="default")

    async def main() -> tuple[bytes, int]:
        async def read() -> bytes:
            return reader.open(data, "a.b")

        return await retried(read)

    value, tries = asyncio.run(main())
    assert (value, tries > 0) == (b"ada", True)


def test_a_failing_provider_is_said(parts: Parts, clock) -> None:
    """While the failure stands it is the error; later ones name it, and are tried again."""
    data = parts.sealer().seal(b"ada", "a.b")
    parts.manager.rotate("default")
    reader = parts.sealer(KeyLimits(retry=60))
    parts.provider.broken = True

    async def main() -> None:
        before = parts.provider.unwraps
        with pytest.raises(ColdKeyError):
            reader.open(data, "a.b")
        flights = reader.kept().cache._unwrapped._flights
        until(lambda: flights.last_problem(data[4:12]) is not None)
        for _ in range(10):
            with pytest.raises(ProviderUnreachableError, match="does not answer"):
                reader.open(data, "a.b")
        assert parts.provider.unwraps == before + 1
        clock.ahead = 61
        parts.provider.broken = False
        with pytest.raises(ColdKeyError, match=r"the last try: .*it does not answer"):
            reader.open(data, "a.b")
        until(lambda: reader.kept().cache._unwrapped.count == 2)
        assert reader.open(data, "a.b") == b"ada"

    asyncio.run(main())


def test_stale_keys_are_refused_and_asked_for(parts: Parts, clock) -> None:
    """Past the freshness limit a seal on the loop fails at once, and soon succeeds."""
    sealer = parts.sealer(KeyLimits(refresh=10, fresh=100, cache=1000))
    parts.provider.threads.clear()

    async def main() -> None:
        clock.ahead = 101
        with pytest.raises(StaleKeysError, match="freshness limit of 100 seconds"):
            sealer.seal(b"", "a.b")
        until(lambda: sealer.kept().cache.fresh_until > clock())
        sealer.seal(b"", "a.b")

    asyncio.run(main())
    assert threading.get_ident() not in parts.provider.threads
