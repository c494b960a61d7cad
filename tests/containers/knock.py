"""Ask the studio at the address given, four times at once, until SIGTERM; exit 1 when an answer was lost."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
import time
from collections import Counter

import aiohttp

EXPECTED = {("GET", 200), ("POST", 403)}
"""A form without its token is refused by the studio itself: so it got through."""


async def main(url: str) -> int:
    answers: Counter[tuple[str, int | str]] = Counter()
    slowest = 0.0
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE

    async def knock(method: str) -> None:
        nonlocal slowest
        while not over.is_set():
            began = time.monotonic()
            try:
                async with session.request(
                    method, f"{url}/login", data={"a": "b"} if method == "POST" else None
                ) as answer:
                    await answer.read()
                    answers[method, answer.status] += 1
            except aiohttp.ClientError as error:
                answers[method, type(error).__name__] += 1
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.05)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        await asyncio.gather(*(knock(method) for method in ("GET", "POST") * 2))
    lost = sum(count for answer, count in answers.items() if answer not in EXPECTED)
    print(f"{answers.total()} asked, {lost} lost, slowest {slowest:.1f} s  {dict(answers)}")
    return 1 if lost or set(answers) != EXPECTED else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
