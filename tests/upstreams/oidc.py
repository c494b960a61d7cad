"""A stand-in for an OpenID provider over real HTTP: discovery, consent, codes with PKCE, signed ID tokens, keys that rotate."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, Self
from urllib.parse import unquote, urlencode

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

CLIENT, SECRET = "limner", "a secret/with: signs"
PRINCE = {"sub": "248289761001", "email": "alice@example.com", "email_verified": True}


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Made once for each name: drawing primes takes its time. One whose name begins with "weak" is too short."""
    return rsa.generate_private_key(65537, 1024 if name.startswith("weak") else 2048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def encoded(raw: bytes | dict[str, Any]) -> str:
    raw = json.dumps(raw).encode() if isinstance(raw, dict) else raw
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(
    claims: dict[str, Any], kid: str | None = "r1", alg: str = "RS256", *, by: str | None = None, **more: Any
) -> str:
    """A token. ``by``: whose key really signs, when it is not the one that ``kid`` names."""
    header = {"alg": alg, "typ": "JWT", **({"kid": kid} if kid else {}), **more}
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(_signature(text.encode(), alg, by or kid or 'r1'))}"


def _signature(text: bytes, alg: str, name: str) -> bytes:
    match alg:
        case "RS256":
            return rsa_key(name).sign(text, padding.PKCS1v15(), SHA256())
        case "ES256":
            r, s = decode_dss_signature(ec_key(name).sign(text, ec.ECDSA(SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        case "HS256":  # with what everybody can read, as if it were a shared secret
            return hmac.new(json.dumps(public(name)).encode(), text, hashlib.sha256).digest()
        case _:
            return b""


def public(kid: str, alg: str = "RS256") -> dict[str, Any]:
    """The key as a JWKS shows it."""
    if alg == "ES256":
        numbers = ec_key(kid).public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        return {"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": encoded(x), "y": encoded(y)}
    found = rsa_key(kid).public_key().public_numbers()
    n, e = found.n.to_bytes((found.n.bit_length() + 7) // 8, "big"), found.e.to_bytes(3, "big")
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": encoded(n), "e": encoded(e)}


class FakeProvider:
    """Whoever comes is ``person`` and agrees. ``bend`` changes claims of the tokens, ``token`` whole ones."""

    def __init__(self) -> None:
        self.issuer = ""
        self.person: dict[str, Any] = dict(PRINCE)
        self.bend: dict[str, Any] = {}
        self.token: str | None = None
        self.alg, self.kid, self.by = "RS256", "r1", None
        self.keys = [public("r1"), public("e1", "ES256")]
        self.discovery: dict[str, Any] = {}
        self.is_down = False
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.nonce = ""

    def rotate(self, kid: str) -> None:
        """From now on it signs with another key, and shows only that one."""
        self.kid, self.keys = kid, [public(kid)]

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Self]:
        app = web.Application(middlewares=[self._noted])
        app.router.add_get("/.well-known/openid-configuration", self._discover)
        app.router.add_get("/authorize", self._agree)
        app.router.add_post("/token", self._exchange)
        app.router.add_get("/keys", self._show_keys)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _noted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        return web.Response(status=500) if self.is_down else await handler(request)

    async def _discover(self, request: web.Request) -> web.Response:
        return web.json_response({
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        } | self.discovery)  # fmt: skip

    async def _agree(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert (asked["code_challenge_method"], "openid" in asked["scope"].split()) == ("S256", True)
        code = secrets.token_urlsafe(16)
        self.codes[code], self.nonce = asked, asked["nonce"]
        answer = urlencode({"code": code, "state": asked["state"]})
        return web.Response(status=302, headers={"Location": f"{asked['redirect_uri']}?{answer}"})

    async def _exchange(self, request: web.Request) -> web.Response:
        form = await request.post()
        if not self._knows(request, dict(form)):  # type: ignore[arg-type]
            return web.json_response({"error": "invalid_client"}, status=401)
        asked = self.codes.pop(str(form.get("code")), None)
        verifier = str(form.get("code_verifier")).encode()
        fits = asked is not None and (
            encoded(hashlib.sha256(verifier).digest()) == asked["code_challenge"]
            and form.get("redirect_uri") == asked["redirect_uri"]
            and form.get("grant_type") == "authorization_code"
        )
        if asked is None or not fits:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response(
            {"access_token": "x", "token_type": "Bearer", "id_token": self.token or self._speak(asked)}
        )

    def _knows(self, request: web.Request, form: dict[str, str]) -> bool:
        if "Authorization" in request.headers:
            given = aiohttp.BasicAuth.decode(request.headers["Authorization"])
            return (unquote(given.login), unquote(given.password)) == (CLIENT, SECRET)
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)

    def _speak(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        said = claims | self.person | self.bend
        return signed(
            {name: value for name, value in said.items() if value is not None}, self.kid, self.alg, by=self.by
        )

    async def _show_keys(self, request: web.Request) -> web.Response:
        return web.json_response({"keys": self.keys})
