"""The network: the site's name, its doors and certificate as the world sees them, and the painters' doors."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from urllib.parse import urlsplit

import aiohttp
import anyio

from limner.actors.doctor.check import Finding, check, trouble, warning, well
from limner.actors.doctor.outside import is_cut_off, painters
from limner.actors.doctor.patient import Patient, Skip

PATIENCE = 6.0
PORTS = {"http": 80, "https": 443}
HIDDEN = ("/metrics", "/health/ready")
LEAST_HSTS = 86400


@check(
    "network.name", "fail", means="the site's name leads somewhere",
    cause="The DNS record is missing, or has not spread yet.",
    fix="Add an A (and AAAA) record for the name with this server's address; `dig +short NAME` shows what is known.",
)  # fmt: skip
async def name(patient: Patient) -> Finding:
    host, _ = _site(patient)
    try:
        found = await _addresses(host)
    except OSError as error:
        if is_cut_off(patient):
            raise Skip("there is no way out of here: ask the worker") from None
        return trouble(f"{host}: {error.strerror or error}")
    return well(f"{host} is {', '.join(found)}")


@check(
    "network.port", "fail", means="the site's port takes connections",
    cause="Caddy is down, the firewall is shut, or the name leads to another machine.",
    fix="`docker compose ps caddy`; open 80 and 443 in the firewall of the server and of whoever hosts it.",
)  # fmt: skip
async def port(patient: Patient) -> Finding:
    host, number = _site(patient)
    await _known(patient, host)
    try:
        await _connect(host, number)
    except (OSError, TimeoutError) as error:
        return trouble(f"{host}:{number}: {_said(error)}")
    return well(f"{host}:{number} is open")


@check(
    "network.redirect", "warn", means="who comes by plain http is sent to https",
    cause="Port 80 is shut, or something else than Caddy has it; Let's Encrypt needs it, too.",
    fix="Open port 80, and let Caddy have it: HTTP_PORT=80 in .env.",
)  # fmt: skip
async def redirect(patient: Patient) -> Finding:
    host, number = _site(patient)
    if number != PORTS["https"] and patient.http_port == PORTS["http"]:
        raise Skip("the site is not on the usual port")
    await _known(patient, host)
    address = f"http://{host}:{patient.http_port}/"
    try:
        async with (await patient.web.get()).get(address, allow_redirects=False) as answer:
            target = answer.headers.get("Location", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return trouble(f"{address}: {_said(error)}")
    return well(f"to {target}") if target.startswith("https://") else trouble(f"{address} answers {answer.status}")


@check(
    "network.certificate", "fail", means="the certificate is trusted, fits the name, and lasts two weeks more",
    cause="Caddy could not renew it: port 80 or 443 is shut from outside, or the name leads elsewhere.",
    fix="`docker compose logs caddy | grep -i certificate` says why; Caddy tries again by itself.",
)  # fmt: skip
async def certificate(patient: Patient) -> Finding:
    host, number = _site(patient)
    await _reachable(patient, host, number)
    context = patient.tls
    if patient.said.get("TLS") == "internal":  # Caddy's own authority, which nobody else knows
        return well("made by Caddy itself, and renewed by it")
    try:
        days = await _days_left(host, number, context, patient.clock())
    except ssl.SSLCertVerificationError as error:
        return trouble(error.verify_message or str(error))
    except (OSError, TimeoutError, ssl.SSLError) as error:
        return trouble(_said(error))
    words = f"{days:.0f} days left"
    if days < patient.least_certificate_days / 2:
        return trouble(words)
    return warning(words) if days < patient.least_certificate_days else well(words)


@check(
    "network.hidden", "fail", means="what is for operators alone is hidden from the world",
    cause="web is reached around Caddy, or the Caddyfile was changed.",
    fix="Let nobody but Caddy reach web's port; keep the @hidden lines of the Caddyfile.",
)  # fmt: skip
async def hidden(patient: Patient) -> Finding:
    host, number = _site(patient)
    open_doors = [path for path in HIDDEN if (await _get(patient, host, number, path)).status == 200]
    return trouble(f"anybody can read {', '.join(open_doors)}") if open_doors else well(", ".join(HIDDEN))


@check(
    "network.headers", "warn", means="browsers are told to come by https alone",
    cause="A proxy in front of Caddy takes the header away, or the Caddyfile was changed.",
    fix="Let Strict-Transport-Security through; `curl -sI ADDRESS` shows what arrives.",
)  # fmt: skip
async def headers(patient: Patient) -> Finding:
    host, number = _site(patient)
    sent = (await _get(patient, host, number, "/")).headers.get("Strict-Transport-Security", "")
    age = next((part.strip()[8:] for part in sent.split(";") if part.strip().startswith("max-age=")), "0")
    return (
        well(sent)
        if age.isdecimal() and int(age) >= LEAST_HSTS
        else trouble(f"Strict-Transport-Security: {sent or 'nothing'}")
    )


@check(
    "network.painters", "fail", means="the painters' addresses answer",
    cause="The way out is shut, a proxy is needed, or the address in the settings is wrong.",
    fix="Correct the address (LIMNER_OPENAI_URL), open the way out for the worker, or give their keys a proxy.",
)  # fmt: skip
async def painters_answer(patient: Patient) -> Finding:
    addresses = await painters(patient)
    if not addresses:
        raise Skip("no painter outside has a key")
    if is_cut_off(patient):
        raise Skip("there is no way out of here: ask the worker")
    silent = [why for address in addresses if (why := await _silence(patient, address))]
    return trouble("; ".join(silent)) if silent else well(", ".join(addresses))


CHECKS = (name, port, redirect, certificate, hidden, headers, painters_answer)


def _site(patient: Patient) -> tuple[str, int]:
    """Host and port of the public address. Raises Skip when it is meant for this machine alone."""
    parts = urlsplit(patient.config.public_url)
    if parts.scheme == "http":
        raise Skip("the site has no public address yet")
    return parts.hostname or "", parts.port or PORTS[parts.scheme]


async def _addresses(host: str) -> list[str]:
    """Raises OSError."""
    with anyio.fail_after(PATIENCE):
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


async def _known(patient: Patient, host: str) -> None:
    """Raises Skip when the name leads nowhere: network.name says so."""
    try:
        await _addresses(host)
    except OSError:
        raise Skip("the name leads nowhere from here") from None


async def _reachable(patient: Patient, host: str, number: int) -> None:
    """Raises Skip when there is no door: network.port says so."""
    await _known(patient, host)
    try:
        await _connect(host, number)
    except (OSError, TimeoutError):
        raise Skip("the port is shut from here") from None


async def _connect(host: str, number: int) -> None:
    with anyio.fail_after(PATIENCE):
        _, writer = await asyncio.open_connection(host, number)
    writer.close()


async def _days_left(host: str, number: int, context: ssl.SSLContext, now: float) -> float:
    with anyio.fail_after(PATIENCE):
        _, writer = await asyncio.open_connection(host, number, ssl=context, server_hostname=host)
    ends = writer.get_extra_info("peercert")["notAfter"]
    writer.close()
    return (datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), datetime.UTC).timestamp() - now) / 86400


async def _get(patient: Patient, host: str, number: int, path: str) -> aiohttp.ClientResponse:
    """Raises Skip when the site cannot be asked: network.port or network.certificate say so."""
    await _reachable(patient, host, number)
    trust: ssl.SSLContext | bool = patient.said.get("TLS") != "internal" and patient.tls
    try:
        address = f"https://{host}:{number}{path}"
        session = await patient.web.get()
        async with session.get(address, allow_redirects=False, ssl=trust) as answer:
            return answer
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise Skip("the site does not answer by https") from None


async def _silence(patient: Patient, address: str) -> str:
    """Why nothing answers there; empty when anything does, be it a refusal."""
    try:
        async with (await patient.web.get()).get(address, allow_redirects=False):
            return ""
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"{address}: {_said(error)}"


def _said(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
