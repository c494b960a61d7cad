"""Addresses of the network: which of them everybody reaches, and which are somebody's own."""

from __future__ import annotations

import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Whether an IP address is reachable for everybody, seen through IPv4-in-IPv6 disguises. Raises ValueError for a name."""
    ip: Address = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


def may_be_public(host: str) -> bool:
    """False for numbers that are not public and for this machine's own name; other names pass, to be judged when resolved."""
    if (host.rstrip(".").lower() or "localhost") in ("localhost", "localhost.localdomain"):
        return False
    try:
        return is_public(host)
    except ValueError:
        return not _is_number_in_disguise(host)


def _is_number_in_disguise(host: str) -> bool:
    """2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1, too: who means well does not write so."""
    try:
        socket.inet_aton(host)
    except (OSError, ValueError):
        return False
    return True
