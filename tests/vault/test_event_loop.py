"""Fifty tasks on an event loop, and a Vault that takes its time: nobody waits on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from counted import Clock, until
from servers.relay import Relay
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from vault_stage import NEW, OLD, Stage

from sqlalchemy_sealed.errors import ColdKeyError, StaleKeysError

TASKS = 50


@pytest.fixture
def stage(root: Any, relay: Relay, tmp_path: Path) -> Stage:
    """Return an application that has one of its two data keys at hand. Vault takes 0.3 seconds."""
    stage = Stage(root, relay, tmp_path)
    relay.delay = 0.3
    stage.asked()
    return stage


async def in_tasks(stage: Stage, work: Callable[[Callable[[int], Any]], Awaitable[Any]]) -> Any:
    """Return what many tasks give at once; *work* gets what reads a row of a number."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{stage.database}", poolclass=sa.NullPool)

    async def read(number: int) -> str:
        async with AsyncSession(engine) as session:
            found = sa.select(stage.people.c.name).where(stage.people.c.id == number)
            return (await session.scalars(found)).one()

    try:
        return await asyncio.gather(*(work(read) for _ in range(TASKS)))
    finally:
        await engine.dispose()


def test_many_tasks_share_one_call(stage: Stage) -> None:
    """Who comes first fails at once instead of waiting; one call of Vault serves all."""

    async def work(read: Any) -> tuple[str, int]:
        for failures in range(3000):
            try:
                return await read(1), failures
            except ColdKeyError:
                await asyncio.sleep(0.01)
        raise AssertionError("the key never came")

    found = asyncio.run(in_tasks(stage, work))
    assert {value for value, _ in found} == {OLD}
    assert max(failures for _, failures in found) > 0
    assert stage.asked() == ["POST decrypt/sealed"]


def test_after_warming_no_task_fails(stage: Stage) -> None:
    """The loop goes on while keys are unwrapped elsewhere; then all values open at once."""

    async def main() -> list[str]:
        turns = 0
        warming = asyncio.ensure_future(stage.sealer.awarm())
        while not warming.done():
            turns += 1
            await asyncio.sleep(0.001)
        await warming
        assert turns > 10
        # A look at the transit key; then the old data key and the index key.
        assert stage.asked() == ["GET keys/sealed", "POST decrypt/sealed", "POST decrypt/sealed"]
        return await in_tasks(stage, lambda read: read(1))

    assert asyncio.run(main()) == [OLD] * TASKS
    assert stage.asked() == []


def test_a_refresh_is_not_waited_for(stage: Stage, clock: Clock) -> None:
    """While Vault answers nobody, values are sealed and opened up to the limits."""
    stage.relay.silent = True
    clock.ahead = 11
    assert asyncio.run(in_tasks(stage, lambda read: read(2))) == [NEW] * TASKS
    until(lambda: stage.relay.requests != [])
    assert stage.asked() == ["GET keys/sealed"]


def test_past_a_limit_a_task_fails_at_once(stage: Stage, clock: Clock) -> None:
    """It does not wait to hear whether the keys are fresh; they soon are."""

    async def work(_read: Any) -> bool:
        with pytest.raises(StaleKeysError, match="freshness limit"):
            stage.sealer.seal(b"", "people.name")
        return True

    clock.ahead = 101
    assert all(asyncio.run(in_tasks(stage, work)))
    until(lambda: stage.sealer.kept().cache.fresh_until > clock())
    assert stage.asked() == ["GET keys/sealed"]
    stage.write(NEW)
