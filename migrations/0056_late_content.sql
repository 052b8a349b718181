-- When a done request was looked at once more: content that was on its way to the log when it was hidden has arrived by then.
alter table auth.erasure add column looked_again_at timestamptz;
-- Requests that are done already are not looked at again: each would read the log since then.
update auth.erasure set looked_again_at = done_at where done_at is not null;
create index erasure_to_look_at on auth.erasure (hidden_at) where done_at is not null and looked_again_at is null;
