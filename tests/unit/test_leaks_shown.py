"""What our objects show of themselves: in a repr, a pickle, a log, a cache key and SQL text."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from leak_search import PEOPLE, Base, Person, Search, canary, row
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from sqlalchemy_sealed import Context, FileKeystore, KeyManager, LocalRootKey, Sealer, blind_index
from sqlalchemy_sealed.aead import Mac, Xaes, derive
from sqlalchemy_sealed.envelope import parse
from sqlalchemy_sealed.errors import KeystoreError, ProviderError, SealedError
from sqlalchemy_sealed.keycache import KeyCache
from sqlalchemy_sealed.keys import DataKey

ROOT_KEY = bytes(range(100, 132))


@pytest.fixture
def secret() -> str:
    """Return a secret text."""
    return canary()


@pytest.fixture
def provider() -> LocalRootKey:
    """Return a KEK provider over a root key that the test knows."""
    return LocalRootKey(ROOT_KEY)


@pytest.fixture
def keys(keystore: Any, provider: LocalRootKey) -> list[bytes]:
    """Return the root key, the data key, the index key, and what is derived from them."""
    records = keystore.load("default")
    material = [ROOT_KEY, *(provider.unwrap(each.wrapped, each.binding) for each in records)]
    return [
        *material,
        *(
            derive(key, f"sqlalchemy-sealed v1 {info}".encode())
            for key in material
            for info in ("aead", "root kek")
        ),
    ]


def test_nothing_that_has_a_key_shows_it(
    sealer: Sealer, keystore: Any, provider: LocalRootKey, keys: list[bytes], secret: str
) -> None:
    """The repr of everything between the root key and an envelope is names, ids and numbers."""
    sealed = sealer.seal(secret.encode(), "a.b")
    keyset = sealer.keyset
    cache = KeyCache(keyset, provider)
    assert cache.searched_keys()[0] in keys
    search = Search()
    search.shown(
        sealer,
        keystore,
        provider,
        KeyManager(keystore, provider),
        keyset,
        *keyset.records,
        cache,
        DataKey(keys[1]),
        Xaes(keys[1]),
        Mac(keys[1]),
        DataKey(keys[1]).xaes.openers,
        parse(sealed),
        Context("a.b", ("tenant",)),
        sealer.sealing(Context("a.b")),
        sealer.opening(Context("a.b")),
    )
    assert search.places(secret, *keys) == []
    assert search.saw(keyset.primary.key_id.hex())
    wrapped = [record.wrapped for record in keyset.records]
    assert search.places(*wrapped, parse(sealed).sealed) == []


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda f: f.__name__)
def test_a_key_is_neither_pickled_nor_copied(how: Any, provider: LocalRootKey) -> None:
    """Whatever holds key material refuses to leave the process, on its own or in a container."""
    for holder in (provider, DataKey(ROOT_KEY), Xaes(ROOT_KEY), Mac(ROOT_KEY)):
        for thing in (holder, [holder], {"key": holder}) if how is not copy.copy else (holder,):
            with pytest.raises(TypeError, match="cannot be pickled"):
                how(thing)


@pytest.mark.parametrize("what", ["cache", "manager"])
def test_what_holds_a_key_is_not_pickled(what: str, sealer: Sealer, provider: LocalRootKey) -> None:
    """A cache of unwrapped keys and a manager with its provider refuse as the keys do."""
    thing = sealer.kept().cache if what == "cache" else sealer.kept().manager
    with pytest.raises(TypeError):
        pickle.dumps(thing)


def test_pickles_hold_names_and_wrapped_keys_only(
    sealer: Sealer, keys: list[bytes], secret: str
) -> None:
    """Types, tables, sealers, keysets and records can be pickled, before and after their use."""
    with Session(sa.create_engine("sqlite://")) as session:
        Base.metadata.create_all(session.connection())
        session.add(Person(**row(secret)))
        session.commit()
        assert session.scalars(sa.select(Person)).one().secret == secret
    search = Search()
    search.pickled(
        sealer,
        sealer.keyset,
        *sealer.keyset.records,
        PEOPLE,
        Base.metadata,
        *(column.type for column in PEOPLE.c),
        parse(sealer.seal(secret.encode(), "a.b")),
        Context("a.b"),
    )
    assert search.places(secret, *keys) == []


def test_a_pickled_sealer_is_its_name(sealer: Sealer) -> None:
    """Not even wrapped keys are in it."""
    search = Search()
    search.pickled(sealer)
    ids = [record.key_id for record in sealer.keyset.records]
    assert search.places(*ids) == []


STATEMENTS = {
    "insert": lambda secret: PEOPLE.insert().values(**row(secret)),
    "insert many": lambda secret: PEOPLE.insert().values([row(secret), row(secret)]),
    "update": lambda secret: PEOPLE.update().values(secret=secret, note=secret, document=[secret]),
    "select": lambda secret: sa.select(sa.literal(secret, PEOPLE.c.secret.type)),
    "values": lambda secret: sa.select(
        sa.values(sa.column("x", PEOPLE.c.secret.type), name="v").data([(secret,), (secret,)])
    ),
}
every_statement = pytest.mark.parametrize("make", STATEMENTS.values(), ids=STATEMENTS)


@every_statement
@pytest.mark.parametrize(
    "dialect", [sqlite.dialect(), postgresql.dialect(), mysql.dialect()], ids=lambda d: d.name
)
def test_sql_text_has_no_plaintext(make: Any, dialect: Any, sealer: Sealer, secret: str) -> None:
    """Neither with parameters nor with the values rendered into it."""
    statement = make(secret)
    search = Search()
    search.shown(statement)
    search.shown(statement.compile(dialect=dialect))
    literal = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    search.shown(literal)
    assert search.places(secret) == []
    assert search.saw("b1e6a5") or search.saw("B1E6A5")


@every_statement
def test_a_literal_that_cannot_be_sealed_is_not_shown(
    make: Any, sealer: Sealer, secret: str
) -> None:
    """In the place of the value stands why, and the SQL does not run."""
    search = Search()
    search.shown(
        make(secret * 100 + "\ud800").compile(
            dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
        )
    )
    assert search.places(secret) == []
    assert search.saw("sqlalchemy_sealed_could_not_seal('")


SEARCHES = {
    "==": lambda secret: PEOPLE.c.code == secret,
    "in": lambda secret: PEOPLE.c.code.in_([secret, None]),
    "not in": lambda secret: PEOPLE.c.code.not_in([secret]),
    "is distinct from": PEOPLE.c.code.is_distinct_from,
    "of a text column": lambda secret: PEOPLE.c.city == secret,
    "of another index": lambda secret: blind_index(PEOPLE.c.badge) == secret,
}
every_search = pytest.mark.parametrize("condition", SEARCHES.values(), ids=SEARCHES)


@every_search
@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=lambda d: d.name)
def test_the_sql_text_of_a_search_has_no_plaintext(
    condition: Any, dialect: Any, sealer: Sealer, secret: str
) -> None:
    """Neither with parameters nor with the index values rendered into it, nor if it has none."""
    search = Search()
    for value in (secret, secret + "\ud800"):
        statement = sa.select(PEOPLE.c.id).where(condition(value))
        literal = {"literal_binds": True}
        search.shown(statement, condition(value), statement.compile(dialect=dialect))
        search.shown(statement.compile(dialect=dialect, compile_kwargs=literal))
    assert search.places(secret) == []
    assert search.saw("sqlalchemy_sealed_could_not_seal('")


def test_a_search_rendered_as_a_literal_has_the_index_value(sealer: Sealer, secret: str) -> None:
    """In the place of the value stands the slot of a stored one."""
    stored = PEOPLE.c.code.type.bind_processor(sqlite.dialect())(secret)
    literal = (PEOPLE.c.code == secret).compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
    )
    assert f"X'{parse(stored).slots[0].hex()}'" in str(literal)


@pytest.mark.parametrize("name", ["insert", "update", "select", *SEARCHES])
def test_a_statement_cache_key_has_no_plaintext(name: str, sealer: Sealer, secret: str) -> None:
    """What is kept of a statement between two executions does not depend on its values."""
    make = (STATEMENTS | SEARCHES)[name]
    key = make(secret)._generate_cache_key().key
    search = Search()
    search.shown(key)
    assert search.places(secret) == []
    assert key == make(canary())._generate_cache_key().key


def test_tables_and_mapped_classes_show_names(sealer: Sealer, secret: str) -> None:
    """The repr of a table and its parts is what a migration would render."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    Base.metadata.create_all(engine)
    search = Search()
    with Session(engine) as session:
        person = Person(**row(secret))
        session.add(person)
        search.shown(person, session.new)
        session.commit()
        person = session.scalars(sa.select(Person)).one()
        search.shown(person, sa.inspect(person), Person.secret, Person.__mapper__)
    search.shown(PEOPLE, Base.metadata, *PEOPLE.c, *(column.type for column in PEOPLE.c))
    assert search.places(secret) == []
    assert search.saw("EncryptedString(length=60, check=False, context='leak_people.secret')")


