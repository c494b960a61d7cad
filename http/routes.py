"""Every address on one screen: the sitemap."""

from __future__ import annotations

from aiohttp import web

from limner.http import account, auth, billing, gallery, health, hooks, live, sandbox, static_files, studio
from limner.http.admin import audit, generations, keys, overview, users

ROUTES = (
    web.get("/", account.landing),
    web.get("/register", auth.show_register),
    web.post("/register", auth.register),
    web.get("/login", auth.show_login),
    web.post("/login", auth.log_in),
    web.post("/logout", auth.log_out),
    web.get("/dashboard", account.dashboard),
    web.get("/account", account.show),
    web.post("/account/password", account.change_password),
    web.post("/account/sessions/deletion", account.end_other_sessions),
    web.get("/plans", billing.show_plans),
    web.post("/plans/{code}/invoices", billing.buy),
    web.get("/invoices", billing.show_invoices),
    web.get("/invoices/{id}", billing.show_invoice),
    web.get("/invoices/{id}/status", billing.show_status),
    web.post("/invoices/{id}/check", billing.check_again),
    web.post("/hooks/sandbox", hooks.sandbox),
    web.post("/sandbox/api/payments", sandbox.open_payment),
    web.get("/sandbox/api/payments/{id}", sandbox.read_payment),
    web.get("/sandbox/{id}", sandbox.show_checkout),
    web.post("/sandbox/{id}", sandbox.decide),
    web.get("/studio", studio.show_new),
    web.get("/studio/{id}", studio.show_thread),
    web.post("/generations", studio.order),
    web.post("/generations/{id}/cancellation", studio.cancel),
    web.get("/threads/{id}/live", live.stream, allow_head=False),
    web.get("/jobs/{id}/preview", gallery.send_preview),
    web.get("/uploads/{id}", gallery.send_upload),
    web.get("/gallery", gallery.show),
    web.get("/pictures/{id}", gallery.show_picture),
    web.get("/pictures/{id}/file", gallery.send_file),
    web.get("/pictures/{id}/thumbnail", gallery.send_thumbnail),
    web.post("/pictures/{id}/deletion", gallery.delete),
    web.get("/admin", overview.show),
    web.get("/admin/users", users.show_list),
    web.get("/admin/users/{id}", users.show),
    web.post("/admin/users/{id}/grants", users.grant),
    web.post("/admin/users/{id}/ban", users.ban),
    web.get("/admin/generations", generations.show_list),
    web.get("/admin/generations/{id}", generations.show),
    web.get("/admin/keys", keys.show_list),
    web.post("/admin/keys", keys.add),
    web.post("/admin/keys/{id}/state", keys.set_state),
    web.get("/admin/audit", audit.show_list),
    web.get("/health/live", health.live),
    web.get("/health/ready", health.ready),
    web.get("/static/{hash}/{path:.+}", static_files.send),
)
