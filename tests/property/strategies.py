"""Strategies shared by the property tests."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st

from sqlalchemy_sealed import Context
from sqlalchemy_sealed.envelope import (
    KEY_ID_SIZE,
    MAX_SLOTS,
    NONCE_SIZE,
    SLOT_SIZE,
    SUITES,
    TAG_SIZE,
    TOKEN_SIZE,
    TOKEN_SUITES,
    Envelope,
)

# A slow machine is not a failure.
untimed = settings(deadline=None)

texts = st.text(st.characters(codec="utf-8"))
"""Any text that has a UTF-8 form."""

contexts = st.builds(
    Context,
    label=texts.filter(bool),
    scope=st.lists(texts, max_size=4).map(tuple),
)
"""A label, and up to four scope parts."""

parts = st.lists(st.text("\0\1\2ab", max_size=4), max_size=4)
"""Context parts that look like each other's lengths, so that a sloppy packing would mix them up."""

plain_envelopes = st.builds(
    Envelope,
    suite=st.sampled_from(sorted(SUITES - TOKEN_SUITES)),
    key_id=st.binary(min_size=KEY_ID_SIZE, max_size=KEY_ID_SIZE),
    slots=st.lists(st.binary(min_size=SLOT_SIZE, max_size=SLOT_SIZE), max_size=MAX_SLOTS).map(
        tuple
    ),
    nonce=st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE),
    sealed=st.binary(min_size=TAG_SIZE, max_size=TAG_SIZE + 100),
)
token_sets = st.sets(st.binary(min_size=TOKEN_SIZE, max_size=TOKEN_SIZE), max_size=20)

envelopes = plain_envelopes | st.builds(
    lambda envelope, suite, tokens: replace(envelope, suite=suite, tokens=tuple(sorted(tokens))),
    plain_envelopes,
    st.sampled_from(sorted(TOKEN_SUITES)),
    token_sets,
)
"""Envelopes that parse; they authenticate under no key."""

damaged = st.builds(
    lambda envelope, size, tail: bytes(envelope)[:size] + tail,
    envelopes,
    st.integers(0, 400),
    st.binary(max_size=4),
)
"""Stored bytes that begin as an envelope does, and may end anywhere."""
