"""Where a secret stands, and how a new one gets there: whole, with the same mode, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path

from limner.runtime import durable
from limner.runtime.config import Config, setting_name
from limner.runtime.errors import Refused

LETTERS = string.ascii_letters + string.digits
"""They mean nothing special in an address, in a shell, or to Compose."""


def word(length: int) -> str:
    """A fresh secret of letters and digits."""
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def path_of(config: Config, name: str, folder: Path | None = None) -> Path:
    """The file of the secret ``name``, such as vault_keys: in ``folder``, else the one that the settings name.

    Raises Refused when it stands in no file, or when the file holds another value than this process was started with.
    """
    path = folder / name if folder else _by_settings(config, name)
    value = value_of(config, name)
    if path.is_file() and value and read(path) != value:
        raise Refused(
            f"{setting_name(name)} is not what stands in {path}: this process was started with another one."
            " Set it to what the file says, or remove the file",
            field=name,
        )
    return path


def value_of(config: Config, name: str) -> str:
    """The secret as this process has it; empty when it is not set."""
    found = getattr(config, name, None)
    return found.get_secret_value() if found is not None else ""


def _by_settings(config: Config, name: str) -> Path:
    if named := os.environ.get(f"{setting_name(name)}_FILE"):
        return Path(named)
    kept = config.data_dir / "secrets" / name
    if os.environ.get(setting_name(name)) or not kept.is_file():
        raise Refused(
            f"{setting_name(name)} does not stand in a file: with --folder the new one is written to a file there,"
            " and you set the setting to what it says",
            field=name,
        )
    return kept


def read(path: Path) -> str:
    """What stands there, without white space around it. Raises Refused."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def replace(path: Path, text: str) -> None:
    """Put ``text`` in the place of what was there, durable when it returns. Raises Refused, and then all is as before."""
    try:
        before = path.stat() if path.exists() else None
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                if before:
                    os.fchmod(handle, before.st_mode & 0o777)
                    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(handle, before.st_uid, before.st_gid)
                file.write(text)
                file.flush()
                os.fsync(handle)
            os.replace(draft, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
        durable.flush(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> Refused:
    why = error.strerror or str(error)
    return Refused(f"{path} cannot be replaced ({why}): run this where its folder can be written, with --folder")


def overwrite(path: Path, text: str) -> bool:
    """The same where it lies, which containers that run see too. False, and nothing done, when the lengths differ.

    A write of a few bytes at once: whoever reads has what was there before, or what is there now.
    """
    data = text.encode()
    if len(path.read_bytes()) != len(data):
        return False
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        path.chmod(mode | stat.S_IWUSR)
        handle = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(handle, data, 0)
            os.fsync(handle)
        finally:
            os.close(handle)
            path.chmod(mode)
    except OSError as error:
        raise _unwritable(path, error) from None
    return True


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    durable.flush(path.parent)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only rotation in this folder. The kernel gives the claim back, however we end. Raises Refused."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise Refused(f"the folder {folder} cannot be opened: {error.strerror}", field="folder") from None
    try:
        _claim(handle, folder)
        yield
    finally:
        os.close(handle)


def _claim(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(f"another rotation is at work in {folder}", field="folder") from None
