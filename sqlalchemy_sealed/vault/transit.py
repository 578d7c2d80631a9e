"""
A key of Vault's transit engine: single values, and wrapped keys in batches.

    key = TransitKey(vault, "sealed")
    ciphertext = key.encrypt(b"...", b"what it is bound to")
    key.decrypt(ciphertext, b"what it is bound to")

The key never leaves Vault. Associated data would bind a ciphertext as well, but Vault's rewrap
ignores them; the context of a derived key binds it in all calls. To a key that is not derived
Vault lets any context pass, so such a key is refused.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from ..errors import OptionError, ProviderError, ProviderKeyMissingError
from .batches import in_batches
from .client import Vault
from .failures import BatchTooLargeError, not_vault, refused_item

BATCH = 240
"""Ciphertexts in one request; OpenBao takes 249 with a context each."""
TYPES = ("aes256-gcm96", "aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305")
"""Types of transit keys that authenticate, and can be derived ones."""
_NAME = re.compile(r"\w(?:[\w.-]*\w)?", re.ASCII)
_MOUNT = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
Item = tuple[str, bytes]
"""A ciphertext and its context."""
_OF_AN_ITEM = (ProviderError, BatchTooLargeError)
"""Errors about what was sent. Any other one is about the key, or about Vault."""
_match = re.compile(r"vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/]+={0,2}", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class TransitKey:
    """
    One key of the transit engine, a derived one.

    Args:
        vault: the server.
        name: the name of the key.
        mount: where the transit engine is mounted.

    All methods raise `ProviderError` or one of its subclasses, as `Vault.call`.

    Raises:
        OptionError: a name or a mount that Vault could not have.
    """

    vault: Vault
    name: str
    mount: str = "transit"

    def __post_init__(self) -> None:
        """Refuse names that would mean another path."""
        checked_name(self.name)
        checked_mount(self.mount)

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"transit key '{self.mount}/{self.name}'"

    # -- single values

    def encrypt(self, plaintext: bytes, context: bytes) -> str:
        """
        Return the ciphertext, `vault:v<version>:<base64>`, bound to *context*.

        Two calls: the key is looked at first. Vault would make a key that is missing, and a KV
        engine that is mounted there would keep the plaintext.
        """
        self.check()
        answer = self.vault.call(
            self.what,
            lambda client: client.secrets.transit.encrypt_data(
                name=self.name,
                plaintext=_encoded(plaintext),
                context=_encoded(context),
                mount_point=self.mount,
            ),
        )
        return self._ciphertext(_data(answer, self.vault.where))

    def decrypt(self, ciphertext: str, context: bytes) -> bytes:
        """Return the plaintext. One call."""
        self.version_of(ciphertext)
        answer = self.vault.call(
            self.what,
            lambda client: client.secrets.transit.decrypt_data(
                name=self.name,
                ciphertext=ciphertext,
                context=_encoded(context),
                mount_point=self.mount,
            ),
        )
        try:
            return b64decode(_data(answer, self.vault.where)["plaintext"], validate=True)
        except (Base64Error, KeyError, TypeError, ValueError):
            pass
        raise not_vault().at(self.vault.where)

    def version_of(self, ciphertext: str) -> int:
        """
        Return the version of the key that a ciphertext is under.

        Raises:
            ProviderError: it is not in the form that Vault writes. Vault itself takes others.
        """
        if _is_sound((ciphertext, b"")):
            return int(ciphertext.split(":")[1][1:])
        if not ciphertext.startswith("vault:"):
            raise ProviderError(
                "a wrapped key was not made by Vault; configure the KEK provider that the "
                "keystore was made with"
            )
        raise ProviderError(
            "a wrapped key is damaged: not in the form that Vault writes; restore the keystore "
            "from a backup"
        )

    # -- the key

    def rotate(self) -> int:
        """Make a new version of the key, and return its number."""
        self.vault.call(
            self.what,
            lambda client: client.secrets.transit.rotate_key(
                name=self.name, mount_point=self.mount
            ),
        )
        return self.version()

    def version(self) -> int:
        """Return the number of the current version."""
        return int(self.check()["latest_version"])

    def check(self) -> dict[str, Any]:
        """
        Return what `read` does, once the key is one that can be used.

        Raises:
            ProviderKeyMissingError: it is not there, or deleted.
            ProviderError: it is of another type, or not a derived one.
        """
        state = self.read()
        if state.get("soft_deleted"):
            raise ProviderKeyMissingError(
                f"{self.what} is deleted in Vault; it can be restored there"
            ).at(self.vault.where)
        if state["type"] in TYPES and state["derived"]:
            return state
        raise ProviderError(
            f"{self.what} is of type {state['type']}, derived {state['derived']!r}, so that "
            "ciphertexts could be swapped; 'sealed vault apply' makes a key as it is needed, under "
            "another name"
        ).at(self.vault.where)

    def read(self) -> dict[str, Any]:
        """Return what Vault tells about the key: its type, versions and settings."""
        answer = self.vault.call(
            self.what,
            lambda client: client.secrets.transit.read_key(name=self.name, mount_point=self.mount),
        )
        data = _data(answer, self.vault.where)
        if not {"type", "derived", "latest_version"} <= set(data):
            raise ProviderKeyMissingError(
                f"the engine mounted at {self.mount!r} is not a transit engine"
            ).at(self.vault.where)
        return data

    # -- batches

    def rewrap(self, items: Iterable[Item]) -> Iterator[str]:
        """
        Yield the ciphertexts under the current version of the key, without a plaintext.

        Args:
            items: ciphertexts and their contexts, asked for as they are needed, at most 3 batches
                ahead. They are sent in batches of 240, or smaller ones where Vault takes no more;
                of many, two are under way at a time.

        Raises:
            ProviderError: an item is refused. All before it have been yielded; the error says
                which one it is, and those after it can be given anew.
        """
        done = 0
        for found, problem in in_batches(_Rewrap(self).batch, items, BATCH):
            yield from found
            done += len(found)
            if problem is None:
                continue
            if type(problem) in _OF_AN_ITEM:
                raise ProviderError(f"item {done + 1}: {problem.problem}").at(self.vault.where)
            raise problem

    def _ciphertext(self, data: dict[str, Any]) -> str:
        ciphertext = data.get("ciphertext")
        if isinstance(ciphertext, str) and _match(ciphertext):
            return ciphertext
        raise not_vault().at(self.vault.where)


def checked_name(name: str) -> str:
    """Return the name of a key; OptionError if Vault could not have it."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise OptionError("the name of a transit key has letters, digits, '_', '-' and '.' only")


