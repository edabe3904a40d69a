"""Pseudonyms, and what may be kept of a prompt."""

from __future__ import annotations

import pytest

from spendfuse.errors import SettingsError
from spendfuse.metering.privacy import Pseudonyms, prompt_fields

KEY = b"0123456789abcdef"


def test_a_user_has_one_pseudonym_and_no_two_share_it() -> None:
    pseudonyms = Pseudonyms(KEY)

    assert pseudonyms.of("anna@example.com") == Pseudonyms(KEY).of("anna@example.com")
    assert pseudonyms.of("anna@example.com") != pseudonyms.of("anne@example.com")
    assert "anna" not in pseudonyms.of("anna@example.com")


def test_another_key_gives_another_pseudonym() -> None:
    assert Pseudonyms(KEY).of("anna") != Pseudonyms(KEY[::-1]).of("anna")


def test_a_short_key_is_refused_with_what_to_do() -> None:
    with pytest.raises(SettingsError, match=r"has 3 bytes; it needs 16 or more.*openssl"):
        Pseudonyms(b"abc")


def test_pseudonyms_are_kept_for_a_bounded_number_of_users() -> None:
    pseudonyms = Pseudonyms(KEY)
    first = pseudonyms.of("u0")
    for number in range(10_000):
        pseudonyms.of(f"u{number}")

    assert len(pseudonyms._kept) <= 4096
    assert pseudonyms.of("u0") == first


def test_of_a_prompt_its_length_is_kept_and_a_hash_where_it_is_asked_for() -> None:
    fields = prompt_fields("What is a fuse?", key=KEY)

    assert prompt_fields("What is a fuse?") == {"prompt_characters": 15}
    assert fields == prompt_fields("What is a fuse?", key=KEY)
    assert fields["prompt_hash"] != prompt_fields("What is a fuse!", key=KEY)["prompt_hash"]
    assert "fuse" not in str(fields)
