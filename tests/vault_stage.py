"""An application over Vault that has sealed rows, and what may happen to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from servers.relay import Relay

from sqlalchemy_sealed import EncryptedString, KeyLimits, KeyManager, MemoryKeystore, get_sealer
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault import DesiredKey, TokenAuth, Vault, apply, policy

LIMITS = KeyLimits(refresh=10, fresh=100, cache=1000, retry=1)
OLD, NEW = "canary of an old row", "canary of a new row"


class Stage:
    """
    An application with two data keys: one it has at hand, and an older one it has not.

    Args:
        root: an hvac client that may do everything.
        relay: its way to the server.
        directory: where its database and its token lie, and the authority that it trusts.
        ca_cert: that authority, where the server speaks TLS.
        timeout: how long it waits for an answer.
    """

    def __init__(
        self,
        root: Any,
        relay: Relay,
        directory: Path,
        ca_cert: str | None = None,
        timeout: float = 60,
    ) -> None:
        self.root, self.relay = root, relay
        self.mount = f"transit-{uuid4().hex}"
        self.policy = f"application-{self.mount}"
        self.token_file, self.ca_file = directory / "token", None
        if ca_cert is not None:
            self.ca_file = directory / "ca.pem"
            self.ca_file.write_bytes(Path(ca_cert).read_bytes())
        administrator = Vault(relay.url, auth=TokenAuth(root.token), ca_cert=ca_cert)
        apply(administrator, DesiredKey(mount=self.mount))
        self.allow(policy("application", mount=self.mount))
        self.new_token()
        login = TokenAuth(file=self.token_file)
        vault = Vault(relay.url, auth=login, ca_cert=self.ca_file, timeout=timeout)
        self.provider = VaultTransit(vault, mount=self.mount)
        self.keystore = MemoryKeystore()
        self.manager = KeyManager(self.keystore, self.provider)
        self.manager.create("default")
        self.sealer = get_sealer(f"stage-{uuid4()}")
        self.database = directory / "people.db"
        self.engine = sa.create_engine(f"sqlite:///{self.database}", poolclass=sa.NullPool)
        column = sa.Column("name", EncryptedString(context="people.name", sealer=self.sealer.name))
        key = sa.Column("id", sa.Integer, primary_key=True)
        self.people = sa.Table("people", sa.MetaData(), key, column)
        self.people.create(self.engine)
        self.start()
        self.write(OLD)
        self.sealer.rotate()
        self.start()
        self.write(NEW)

    def start(self) -> None:
        """Begin anew, as a process does: one key is unwrapped."""
        self.sealer.configure(
            keystore=self.keystore,
            provider=self.provider,
            key_name="default",
            limits=LIMITS,
            replace=True,
        )

    def allow(self, hcl: str) -> None:
        """Set what the token of the application may do."""
        self.root.sys.create_or_update_policy(self.policy, hcl)

    def new_token(self, **settings: Any) -> str:
        """Put a new token into the file."""
        made = self.root.auth.token.create(
            policies=[self.policy], no_default_policy=True, **settings
        )
        self.token_file.write_text(made["auth"]["client_token"])
        return made["auth"]["client_token"]

    def write(self, name: str) -> None:
        """Seal a row."""
        with self.engine.begin() as connection:
            connection.execute(sa.insert(self.people), {"name": name})

    def read(self, number: int) -> str:
        """Open a row; number 1 is under the old key."""
        with self.engine.connect() as connection:
            found = sa.select(self.people.c.name).where(self.people.c.id == number)
            return connection.scalars(found).one()

    def stored(self, number: int) -> bytes:
        """Return the envelope of a row."""
        with self.engine.connect() as connection:
            found = sa.text("SELECT name FROM people WHERE id = :id")
            return connection.scalars(found, {"id": number}).one()

    def asked(self) -> list[str]:
        """Return what was asked of Vault, and forget it."""
        place = f"/v1/{self.mount}/"
        asked = [each.replace(place, "") for each in self.relay.requests]
        self.relay.requests.clear()
        return asked
