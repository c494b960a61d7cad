"""ID tokens (OpenID Connect Core 1.0, 3.1.3.7): signed by a key of the issuer, for us, for this very sign-in, and now."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from limner.runtime.errors import Refused

LEEWAY = 60
"""Seconds that the two clocks may differ."""
LONGEST = 16_384
LEAST_BITS = 2048
KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}
"""No other algorithm is taken: not "none", and none whose key would be a shared secret."""

Claims = dict[str, Any]
Keys = Sequence[Mapping[str, Any]]


class NotTrusted(Refused):
    """What another place says of somebody does not hold. ``why`` tells no secret."""

    def __init__(self, why: str) -> None:
        super().__init__(f"This sign-in does not hold: {why}. Begin it again.", field="form", code="not_trusted")


def key_id(token: str) -> str | None:
    """Which key it says that it is signed with. Raises NotTrusted."""
    kid = _parts(token)[0].get("kid")
    return kid if isinstance(kid, str) else None


def read(token: str, keys: Keys, *, issuer: str, audience: str, nonce: str, now: float) -> Claims:
    """What it says. ``keys`` are the issuer's JWKS; ``now`` is in seconds from 1970. Raises NotTrusted."""
    header, claims, signed, signature = _parts(token)
    if not any(_is_signed(key, str(header.get("alg")), signed, signature) for key in _fitting(header, keys)):
        raise NotTrusted("its signature is not the provider's")
    for why, holds in _conditions(claims, issuer, audience, nonce, now):
        if not holds:
            raise NotTrusted(why)
    return claims


def _parts(token: str) -> tuple[Claims, Claims, bytes, bytes]:
    """Header, claims, what is signed, and the signature."""
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3 or not token.isascii():
        raise NotTrusted("it is no token")
    try:
        header, claims = json.loads(_decoded(parts[0])), json.loads(_decoded(parts[1]))
        signature = _decoded(parts[2])
    except (NotBase64, ValueError, RecursionError):
        raise NotTrusted("it is no token") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise NotTrusted("it is no token")
    return header, claims, f"{parts[0]}.{parts[1]}".encode(), signature


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _fitting(header: Claims, keys: Keys) -> list[Mapping[str, Any]]:
    """The key that it names; when it names none, all of the right kind. Raises NotTrusted."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
        raise NotTrusted(f"it is signed with {str(algorithm)[:20]!r}, which is not taken")
    if "crit" in header:
        raise NotTrusted("it asks for more than is understood here")
    return [
        key
        for key in keys
        if key.get("kty") == KEY_TYPES[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]


def _is_signed(key: Mapping[str, Any], algorithm: str, signed: bytes, signature: bytes) -> bool:
    try:
        if algorithm == "RS256":
            _rsa(key).verify(signature, signed, padding.PKCS1v15(), SHA256())
        else:
            _ec(key).verify(_der(signature), signed, ec.ECDSA(SHA256()))
    except (InvalidSignature, NotBase64, ValueError, KeyError, AttributeError, TypeError):
        return False  # also for a key that is none
    return True


def _rsa(key: Mapping[str, Any]) -> rsa.RSAPublicKey:
    found = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
    if found.key_size < LEAST_BITS:
        raise ValueError("an RSA key that is too short")
    return found


def _ec(key: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    if key["crv"] != "P-256":
        raise ValueError("a curve that is not ES256's")
    return ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), ec.SECP256R1()).public_key()


def _der(signature: bytes) -> bytes:
    """A JWS has the two numbers side by side, 32 bytes each (RFC 7518, 3.4)."""
    if len(signature) != 64:
        raise ValueError("an ES256 signature of another length")
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text), "big")


def _conditions(claims: Claims, issuer: str, audience: str, nonce: str, now: float) -> Iterator[tuple[str, bool]]:
    """Each with what is wrong when it does not hold."""
    given = claims.get("aud")
    audiences = given if isinstance(given, list) else [given]
    yield "it is not the provider's", claims.get("iss") == issuer
    yield "it is meant for another site", audience in audiences
    yield "it is meant for another site", claims.get("azp", audience) == audience
    yield "it is meant for several sites", len(audiences) == 1 or "azp" in claims
    yield "it is too old", _moment(claims, "exp") > now - LEEWAY
    yield "it is of a later time", _moment(claims, "iat", otherwise=float("inf")) < now + LEEWAY
    yield "it is of a later time", _moment(claims, "nbf") < now + LEEWAY
    yield "it belongs to another sign-in", _same(claims.get("nonce"), nonce)
    yield "it does not say of whom it speaks", _is_subject(claims.get("sub"))


def _moment(claims: Claims, name: str, *, otherwise: float = 0) -> float:
    value = claims.get(name, otherwise)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _same(given: object, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _is_subject(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 255 and value.isprintable()
