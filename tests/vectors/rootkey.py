"""The scenarios of a key wrapped by a local root key."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from vectors.layout import Vector, flip, hex_lines, text_lines

from sqlalchemy_sealed.aead import Xaes, derive
from sqlalchemy_sealed.context import pack
from sqlalchemy_sealed.envelope import to_text
from sqlalchemy_sealed.keys import key_id_of

ROOT_KEY = bytes(range(0x80, 0xA0))
OTHER_ROOT_KEY = bytes(range(0xA0, 0xC0))
DATA_KEY = bytes(range(32))
OTHER_DATA_KEY = bytes(range(32, 64))


def local_root_key_vectors() -> Iterator[Vector]:
    """Return every vector of the folder `local-root-key`."""
    yield _vector("wrapped_data_key", "A data key of the name 'default'.", opens=True)
    yield _vector("wrapped_index_key", "An index key.", kind="index", opens=True)
    yield _vector("wrapped_name_unicode", "A key name that is not ASCII.", name="\xe9", opens=True)
    yield from _moved()
    yield from _damaged()
    yield from _bad_root_keys()


def _root_text(root: bytes) -> str:
    return "sealedroot1_" + to_text(root)


def _binding(name: str, kind: str, key_id: bytes) -> bytes:
    return pack(("sqlalchemy-sealed v1 wrapped key", name, kind, key_id.hex()))


def _wrap(scenario: str, key: bytes, binding: bytes) -> bytes:
    nonce = sha256(scenario.encode()).digest()[:24]
    xaes = Xaes(derive(ROOT_KEY, b"sqlalchemy-sealed v1 root kek"))
    return nonce + xaes.seal_with_nonce(nonce, key, binding)


def _wrapped_text(sealed: str, *, scheme: str = "local:1") -> str:
    key_id = derive(ROOT_KEY, b"sqlalchemy-sealed v1 root key id", 8).hex()
    return f"{scheme}:{key_id}:{sealed}"


def _vector(
    scenario: str,
    comment: str,
    *,
    root: str | None = None,
    name: str = "default",
    kind: str = "data",
    key_id: bytes | None = None,
    wrapped: str | None = None,
    opens: bool = False,
) -> Vector:
    key_id = key_id or key_id_of(DATA_KEY)
    binding = _binding(name, kind, key_id)
    wrapped = wrapped or _wrapped_text(to_text(_wrap(scenario, DATA_KEY, binding)))
    lines = [("expect", "success" if opens else "provider"), ("comment", comment)]
    lines.append(("root-key", root or _root_text(ROOT_KEY)))
    lines += text_lines("key-name", [name])
    lines += [("key-kind", kind), ("key-id", key_id.hex()), ("wrapped", wrapped)]
    if opens:
        lines += [*hex_lines("binding", binding), ("unwrapped", DATA_KEY.hex())]
    return Vector(scenario, tuple(lines))


def _moved() -> Iterator[Vector]:
    def moved(scenario: str, comment: str, name: str, kind: str, key_id: bytes) -> Vector:
        sealed = to_text(_wrap(scenario, DATA_KEY, _binding(name, kind, key_id)))
        return _vector(scenario, comment, wrapped=_wrapped_text(sealed))

    key_id = key_id_of(DATA_KEY)
    yield moved("wrapped_for_another_name", "Swapped between key names.", "pii", "data", key_id)
    yield moved("wrapped_for_another_kind", "An index key as data key.", "default", "index", key_id)
    yield moved(
        "wrapped_for_another_id",
        "The record of another key.",
        "default",
        "data",
        key_id_of(OTHER_DATA_KEY),
    )
    scenario = "key_of_another_id"
    sealed = to_text(_wrap(scenario, OTHER_DATA_KEY, _binding("default", "data", key_id)))
    yield _vector(
        scenario,
        "It unwraps, but the id computed from the key is not the id of the record.",
        wrapped=_wrapped_text(sealed),
    )


def _damaged() -> Iterator[Vector]:
    def damaged(scenario: str, comment: str, sealed: str, scheme: str = "local:1") -> Vector:
        return _vector(scenario, comment, wrapped=_wrapped_text(sealed, scheme=scheme))

    binding = _binding("default", "data", key_id_of(DATA_KEY))
    whole = _wrap("wrapped_damaged", DATA_KEY, binding)
    text = to_text(whole)
    for part, at in (("nonce", 0), ("ciphertext", 24), ("tag", -1)):
        changed = to_text(flip(whole, at, 0x01))
        yield damaged(f"wrapped_{part}_flipped", "One bit was changed.", changed)
    for size in (0, 3, 12, 15, 20, 24, 39, 40, 71):
        cut = to_text(whole[:size])
        yield damaged(f"wrapped_cut_to_{size}_bytes", f"{size} bytes are left of 72.", cut)
    yield damaged("wrapped_padded", "Not canonical base64url.", text + "=")
    yield damaged("wrapped_standard_alphabet", "Not base64url.", "+/" + text[2:])
    yield damaged("wrapped_by_another_version", "There is only version 1.", text, "local:2")
    yield damaged("wrapped_by_another_provider", "Another scheme.", text, "vault:1")
    scenario, short = "wrapped_key_short", DATA_KEY[:31]
    key_id = key_id_of(short)
    sealed = to_text(_wrap(scenario, short, _binding("default", "data", key_id)))
    comment = "It unwraps to 31 bytes, and the id is theirs."
    yield _vector(scenario, comment, key_id=key_id, wrapped=_wrapped_text(sealed))


def _bad_root_keys() -> Iterator[Vector]:
    text = _root_text(ROOT_KEY)
    roots = {
        "root_key_wrong": (_root_text(OTHER_ROOT_KEY), "The ids of the root keys differ."),
        "root_key_prefix_missing": (text.removeprefix("sealedroot1_"), "No prefix."),
        "root_key_short": (_root_text(ROOT_KEY[:31]), "31 bytes."),
        "root_key_long": (_root_text(ROOT_KEY + b"\0"), "33 bytes."),
        "root_key_bits_not_zero": (text[:-1] + "9", "The unused bits are zero."),
    }
    for scenario, (root, comment) in roots.items():
        yield _vector(scenario, comment, root=root)
