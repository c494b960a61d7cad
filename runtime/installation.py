"""`limner init`: the choices and the secrets of an installation with Compose, made once and never overwritten."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import string
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from limner.runtime.errors import Refused

EXAMPLE = Path("deploy/compose.env.example")
HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ADDRESS = re.compile(r"[^\s@,;\"'$]+@[^\s@,;\"'$]+\.[^\s@,;\"'$]+")
IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]*")
LOCAL = re.compile(r"(^|\.)(localhost|local|internal|lan|test)$")
"""Names that nobody else can reach, and Let's Encrypt has no certificate for."""
LETTERS = string.ascii_letters + string.digits
"""Of which secrets are made: they mean nothing special in an address, in a shell, or to Compose."""


@dataclass(frozen=True)
class Written:
    """What became of a file: ``state`` is "made", or "kept" for one that was there."""

    state: str
    path: str

    def __str__(self) -> str:
        return f"{self.state}   {self.path}"


def init(folder: Path, domain: str, tls: str = "", image: str = "", ops_image: str = "") -> list[Written]:
    """Write .env and secrets/ into a clone of Limner; says for each what became of it. Safe to run again.

    ``tls``: an e-mail address for Let's Encrypt, or "internal"; "" will do for a name that nobody else can reach.
    ``image`` and ``ops_image``: of a registry; "" for those that are built here. Raises Refused for what cannot be, before
    anything is written.
    """
    domain, example = domain.lower(), folder / EXAMPLE
    tls = tls or ("internal" if LOCAL.search(domain) else "")
    if not HOST.fullmatch(domain):
        raise Refused(f"DOMAIN: {domain!r} is not the name of a site, such as art.example.com", field="domain")
    if not tls:
        raise Refused("--tls: your e-mail address, for Let's Encrypt, or the word internal", field="tls")
    if tls != "internal" and not ADDRESS.fullmatch(tls):
        raise Refused(f"--tls: {tls!r} is neither an e-mail address nor the word internal", field="tls")
    for option, name in (("--image", image), ("--ops-image", ops_image)):
        if name and not IMAGE.fullmatch(name):
            raise Refused(f"{option}: {name!r} is no name of an image", field=option.strip("-").replace("-", "_"))
    if not example.is_file():
        raise Refused(f"--folder: {str(folder)!r} is no clone of Limner: there is no {EXAMPLE} in it", field="folder")
    chosen = {"DOMAIN": domain, "TLS": tls, "APP_IMAGE": image, "OPS_IMAGE": ops_image}
    said = [_once(folder / ".env", lambda: _choices(example.read_text(encoding="utf-8"), chosen), 0o600)]
    closed = folder / "secrets"
    closed.mkdir(mode=0o700, exist_ok=True)
    # A container runs as a user of its own and sees one file each; nobody else gets past the folder.
    return said + [_once(closed / name, make, 0o444) for name, make in _secrets(closed).items()]


def _choices(example: str, chosen: dict[str, str]) -> str:
    for name, value in chosen.items():
        if value:
            example = re.sub(rf"^#?{name}=.*$", f"{name}={value}", example, flags=re.M)
    return example


def _secrets(folder: Path) -> dict[str, Callable[[], str]]:
    """How each is made, in this order: the password of the database stands in two of them."""
    return {
        "postgres_password": lambda: _password_of(folder / "database_url") or _word(40),
        "database_url": lambda: (
            f"postgresql://limner:{(folder / 'postgres_password').read_text().strip()}@postgres:5432/limner"
        ),
        "secret_key": lambda: _word(48),
        "vault_keys": lambda: f"k1:{_key()}",
        "sandbox_secret": lambda: _word(40),
        "s3_access_key": lambda: _word(20),
        "s3_secret_key": lambda: _word(40),
        "btcpay_api_key": str,
        "btcpay_webhook_secret": str,
        "stripe_api_key": str,
        "stripe_webhook_secret": str,
        "bot_token": str,
        "smtp_password": str,
    }


def _password_of(address: Path) -> str | None:
    return urlsplit(address.read_text().strip()).password if address.is_file() else None


def _word(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def _key() -> str:
    """32 bytes in base64, drawn until only letters, digits and the padding are left: a quarter of all are so."""
    while not re.fullmatch(r"[A-Za-z0-9]+=", key := base64.b64encode(secrets.token_bytes(32)).decode()):
        pass
    return key


def _once(path: Path, make: Callable[[], str], mode: int) -> Written:
    """The file appears whole or not at all, and one that is there stays as it is."""
    if path.exists():
        return Written("kept", str(path))
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(make())
            file.flush()
            os.fsync(handle)
        os.chmod(draft, mode)
        with contextlib.suppress(FileExistsError):  # somebody else's run: theirs stays
            os.link(draft, path)
    finally:
        os.unlink(draft)
    return Written("made", str(path))
