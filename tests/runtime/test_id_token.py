"""ID tokens: what is not signed by the issuer, for us, for this sign-in and now, says nothing."""

from __future__ import annotations

import json

import pytest

from limner.runtime import id_token
from limner.runtime.id_token import NotTrusted
from tests.upstreams.oidc import encoded, public, signed

NOW = 1_800_000_000.0
GOOD = {"iss": "https://id.example", "aud": "limner", "sub": "7", "exp": NOW + 300, "iat": NOW, "nonce": "n-0"}
KEYS = [public("r1"), public("e1", "ES256")]
R1, E1 = KEYS


def read(token: str, keys=KEYS, **more):
    about = {"issuer": "https://id.example", "audience": "limner", "nonce": "n-0", "now": NOW}
    return id_token.read(token, keys, **about | more)


@pytest.mark.parametrize("kid, alg", [("r1", "RS256"), ("e1", "ES256")])
def test_what_the_issuer_signed_is_believed(kid, alg):
    assert read(signed(GOOD, kid, alg)) == GOOD
    assert id_token.key_id(signed(GOOD, kid, alg)) == kid


@pytest.mark.parametrize("claims", [{"aud": ["limner"]}, {"aud": ["limner", "x"], "azp": "limner"}, {"exp": NOW - 59}])
def test_it_may_say_so_in_other_ways(claims):
    assert read(signed(GOOD | claims))["sub"] == "7"


def test_a_token_that_names_no_key_may_be_signed_by_any_of_the_right_kind():
    assert read(signed(GOOD, None, by="r2"), [R1, public("r2")]) == GOOD
    with pytest.raises(NotTrusted, match="signature"):
        read(signed(GOOD, None, by="r3"), [R1, public("r2")])


@pytest.mark.parametrize(
    "claims, why",
    [
        ({"iss": "https://id.example/"}, "not the provider's"),
        ({"iss": ["https://id.example"]}, "not the provider's"),
        ({"iss": None}, "not the provider's"),
        ({"aud": "limner2"}, "another site"),
        ({"aud": []}, "another site"),
        ({"aud": None}, "another site"),
        ({"aud": ["x", "y"]}, "another site"),
        ({"azp": "x"}, "another site"),
        ({"aud": ["limner", "x"]}, "several sites"),
        ({"exp": NOW - 61}, "too old"),
        ({"exp": "9999999999"}, "too old"),
        ({"exp": True}, "too old"),
        ({"exp": None}, "too old"),
        ({"iat": NOW + 61}, "later time"),
        ({"iat": None}, "later time"),
        ({"nbf": NOW + 61}, "later time"),
        ({"nonce": "n-1"}, "another sign-in"),
        ({"nonce": ""}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"nonce": 0}, "another sign-in"),
        ({"sub": ""}, "of whom it speaks"),
        ({"sub": 7}, "of whom it speaks"),
        ({"sub": "x" * 256}, "of whom it speaks"),
        ({"sub": "a\x00"}, "of whom it speaks"),
        ({"sub": None}, "of whom it speaks"),
    ],
)
def test_claims_that_do_not_hold(claims, why):
    said = {name: value for name, value in (GOOD | claims).items() if value is not None}
    with pytest.raises(NotTrusted, match=why):
        read(signed(said))


@pytest.mark.parametrize(
    "token",
    [
        signed(GOOD, "r1", by="r9"),
        signed(GOOD, "e1", "ES256", by="e9"),
        signed(GOOD, "r9"),
        signed(GOOD, "r1", "ES256", by="e1"),
        signed(GOOD, "e1", "RS256", by="r1"),
        signed(GOOD)[:-4],
        signed(GOOD).rpartition(".")[0] + ".",
        ".".join([signed(GOOD).split(".")[0], encoded(GOOD | {"sub": "8"}), signed(GOOD).split(".")[2]]),
        signed(GOOD, "e1", "ES256")[:-2],
    ],
)
def test_a_signature_that_is_not_the_issuers(token):
    with pytest.raises(NotTrusted, match="signature"):
        read(token)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS256", "RS384", "PS256", "", None, ["RS256"], 7])
def test_no_other_algorithm_is_taken(alg):
    with pytest.raises(NotTrusted, match="not taken"):
        read(signed(GOOD, "r1", alg, by="r1"))
    with pytest.raises(NotTrusted, match="not taken"):
        read(f"{encoded({'alg': alg})}.{encoded(GOOD)}.")


def test_what_must_be_understood_and_is_not_is_refused():
    with pytest.raises(NotTrusted, match="more than is understood"):
        read(signed(GOOD, crit=["exp"]))


@pytest.mark.parametrize(
    "key",
    [
        R1 | {"use": "enc"},
        R1 | {"alg": "PS256"},
        R1 | {"n": "!"},
        R1 | {"n": None},
        R1 | {"e": "AQ"},
        {"kty": "RSA", "kid": "r1"},
        {"kty": "oct", "kid": "r1", "k": "AAAA"},
        {},
    ],
)
def test_a_key_that_is_none_or_too_weak_signs_nothing(key):
    with pytest.raises(NotTrusted, match="signature"):
        read(signed(GOOD), [key])


@pytest.mark.parametrize(
    "key", [E1 | {"crv": "P-384"}, E1 | {"x": E1["y"]}, E1 | {"x": "AA"}, {"kty": "EC", "kid": "e1"}]
)
def test_a_point_that_is_on_no_curve_signs_nothing(key):
    with pytest.raises(NotTrusted, match="signature"):
        read(signed(GOOD, "e1", "ES256"), [key])


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b.c", "x" * 20_000, "é.é.é", "\udcff.a.b",
        f"{encoded(b'[]')}.{encoded(GOOD)}.", f"{encoded({'alg': 'RS256'})}.{encoded(b'7')}.",
        f"{encoded(b'[' * 5000)}.{encoded(GOOD)}.", f"{encoded(bytes([255, 254]))}.{encoded(GOOD)}.",
        f"{encoded({'alg': 'RS256'})}.{encoded(json.dumps(GOOD).encode()[:-1])}.",
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused_and_crashes_nothing(token):
    with pytest.raises(NotTrusted):
        read(token)
