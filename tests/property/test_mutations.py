"""A million changed envelopes: none opens as anything that was not sealed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from random import Random

import pytest
from vectors.sealers import sealer_with

from sqlalchemy_sealed import Context, Sealer
from sqlalchemy_sealed.aead import Xaes, derive
from sqlalchemy_sealed.envelope import (
    Envelope,
    from_text,
    header,
    parse,
    suite_of,
    to_text,
)
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DestroyedKeyError,
    NotAnEnvelopeError,
    OpenError,
    UnknownKeyError,
)
from sqlalchemy_sealed.keys import key_id_of
from sqlalchemy_sealed.padding import pad

MUTATIONS = 1_000_000
KEYS = (bytes(range(32)), bytes(range(32, 64)))
DESTROYED = key_id_of(bytes(range(64, 96)))
UNKNOWN = key_id_of(bytes(range(96, 128)))
CONTEXTS = (Context("patients.email"), Context("patients.email", ("tenant:17",)))
PLAINTEXTS = (b"", b"1", b"ada@example.org", b"\x80\0\0", bytes(range(100)))
SLOTS = (0, 1, 2, 15)
TOKENS = (None, (), (bytes(3), b"\0\x01\0", b"\xf0\0\x01"))

Mutation = Callable[[Random, bytes, bytes], bytes]


@dataclass(frozen=True)
class Sample:
    """A valid envelope and the context that it belongs to."""

    data: bytes
    context: Context
    plaintext: bytes


def samples() -> Iterator[Sample]:
    """Return envelopes of all suites, under two keys, in two contexts, of many lengths."""
    shapes = product(KEYS, CONTEXTS, PLAINTEXTS, SLOTS, (None, 16), TOKENS)
    for number, (key, context, plaintext, count, block, tokens) in enumerate(shapes):
        slots = tuple(bytes((number & 255, at)) + bytes(13) for at in range(count))
        suite = suite_of(padded=block is not None, tokens=tokens is not None)
        empty = Envelope(suite, key_id_of(key), slots, b"", b"", tokens or ())
        padded = plaintext if block is None else pad(plaintext, block)
        xaes = Xaes(derive(key, b"sqlalchemy-sealed v1 aead"))
        sealed = xaes.seal(padded, empty.head + bytes(context))
        yield Sample(empty.head + sealed, context, plaintext)


# -- mutations; `other` is another valid envelope


def flip_a_bit(random: Random, data: bytes, other: bytes) -> bytes:
    """Return one bit changed, anywhere."""
    changed = bytearray(data)
    changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def flip_a_bit_of_the_head(random: Random, data: bytes, other: bytes) -> bytes:
    """Return one bit changed in magic, suite, slot count or key id."""
    changed = bytearray(data)
    changed[random.randrange(12)] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(random: Random, data: bytes, other: bytes) -> bytes:
    """Return the beginning only."""
    return data[: random.randrange(len(data))]


def drop_the_front(random: Random, data: bytes, other: bytes) -> bytes:
    """Return the end only, sometimes under the old magic."""
    rest = data[random.randrange(1, len(data)) :]
    return data[:4] + rest if random.random() < 0.5 else rest


def remove(random: Random, data: bytes, other: bytes) -> bytes:
    """Return a piece missing."""
    start = random.randrange(len(data))
    return data[:start] + data[start + 1 + random.randrange(24) :]


def insert(random: Random, data: bytes, other: bytes) -> bytes:
    """Return a few bytes more, anywhere, the end included."""
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(1 + random.randrange(16)) + data[at:]


def append_zeros(random: Random, data: bytes, other: bytes) -> bytes:
    """Return zeros added, as a column of fixed width adds them."""
    return data + bytes(1 + random.randrange(16))


def repeat(random: Random, data: bytes, other: bytes) -> bytes:
    """Return a piece twice."""
    start = random.randrange(len(data))
    end = start + 1 + random.randrange(24)
    return data[:end] + data[start:]


def replace_a_piece(random: Random, data: bytes, other: bytes) -> bytes:
    """Return random bytes in the place of a piece."""
    start = random.randrange(len(data))
    size = min(1 + random.randrange(24), len(data) - start)
    return data[:start] + random.randbytes(size) + data[start + size :]


def take_a_header(random: Random, data: bytes, other: bytes) -> bytes:
    """Return any header of known and unknown keys, before the same rest."""
    key_id = random.choice((key_id_of(KEYS[0]), key_id_of(KEYS[1]), DESTROYED, UNKNOWN))
    suite = random.choice((1, 2, 3, 4, random.randrange(16)))
    count = random.choice((data[3] & 15, random.randrange(16)))
    return header(suite, count, key_id) + data[12:]


def take_the_other_header(random: Random, data: bytes, other: bytes) -> bytes:
    """Return the header of the other envelope, before the same rest."""
    return other[:12] + data[12:]


def take_a_field(random: Random, data: bytes, other: bytes) -> bytes:
    """Return one field of the other envelope: slot, tokens, half a nonce, ciphertext, tag."""
    (ours, theirs), field = (fields(data), fields(other)), random.randrange(8)
    ours[field % len(ours)] = theirs[field % len(theirs)]
    return b"".join(ours)


def swap_fields(random: Random, data: bytes, other: bytes) -> bytes:
    """Return two fields in each other's place."""
    pieces = fields(data)
    one, two = random.sample(range(len(pieces)), 2)
    pieces[one], pieces[two] = pieces[two], pieces[one]
    return b"".join(pieces)


