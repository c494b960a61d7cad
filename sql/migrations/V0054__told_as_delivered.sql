/* pgmigrate-encoding: utf-8 */
-- Whoever waits for a picture hears of it from the database as soon as it is on the disk; nobody has to bring the news there
-- again. Images of before go on with pictures_hand_over, and tell by themselves.

-- pictures_hand_over, and once that is committed, what channels.py calls changed, answered and ended. The news are a
-- transaction of their own that waits for no disk, for NOTIFY lets one commit through at a time.
-- p_pictures: as there, each with its thread_id, and as answer what answers.heard is to hear of it, but for what is alone.
-- p_delivered: of each that was delivered its job_id and changed_keys; null when there is none.
create procedure pictures_hand_over_and_tell(p_pictures jsonb, inout p_delivered jsonb)
language plpgsql as $body$
begin
    select jsonb_agg(to_jsonb(d)) into p_delivered from pictures_hand_over(p_pictures) as d;
    commit;
    perform set_config('synchronous_commit', 'off', true);
    perform pg_notify(news.channel, news.payload)
    from (
        select said.channel, said.payload
        from jsonb_array_elements(p_delivered) as t (picture)
        join jsonb_array_elements(p_pictures) as p (item) on p.item -> 'job_id' = t.picture -> 'job_id'
        cross join lateral (values
            (1, 'generation_changed', (p.item ->> 'thread_id') || ' ' || (p.item ->> 'generation_id')),
            (2, 'generation_answered', (p.item ->> 'generation_id') || ' ' || (p.item -> 'answer' || nullif(t.picture -> 'alone', 'null'))::text),
            (3, 'generation_ended', case when (t.picture ->> 'is_over')::boolean then p.item ->> 'generation_id' end)
        ) as said (place, channel, payload)
        where octet_length(said.payload) < 8000 -- more is no notification: whoever waits looks
        order by said.place offset 0
    ) as news;
end
$body$;
