"""Files with choices of an operator, of which we change a line: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from limner.runtime import durable


def rewrite(path: Path, values: Mapping[str, str]) -> None:
    """Set ``NAME=value`` lines of an .env file; the rest stays as it is, and so do its mode and its owner."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for name, value in values.items():
        line, pattern = f"{name}={value}", re.compile(rf"^(export\s+)?{re.escape(name)}=.*$", re.MULTILINE)
        if pattern.search(text):
            text = pattern.sub(line.replace("\\", r"\\"), text)
        else:
            text = f"{text.rstrip(chr(10))}\n{line}\n".lstrip("\n")
    replace(path, text)


def replace(path: Path, text: str, mode: int = 0o600) -> None:
    """Put a new file in the place of this one. After a power cut there is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        _take_after(path, draft, mode)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise
    durable.flush(path.parent)


def _take_after(path: Path, draft: str, mode: int) -> None:
    """Give the draft the mode and the owner of the file that it replaces."""
    if not path.exists():
        return os.chmod(draft, mode)
    old = path.stat()
    os.chmod(draft, old.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(draft, old.st_uid, old.st_gid)