def join(random: Random, data: bytes, other: bytes) -> bytes:
    """Return the beginning of one envelope and the end of the other."""
    return data[: random.randrange(len(data))] + other[random.randrange(len(other)) :]


def invent(random: Random, data: bytes, other: bytes) -> bytes:
    """Return a header of a known key, and nothing but random bytes after it."""
    return data[:12] + random.randbytes(random.randrange(200))


def invent_all(random: Random, data: bytes, other: bytes) -> bytes:
    """Return random bytes."""
    return random.randbytes(random.randrange(200))


def fields(data: bytes) -> list[bytes]:
    """Return header, slots, tokens, nonce halves, ciphertext and tag of a valid envelope."""
    slots = 12 + 15 * (data[3] & 15)
    start = len(parse(data).head)
    ends = [0, 12, *range(27, slots + 1, 15)]
    if start > slots:
        ends += [slots + 3, *range(slots + 6, start + 1, 3)]
    ends += [start + 12, start + 24, len(data) - 16, len(data)]
    return [data[a:b] for a, b in pairwise(ends)]


MUTATORS: tuple[Mutation, ...] = (
    flip_a_bit,
    flip_a_bit_of_the_head,
    truncate,
    drop_the_front,
    remove,
    insert,
    append_zeros,
    repeat,
    replace_a_piece,
    take_a_header,
    take_the_other_header,
    take_a_field,
    swap_fields,
    join,
    invent,
    invent_all,
)


def through_text(random: Random, data: bytes) -> bytes:
    """Return the bytes of the text form after one of its characters was changed."""
    text = to_text(data)
    at = random.randrange(len(text)) if text else 0
    return from_text(text[:at] + random.choice("AQgw-_+/=\n\0\xe9") + text[at + 1 :])


@pytest.fixture(scope="module")
def sealer() -> Sealer:
    """Return a sealer that has two keys and knows that a third was destroyed."""
    return sealer_with(KEYS, [DESTROYED])


@pytest.mark.parametrize("mutation", MUTATORS, ids=lambda mutation: mutation.__name__)
def test_each_mutation_changes_something(mutation: Mutation) -> None:
    """A mutation gives other bytes nearly always, so that the count below means something."""
    random = Random(1)
    data, other = (sample.data for sample in random.sample(list(samples()), 2))
    changed = sum(mutation(random, data, other) != data for _ in range(100))
    assert changed >= 75


@pytest.mark.slow
def test_a_million_mutations(sealer: Sealer) -> None:
    """
    A changed envelope is one of the four failures, or exactly an envelope that was sealed.

    Half of them go through a function that has opened values with the same headers, and half
    the long way, where every field is checked; one in ten through the text form.
    """
    random = Random(20_250_131)
    valid = list(samples())
    sealed = {(sample.context, sample.data): sample.plaintext for sample in valid}
    warm = {context: sealer.opening(context) for context in CONTEXTS}
    for sample in valid:
        assert warm[sample.context](sample.data) == sample.plaintext

    outcomes: Counter[type[BaseException] | None] = Counter()
    for step in range(MUTATIONS):
        sample, other = random.choice(valid), random.choice(valid)
        data = random.choice(MUTATORS)(random, sample.data, other.data)
        opening = warm[sample.context] if step & 1 else sealer.opening(sample.context)
        try:
            if step % 20 in {9, 10}:
                data = through_text(random, data)
            plaintext = opening(data)
        except OpenError as error:
            outcomes[type(error)] += 1
        else:
            assert sealed.get((sample.context, data)) == plaintext, f"step {step}"
            outcomes[None] += 1

    failures = {NotAnEnvelopeError, UnknownKeyError, DestroyedKeyError, AuthenticationError}
    assert set(outcomes) - {None} == failures
    assert min(outcomes[failure] for failure in failures) >= 1000
    assert outcomes[None] < MUTATIONS / 50
