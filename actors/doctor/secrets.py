"""The secrets: whether they open what they sealed, and whether they are worth the name. None is ever shown."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from limner.actors.doctor.check import Finding, check, trouble, well
from limner.actors.doctor.patient import Patient, Skip
from limner.runtime.config import Config, setting_name
from limner.runtime.vault import Vault, VaultError
from limner.sql import keys, vaults

LENGTHS = {"secret_key": 32, "sandbox_secret": 16, "s3_secret_key": 8, "database password": 12}
"""Characters that each needs, where it is set."""
LEAST_VARIETY = 8
"""Different characters in a secret that was drawn by chance."""


@check(
    "secrets.vault", "fail", means="the vault has a key",
    cause="LIMNER_VAULT_KEYS is empty or malformed.",
    fix="Put the file secrets/vault_keys of your installation back; only for a fresh one: `limner init` makes one.",
)  # fmt: skip
async def vault(patient: Patient) -> Finding:
    try:
        opened = Vault.from_config(patient.config)
    except VaultError as error:
        return trouble(str(error))
    return well(f"key {opened.active}, fingerprint {opened.fingerprint}, {len(opened.key_ids)} in all")


@check(
    "secrets.key_ids", "fail", means="the vault has every key that something in the database is sealed with",
    cause="A key was taken out of vault_keys too early, or the file of another installation is in use.",
    fix="Add the old id:key again, after the active one, separated by a comma; restart worker and web.",
)  # fmt: skip
async def key_ids(patient: Patient) -> Finding:
    opened = _vault(patient)
    counts = await vaults.sealed_with(await patient.db())
    if lost := {kid: n for kid, n in counts.items() if kid not in opened.key_ids}:
        return trouble("; ".join(f"{n} sealed with {kid!r}, which is not there" for kid, n in lost.items()))
    return well(f"{sum(counts.values())} sealed, with {', '.join(counts) or 'nothing'}")


# The newest of each key id.
SAMPLE = """
select id, sealed_secret from (
    select id, sealed_secret, row_number() over (partition by split_part(sealed_secret, '.', 2) order by id desc) as n
    from provider_key where sealed_secret <> ''
) as k where n <= 3 order by id
"""


@check(
    "secrets.opens", "fail", means="the vault is the one of this database, and a sample of what is sealed opens",
    cause="The vault has a key of the same id and other bytes: another installation's, or a restored database's.",
    fix="Put the vault_keys back that belong to this database; `limner doctor --only secrets.vault` shows the fingerprint.",
)  # fmt: skip
async def opens(patient: Patient) -> Finding:
    opened, shut, count = _vault(patient), list[str](), 0
    recorded = [key for key in await vaults.known(await patient.db(), "vault") if key.retired_at is None]
    if recorded and not set(opened.fingerprints.values()) & {key.digits for key in recorded}:
        named = ", ".join(f"{key.name} ({key.digits})" for key in recorded)
        return trouble(f"this database is sealed with {named}; the vault has {opened.active} ({opened.fingerprint})")
    for row in await (await patient.db()).fetch(SAMPLE):
        if row["sealed_secret"].split(".")[1] not in opened.key_ids:
            continue  # secrets.key_ids says so
        count += 1
        try:
            opened.open(row["sealed_secret"], bound_to=keys.bound_to(row["id"]))
        except VaultError as error:
            shut.append(str(error))
    if shut:
        return trouble(f"{len(shut)} of {count} stay shut: {shut[0]}")
    return well(f"{count} opened") if count else well("nothing is sealed yet")


@check(
    "secrets.rotated", "warn", means="nothing is sealed with an old key any more",
    cause="A rotation of the vault was begun and not finished.", fix="`limner secrets rotate vault` goes on with it.",
)  # fmt: skip
async def rotated(patient: Patient) -> Finding:
    opened = _vault(patient)
    old = sum(
        n
        for kid, n in (await vaults.sealed_with(await patient.db())).items()
        if kid != opened.active and kid in opened.key_ids
    )
    return (
        trouble(f"{old} sealed with another key than {opened.active!r}") if old else well(f"all with {opened.active!r}")
    )


@check(
    "secrets.distinct", "fail", means="no two secrets are the same",
    cause="One was copied for the other: who learns one has both.", fix="Make a new one: `openssl rand -hex 24`.",
)  # fmt: skip
async def distinct(patient: Patient) -> Finding:
    found = _set(patient.config)
    same = [f"{one} and {other}" for one, other in itertools.combinations(found, 2) if found[one] == found[other]]
    return trouble(f"the same: {', '.join(same)}") if same else well(f"{len(found)} secrets, all different")


@check(
    "secrets.strength", "fail", means="no secret is short or made up by hand",
    cause="It was typed instead of drawn.", fix="Draw a new one: `openssl rand -hex 24`; then restart what uses it.",
)  # fmt: skip
async def strength(patient: Patient) -> Finding:
    found = _set(patient.config)
    weak = [
        f"{name} has {len(value)} characters, {len(set(value))} different"
        for name, value in found.items()
        if name in LENGTHS and (len(value) < LENGTHS[name] or len(set(value)) < LEAST_VARIETY)
    ]
    return trouble("; ".join(weak)) if weak else well(f"{sum(name in LENGTHS for name in found)} looked at")


@check(
    "secrets.files", "fail", means="the files of secrets hold one clean line each",
    cause="An editor or a copy from Windows added what cannot be seen; not every program strips it.",
    fix="`printf %s 'THE SECRET' > secrets/NAME`",
)  # fmt: skip
async def files(patient: Patient) -> Finding:
    paths = list(_files(patient))
    if not paths:
        raise Skip("no secret is in a file")
    odd = [f"{path.name} {why}" for path in paths if (why := _oddity(path))]
    return trouble("; ".join(odd)) if odd else well(f"{len(paths)} files")


@check(
    "secrets.complete", "fail", means="no file of a secret that is needed is missing or empty",
    cause="`limner init` was not run to its end, or a file was lost.",
    fix="`limner init DOMAIN --tls …` makes what is missing; a lost vault_keys or database password has to come from your copy.",
)  # fmt: skip
async def complete(patient: Patient) -> Finding:
    needed = {"postgres_password", "database_url", "secret_key", "vault_keys"}
    if patient.said.get("LIMNER_STORAGE") == "s3":
        needed |= {"s3_access_key", "s3_secret_key"}
    folder = patient.folder / "secrets"
    if not folder.is_dir() or not (patient.folder / "docker-compose.yml").is_file():
        raise Skip("there is no folder of secrets beside a docker-compose.yml here")
    lost = sorted(name for name in needed if not (folder / name).is_file() or not (folder / name).read_bytes().strip())
    return trouble(f"missing or empty: {', '.join(lost)}") if lost else well(f"{len(needed)} needed files")


CHECKS = (vault, key_ids, opens, rotated, distinct, strength, files, complete)


def _vault(patient: Patient) -> Vault:
    try:
        return Vault.from_config(patient.config)
    except VaultError:
        raise Skip("the vault has no key") from None


def _set(config: Config) -> dict[str, str]:
    """Each secret that is set, by what it is called; of the database's address only the password."""
    named = {
        "secret_key": config.secret_key,
        "vault_keys": config.vault_keys,
        "sandbox_secret": config.sandbox_secret,
        "s3_secret_key": config.s3_secret_key,
        "s3_access_key": config.s3_access_key,
        "bot_token": config.bot_token,
        "btcpay_webhook_secret": config.btcpay_webhook_secret,
        "stripe_webhook_secret": config.stripe_webhook_secret,
        "smtp_password": config.smtp_password,
    }
    found = {name: secret.get_secret_value() for name, secret in named.items() if secret}
    with contextlib.suppress(ValueError):
        found["database password"] = unquote(urlsplit(config.dsn).password or "")
    return {name: value for name, value in found.items() if value}


def _files(patient: Patient) -> Iterator[Path]:
    """Those that the settings name, and those beside docker-compose.yml."""
    found = [
        Path(path)
        for name, path in patient.environ.items()
        if name.startswith(setting_name("")) and name.endswith("_FILE")
    ]
    with contextlib.suppress(OSError):
        found += sorted((patient.folder / "secrets").iterdir())
    yield from (path for path in dict.fromkeys(found) if path.is_file())


def _oddity(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(b"\xef\xbb\xbf"):
        return "begins with a byte order mark"
    if b"\r" in data or b"\0" in data:
        return "has line ends of Windows, or a NUL"
    line = data.removesuffix(b"\n")
    if b"\n" in line:
        return "has more than one line"
    return "begins or ends with spaces" if line != line.strip() else ""
