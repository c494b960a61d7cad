"""What becomes of a message whose handler did not return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from limner.runtime import mailbox
from limner.runtime.database import Database, is_outage
from limner.runtime.errors import Busy, FenceLost, Hopeless, Refused
from limner.runtime.log import logger
from limner.runtime.mailbox import Claimed, backoff

log = logger(__name__)


async def put_away(
    db: Database, item: Claimed, crash: Exception, bury: Callable[[str], Awaitable[None]]
) -> float | None:
    """Put it back for later, or ``bury`` it with the reason. Returns the seconds until it comes again, if it does.

    Raises FenceLost and TROUBLE: then nothing was written.
    """
    match crash:
        case Busy():
            after = crash.after if crash.after is not None else backoff(item.fence.attempt)
            await mailbox.retry(db, item.fence, after=after, error=str(crash), blame=False)
        case Refused() | Hopeless():
            await bury(str(crash))
            return None
        case FenceLost():
            log.warning("fence_lost", kind=item.kind, message=item.fence.id)
            return None
        case _ if is_outage(crash):
            after = 1.0
            await mailbox.retry(db, item.fence, after=after, error=str(crash), blame=False)
        case _ if item.fence.attempt >= item.max_attempts:
            await bury(f"{type(crash).__name__}: {crash}")
            return None
        case _:
            log.error("handler_crashed", kind=item.kind, message=item.fence.id, exc_info=crash)
            after = backoff(item.fence.attempt)
            await mailbox.retry(db, item.fence, after=after, error=repr(crash))
    return after
