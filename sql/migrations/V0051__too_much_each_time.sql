/* pgmigrate-encoding: utf-8 */
-- What comes too much a second time can go back, too; and what had been seen of a payment before it was marked paid by hand is a
-- part of its price, never more and never less. An image of before runs on: it orders under the same lock, of what is owed.

-- squawk-ignore require-concurrent-index-creation
create unique index refund_whole_once on refund (invoice_id) where kind = 'whole' and state <> 'failed';
-- squawk-ignore require-concurrent-index-creation
create unique index refund_surplus_once on refund (invoice_id) where kind = 'surplus' and state = 'asked';

-- It refused the second surplus. Refunds are few: this takes milliseconds.
-- squawk-ignore require-concurrent-index-deletion
drop index refund_once;

-- Marked while all of it was being confirmed, before anybody counted; V0047 looked at parts alone.
update invoice as i set known_cents = i.amount_cents
where i.paid_by <> '' and i.known_cents = 0 and i.received_cents >= i.amount_cents and i.amount_cents > 0 and exists (
    select from audit as marked
    where marked.subject = i.id::text and marked.action = 'invoice.marked_paid' and (
        marked.before ->> 'state' = 'processing' or exists (
            select from audit as told
            where told.subject = marked.subject and told.action = 'invoice.partial' and told.id < marked.id
                and (told.after ->> 'received_cents')::bigint >= i.amount_cents
        )
    )
);

-- Marked when more than the price had been seen.
update invoice set known_cents = amount_cents where paid_by <> '' and known_cents > amount_cents;

-- What was told of too much that there is not.
with wrong as (
    update invoice set trouble = '', trouble_words = ''
    from (
        select w.id, w.trouble_words from invoice as w
        where w.trouble = 'over' and w.paid_by <> '' and w.known_cents > 0 and w.received_cents <= w.known_cents
        for update
    ) as was
    where invoice.id = was.id
    returning invoice.id, was.trouble_words
)
insert into audit (actor, action, subject, before, after)
select 'system', 'invoice.dealt_with', id::text, jsonb_build_object('trouble', 'over', 'words', trouble_words),
    jsonb_build_object('reason', 'it had been seen before the invoice was marked paid: a part of the price')
from wrong;
