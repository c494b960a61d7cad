"""`limner` as supervisor sees it: roles that wait for the database, stay, and end when they are orphaned."""

from __future__ import annotations

import asyncio
import http.server
import os
import signal
import sys
import threading
from pathlib import Path


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/ready" and migrated().exists() else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main(role: str) -> int:
    if role == os.environ.get("BROKEN_ROLE") or role == broken().partition(" ")[0]:
        print(f"{role} is broken on purpose")
        return int(broken().partition(" ")[2] or 1)
    if role == "postgres":
        from limner.runtime import embedded

        return embedded.main()
    if role == "migrate":
        migrated().touch()
        return 0
    if role == os.environ.get("STUBBORN_ROLE"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    if role == "web":
        asyncio.run(_wait_for_database())
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["LIMNER_HTTP_PORT"])), Health)
        server.serve_forever()
    threading.Event().wait()
    return 0


async def _wait_for_database() -> None:
    import asyncpg  # late, for each role is a process that would wait for it

    from limner.runtime.config import Config

    dsn = Config.load().dsn
    while True:
        try:
            await (await asyncpg.connect(dsn)).close()
        except (OSError, asyncpg.CannotConnectNowError):
            await asyncio.sleep(0.1)
        else:
            return


def broken() -> str:
    """The role that somebody breaks while all are at work, and what it ends with then."""
    path = Path(os.environ["LIMNER_DATA_DIR"]) / "broken"
    return path.read_text() if path.exists() else ""


def migrated() -> Path:
    return Path(os.environ["LIMNER_DATA_DIR"]) / "migrated"


def _end_with_parent(parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(0.2)
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
