"""Secrets at rest: what is sealed opens only where it belongs, with its own key, unchanged."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from limner.runtime.config import Config
from limner.runtime.errors import LimnerError
from limner.runtime.vault import Vault, VaultError, generate_key, last_four

OLD, NEW = (f"{kid}:{base64.b64encode(kid.encode() * 16).decode()}" for kid in ("k1", "k2"))  # fixed: they name tests
PLACE = "provider_key/7/secret"
SECRET = "sk-live-abcdefghijklmnop"


def vault(*keys: str) -> Vault:
    return Vault.from_config(Config(vault_keys=SecretStr(",".join(keys))))


@given(st.text())
def test_what_was_sealed_opens_again(text: str) -> None:
    safe = vault(OLD)
    assert safe.open(safe.seal(text, bound_to=PLACE), bound_to=PLACE) == text


def test_the_same_secret_never_looks_the_same_twice() -> None:
    safe = vault(OLD)
    sealed = {safe.seal(SECRET, bound_to=PLACE) for _ in range(50)}
    assert len(sealed) == 50
    assert all(one.startswith("v1.k1.") and SECRET not in one for one in sealed)


def test_a_ciphertext_moved_to_another_row_stays_shut() -> None:
    safe = vault(OLD)
    with pytest.raises(VaultError, match="provider_key/8/secret does not open"):
        safe.open(safe.seal(SECRET, bound_to=PLACE), bound_to="provider_key/8/secret")


def test_every_changed_character_is_noticed() -> None:
    safe = vault(OLD)
    sealed = safe.seal(SECRET, bound_to=PLACE)
    for at in range(len(sealed) - 1):  # the last character may hold padding bits that decode to nothing
        broken = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        with pytest.raises(VaultError) as caught:
            safe.open(broken, bound_to=PLACE)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("sealed", ["", "v1", "v1.k1.", "v1.k1.AAAA", "v2.k1.AAAA", "v1..AAAA", "v1.k1.é", SECRET])
def test_what_was_never_sealed_is_named_but_not_shown(sealed: str) -> None:
    with pytest.raises(VaultError) as caught:
        vault(OLD).open(sealed, bound_to=PLACE)
    assert PLACE in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_rotation_opens_the_old_and_seals_with_the_new() -> None:
    old = vault(OLD).seal(SECRET, bound_to=PLACE)
    both = vault(NEW, OLD)
    new = both.seal(both.open(old, bound_to=PLACE), bound_to=PLACE)
    assert (both.is_current(old), both.is_current(new)) == (False, True)
    assert vault(NEW).open(new, bound_to=PLACE) == SECRET
    assert both.key_ids == ("k2", "k1")


def test_a_key_that_is_gone_is_named() -> None:
    sealed = vault(OLD).seal(SECRET, bound_to=PLACE)
    with pytest.raises(VaultError, match="'k1', which LIMNER_VAULT_KEYS does not have"):
        vault(NEW).open(sealed, bound_to=PLACE)


def test_another_key_under_the_same_id_is_refused() -> None:
    sealed = vault(OLD).seal(SECRET, bound_to=PLACE)
    with pytest.raises(VaultError, match="does not open"):
        vault(generate_key("k1")).open(sealed, bound_to=PLACE)


def test_the_fingerprint_is_stable_and_belongs_to_the_active_key() -> None:
    assert vault(NEW, OLD).fingerprint == vault(NEW).fingerprint != vault(OLD).fingerprint
    assert len(vault(NEW).fingerprint) == 16


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("no colon", "key 1 must look like id:base64"),
        (f"{OLD},K9:AAAA", "key 2 must look like id:base64"),
        ("k1:not base64!", "not base64"),
        ("k1:AAAA", "has 3 bytes, not 32"),
        (f"{OLD},{OLD}", "there twice"),
    ],
)
def test_a_malformed_setting_is_named_without_its_content(text: str, says: str) -> None:
    with pytest.raises(VaultError, match=says) as caught:
        vault(text)
    message = str(caught.value)
    assert "LIMNER_VAULT_KEYS" in message
    assert OLD.partition(":")[2] not in message
    assert isinstance(caught.value, LimnerError)


def test_neither_key_nor_secret_is_in_the_repr() -> None:
    assert OLD.partition(":")[2] not in repr(vars(vault(OLD)).keys()) + repr(vault(OLD))


@pytest.mark.parametrize(("secret", "shown"), [(SECRET, "…mnop"), ("short", "…"), ("", "…"), ("123456789", "…6789")])
def test_only_the_end_of_a_long_secret_is_shown(secret: str, shown: str) -> None:
    assert last_four(secret) == shown
