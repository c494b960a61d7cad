"""The storage: whether it takes and gives, and whether pictures that people have are still what they were."""

from __future__ import annotations

import hashlib
from secrets import token_bytes, token_hex

import anyio

from limner.actors.doctor.check import Finding, check, trouble, well
from limner.actors.doctor.patient import Patient
from limner.runtime.storage import Missing, Storage

PICTURES = 10
"""How many are read again."""


@check(
    "storage.round_trip", "fail", means="what is put can be got again, and deleted",
    cause="The disk is full or read-only, a volume is not mounted, or the S3 key or address is wrong.",
    fix="Compare LIMNER_STORAGE and LIMNER_S3_… with what is there; `docker compose exec web df -h` shows the disks.",
)  # fmt: skip
async def round_trip(patient: Patient) -> Finding:
    if why := await patient.storage.why_not():
        return trouble(str(why))
    storage, key, data = await patient.storage.get(), f"probe/doctor-{token_hex(16)}", token_bytes(4096)
    try:
        await storage.put(key, data, "application/octet-stream")
        came = await storage.get(key)
    finally:
        with anyio.move_on_after(5, shield=True):
            await storage.delete(key)
    if came != data:
        return trouble("other bytes came back than were put")
    return (
        trouble("what was deleted is still there") if await storage.head(key) is not None else well("put, got, deleted")
    )


# The newest and some of any age.
SAMPLE = """
with kept as (select id, storage_key, sha256, bytes, created_at from image where deleted_at is null and wiped_at is null),
newest as (select * from kept order by created_at desc limit $1),
any_age as (select * from kept where id > (select gen_random_uuid()) order by id limit $1)
select distinct id, storage_key, sha256, bytes from (select * from newest union all select * from any_age) as s
"""


@check(
    "storage.pictures", "fail", means="a sample of people's pictures is there, byte for byte",
    cause="Files were lost or changed: a wrong volume or bucket, a bad disk, a restore of one half only.",
    fix="`limner ledger verify --deep` names all of them; `limner restore` puts them back from a backup.",
)  # fmt: skip
async def pictures(patient: Patient) -> Finding:
    db, storage = await patient.db(), await patient.storage.get()
    rows = await db.fetch(SAMPLE, PICTURES // 2)
    bad = [f"{row['id']} {why}" for row in rows if (why := await _harm(storage, row["storage_key"], row["sha256"]))]
    if bad:
        return trouble(f"{len(bad)} of {len(rows)}: {bad[0]}")
    size = sum(row["bytes"] for row in rows)
    return well(f"{len(rows)} read, {size / 2**20:.1f} MB") if rows else well("there are none yet")


CHECKS = (round_trip, pictures)


async def _harm(storage: Storage, key: str, sha256: str) -> str:
    digest = hashlib.sha256()
    try:
        async for chunk in storage.stream(key):
            digest.update(chunk)
    except Missing:
        return f"is gone: nothing is stored under {key}"
    return "" if digest.hexdigest() == sha256 else f"was changed: other bytes are stored under {key}"
