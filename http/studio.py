"""The studio: threads, the composer, and the order."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from limner.http import forms, pages, references
from limner.http.state import CONFIG, DB, must_be_confirmed, path_id, signed_in
from limner.runtime import faults
from limner.runtime.errors import NotFound, Refused
from limner.sql import generations, ledger, models, studio, subscriptions, takedowns, throttles
from limner.sql.accounts import Account
from limner.sql.confirmations import NotVerified
from limner.sql.generations import MOST_PICTURES, MOST_REFERENCES, Order
from limner.sql.models import Model, Size
from limner.sql.studio import ShownGeneration
from limner.sql.takedowns import TakenDown


async def show_new(request: web.Request) -> web.Response:
    return await _page(request, None, _prefilled(request))


async def show_thread(request: web.Request) -> web.Response:
    thread_id = path_id(request)
    await generations.must_own_thread(request.app[DB], thread_id, signed_in(request).id)
    return await _page(request, thread_id, _prefilled(request))


async def order(request: web.Request) -> web.StreamResponse:
    """Take the order and show its thread; a refusal shows the same page with the reason and loses nothing."""
    viewer, form = signed_in(request), await forms.read(request)
    thread_id = None
    try:
        thread_id = await _thread(request, form, viewer)
        await throttles.take(request.app[DB], throttles.ORDER_BY_ACCOUNT, f"order {viewer.id}")
        asked = await _read_order(request, form, viewer, thread_id)
        generation_id = await generations.order(request.app[DB], asked, deadline=request.app[CONFIG].job_deadline)
        faults.point("after-order-commit")
    except Refused as why:
        if isinstance(why, NotFound):
            raise
        return await _page(request, thread_id, forms.kept(form, "prompt", "model", "size", "count", "picture"), why)
    return pages.see_other(f"/studio/{thread_id or generation_id}#generation-{generation_id}")


async def _thread(request: web.Request, form: forms.Form, viewer: Account) -> UUID | None:
    """The thread that the order continues: theirs, or a refusal would show a stranger's. Raises Refused, NotFound."""
    thread_id = next(iter(forms.ids(form, "thread", most=1)), None)
    if thread_id is not None:
        await generations.must_own_thread(request.app[DB], thread_id, viewer.id)
    return thread_id


async def _read_order(request: web.Request, form: forms.Form, viewer: Account, thread_id: UUID | None) -> Order:
    prompt = forms.text(form, "prompt", most=generations.LONGEST_PROMPT, needed=True, label="The description")
    pictures = forms.ids(form, "picture", most=MOST_REFERENCES)
    asked = Order(
        account_id=viewer.id,
        prompt=prompt,
        model_id=forms.text(form, "model", most=80, needed=True),
        size=Size.parse(forms.text(form, "size", most=20, needed=True)),
        count=forms.whole(form, "count", least=1, most=MOST_PICTURES, default=1),
        thread_id=thread_id,
        pictures=pictures,
        idempotency_key=forms.text(form, "idempotency_key", most=64) or None,
    )
    asked.check()
    must_be_confirmed(request, viewer)
    await subscriptions.open_one(request.app[DB], viewer.id)  # before any upload is decoded or kept
    files = forms.files(form, "reference")
    if len(files) + len(pictures) > MOST_REFERENCES:
        raise Refused(f"At most {MOST_REFERENCES} reference pictures.", field="reference")
    await takedowns.refuse_among(request.app[DB], pictures, viewer.id)
    kept = [await references.keep(request, viewer.id, *await references.clean(data)) for data in files]
    return Order(**{**vars(asked), "uploads": tuple(kept)})


async def cancel(request: web.Request) -> web.StreamResponse:
    generation_id = path_id(request)
    canceled, asked = await generations.cancel(request.app[DB], generation_id, signed_in(request).id)
    shown = await studio.generation(request.app[DB], generation_id)
    notice = "stopping" if asked else "canceled" if canceled else "too_late"
    return pages.see_other(f"/studio/{shown.thread_id}#generation-{generation_id}", notice)


def _prefilled(request: web.Request) -> dict[str, Any]:
    typed = {"prompt": "prompt", "model": "model", "size": "size", "count": "count", "picture": "reference"}
    return {name: forms.clean(request.query[given])[:4000] for name, given in typed.items() if given in request.query}


