"""The mails: whether the mail server lets us in, and whether what is written gets out."""

from __future__ import annotations

from limner.actors.doctor.check import Finding, check, trouble, well
from limner.actors.doctor.outside import is_cut_off
from limner.actors.doctor.patient import Patient, Skip
from limner.actors.mail import server
from limner.actors.mail.server import Away
from limner.sql import mails

PATIENCE = 8.0
LONG = 900.0
"""Seconds that a mail may wait."""


@check(
    "mail.server", "fail", means="the mail server answers, by TLS as the settings say, and takes the password",
    cause="A wrong name, port, kind of TLS or password, a certificate for another name, or a firewall on the way.",
    fix="Correct LIMNER_SMTP_HOST, _PORT, _TLS, _USER and secrets/smtp_password; `limner mail test ADDRESS` tries a mail.",
)  # fmt: skip
async def answers(patient: Patient) -> Finding:
    config = patient.config
    if not config.smtp_host:
        raise Skip("no mail server is set up: admins pass the links on")
    hasty = config.model_copy(update={"smtp_timeout": min(config.smtp_timeout, PATIENCE)})
    try:
        async with server.connected(hasty, patient.tls):
            return well(f"{config.smtp_host}:{config.smtp_port}, {config.smtp_tls}")
    except Away as why:
        if is_cut_off(patient):
            raise Skip("there is no way out of here: ask the worker") from None
        return trouble(str(why))


@check(
    "mail.outbox", "warn", means="what was written gets out",
    cause="The mail server takes nothing, or refuses what the studio sends.",
    fix="See mail.server; `limner mail list` has the reasons, `limner mail link ID` the links that cannot wait.",
)  # fmt: skip
async def outbox(patient: Patient) -> Finding:
    if not patient.config.smtp_host:
        raise Skip("no mail server is set up")
    jam = await mails.jam(await patient.db(), LONG)
    words = f"{jam.waiting} wait for more than 15 min, {jam.failed} were refused and {jam.sent} sent in 24 h"
    return trouble(words) if jam.waiting or jam.is_refused else well(words)


CHECKS = (answers, outbox)
