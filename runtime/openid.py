"""A generic OpenID provider: found by its discovery document, asked with a code, PKCE (S256) and a nonce."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import anyio

from limner.runtime import id_token
from limner.runtime.errors import Busy
from limner.runtime.id_token import Claims, Keys, NotTrusted
from limner.runtime.log import logger

log = logger(__name__)

PATIENCE = 10
"""Seconds for each call."""
LARGEST = 256 * 1024
KNOWN_FOR = 3600
"""Seconds that a discovery document is believed."""


@dataclass(frozen=True)
class Client:
    """How the provider knows this site. Without ``secret`` it is a public client, with PKCE alone."""

    id: str
    secret: str | None
    scopes: str


@dataclass(frozen=True)
class Places:
    """What the discovery document names."""

    authorization: str
    token: str
    keys: str
    takes_basic: bool
    until: float


class Provider:
    """One provider. Its keys are read anew when a token names one that is not known yet: they rotate."""

    def __init__(self, http: aiohttp.ClientSession, issuer: str, client: Client) -> None:
        self.issuer = issuer
        self._http = http
        self._client = client
        self._places: Places | None = None
        self._keys: Keys = ()

    async def address(self, *, back: str, state: str, nonce: str, verifier: str) -> str:
        """Where somebody goes to agree; they come back to ``back``. Raises NotTrusted, Busy."""
        places = await self._known()
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": back,
            "scope": self._client.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        return f"{places.authorization}{'&' if '?' in places.authorization else '?'}{urlencode(asked)}"

    async def claims(self, code: str, *, back: str, nonce: str, verifier: str) -> Claims:
        """What the ID token says of whoever came back with this code. Raises NotTrusted, Busy."""
        token = await self._exchanged(code, back, verifier)
        if not self._keys or id_token.key_id(token) not in {key.get("kid") for key in self._keys}:
            self._keys = await self._read_keys()
        about = {"issuer": self.issuer, "audience": self._client.id, "nonce": nonce, "now": time.time()}
        return id_token.read(token, self._keys, **about)  # type: ignore[arg-type]

    async def _exchanged(self, code: str, back: str, verifier: str) -> str:
        places, client = await self._known(), self._client
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier}
        headers = {}
        if client.secret and places.takes_basic:  # RFC 6749, 2.3.1: both are encoded as a form's fields first
            basic = aiohttp.encode_basic_auth(quote(client.id, safe=""), quote(client.secret, safe=""))
            headers["Authorization"] = basic
        else:
            form |= {"client_id": client.id} | ({"client_secret": client.secret} if client.secret else {})
        status, said = await self._ask("POST", places.token, data=form, headers=headers)
        token = said.get("id_token")
        if status != 200 or not isinstance(token, str):
            log.warning("openid_refused", status=status, error=str(said.get("error"))[:80])
            raise NotTrusted("the provider did not take the code")
        return token

    async def _known(self) -> Places:
        if self._places is None or self._places.until < time.monotonic():
            status, said = await self._ask("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if status != 200:
                raise Busy(f"the OpenID provider answers {status} to discovery")
            if said.get("issuer") != self.issuer:
                raise NotTrusted(f"the provider calls itself {str(said.get('issuer'))[:200]!r}, not {self.issuer!r}")
            ways = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            takes_basic = isinstance(ways, list) and "client_secret_basic" in ways
            self._places = Places(
                authorization=self._place(said.get("authorization_endpoint")),
                token=self._place(said.get("token_endpoint")),
                keys=self._place(said.get("jwks_uri")),
                takes_basic=takes_basic,
                until=time.monotonic() + KNOWN_FOR,
            )
        return self._places

    def _place(self, named: object) -> str:
        """Its secrets go there: encrypted, wherever the issuer itself is."""
        scheme = "https://" if self.issuer.startswith("https://") else ("http://", "https://")
        if not isinstance(named, str) or not named.startswith(scheme):
            raise NotTrusted("the provider names no place to go to")
        return named

    async def _read_keys(self) -> Keys:
        status, said = await self._ask("GET", (await self._known()).keys)
        found = said.get("keys")
        if status != 200 or not isinstance(found, list):
            raise Busy(f"the OpenID provider answers {status} when asked for its keys")
        return [key for key in found if isinstance(key, dict)]

    async def _ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON object, which is empty for anything else. No redirect is followed. Raises Busy."""
        body = bytearray()
        try:
            with anyio.fail_after(PATIENCE):
                async with self._http.request(method, url, allow_redirects=False, **options) as answer:
                    async for chunk in answer.content.iter_any():
                        body += chunk
                        if len(body) > LARGEST:
                            raise Busy("the OpenID provider says too much")
                    status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Busy(f"the OpenID provider does not answer: {type(error).__name__}") from error
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        return status, said if isinstance(said, dict) else {}


def challenge(verifier: str) -> str:
    """RFC 7636, S256."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
