"""The mail server: one conversation with it, and what its answers mean."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from email.utils import parseaddr
from urllib.parse import urlsplit

import aiosmtplib
import anyio

from limner.runtime.config import Config
from limner.runtime.errors import Busy, Hopeless
from limner.runtime.log import redact


class Away(Busy):
    """The server cannot be reached, or takes nothing from anybody now."""


class Server:
    """A connection that is signed in; ``send`` for one mail after another."""

    def __init__(self, client: aiosmtplib.SMTP, config: Config) -> None:
        self._client = client
        self._sender = parseaddr(config.mail_from or "")[1]
        self._patience = longest(config)

    async def send(self, message: EmailMessage) -> None:
        """Returns when the server has it. Raises Hopeless (never), Busy (this one later), Away (all of them later)."""
        recipient = message["To"].addresses[0].addr_spec
        options = [] if recipient.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        with _translated(self._client):
            with anyio.fail_after(self._patience):
                await self._client.sendmail(self._sender, recipient, message.as_bytes(), mail_options=options)


def longest(config: Config) -> float:
    """Seconds that one mail may take: four answers, and what is said for a refused one."""
    return 5 * config.smtp_timeout


@contextlib.asynccontextmanager
async def connected(config: Config, trusted: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """The server of the settings, by TLS as they say, signed in. ``trusted``: who vouches for it, if not the usual ones.

    Raises Away.
    """
    client = _client(config, trusted)
    with _translated(client):
        await client.connect()
    try:
        yield Server(client, config)
    finally:
        with anyio.move_on_after(2, shield=True), contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await client.quit()
        client.close()


def _client(config: Config, trusted: ssl.SSLContext | None) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(
        hostname=config.smtp_host,
        port=config.smtp_port,
        username=config.smtp_user,
        password=config.smtp_password.get_secret_value() if config.smtp_password else None,
        use_tls=config.smtp_tls == "tls",
        start_tls=config.smtp_tls == "starttls",  # not "if it can": who sits between must not be able to say it cannot
        tls_context=trusted,
        timeout=config.smtp_timeout,
        local_hostname=urlsplit(config.public_url).hostname or "localhost",
    )


@contextlib.contextmanager
def _translated(client: aiosmtplib.SMTP) -> Iterator[None]:
    """RFC 5321: 5yz is for good, 4yz for now, 421 the end of the conversation."""
    try:
        yield
    except aiosmtplib.SMTPRecipientsRefused as refused:
        raise _judged(refused.recipients[0], client) from None
    except aiosmtplib.SMTPDataError as refused:
        raise _judged(refused, client) from None
    except aiosmtplib.SMTPResponseException as refused:  # of all of us: the greeting, the password, the sender
        raise Away(f"the mail server refuses: {_words(refused)}") from None
    except aiosmtplib.SMTPNotSupported as lacks:
        raise _lacking(lacks, client) from None
    except ssl.SSLError as error:
        raise Away(f"no TLS with the mail server: {error.reason or error}") from None
    except (aiosmtplib.SMTPException, TimeoutError, OSError) as error:
        raise Away(f"the mail server cannot be reached: {redact(str(error)) or type(error).__name__}") from None
    except ValueError as error:
        raise Hopeless(f"this cannot be sent: {redact(str(error))}", blame="request") from None


def _judged(refused: aiosmtplib.SMTPResponseException, client: aiosmtplib.SMTP) -> Busy | Hopeless:
    words = _words(refused)
    if refused.code == 421 or not client.is_connected:
        return Away(f"the mail server ends the conversation: {words}")
    return Hopeless(words, blame="request") if refused.code >= 500 else Busy(words)


def _lacking(lacks: aiosmtplib.SMTPNotSupported, client: aiosmtplib.SMTP) -> Busy | Hopeless:
    """Without TLS or a way to sign in nothing goes out; without SMTPUTF8 only this address gets nothing."""
    if "SMTPUTF8" in lacks.message:
        return Hopeless("the mail server takes no addresses with such letters", blame="request")
    return Away(f"the mail server cannot do what the settings ask of it: {lacks.message}")


def _words(refused: aiosmtplib.SMTPResponseException) -> str:
    return redact(f"{refused.code} {refused.message}".replace("\n", " "))
