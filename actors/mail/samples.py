"""Samples: every template of a mail, and by example all the details that it must be given."""

from __future__ import annotations

from collections.abc import Mapping

AT = "2026-12-05T14:00:00+00:00"
"""Moments are told as datetime.isoformat() writes them."""

SAMPLES: Mapping[str, Mapping[str, object]] = {
    # Carry a ticket's link:
    "verify_email": {"hours": 24},
    "reset_password": {"minutes": 60},
    "email_change_confirm": {"hours": 24},
    # Lead to a page of the site, which ``path`` names:
    "email_change_notice": {"new_email": "alice@new.example", "path": "/account"},
    "password_changed": {"at": AT, "path": "/login"},
    "totp_on": {"at": AT, "path": "/account"},
    "totp_off": {"at": AT, "path": "/account"},
    "sign_in_new": {"device": "Firefox, Windows", "ip": "192.0.2.9", "at": AT, "path": "/account"},  # device may be ""
    "sign_in_linked": {"provider": "Telegram", "at": AT, "path": "/account"},
    "period_ends_soon": {"plan": "Monthly", "days": 7, "ends_at": AT, "path": "/plans"},
    "renewal_invoice": {
        "plan": "Monthly", "amount_cents": 999, "currency": "USD", "ends_at": AT, "path": "/invoices/1",
    },
    "period_ended": {"plan": "Monthly", "ended_at": AT, "path": "/plans"},
    "invoice_paid": {
        "what": "Monthly", "amount_cents": 999, "currency": "USD", "paid_at": AT, "ends_at": AT, "path": "/invoices/1",
    },  # ends_at: None when it bought no time
    "refund_sent": {"what": "Monthly", "amount_cents": 999, "currency": "USD", "path": "/invoices/1"},
    "gift_code": {
        "giver": "Bob", "message": "For your birthday.", "plan": "Monthly", "days": 31, "credits": 100, "ends_at": AT,
        "code": "GIFT-7Q2M-K9XD", "path": "/plans",
    },  # all but code and path may be None
    "alert": {
        "words": "⚠️ No worker is alive: nothing is painted.", "at": AT, "runbook": "docs/how-to/alerts/no-worker.md",
        "path": "/admin",
    },  # runbook: where it says what to do; may lack, and be empty
    "digest": {
        "day": AT, "delivered": 120, "failed": 2, "orders": 64, "revenue": "49.95 USD", "paid": 5, "accounts": 7,
        "alerts": "12.00 USD is left on main of openai.", "path": "/admin",
    },  # alerts: those that are open, or nothing
    # Lead nowhere:
    "email_changed": {"new_email": "alice@new.example", "at": AT},
    "account_deleted": {"at": AT},
    "test": {},
}  # fmt: skip