async def _page(
    request: web.Request, thread_id: UUID | None, form: dict[str, Any], why: Refused | None = None
) -> web.Response:
    db, viewer = request.app[DB], signed_in(request)
    shown = await studio.thread(db, thread_id) if thread_id else []
    offered = await models.on_offer(db)
    refusal = await _refusal(request, viewer, offered)
    return pages.render(
        request,
        "studio.html",
        why,
        threads=[
            {
                "id": each.id,
                "title": each.title,
                "updated_at": each.updated_at,
                "cover": f"/pictures/{each.image_id}/thumbnail" if each.image_id else None,
            }
            for each in await studio.threads(db, viewer.id)
        ],
        thread={"id": thread_id, "title": shown[0].prompt} if thread_id and shown else None,
        generations=[card(each) for each in shown],
        models=offered,
        form=_defaults(form, shown),
        can_paint=refusal is None,
        refusal=refusal,
        reference=await _reference(request, viewer, form.get("picture", "")),
        since=datetime.now(UTC).isoformat(),
        idempotency_key=secrets.token_urlsafe(16),
    )


def _defaults(form: dict[str, Any], shown: list[ShownGeneration]) -> dict[str, Any]:
    """What the composer begins with: what was asked for last in this thread."""
    last = shown[-1] if shown else None
    count = str(form.get("count", "1"))
    return {
        "prompt": form.get("prompt", ""),
        "model": form.get("model") or (last.model_id if last else ""),
        "size": form.get("size") or (f"{last.width}x{last.height}" if last else "1024x1024"),
        "count": int(count) if count.isascii() and count.isdigit() and 1 <= int(count) <= MOST_PICTURES else 1,
    }


async def _refusal(request: web.Request, viewer: Account, offered: Sequence[Model]) -> str | None:
    """Why this person cannot paint right now, or None."""
    try:
        must_be_confirmed(request, viewer)
        await subscriptions.open_one(request.app[DB], viewer.id)
    except (NotVerified, subscriptions.NoSubscription) as why:
        return str(why)
    if not offered:
        return "No painter is at work just now. Please come back a little later."
    if (await ledger.balance(request.app[DB], viewer.id)).available <= 0:
        return "All pictures of this period are painted. Renew your plan to go on."
    return None


async def _reference(request: web.Request, viewer: Account, chosen: str) -> dict[str, Any] | None:
    """The earlier picture that was chosen as a reference, if it is theirs."""
    try:
        picture = await studio.picture(request.app[DB], UUID(chosen), viewer.id)
    except (ValueError, NotFound, TakenDown):
        return None
    return {"id": picture.id, "url": f"/pictures/{picture.id}/thumbnail"}


def card(shown: ShownGeneration) -> dict[str, Any]:
    """A generation as the partial shows it, on the page and in the stream alike."""
    again = urlencode(
        {"prompt": shown.prompt, "model": shown.model_id, "size": f"{shown.width}x{shown.height}", "count": shown.count}
    )
    return {
        "id": shown.id,
        "prompt": shown.prompt,
        "model_name": shown.model_name,
        "width": shown.width,
        "height": shown.height,
        "ratio": shown.ratio,
        "count": shown.count,
        "state": shown.state,
        "reason": shown.reason,
        "created_at": shown.created_at,
        "credits": shown.credits,
        "is_done": shown.is_done,
        "thread_url": f"/studio/{shown.thread_id}",
        "again_url": f"/studio/{shown.thread_id}?{again}",
        "references": [
            f"/uploads/{each.id}" if each.kind == "uploads" else f"/pictures/{each.id}/thumbnail"
            for each in shown.references
        ],
        "jobs": [
            {
                "id": job.id,
                "position": job.position,
                "state": job.state,
                "line": job.line or job.reason,
                "reason": job.reason,
                "percent": job.percent,
                "receipt": job.receipt,
                "takedown": job.takedown,
                "preview_url": f"/jobs/{job.id}/preview?step={job.preview_step}" if job.preview_step else None,
                "picture": job.picture
                and {
                    "id": job.picture.id,
                    "width": job.picture.width,
                    "height": job.picture.height,
                    "url": f"/pictures/{job.picture.id}/file",
                    "thumb_url": f"/pictures/{job.picture.id}/thumbnail",
                    "download_url": f"/pictures/{job.picture.id}/file?download=1",
                    "vary_url": f"/studio/{shown.thread_id}?{again}",
                },
            }
            for job in shown.jobs
        ],
    }
