"""A Vault in raft storage that is restarted under an application which seals and opens rows."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hvac
import vault_stage
from counted import until
from fix_providers import skip_if_missing
from servers import openbao
from servers.openbao import Durable
from servers.relay import relaying
from vault_stage import NEW, OLD, Stage

from sqlalchemy_sealed import Context, KeyLimits

OFTEN = KeyLimits(refresh=0.05, fresh=3600, cache=7200, retry=0.05)


class Users:
    """Threads that seal and open values all the time."""

    def __init__(self, stage: Stage, count: int) -> None:
        context = Context("people.name")
        self._seal, self._open = stage.sealer.sealing(context), stage.sealer.opening(context)
        self._stop = threading.Event()
        self.errors: list[BaseException] = []
        self.done = 0
        self._threads = [threading.Thread(target=self._use) for _ in range(count)]

    def _use(self) -> None:
        try:
            while not self._stop.wait(0.001):
                assert self._open(self._seal(NEW.encode())) == NEW.encode()
                self.done += 1
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Wait until values were sealed and opened after now."""
        done = self.done
        until(lambda: bool(self.errors) or self.done > done + 100)
        assert self.errors == []


def test_a_restart_is_not_noticed(tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    """
    Stopped, started, sealed, unsealed: no value fails, and the keys are fresh again by themselves.

    What was sealed before opens after, also in a process that starts then.
    """
    skip_if_missing(openbao.installation)
    monkeypatch.setattr(vault_stage, "LIMITS", OFTEN)
    caplog.set_level(logging.INFO, "sqlalchemy_sealed.keys")
    server = Durable(tmp_path)
    with relaying(server.url) as relay, ExitStack() as first_life:
        first_life.enter_context(server.running())
        server.initialize()
        server.unseal()
        stage = Stage(hvac.Client(url=server.url, token=server.token), relay, tmp_path)
        cache = stage.sealer.kept().cache
        with Users(stage, 4) as users:
            first_life.close()
            users.go_on()
            until(lambda: "cannot be refreshed" in caplog.text)
            with server.running():
                users.go_on()
                server.unseal()
                until(lambda: "can be refreshed again" in caplog.text)
                fresh_until = cache.fresh_until
                until(lambda: cache.fresh_until > fresh_until)
                users.go_on()
                assert stage.read(1) == OLD
                stage.sealer.rotate()
                users.go_on()
                stage.write(NEW)
                stage.start()
                assert [stage.read(number) for number in (1, 2, 3)] == [OLD, NEW, NEW]
                assert caplog.text.count("cannot be refreshed") == 1  # And not once a value.
    assert users.errors == []
