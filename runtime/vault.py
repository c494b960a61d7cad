"""Secrets at rest: AES-256-GCM under named keys, each ciphertext bound to the one place it may be opened in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from limner.runtime.config import Config
from limner.runtime.errors import WRONG_SETTINGS, Hopeless

SETTING = "LIMNER_VAULT_KEYS"
VERSION = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_ID = re.compile(r"[a-z0-9_-]{1,32}")


class VaultError(Hopeless):
    """A secret cannot be sealed or opened. The message holds neither the secret nor a key."""

    exit_code = WRONG_SETTINGS


class KeyUnknown(VaultError):
    """It is sealed with a key that this process was not started with; one that was started later may have it."""


class Vault:
    """Seals with the first key and opens with all of them, so a rotation needs no pause."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        """``keys`` maps ids to 32 bytes each, the active one first."""
        if not keys:
            raise VaultError(f"{SETTING} is empty: set it to id:base64 of {KEY_BYTES} bytes")
        self.active = next(iter(keys))
        self._keys = dict(keys)

    @classmethod
    def from_config(cls, config: Config) -> Vault:
        """The vault of ``config.vault_keys``. Raises VaultError, naming the setting, when its text is malformed."""
        return cls.parse(config.vault_keys.get_secret_value())

    @classmethod
    def parse(cls, text: str) -> Vault:
        """The vault of ``id:base64`` of 32 bytes each, comma-separated. Raises VaultError."""
        return cls(_parse(text))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell the active key from any other and say nothing else about it."""
        return self.fingerprints[self.active]

    @property
    def fingerprints(self) -> dict[str, str]:
        """That of each key by its id, the active one first."""
        return {kid: fingerprint(key, "vault") for kid, key in self._keys.items()}

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def seal(self, text: str, *, bound_to: str) -> str:
        """``v1.<key id>.<base64url of nonce and ciphertext>``, to be opened only with the same ``bound_to``.

        ``bound_to`` names the place, as in ``provider_key/7/secret``: a ciphertext moved to another row stays shut.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self._keys[self.active]).encrypt(nonce, text.encode(), _bind(self.active, bound_to))
        return f"{VERSION}.{self.active}.{base64.urlsafe_b64encode(nonce + sealed).decode().rstrip('=')}"

    def open(self, sealed: str, *, bound_to: str) -> str:
        """The text again. Raises VaultError for an unknown key, a changed ciphertext or another ``bound_to``."""
        kid, nonce, ciphertext = _unpack(sealed, bound_to)
        if kid not in self._keys:
            raise KeyUnknown(f"{bound_to} is sealed with the key {kid!r}, which {SETTING} does not have")
        try:
            return AESGCM(self._keys[kid]).decrypt(nonce, ciphertext, _bind(kid, bound_to)).decode()
        except InvalidTag:
            raise VaultError(
                f"{bound_to} does not open: changed, moved from elsewhere, or {kid!r} is another key"
            ) from None

    def is_current(self, sealed: str) -> bool:
        """False when a rotation has yet to seal this one again with the active key."""
        return sealed.startswith(f"{VERSION}.{self.active}.")


def generate_key(kid: str = "k1") -> str:
    """A fresh key as the setting wants it: ``k1:<base64 of 32 bytes>``."""
    return f"{kid}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def fingerprint(secret: bytes, kind: str) -> str:
    """16 hexadecimal digits that tell a key of this kind, such as vault, from any other."""
    return hmac.new(secret, f"limner {kind} fingerprint".encode(), hashlib.sha256).hexdigest()[:16]


def last_four(secret: str) -> str:
    """What may be shown of a secret: ``…ab12``, or ``…`` alone when four characters would be half of it."""
    return "…" + (secret[-4:] if len(secret) > 8 else "")


def _bind(kid: str, bound_to: str) -> bytes:
    return f"{VERSION}.{kid}.{bound_to}".encode()


def _parse(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, part in enumerate((part.strip() for part in text.split(",") if part.strip()), start=1):
        kid, colon, encoded = part.partition(":")
        if not colon or not KEY_ID.fullmatch(kid):
            raise VaultError(f"{SETTING}: key {number} must look like id:base64, with an id of a-z, 0-9, _ or -")
        if kid in keys:
            raise VaultError(f"{SETTING}: the id {kid!r} is there twice")
        keys[kid] = _decode_key(kid, encoded)
    return keys


def _decode_key(kid: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise VaultError(f"{SETTING}: what follows {kid!r} is not base64") from None
    if len(key) != KEY_BYTES:
        raise VaultError(f"{SETTING}: the key {kid!r} has {len(key)} bytes, not {KEY_BYTES}")
    return key


def _unpack(sealed: str, bound_to: str) -> tuple[str, bytes, bytes]:
    version, _, rest = sealed.partition(".")
    kid, _, encoded = rest.partition(".")
    if version != VERSION or not KEY_ID.fullmatch(kid):
        raise VaultError(f"{bound_to} is not a sealed secret")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise VaultError(f"{bound_to} is damaged: not base64") from None
    if len(raw) < NONCE_BYTES + TAG_BYTES:
        raise VaultError(f"{bound_to} is damaged: cut short")
    return kid, raw[:NONCE_BYTES], raw[NONCE_BYTES:]
