"""`limner pitr check` and `limner pitr restore`: is the log whole, and the server's files as they were at one moment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from limner.actors.archivist import bases, snapshot, wal
from limner.actors.archivist.bases import Base
from limner.actors.archivist.tools import Tools, environment, find
from limner.runtime import placement
from limner.runtime.config import Config
from limner.runtime.errors import Hopeless, Refused
from limner.runtime.placement import Owner, Place
from limner.runtime.report import Line, Say

OLDEST_BASE = 8 * 86400.0
PATIENCE = 6 * 3600.0
"""Seconds that playing the log may take."""
STATE = """
select current_setting('archive_mode') as mode, current_setting('archive_command') as command,
    current_setting('archive_library', true) as library, current_setting('wal_level') as level,
    current_setting('summarize_wal', true) as summaries, current_setting('archive_timeout') as patience,
    pg_size_bytes(current_setting('wal_segment_size')) as size, a.failed_count as failures,
    coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false) as is_failing,
    a.last_failed_wal as failed, extract(epoch from now() - a.last_archived_time)::float8 as silent
from pg_stat_archiver as a
"""
SWITCH = "set it in postgresql.conf, and restart the server: docs/how-to/recover-to-a-moment.md"
HBA = "# Whoever is this machine's user may enter.\nlocal all all peer\n"


async def check(config: Config, say: Say) -> None:
    """Whether a recovery to a moment would be possible now. Changes nothing. Raises Busy and Refused."""
    async with snapshot.session(snapshot.direct(config)) as connection:
        state = await connection.fetchrow(STATE)
    assert state is not None
    for line in (*_server(dict(state)), *_kept(config, state["size"])):
        say(line)


def _server(state: dict[str, object]) -> Iterator[Line]:
    is_on = state["mode"] in ("on", "always") and bool(state["command"] or state["library"])
    yield Line("pitr.archiving", "ok" if is_on else "fail", f"archive_mode {state['mode']}", "" if is_on else SWITCH)
    if state["is_failing"]:
        yield Line("pitr.archiver", "fail", f"{state['failed']} could not be archived; failures: {state['failures']}",
            "see the server's own log: it fills its disk until this is mended")  # fmt: skip
    else:
        yield Line("pitr.archiver", "ok" if state["silent"] is not None else "warn",
            "nothing was archived yet" if state["silent"] is None else f"archived {state['silent']:.0f} s ago")  # fmt: skip
    timed = state["patience"] not in ("0", "0s")
    yield Line("pitr.timeout", "ok" if timed else "warn", f"archive_timeout {state['patience']}",
        "" if timed else "set it to 60s: a quiet studio's last changes wait for a full segment")  # fmt: skip
    summed = state["summaries"] == "on"
    yield Line("pitr.summaries", "ok" if summed else "warn", f"summarize_wal {state['summaries'] or 'is not known here'}",
        "" if summed else "switch it on, and only what changed is copied from then on")  # fmt: skip


def _kept(config: Config, size: int) -> Iterator[Line]:
    found = bases.listing(config)
    if not found:
        yield Line(
            "pitr.base", "fail", f"there is no base in {bases.bases_folder(config)}", "make one: `limner pitr base`"
        )
        return
    age = (datetime.now(UTC) - found[-1].made_at).total_seconds()
    state: bool = age <= OLDEST_BASE
    yield Line("pitr.base", "ok" if state else "warn", f"{len(found)} bases, the last one {age / 3600:.0f} h old",
        "" if state else "make one, and let cron do so: `limner pitr base`")  # fmt: skip
    missing = wal.gaps(wal.segments(bases.log_folder(config)), found[0].segment, size)
    if missing:
        yield Line("pitr.log", "fail", f"the log has gaps, the first at {missing[0]}",
            "nothing after it can be recovered: make a base at once, `limner pitr base --whole`")  # fmt: skip
    else:
        yield Line("pitr.log", "ok", f"the log is whole from {found[0].segment} on")


async def restore(config: Config, to: datetime, into: Path, say: Say) -> None:
    """Make ``into`` the server's files as they were at ``to``: a server started on them opens at that moment.

    ``to`` has a time zone. Raises LimnerError; then ``into`` is not there.
    """
    _check_room(into)
    found = bases.listing(config)
    last = max((base for base in found if base.made_at <= to), key=lambda base: base.made_at, default=None)
    if last is None:
        earliest = f"the first is of {found[0].made_at:%Y-%m-%d %H:%M:%S%z}" if found else "there is none at all"
        raise Refused(f"--to: no base is as old as that; {earliest}", field="to")
    programs = find(config)
    try:
        await _combine(config, programs, bases.chain(found, last), into, say)
        await _play(config, to, into, say)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    say(
        Line("pitr.restored", "ok", f"{into} is as the server was at {to.isoformat()}", f"start it: postgres -D {into}")
    )


def _check_room(into: Path) -> None:
    if into.exists() and any(into.iterdir()):
        raise Refused(f"--into: {into} is not empty", field="into")
    owner = placement.owner_of(into)
    if owner and not placement.reaches(owner, into.parent):
        raise Refused(f"--into: user {owner.name}, who runs Postgres, cannot enter {into.parent}", field="into")


async def _combine(config: Config, programs: Tools, parts: Sequence[Base], into: Path, say: Say) -> None:
    folders = [str(bases.bases_folder(config) / base.name) for base in parts]
    for folder in folders:
        await programs.run("pg_verifybackup", "--quiet", folder)
    if len(folders) == 1:
        await to_thread.run_sync(lambda: shutil.copytree(folders[0], into, dirs_exist_ok=True))
    else:
        await programs.run("pg_combinebackup", "--output", str(into), *folders)
    await programs.run("pg_verifybackup", "--quiet", str(into))
    say(Line("pitr.combined", "ok", f"{len(parts)} bases up to {parts[-1].name}, verified"))


async def _play(config: Config, to: datetime, into: Path, say: Say) -> None:
    """Let a server play the log up to the moment, and end there; then say how the next one begins."""
    original = _prepare(into)
    with tempfile.TemporaryDirectory(prefix="limner-pitr-", dir="/tmp") as folder:
        sockets = Path(folder)
        reached = await _recover(config, into, original + _targets(config, to, "shutdown"), sockets)
    (into / "postgresql.auto.conf").write_text(original + _targets(config, to, "promote"))
    say(Line("pitr.played", "ok", reached))


def _prepare(into: Path) -> str:
    """Returns its postgresql.auto.conf as it was."""
    into.chmod(0o700)
    for name, text in (("postgresql.conf", ""), ("pg_hba.conf", HBA)):  # some keep them elsewhere
        if not (into / name).exists():
            (into / name).write_text(text)
    (into / "recovery.signal").touch()
    return (into / "postgresql.auto.conf").read_text()


async def _recover(config: Config, into: Path, settings: str, sockets: Path) -> str:
    """Returns where it stopped, in the server's words. Raises Hopeless when it did not get there."""
    owner = placement.owner_of(into)
    (into / "postgresql.auto.conf").write_text(settings)
    if owner:
        _give(owner, sockets, into)
    said = await _serve(config, into, sockets, owner)
    stopped = re.search(r"recovery stopping (before|after) .*", said)
    if stopped is None:
        why = re.findall(r"(?:FATAL|PANIC|ERROR): .*", said) or said.splitlines() or ["it said nothing"]
        raise Hopeless(f"the log could not be played up to there: {why[-1][:300]}")
    return stopped[0]


