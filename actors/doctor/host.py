"""The host: disk, memory, processors, kernel, and the limits under which this process lives."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from anyio import to_thread

from limner.actors.doctor.check import Finding, check, trouble, warning, well
from limner.actors.doctor.patient import GB, Patient, Skip

OLDEST_KERNEL = (4, 18)
MACHINES = ("x86_64", "amd64", "aarch64", "arm64")
LEAST_FILES = 1024


@check(
    "host.disk", "fail", means="the disks under the data, the pictures and the temporary files have room",
    cause="Logs, old images, backups or pictures fill the disk.",
    fix="Free some (`docker system prune`, old backups), or enlarge it; Postgres stops when nothing is left.",
)  # fmt: skip
async def disk(patient: Patient) -> Finding:
    fullest = await to_thread.run_sync(lambda: min(_room(patient)), abandon_on_cancel=True)
    share, free, path = fullest
    words = f"{free / GB:.1f} GB free ({share:.0%}) at {path}"
    if share < patient.least_disk / 2:
        return trouble(words)
    return warning(words) if share < patient.least_disk else well(words)


@check(
    "host.inodes", "fail", means="the file systems have inodes left",
    cause="Very many small files use up the inodes before the bytes.",
    fix="`df -i` shows where; delete what is not needed, or use a file system with more of them.",
)  # fmt: skip
async def inodes(patient: Patient) -> Finding:
    found = [(vfs.f_favail / vfs.f_files, path) for path in _paths(patient) if (vfs := os.statvfs(path)).f_files]
    if not found:
        raise Skip("this file system does not count inodes")
    share, path = min(found)
    words = f"{share:.0%} of the inodes are free at {path}"
    return trouble(words) if share < patient.least_inodes else well(words)


@check(
    "host.temp", "fail", means="temporary files can be written",
    cause="The temporary folder is missing, read-only or full.",
    fix="Mount a tmpfs of at least 64 MB at /tmp, as docker-compose.yml does.",
)  # fmt: skip
async def temp(patient: Patient) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=patient.temp) as file:
            file.write(b"limner")
        free = shutil.disk_usage(patient.temp).free
    except OSError as error:
        return trouble(f"{patient.temp} cannot be written: {error.strerror}")
    words = f"{free / 2**20:,.0f} MB free in {patient.temp}"
    return trouble(words) if free < patient.least_temp else well(words)


@check(
    "host.memory", "fail", means="memory is left, and no container may take more than there is",
    cause="Too little memory for what runs, or limits that promise more than the machine has.",
    fix="Stop what else runs here, add memory or swap, or lower WORKER_MEMORY and the others in .env.",
)  # fmt: skip
async def memory(patient: Patient) -> Finding:
    total, available, swap = _memory(patient.proc / "meminfo")
    words = f"{available / GB:.1f} of {total / GB:.1f} GB are free, with {swap / GB:.1f} GB of swap"
    if (available + swap) / (total + swap) < patient.least_memory:
        return trouble(words)
    with contextlib.suppress(Skip):
        limits = {name: _bytes(str(one.get("mem_limit", ""))) for name, one in patient.compose.services.items()}
        if large := [f"{name} {size / GB:.1f} GB" for name, size in limits.items() if size > total + swap]:
            return warning(f"{words}; limits that cannot be met: {', '.join(large)}")
    return well(words)


@check(
    "host.memory_limit", "warn", means="this container is not near its limit of memory",
    cause="Much work at once, or a limit that is too tight: at the limit the kernel kills.",
    fix="Raise it in .env (WORKER_MEMORY, WEB_MEMORY), or lower LIMNER_WORKER_SLOTS.",
)  # fmt: skip
async def memory_limit(patient: Patient) -> Finding:
    most, now = _first(patient.cgroup / "memory.max"), _first(patient.cgroup / "memory.current")
    if most is None or now is None:
        raise Skip("there is no limit")
    used = now - (_count(patient.cgroup / "memory.stat", "inactive_file") or 0)  # what is only cached can be given up
    words = f"{used / 2**20:,.0f} of {most / 2**20:,.0f} MB"
    return trouble(words) if used > 0.9 * most else well(words)


@check(
    "host.oom", "warn", means="no process was killed for want of memory",
    cause="Something wanted more memory than its limit or the machine has, and the kernel killed it.",
    fix="`dmesg | grep -i oom` names it; raise its limit in .env. The count ends at the next restart.",
)  # fmt: skip
async def oom(patient: Patient) -> Finding:
    counts = [_count(patient.cgroup / "memory.events", "oom_kill"), _count(patient.proc / "vmstat", "oom_kill")]
    known = [count for count in counts if count is not None]
    if not known:
        raise Skip("this kernel does not count them here")
    return trouble(f"{max(known)} killed since the start") if max(known) else well("none since the start")


@check(
    "host.processor", "warn", means="two cores or more, of an architecture that the image is built for",
    cause="Painting, Postgres and web share one core, or the image runs in emulation.",
    fix="Use a machine with two cores of x86-64 or ARM64.",
)  # fmt: skip
async def processor(patient: Patient) -> Finding:
    words = f"{patient.cores} cores, {patient.machine}"
    return well(words) if patient.cores >= 2 and patient.machine.lower() in MACHINES else trouble(words)


@check(
    "host.load", "warn", means="the processors keep up",
    cause="More wants to run than the cores can do, for a quarter of an hour already.",
    fix="`top` shows what; lower LIMNER_WORKER_SLOTS, or move something away.",
)  # fmt: skip
async def load(patient: Patient) -> Finding:
    average = float(_text(patient.proc / "loadavg").split()[2])
    words = f"{average:.1f} processes wanted to run on {patient.cores} cores, over 15 min"
    return trouble(words) if average > 4 * patient.cores else well(words)


@check(
    "host.kernel", "warn", means="the kernel is not older than 4.18",
    cause="An old distribution: containers lack limits and protections there.", fix="Upgrade the host's system.",
)  # fmt: skip
async def kernel(patient: Patient) -> Finding:
    release = _text(patient.proc / "sys/kernel/osrelease").strip()
    found = re.match(r"(\d+)\.(\d+)", release)
    is_old = not found or (int(found[1]), int(found[2])) < OLDEST_KERNEL
    return trouble(f"Linux {release}") if is_old else well(f"Linux {release}")


@check(
    "host.cgroup", "warn", means="limits of memory and processes hold (cgroup v2)",
    cause="The host still uses cgroup v1, or none: limits are only partly kept, kills are not counted.",
    fix="Boot with systemd.unified_cgroup_hierarchy=1, or upgrade the host's system.",
)  # fmt: skip
async def cgroup(patient: Patient) -> Finding:
    if not (patient.cgroup / "cgroup.controllers").is_file():
        return trouble(f"no cgroup v2 at {patient.cgroup}")
    return well("cgroup v2")


@check(
    "host.processes", "warn", means="the container's limit of processes is not near",
    cause="Something starts processes or threads and does not end them.",
    fix="Restart the role that grows (`docker compose restart ROLE`), and tell us of it.",
)  # fmt: skip
async def processes(patient: Patient) -> Finding:
    most, now = _first(patient.cgroup / "pids.max"), _first(patient.cgroup / "pids.current")
    if most is None or now is None:
        raise Skip("there is no limit")
    return trouble(f"{now} of {most}") if now > 0.8 * most else well(f"{now} of {most}")


@check(
    "host.open_files", "warn", means="a process may open 1,024 files or more",
    cause="Each open page holds a connection; with a low limit web refuses people.",
    fix="Raise it: `ulimit -n 65536`, or LimitNOFILE= of the service.",
)  # fmt: skip
async def open_files(patient: Patient) -> Finding:
    words = f"{patient.open_files:,} open files allowed"
    return trouble(words) if 0 <= patient.open_files < LEAST_FILES else well(words)


@check(
    "host.entropy", "warn", means="the kernel has randomness for keys",
    cause="A virtual machine without a source of randomness.", fix="Add virtio-rng, or install rng-tools or haveged.",
)  # fmt: skip
async def entropy(patient: Patient) -> Finding:
    bits = int(_text(patient.proc / "sys/kernel/random/entropy_avail"))
    return trouble(f"{bits} bits") if bits < 128 else well(f"{bits} bits")


CHECKS = (
    disk, inodes, temp, memory, memory_limit, oom, processor, load, kernel, cgroup, processes, open_files, entropy,
)  # fmt: skip


def _paths(patient: Patient) -> Iterator[Path]:
    chosen = [patient.folder, patient.temp]
    with contextlib.suppress(Skip):
        chosen += [patient.config.data_dir, patient.config.pictures_folder]
    for path in chosen:
        yield next(step for step in (path.resolve(), *path.resolve().parents) if step.exists())


def _room(patient: Patient) -> Iterator[tuple[float, int, Path]]:
    for path in _paths(patient):
        usage = shutil.disk_usage(path)
        yield usage.free / usage.total if usage.total else 1.0, usage.free, path


def _memory(meminfo: Path) -> tuple[int, int, int]:
    """Total, available and free swap, in bytes."""
    said = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _text(meminfo), flags=re.MULTILINE))
    return tuple(int(said.get(name, 0)) * 1024 for name in ("MemTotal", "MemAvailable", "SwapFree"))  # type: ignore[return-value]


def _bytes(size: str) -> int:
    """What Compose writes as 512m or 2g."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", size.lower())
    return int(float(found[1]) * 1024 ** " kmg".index(found[2] or " ")) if found else 0


def _count(path: Path, name: str) -> int | None:
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name} (\d+)$", path.read_text(), flags=re.MULTILINE)
        return int(found[1]) if found else None
    return None


def _first(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _text(path: Path) -> str:
    """Raises Skip when this system does not tell."""
    try:
        return path.read_text()
    except OSError:
        raise Skip(f"this system has no {path}") from None
