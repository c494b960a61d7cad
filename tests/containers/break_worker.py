"""Run inside the all-in-one container: takes the vault's keys away and kills the worker, which cannot start any more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

Path("/var/lib/limner/secrets/vault_keys").write_text("no key at all")
for process in Path("/proc").glob("[0-9]*"):
    if process.joinpath("cmdline").read_bytes().split(b"\0")[-2:-1] == [b"worker"]:
        os.kill(int(process.name), signal.SIGKILL)