def checked_mount(mount: str) -> str:
    """Return the path of a mount; OptionError if Vault could not have it, or it means more."""
    if isinstance(mount, str) and _MOUNT.fullmatch(mount) and not {".", ".."} & {*mount.split("/")}:
        return mount
    raise OptionError(
        "the path of a mount has letters, digits, '_', '-' and '.' only, and '/' between parts"
    )


class _Rewrap:
    """
    One run of rewraps. Its requests become smaller where Vault takes no more.

    Args:
        key: the key.
    """

    def __init__(self, key: TransitKey) -> None:
        self._key = key
        self._size = BATCH

    def batch(self, items: list[Item]) -> tuple[list[str], ProviderError | None]:
        """Return the ciphertexts of all items, or of those before one that fails, and why."""
        found: list[str] = []
        while left := items[len(found) :]:
            part = list(takewhile(_is_sound, left[: self._size]))
            try:
                if not part:
                    self._key.version_of(left[0][0])
                results = self._results(part)
            except ProviderError as error:
                problem = error
            else:
                some, bad = self._taken(results)
                found += some
                if bad is not None:
                    return found, bad
                continue
            if len(part) <= 1 or type(problem) not in _OF_AN_ITEM:
                return found, problem
            # Too large, or one of them is refused together with the others.
            self._size = min(self._size, len(part) // 2)
        return found, None

    def _results(self, items: list[Item]) -> list[Any]:
        """Return the results of one request, in the order of the items."""
        key = self._key
        path, body = f"/v1/{key.mount}/rewrap/{key.name}", _body(items)
        answer = key.vault.call(key.what, lambda client: client.adapter.post(path, data=body))
        results = _data(answer, key.vault.where).get("batch_results")
        if isinstance(results, list) and len(results) == len(items):
            return results
        raise not_vault().at(key.vault.where)

    def _taken(self, results: list[Any]) -> tuple[list[str], ProviderError | None]:
        """Return the ciphertexts of all results, or of those before a bad one, and its error."""
        found = _ciphertexts(results)
        if found is not None:
            return found, None
        found = []
        try:
            for result in results:
                found.append(self._item(result))
        except ProviderError as error:
            return found, error
        return found, None

    def _item(self, result: Any) -> str:
        # A bad item has an error of its own, in an answer that says success.
        words = result.get("error") if isinstance(result, dict) else "no result"
        if words:
            raise ProviderError(refused_item(str(words), self._key.what))
        return self._key._ciphertext(result)


def _body(items: list[Item]) -> bytes:
    """Return the JSON of a batch. Neither a sound ciphertext nor Base64 has what JSON escapes."""
    batch = [
        f'{{"ciphertext":"{text}","context":"{_encoded(context)}"}}' for text, context in items
    ]
    return f'{{"batch_input":[{",".join(batch)}]}}'.encode("ascii")


def _is_sound(item: Item) -> bool:
    """Whether the ciphertext is in the form that Vault writes."""
    ciphertext = item[0]
    return _match(ciphertext) is not None and (len(ciphertext) - ciphertext.rfind(":")) % 4 == 1


def _ciphertexts(results: list[Any]) -> list[str] | None:
    """Return the ciphertexts of a batch; None if one of them is missing or none."""
    try:
        found = [each["ciphertext"] for each in results if not each.get("error")]
        if len(found) == len(results) and all(map(_match, found)):
            return found
    except (AttributeError, KeyError, TypeError):
        pass
    return None


def _data(answer: Any, where: str) -> dict[str, Any]:
    data = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(data, dict):
        return data
    raise not_vault().at(where)


def _encoded(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")
