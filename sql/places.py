"""Places: which mail addresses and which internet addresses count as one. Pure."""

from __future__ import annotations

import hashlib
import ipaddress

DOTLESS = ("gmail.com", "googlemail.com")
"""Where dots before the @ mean nothing, and both names the same."""


def mail_key(email: str) -> str:
    """One key for all spellings of a mail address that reach the same person."""
    local, _, domain = email.strip().lower().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in DOTLESS:
        local, domain = local.replace(".", "") or local, DOTLESS[0]
    return f"{local}@{domain}"


def mail_hash(email: str) -> bytes:
    return hashlib.sha256(mail_key(email).encode()).digest()


def subnet(address: str) -> str:
    """The network around an address, as a house or a provider has it: IPv4 /24, IPv6 /64. What is no address stays."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    width = 24 if found.version == 4 else 64
    return str(ipaddress.ip_network((found, width), strict=False))


BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "Mac"), ("Linux", "Linux"),
)  # fmt: skip


def device(agent: str) -> str:
    """Browser and system as their makers call them, such as "Firefox, Windows", or "". No word of it is the sender's own."""
    names = [next((name for sign, name in known if sign in agent), "") for known in (BROWSERS, SYSTEMS)]
    return ", ".join(filter(None, names))


def household(address: str) -> str:
    """What one subscriber has: an IPv4 address, an IPv6 /64."""
    net = subnet(address)
    return net if ":" in net else address