def test_the_life_of_a_key_is_not_logged(
    tmp_path: Path, provider: LocalRootKey, secret: str
) -> None:
    """Making, rotating, destroying and using keys writes no key to a log, a warning or a file."""
    search = Search()
    keystore = FileKeystore(tmp_path / "sealed.keys.json")
    with search.logs_and_warnings():
        manager = KeyManager(keystore, provider)
        old = manager.create("default").primary
        manager.rotate("default")
        cache = KeyCache(manager.keyset("default"), provider)
        assert cache.data_key(old.key_id).key_id == old.key_id
        material = [
            provider.unwrap(record.wrapped, record.binding)
            for record in manager.keyset("default").records
        ]
        search.bytes("keystore", keystore.path.read_bytes())
        manager.destroy("default", old.key_id, unscanned=True)
        search.bytes("keystore", keystore.path.read_bytes())
    assert search.places(ROOT_KEY, *material) == []
    assert search.saw(old.key_id.hex())


def test_a_destroyed_key_is_not_left_in_the_file(tmp_path: Path, provider: LocalRootKey) -> None:
    """The wrapped key is gone from the keystore and from what lies beside it."""
    keystore = FileKeystore(tmp_path / "sealed.keys.json")
    manager = KeyManager(keystore, provider)
    old = manager.create("default").primary
    manager.rotate("default")
    manager.destroy("default", old.key_id, unscanned=True)
    search = Search()
    for path in tmp_path.iterdir():
        search.bytes(path.name, path.read_bytes())
    assert search.places(old.wrapped) == []
    assert search.saw(old.key_id.hex())


