"""The workbench: errands that need a painter or a way out, for operators: test a proxy, see what models there are."""

from __future__ import annotations

import time

import anyio

from limner.actors.pool import Pool
from limner.actors.providers import base, details, egress, parameters
from limner.actors.providers.base import Access, ListsModels, UpstreamError
from limner.actors.providers.egress import Wire
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import NotFound, Refused
from limner.runtime.opening import open_briefly
from limner.runtime.vault import Vault
from limner.sql import entries, keys, probes, proxies, vaults

PATIENCE = 60.0
"""Seconds that a list of models may take."""
ADDRESS_LIMIT = 64
"""Bytes: no address is longer."""


class Found:
    """What a test of a proxy found: ``address`` where it comes out, or ``words`` why nothing came through."""

    def __init__(self, address: str = "", milliseconds: int | None = None, words: str = "") -> None:
        self.address = address
        self.milliseconds = milliseconds
        self.words = words

    @property
    def is_through(self) -> bool:
        return not self.words


async def try_proxy(db: Database, config: Config, vault: Vault, proxy_id: int) -> Found:
    """Ask through a proxy where it comes out. Well: it takes part again. Badly: noted; only traffic lets it rest."""
    sealed = await proxies.sealed_url(db, proxy_id)
    if config.exit_address_url is None:
        found = Found(words="LIMNER_EXIT_ADDRESS_URL is empty, so nobody can say where it comes out")
    else:
        url = vault.open(sealed, bound_to=keys.proxy_bound_to(proxy_id))
        found = await _exit(config.exit_address_url, url, is_local=config.env == "development")
    await proxies.note_test(db, proxy_id, found.address or found.words, found.milliseconds)
    if found.is_through:
        await proxies.wake(db, proxy_id, "a test came through")
    return found


async def _exit(asked: str, proxy: str, *, is_local: bool) -> Found:
    access = Access("", asked, proxy, timeout=10, is_local=is_local)
    wire, began = Wire(), time.monotonic()
    try:
        with egress.translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire, anew=True) as session:
                async with session.get(asked, allow_redirects=False) as answer:
                    body = await answer.content.read(ADDRESS_LIMIT)
                    status = answer.status
    except UpstreamError as error:
        return Found(words=error.detail or str(error))
    text = details.clean(body.decode("ascii", "replace"))
    if status != 200 or not text:
        return Found(words=f"{asked} answered {status}")
    return Found(text, round((time.monotonic() - began) * 1000))


async def import_models(db: Database, pool: Pool, provider: str, *, actor: str) -> list[str]:
    """Bring in what a provider lists and the catalogue lacks, switched off. Returns the new ids. Raises Refused."""
    way = await probes.any_key(db, provider)
    if way is None:
        raise NotFound(f"No key of {provider[:40]!r} can be used to ask for its models.")
    painter = base.provider(way.kind)
    if not isinstance(painter, ListsModels):
        raise Refused(f"The painter {way.kind!r} cannot list its models.", field="provider")
    try:
        with anyio.fail_after(PATIENCE):
            listed = await painter.models(pool.access(way, PATIENCE))
    except (UpstreamError, TimeoutError) as error:
        raise Refused(f"{provider} did not tell its models: {error or 'it took too long'}", field="provider") from error
    options = parameters.of(way.kind, way.settings)
    found = [entries.Found(each.id, each.name, each.abilities, each.sizes, options) for each in listed]
    return await entries.import_new(db, provider, found, actor=actor)


async def proxy_test(config: Config, proxy_id: int) -> str:
    """What `limner proxy test` says. Raises Refused when nothing came through."""
    async with open_briefly(config) as db:
        await vaults.admit(db, config)
        found = await try_proxy(db, config, Vault.from_config(config), proxy_id)
        if not found.is_through:
            raise Refused(f"proxy {proxy_id}: {found.words}")
        return f"proxy {proxy_id} comes out at {found.address}, {found.milliseconds} ms"


async def models_import(config: Config, provider: str) -> list[str]:
    """What `limner model import` says."""
    async with open_briefly(config) as db:
        await vaults.admit(db, config)
        added = await import_models(db, Pool(db, config, Vault.from_config(config)), provider, actor="cli")
        return [f"{model_id}  (off, 1 credit)" for model_id in added] or ["nothing that the catalogue does not have"]
