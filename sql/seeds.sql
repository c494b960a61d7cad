-- The development world: the same cast as in the tests. Alice has a plan, Bob has none, Carol runs the place.
-- Their passwords are alice-likes-vermilion, bob-likes-vermilion, carol-likes-vermilion. Never sown in production.

insert into account (email, password_hash, role, verified_at) values
('alice@example.com', '$argon2id$v=19$m=19456,t=2,p=1$6Ohs2LW0y7h0tB974Onk8w$J9cOIdVODf29fXwfPcIZV2t5xtYxJMe4Wjj0tf9IFJQ', 'user', now()),
('bob@example.com', '$argon2id$v=19$m=19456,t=2,p=1$RfAonjvYKFWdCwjASId+AQ$n/DBrgQS7/gzj0VGvMPvMEHs6mME2yqsyWHRutHAw8Q', 'user', now()),
('carol@example.com', '$argon2id$v=19$m=19456,t=2,p=1$7ZUQAiYvl2j/RMvdXjWpFA$zxn/6txeVh5rHprh+5BQOcA8fkPq+QZdQbQfOMmVP9Y', 'admin', now())
on conflict (email_key) do nothing;

insert into balance (account_id)
select id from account where email_key in ('alice@example.com', 'bob@example.com', 'carol@example.com')
on conflict (account_id) do nothing;

-- Alice's first month, given once.
with alice as (
    select a.id, p.id as plan_id, p.credits_per_cycle
    from account as a cross join plan as p
    where a.email_key = 'alice@example.com' and p.code = 'monthly'
        and not exists (select from subscription as s where s.account_id = a.id)
),
subscribed as (
    insert into subscription (account_id, plan_id, state, anchored_at, cycles, period_start, period_end, cycle_credits)
    select id, plan_id, 'active', now(), 1, now(), (now() at time zone 'utc' + interval '1 month') at time zone 'utc', credits_per_cycle
    from alice
    returning account_id, cycle_credits
)
insert into ledger_entry (account_id, kind, credits, why)
select account_id, 'grant', cycle_credits, 'Plan Monthly, from the seeds' from subscribed;