TEXT = LocalRootKey.generate()
WRAPPED = LocalRootKey(ROOT_KEY).wrap(bytes(32), b"binding")
WRONG_USE = {
    "a root key with a typing mistake": lambda _: LocalRootKey.from_text(TEXT[:-1] + "!"),
    "a root key that is cut off": lambda _: LocalRootKey.from_text(TEXT[:-4]),
    "a root key with more after it": lambda _: LocalRootKey.from_text(TEXT + "AAAA"),
    "a root key without its prefix": lambda _: LocalRootKey.from_text(TEXT[12:]),
    "a root key that is not ASCII": lambda _: LocalRootKey.from_text(TEXT + "é"),
    "a root key of another size": lambda _: LocalRootKey(ROOT_KEY[:31]),
    "another root key": lambda provider: LocalRootKey.from_text(TEXT).unwrap(WRAPPED, b"binding"),
    "another binding": lambda provider: provider.unwrap(WRAPPED, b"another"),
    "a wrapped key that is damaged": lambda provider: provider.unwrap(WRAPPED[:-1], b"binding"),
    "a wrapped key of another kind": lambda provider: provider.unwrap(TEXT, b"binding"),
}


@pytest.mark.parametrize("use", WRONG_USE.values(), ids=WRONG_USE)
def test_no_error_shows_a_root_key(use: Any, provider: LocalRootKey) -> None:
    """Also a root key that was refused may be the right one but for a character."""
    search = Search()
    with pytest.raises(ProviderError) as caught:
        use(provider)
    search.exception(caught.value)
    parts = [TEXT[12:][at : at + 8] for at in range(0, 40, 8)]
    assert search.places(ROOT_KEY[:16], *parts, WRAPPED.rpartition(":")[2]) == []


def test_a_root_key_in_a_wrong_place_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors about the variable and the file name the place and not what is there."""
    search = Search()
    path = tmp_path / "root.key"
    path.touch(mode=0o600)
    path.write_text(f"SEALED_ROOT_KEY={TEXT}")
    monkeypatch.setenv("WRONG", f"'{TEXT}'")
    uses = [
        lambda: LocalRootKey.from_file(path),
        lambda: LocalRootKey.from_env("WRONG"),
        lambda: FileKeystore(path).load("default"),
    ]
    for use in uses:
        with pytest.raises((ProviderError, KeystoreError)) as caught:
            use()
        search.exception(caught.value)
    assert search.places(TEXT) == []
    assert search.saw(str(path))
    assert search.saw("WRONG")


def test_errors_of_the_sealer_show_no_value(
    sealer: Sealer, other_sealer: Sealer, secret: str, keys: list[bytes]
) -> None:
    """Opening what is damaged, foreign, moved or plaintext quotes nothing of it."""
    sealed = sealer.seal(secret.encode(), "a.b")
    attempts = [
        (secret.encode(), "a.b"),
        (sealed, "a.c"),
        (sealed[:-1], "a.b"),
        (sealed[:50], "a.b"),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), "a.b"),
        (other_sealer.seal(secret.encode(), "a.b"), "a.b"),
    ]
    search = Search()
    for data, context in attempts:
        with pytest.raises(SealedError) as caught:
            sealer.open(data, context)
        search.exception(caught.value)
    assert search.places(secret, *keys, sealed[-16:], sealed[12:36]) == []
