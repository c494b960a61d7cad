/* pgmigrate-encoding: utf-8 */
-- As much as OpenAI's images take: prompts of 32,000 characters, ten pictures of an order. How long a prompt a model reads
-- stands among its options ("prompt"); where nothing does, it is as before. Only allows more: older images ask for less.

alter table generation add constraint generation_prompt_length check (length(prompt) between 1 and 32000) not valid;
-- A look through the table, which a million orders keep busy for less than a second.
-- squawk-ignore constraint-missing-not-valid
alter table generation validate constraint generation_prompt_length;
-- What takes its place allows all that it allowed.
-- squawk-ignore ban-drop-constraint
alter table generation drop constraint generation_prompt_check;

alter table generation add constraint generation_count_of_pictures check (count between 1 and 10) not valid;
-- squawk-ignore constraint-missing-not-valid
alter table generation validate constraint generation_count_of_pictures;
-- What takes its place allows all that it allowed.
-- squawk-ignore ban-drop-constraint
alter table generation drop constraint generation_count_check;

update model as m set options = m.options || '{"prompt": {"min": 1, "max": 32000}}'
from provider as p
where p.id = m.provider_id and p.kind = 'openai' and not m.options ? 'prompt';
