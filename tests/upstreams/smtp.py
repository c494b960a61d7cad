"""A mail server on loopback: it speaks real SMTP, and refuses, drops, dawdles or wants TLS on request."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Stage = Literal["connect", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "accepted"]
USER, PASSWORD = "studio", "canary-smtp-hunter2"
DROP = "drop"


@dataclass
class Got:
    """A mail that was taken. ``sender`` and ``recipients``: of the envelope; ``by``: of the message."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    was_tls: bool
    user: str | None

    def part(self, kind: Literal["plain", "html"]) -> str:
        body = self.message.get_body((kind,))
        assert body is not None
        return str(body.get_content())


@dataclass
class FakeMailServer:
    """``port`` on 127.0.0.1. ``said``: every stage that was reached, with the address where there is one."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    said: list[tuple[Stage, str]] = field(default_factory=list)
    connections: int = 0
    transports: list[Any] = field(default_factory=list)
    at_content: Callable[[], None] | None = None
    """Called when a mail's content is there, before it is answered."""
    _answers: list[tuple[Stage, str, str, int]] = field(default_factory=list)
    _held: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def refuse(self, stage: Stage, answer: str, address: str = "", times: int = 1_000_000) -> None:
        """Answer so at this stage, such as "550 5.1.1 nobody of that name"; only for this address, if one is given."""
        self._answers.append((stage, address, answer, times))

    def drop(self, stage: Stage, times: int = 1_000_000) -> None:
        """Close the connection there. "accepted": the mail is taken, but the "yes" is never heard."""
        self.refuse(stage, DROP, times=times)

    def hold(self) -> None:
        """Answer no content until ``go_on``; ``reached`` is set when the first has come."""
        self._held = asyncio.Event()

    def go_on(self) -> None:
        assert self._held is not None
        self._held.set()

    def be_well(self) -> None:
        self._answers.clear()

    @property
    def subjects(self) -> list[str]:
        return [str(mail.message["Subject"]) for mail in self.got]

    def of(self, recipient: str) -> list[Got]:
        return [mail for mail in self.got if mail.recipients == [recipient]]

    def _answer(self, stage: Stage, address: str = "") -> str | None:
        self.said.append((stage, address))
        for place, (where, only, answer, times) in enumerate(self._answers):
            if where == stage and times and only in ("", address):
                self._answers[place] = (where, only, answer, times - 1)
                return answer
        return None

    # What aiosmtpd asks of a handler.

    async def handle_EHLO(self, server: Any, session: Session, envelope: Envelope, host: str, told: list[str]) -> Any:
        session.host_name = host
        answer = self._answer("EHLO", host)
        return told if answer is None else [self._or_drop(server, answer)]

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        if (answer := self._answer("MAIL", address)) is not None:
            return self._or_drop(server, answer)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        if (answer := self._answer("RCPT", address)) is not None:
            return self._or_drop(server, answer)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        self.reached.set()
        if self._held is not None:
            await self._held.wait()
        if (answer := self._answer("DATA", envelope.rcpt_tos[0])) is not None:
            return self._or_drop(server, answer)
        content = envelope.original_content or b""
        message = message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        user = session.auth_data.login.decode() if session.auth_data else None
        got = Got(
            str(envelope.mail_from), list(envelope.rcpt_tos), message, session.ssl is not None or server.tls, user
        )
        self.got.append(got)
        if self.at_content:
            self.at_content()
        if (answer := self._answer("accepted")) is not None:
            return self._or_drop(server, answer)
        return "250 taken"

    def authenticate(self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        self._answer("AUTH")
        assert isinstance(data, LoginPassword)
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=right, auth_data=data)

    @staticmethod
    def _or_drop(server: Any, answer: str) -> str:
        if answer == DROP:
            server.transport.abort()
            return "421 gone"
        return answer


class Conversation(SMTP):
    """aiosmtpd's, that may greet with a refusal."""

    tls = False

    def __init__(self, fake: FakeMailServer, tls: bool, **options: Any) -> None:
        with warnings.catch_warnings(action="ignore"):  # that it lets people sign in without TLS is what we test
            super().__init__(fake, enable_SMTPUTF8=True, hostname="mail.test", **options)
        self.tls = tls
        self.fake = fake

    def connection_made(self, transport: Any) -> None:
        self.fake.connections += 1
        self.fake.transports.append(transport)
        if (answer := self.fake._answer("connect")) is not None:
            if answer != DROP:
                transport.write(f"{answer}\r\n".encode())
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.session is not None:
            super().connection_lost(error)


@contextlib.asynccontextmanager
async def mail_server(
    tls: Literal["none", "starttls", "tls"] = "none", *, context: ssl.SSLContext | None = None, auth: bool = False
) -> AsyncIterator[FakeMailServer]:
    """One that listens until the block ends. ``auth``: nobody sends without USER and PASSWORD."""
    fake = FakeMailServer()
    options: dict[str, Any] = {"auth_required": auth, "auth_require_tls": False, "authenticator": fake.authenticate}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: Conversation(fake, tls == "tls", **options), "127.0.0.1", 0, ssl=context if tls == "tls" else None
    )
    fake.port = listening.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        listening.close()
        for transport in fake.transports:
            with contextlib.suppress(AttributeError):  # of one that has ended, in the first releases of Python 3.11
                transport.abort()
