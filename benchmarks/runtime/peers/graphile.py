"""graphile-worker, the peer to beat: a Node script of its own that plays the same two roles."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.runtime.peer import CALLERS, CONCURRENCY, Peer

FOLDER = Path(__file__).with_name("graphile_worker")
INSTALLED = FOLDER / "node_modules" / "graphile-worker" / "package.json"


class Graphile(Peer):
    name = "graphile"
    package = "graphile-worker"
    language = "node"
    unfinished = "select count(*) from graphile_worker._private_jobs"

    def version(self) -> str:
        return str(json.loads(INSTALLED.read_text())["version"])

    def absent(self) -> str:
        """Installs it with npm, once, into a folder that git ignores."""
        if not shutil.which("node") or not shutil.which("npm"):
            return "there is no Node here"
        if not INSTALLED.exists():
            npm = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
            if subprocess.run(npm, cwd=FOLDER, check=False).returncode:
                return "npm could not install graphile-worker"
        return ""

    def command(self, role: str, dsn: str, *options: str) -> list[str]:
        sizes = [f"--concurrency={CONCURRENCY}", f"--callers={CALLERS}"]
        return ["node", str(FOLDER / "roles.mjs"), role, dsn, *options, *sizes]

    async def install(self, dsn: str) -> None:
        process = await asyncio.create_subprocess_exec(*self.command("install", dsn))
        if await process.wait():
            raise RuntimeError("graphile-worker could not make its tables")


PEER = Graphile()
