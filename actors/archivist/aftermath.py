"""What the operator has done after each backup: LIMNER_BACKUP_AFTER, to carry a copy off this machine."""

from __future__ import annotations

import subprocess

import anyio

from limner.actors.archivist.tools import environment
from limner.runtime.config import Config
from limner.runtime.report import Line, Say

PATIENCE = 12 * 3600.0
"""Seconds it may take: the first copy to a far place is a long one."""
CODE = "backup.after"


async def run(config: Config, name: str, say: Say) -> None:
    """Run it through the shell, with the backup's name in BACKUP_NAME; a failure is a warning, as the backup is good."""
    if not config.backup_after:
        return
    where = {"BACKUP_NAME": name, "BACKUP_FOLDER": "" if config.backup_s3_bucket else str(config.backups_folder)}
    fix = "run it by hand with BACKUP_NAME and BACKUP_FOLDER set, and see what it says"
    try:
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(
                ["/bin/sh", "-c", config.backup_after], env=environment() | where, check=False,
                stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            )  # fmt: skip
    except TimeoutError:
        say(Line(CODE, "warn", f"LIMNER_BACKUP_AFTER did not end within {PATIENCE / 3600:.0f} h", fix))
        return
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        say(Line(CODE, "warn", f"LIMNER_BACKUP_AFTER ended with {done.returncode}: {said[0][:200]}", fix))
    else:
        say(Line(CODE, "ok", "LIMNER_BACKUP_AFTER is done"))
