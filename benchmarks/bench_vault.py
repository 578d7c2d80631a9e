"""
What wrapping keys in Vault costs, against the bare calls of hvac, on an OpenBao server of its own.

    python benchmarks/bench_vault.py              10,000 wrapped keys, less than a minute
    python benchmarks/bench_vault.py --smoke      to see that it runs

`--rows` is the number of wrapped keys. The bare calls send the same bytes to the same server, over
one connection, and do not look at the answer.
"""

from __future__ import annotations

import os
import platform
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import hvac
from common import Case, Report, arguments, measure
from servers import openbao
from servers.openbao import OpenBao
from servers.relay import Relay, relaying

from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply
from sqlalchemy_sealed.vault.transit import BATCH

REWRAP_BAR = 1.10
BINDING = b"the binding of a key, as long as they are: default, data, 0123456789abcdef"
CONTEXT = b64encode(BINDING).decode()
KEY = random_key()
PLAINTEXT = b64encode(KEY).decode()


def main() -> None:
    """Measure, print the table and write the figures."""
    given = arguments(str(__doc__).strip().splitlines()[0], rows=10_000, rounds=15)
    with openbao.running() as server:
        provider = provider_at(server.url, server)
        wrapped = provider.wrap(KEY, BINDING)
        bare = hvac.Client(url=server.url, token=server.token).secrets.transit
        report = Report("Vault", settings(server, given.rows, given.rounds))
        report.results += single(provider, bare, wrapped, given.rounds)
        report.results += batches(provider, bare, [wrapped] * given.rows, given.rounds)
        report.counts = calls(server, given.rows)
    report.show()
    report.write(given.json)


def provider_at(url: str, server: OpenBao) -> VaultTransit:
    """Return a provider over the key "sealed", which is made where it is missing."""
    vault = Vault(url, auth=TokenAuth(server.token))
    apply(vault, DesiredKey())
    return VaultTransit(vault)


def single(provider: VaultTransit, bare: Any, wrapped: str, rounds: int) -> Any:
    """One key at a time."""
    cases = [
        Case("hvac: encrypt", lambda _: bare.encrypt_data("sealed", PLAINTEXT, context=CONTEXT)),
        Case(
            "wrap, which looks at the key first",
            lambda _: provider.wrap(KEY, BINDING),
            "hvac: encrypt",
        ),
        Case("hvac: decrypt", lambda _: bare.decrypt_data("sealed", wrapped, context=CONTEXT)),
        Case("unwrap", lambda _: provider.unwrap(wrapped, BINDING), "hvac: decrypt"),
    ]
    return measure("one key", cases, lambda _: range(20), rounds)


def batches(provider: VaultTransit, bare: Any, wrapped: list[str], rounds: int) -> Any:
    """All keys of an installation, after the KEK turned."""

    def naked(items: list[str]) -> None:
        for start in range(0, len(items), BATCH):
            batch = [
                {"ciphertext": each, "context": CONTEXT} for each in items[start : start + BATCH]
            ]
            bare.rewrap_data("sealed", ciphertext="", batch_input=batch)

    def ours(items: list[str]) -> None:
        for _ in provider.rewrap_many((each, BINDING) for each in items):
            pass

    count = len(wrapped)
    name = f"hvac: rewrap in batches of {BATCH}"
    cases = [
        Case(name, naked, per=count),
        Case("rewrap_many", ours, name, bar=REWRAP_BAR, per=count),
    ]
    return measure(f"{count} keys, µs for each", cases, lambda _: [wrapped], rounds)


def calls(server: OpenBao, rows: int) -> dict[str, int]:
    """Return how many requests each thing is, counted on the way to the server."""
    counts: dict[str, int] = {}
    with relaying(server.url) as relay:
        provider = provider_at(relay.url, server)
        wrapped = provider.wrap(KEY, BINDING)
        for name, run in (
            ("wrap", lambda: provider.wrap(KEY, BINDING)),
            ("unwrap", lambda: provider.unwrap(wrapped, BINDING)),
            ("version", provider.version),
            (
                f"rewrap of {rows} keys",
                lambda: [*provider.rewrap_many([(wrapped, BINDING)] * rows)],
            ),
        ):
            with counted(relay, counts, name):
                run()
    return counts


@contextmanager
def counted(relay: Relay, counts: dict[str, int], name: str) -> Iterator[None]:
    """Count the requests of a block."""
    before = len(relay.requests)
    yield
    counts[f"requests of: {name}"] = len(relay.requests) - before


def settings(server: OpenBao, rows: int, rounds: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "keys": rows,
        "rounds": rounds,
        "Python": platform.python_version(),
        "hvac": version("hvac"),
        "server": server.description,
        "processors": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