async def _serve(config: Config, into: Path, sockets: Path, owner: Owner | None) -> str:
    """Run a server on these files to its end; returns what it said."""
    found = placement.find_binaries(config.pg_bin)
    place = Place(found, placement.runnable(found, owner), into, sockets, owner)
    placement.copy_binaries(place)
    command = [str(place.binaries / "postgres"), "-D", str(into), "-k", str(sockets), "-c", "listen_addresses="]
    them: dict[str, Any] = {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner else {}
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process(
            command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd="/", env=environment(), **them
        )
    return done.stdout.decode(errors="replace")


def _give(owner: Owner, *folders: Path) -> None:
    for path in (each for folder in folders for each in (folder, *folder.rglob("*"))):
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def _targets(config: Config, to: datetime, action: str) -> str:
    fetch = str(bases.log_folder(config).resolve() / "%f").replace("'", "''")
    return (
        "\n# Written by limner pitr restore: remove these lines once the server has been started.\n"
        f'restore_command = \'cp "{fetch}" "%p"\'\n'
        f"recovery_target_time = '{to.isoformat(sep=' ')}'\n"
        f"recovery_target_action = '{action}'\n"
        "recovery_target_timeline = 'latest'\nhot_standby = off\narchive_mode = off\nsummarize_wal = off\n"
    )
