"""
What keys in Vault cost: a value, the rewrap of all keys, and a start; on servers of its own.

    python benchmarks/bench_vault.py              10,000 data keys, some minutes
    python benchmarks/bench_vault.py --smoke      to see that it runs

`--rows` is the number of data keys that are rewrapped. The bare calls are those of hvac: the same
texts, made beforehand, in batches of the same size, to the same server, one after the other.
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import hvac
from common import Case, Report, Result, arguments, database, measure
from many_keys import fill, request, stored
from servers import openbao
from servers.openbao import OpenBao
from servers.relay import Relay, relaying
from warm_keys import sealers

from sqlalchemy_sealed import Context, FileKeystore, KeyManager, MemoryKeystore, Sealer
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.keystores.vaultkv import VaultKV
from sqlalchemy_sealed.protocols import Keystore
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply
from sqlalchemy_sealed.vault.transit import BATCH

WARM_BAR = 1.03
REWRAP_BAR = 1.10
MOUNT = "transit"
CONTEXT = Context("patients.email")
VALUE = b"ada.lovelace@example.org"
CHUNK = 500
"""Values that are timed together."""
TURN = 10
"""How often, before another sealer has its turn."""
KEYS_AT_START = 1000

Counts = dict[str, int]
Opened = Callable[[], Keystore]


def main() -> None:
    """Measure, print the table and write the figures."""
    given = arguments(str(__doc__).strip().splitlines()[0], rows=10_000, rounds=25)
    with ExitStack() as stack:
        server = stack.enter_context(openbao.running())
        relay = stack.enter_context(relaying(server.url))
        directory = Path(stack.enter_context(TemporaryDirectory()))
        url = stack.enter_context(database(given.url))
        apply(vault_at(server.url, server), DesiredKey())
        report = Report("Vault", settings(server, given.rows, given.rounds))
        few = sealers(vault_at(relay.url, server), table(url), directory, stack)
        warm(report, few[0], [relay, *few[1]], given.rounds)
        memory, file = MemoryKeystore(), FileKeystore(directory / "many.json")
        sqlite, postgresql = table(f"sqlite:///{directory / 'many.db'}"), table(url, "many_keys")
        kv = VaultKV(vault_at(server.url, server), path="many")
        stores: dict[str, Opened] = {
            "memory": lambda: memory,
            "file": lambda: file,
            "file, by a new process": lambda: FileKeystore(directory / "more.json"),
            "table of SQLite": lambda: sqlite,
            "table of PostgreSQL": lambda: postgresql,
            "Vault KV": lambda: kv,
        }
        bench = Rewrap(server, stores, given.rows)
        report.results += bench.section(given.rounds)
        report.counts |= bench.requests(relay)
        start(report, server, relay, min(given.rows, KEYS_AT_START), given.rounds)
    report.show()
    report.write(given.json)


def vault_at(url: str, server: OpenBao) -> Vault:
    """Return a connection to the server, over this address."""
    return Vault(url, auth=TokenAuth(server.token))


def table(url: Any, name: str = "sealed_keys") -> DatabaseKeystore:
    """Return an empty keystore in a database."""
    keystore = DatabaseKeystore(url, table=name)
    keystore.create()
    return keystore


@contextmanager
def counted(relays: list[Relay], counts: Counts, name: str, of: str = "/") -> Iterator[None]:
    """Count the requests of a block, on the way to the servers."""
    for relay in relays:
        relay.requests.clear()
    yield
    counts[name] = sum(of in each for relay in relays for each in relay.requests)


# -- values under keys at hand


def warm(report: Report, few: dict[str, Sealer], relays: list[Relay], rounds: int) -> None:
    """Seal and open with each KEK provider and keystore, against those of this process."""
    first, *others = few
    for verb, task in (("seal", sealing), ("open", opening)):
        cases = [Case(f"{verb}: {first}", task(few[first]), per=CHUNK)]
        cases += [
            Case(f"{verb}: {name}", task(few[name]), cases[0].name, WARM_BAR, CHUNK)
            for name in others
        ]
        values = f"{verb} {CHUNK * TURN * rounds:,} values with each of {len(few)} sealers"
        with counted(relays, report.counts, f"requests: {values}"):
            report.results += measure("one value", cases, lambda _: range(TURN), rounds)


def sealing(sealer: Sealer) -> Callable[[Any], object]:
    """Return what seals some values, as the processor of a type does."""
    seal = sealer.sealing(CONTEXT)
    return lambda _: [seal(VALUE) for _ in range(CHUNK)]


def opening(sealer: Sealer) -> Callable[[Any], object]:
    """Return what opens some values."""
    open_ = sealer.opening(CONTEXT)
    sealed = [sealer.seal(VALUE, CONTEXT) for _ in range(CHUNK)]
    return lambda _: [open_(each) for each in sealed]


# -- all keys, after the KEK turned


class Rewrap:
    """
    The rewrap of all keys of a keystore: read, rewrapped in Vault, and written.

    Args:
        server: the server.
        stores: open keystores, which are filled with different keys.
        count: how many keys.
    """

    def __init__(self, server: OpenBao, stores: dict[str, Opened], count: int) -> None:
        self.count = count
        self.stores = stores
        self.server = server
        self.client = hvac.Client(url=server.url, token=server.token)
        self.provider = VaultTransit(vault_at(server.url, server))
        for opened in stores.values():
            fill(opened(), self.client, MOUNT, count)

    def section(self, rounds: int) -> list[Result]:
        """Time them against the bare calls, one after the other."""
        bare = f"hvac: rewrap_data, {BATCH} at a time"
        cases = [
            Case(bare, self._bare, per=self.count),
            Case("the same, two under way", self._bare_two, bare, per=self.count),
        ]
        for place, opened in self.stores.items():
            bar = REWRAP_BAR if place in ("memory", "file", "file, by a new process") else None
            cases.append(Case(f"rewrap, {place}", self._ours(opened), bare, bar, self.count))
        for case in cases:
            case.around = collecting_garbage
        return measure(f"rewrap of {self.count:,} keys, each", cases, self._turned, rounds)

    def _turned(self, _: int) -> Sequence[Any]:
        """Turn the KEK, and return what the bare calls send, in batches."""
        self.provider.transit.rotate()
        items = request(stored(self.stores["memory"]()))
        return [[items[start : start + BATCH] for start in range(0, len(items), BATCH)]]

    def _send(self, batch: list[dict[str, str]]) -> None:
        self.client.secrets.transit.rewrap_data("sealed", ciphertext="", batch_input=batch)

    def _bare(self, batches: list[list[dict[str, str]]]) -> None:
        for batch in batches:
            self._send(batch)

    def _bare_two(self, batches: list[list[dict[str, str]]]) -> None:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(self._send, batches))

    def _ours(self, opened: Opened) -> Callable[[Any], None]:
        def rewrap(_: Any) -> None:
            done = KeyManager(opened(), self.provider).rewrap()
            assert (done.rewrapped, done.failed) == (self.count, ())

        return rewrap

    def requests(self, relay: Relay) -> Counts:
        """Return how many requests a rewrap is."""
        counts: Counts = {}
        self.provider.transit.rotate()
        provider = VaultTransit(vault_at(relay.url, self.server))
        with counted([relay], counts, f"requests: rewrap of {self.count:,} keys"):
            KeyManager(self.stores["memory"](), provider).rewrap()
        return counts


@contextmanager
def collecting_garbage() -> Iterator[None]:
    """Let Python collect garbage, as in a process that rewraps; not among what others left here."""
    gc.freeze()
    gc.enable()
    yield
    gc.disable()
    gc.unfreeze()


# -- a start


def start(report: Report, server: OpenBao, relay: Relay, count: int, rounds: int) -> None:
    """Start with one data key and with many, and use some of those."""
    client = hvac.Client(url=server.url, token=server.token)
    few, many = MemoryKeystore(), MemoryKeystore()
    fill(few, client, MOUNT, 1, names=1)
    fill(many, client, MOUNT, count, names=1)
    provider = VaultTransit(vault_at(relay.url, server))
    direct = VaultTransit(vault_at(server.url, server))
    (item,) = request(stored(few))
    cases = [
        Case("hvac: decrypt_data", lambda _: client.secrets.transit.decrypt_data("sealed", **item)),
        Case("start with 1 data key", lambda _: started(few, direct), "hvac: decrypt_data"),
        Case(
            f"start with {count:,} data keys",
            lambda _: started(many, direct),
            "start with 1 data key",
        ),
    ]
    report.results += measure("start of a sealer", cases, lambda _: range(5), rounds)

    old = [sealed_before(many, provider, generation) for generation in (1, count // 2, count - 1)]
    counts, keys = report.counts, f"of {count:,} data keys"
    with counted([relay], counts, f"unwraps: at the start, {keys}", "/decrypt/"):
        sealer = started(many, provider)
    with counted([relay], counts, f"unwraps: new values, {keys}", "/decrypt/"):
        for _ in range(CHUNK):
            sealer.open(sealer.seal(VALUE, CONTEXT), CONTEXT)
    with counted([relay], counts, "unwraps: values under 3 older keys, 500 of each", "/decrypt/"):
        for _ in range(CHUNK):
            assert [sealer.open(each, CONTEXT) for each in old] == [VALUE] * 3
    with counted([relay], counts, "unwraps: `warm()` after that", "/decrypt/"):
        sealer.warm()


def started(keystore: Keystore, provider: VaultTransit) -> Sealer:
    """Return a sealer that was just configured."""
    sealer = Sealer(f"bench {uuid4().hex}")
    sealer.configure(keystore=keystore, provider=provider, key_name="tenant-0")
    return sealer


def sealed_before(keystore: Keystore, provider: VaultTransit, generation: int) -> bytes:
    """Return a value that was sealed when there were so many data keys."""
    before = MemoryKeystore()
    before.add(*(each for each in stored(keystore) if each.generation <= generation))
    return started(before, provider).seal(VALUE, CONTEXT)


def settings(server: OpenBao, rows: int, rounds: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    packages = ("sqlalchemy", "cryptography", "hvac")
    return {
        "keys": rows,
        "rounds": rounds,
        "Python": platform.python_version(),
        **{name: version(name) for name in packages},
        "server": server.description,
        "processors": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
