"""Every NOTIFY channel and its payload, on one screen. A notification is a hint; the row is the truth."""

MESSAGE_SENT = "message_sent"
"""A mailbox has a new message. Payload: the mailbox, and when it comes due later, a space and the seconds."""

GENERATION_CHANGED = "generation_changed"
"""A generation or one of its jobs changed. Payload: "<thread id> <generation id>"."""

GENERATION_ENDED = "generation_ended"
"""The last job of a generation has ended. Payload: the generation's id."""

GENERATION_ANSWERED = "generation_answered"
"""What a program's order of one picture came to, told just before its end. Payload: its id, a space, JSON (answers.heard)."""

INVOICE_CHANGED = "invoice_changed"
"""An invoice changed its state. Payload: the invoice's id."""

KEY_CHANGED = "key_changed"
"""A provider key changed its state. Payload: the key's id."""

NOTICE_QUEUED = "notice_queued"
"""There is something to deliver. No payload."""
