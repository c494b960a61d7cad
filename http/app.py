"""make_app(): the site as one aiohttp application; run(): the web role."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import anyio
from aiohttp import web

from limner.http import doors, looking, middleware, oidc, pages, proof, sure
from limner.http.api.catalogue import CATALOGUE, Catalogue
from limner.http.api.waiting import WAITING, Waiting
from limner.http.health import DRAINING
from limner.http.live import LIVE, Live
from limner.http.routes import ROUTES
from limner.http.server import Runner
from limner.http.state import BUS, CLIENT, CONFIG, DB, PRESENCE, STORAGE, VAULT
from limner.http.status import WATCH, Watch
from limner.runtime import metrics
from limner.runtime.bus import Bus
from limner.runtime.config import Config, ConfigError
from limner.runtime.database import Database
from limner.runtime.log import logger
from limner.runtime.opening import open_for
from limner.runtime.storage import Storage, open_storage
from limner.runtime.supervisor import Child, CrashStorm, Supervisor, supervise
from limner.runtime.vault import Vault
from limner.sql import vaults

log = logger(__name__)

LAST_REQUESTS = 0.2
"""Seconds between the last new connection and the end of the old ones."""

MIDDLEWARES = (
    middleware.name_request,
    middleware.show_errors,
    middleware.find_session,
    looking.only_look,
    middleware.guard_unsafe,
    proof.ask,
    sure.ask,
)


def make_app(
    config: Config, db: Database, bus: Bus, storage: Storage, client: aiohttp.ClientSession
) -> web.Application:
    """The site on these means. Raises ConfigError when there is nothing to sign forms with."""
    if any(len(key) < 16 for key in config.secret_keys):
        raise ConfigError(["LIMNER_SECRET_KEY: at least 16 characters are needed to sign forms; `make up` makes one"])
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=256 * 1024)
    app[CONFIG], app[DB], app[BUS], app[STORAGE], app[CLIENT] = config, db, bus, storage, client
    app[VAULT], app[LIVE], app[DRAINING] = Vault.from_config(config), Live(), anyio.Event()
    app[CATALOGUE], app[WAITING] = Catalogue(db), Waiting()
    app[WATCH] = Watch(db, config.lease)
    pages.set_up(app)
    doors.set_up(app)
    oidc.set_up(app)
    app.on_response_prepare.append(middleware.put_headers)
    app.on_startup.append(_listen)
    app.on_shutdown.extend([app[LIVE].close, app[WAITING].close])
    app.router.add_routes(ROUTES)
    return app


async def _listen(app: web.Application) -> None:
    for listener in (app[LIVE], app[CATALOGUE], app[WAITING]):
        await listener.listen(app[BUS])


async def run(config: Config) -> int:
    """Serve until told to stop. Returns the exit code."""
    async with (
        open_for(config, "web") as db,
        open_storage(config) as storage,
        aiohttp.ClientSession() as client,
    ):
        presence, bus = await vaults.enlist(db, config, "web"), Bus(db)
        await presence.beat()
        app = make_app(config, db, bus, storage, client)
        app[PRESENCE] = presence
        async with _serving(app, config):
            supervisor = Supervisor([
                Child("presence", presence.run),
                Child("bus", bus.run, about=bus.about),
                Child("metrics", partial(metrics.serve, config, metrics.Metrics(lambda: supervisor.report()))),
            ])  # fmt: skip
            presence.children = supervisor.report
            address = f"http://{config.http_host}:{config.http_port}"
            try:
                await supervise(supervisor, lambda: log.info("web_ready", address=address))
            except CrashStorm as storm:
                log.error("web_gives_up", why=str(storm))
                return 1
            finally:
                app[DRAINING].set()
                presence.state = "draining"
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(config.lame_duck)
        await presence.leave()
        return 0


@contextlib.asynccontextmanager
async def _serving(app: web.Application, config: Config) -> AsyncIterator[None]:
    runner = Runner(app, access_log=None, handle_signals=False, shutdown_timeout=config.drain)
    await runner.setup()
    try:
        # reuse_port lets several processes share the port; it would also hide a stranger on it, so preflight looks first.
        await web.TCPSite(runner, config.http_host, config.http_port, reuse_port=True).start()
        yield
    finally:
        with anyio.CancelScope(shield=True):
            for site in list(runner.sites):
                await site.stop()
            # A connection that was just accepted has its request still to send: closed now, a POST would be lost.
            await anyio.sleep(LAST_REQUESTS)
            await runner.cleanup()
