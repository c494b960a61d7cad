"""Envelopes: a letter as a message that mail servers take, to one address and nobody else."""

from __future__ import annotations

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate, parseaddr

from limner.actors.mail.letters import Letter
from limner.runtime.errors import Hopeless

MAILBOX = re.compile(r"[^\s@<>()\[\],;:\"\\\x00-\x1f\x7f]+@[^\s@<>()\[\],;:\"\\\x00-\x1f\x7f]+")


def sealed(letter: Letter, sender: str, recipient: str, number: int, queued_at: datetime) -> EmailMessage:
    """The message. ``number`` and ``queued_at`` make its Message-ID: the same mail has the same one each time it goes out,

    so that whoever gets it twice can see that it is one. Raises Hopeless for an address that is none.
    """
    to = address(recipient)
    name, box = parseaddr(sender)
    sealed_for = EmailMessage(policy=SMTP if to.isascii() else SMTPUTF8)
    sealed_for["From"] = Address(name, *_split(box))
    sealed_for["To"] = Address("", *_split(to))
    sealed_for["Subject"] = letter.subject
    sealed_for["Date"] = formatdate()
    sealed_for["Message-ID"] = f"<{number}.{int(queued_at.timestamp() * 1000)}@{box.rpartition('@')[2]}>"
    sealed_for["Auto-Submitted"] = "auto-generated"
    sealed_for["X-Auto-Response-Suppress"] = "All"  # Outlook's word for the same
    if letter.stop:  # RFC 8058: the mail program's own button ends them with one request
        sealed_for["List-Unsubscribe"] = f"<{letter.stop}>"
        sealed_for["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    sealed_for.set_content(letter.text)
    if letter.html:
        sealed_for.add_alternative(letter.html, subtype="html")
    return sealed_for


def address(recipient: str) -> str:
    """As servers take it, the domain in ASCII. Raises Hopeless for what is no single address."""
    if not MAILBOX.fullmatch(recipient):
        raise Hopeless("this is not an e-mail address", blame="request")
    local, domain = _split(recipient)
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        raise Hopeless("the domain of this address cannot be", blame="request") from None


def _split(box: str) -> tuple[str, str]:
    local, _, domain = box.rpartition("@")
    return local, domain
