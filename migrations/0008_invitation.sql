-- Users who were asked into a conversation by somebody with whom they share none. A row is removed when the user has
-- joined, or some time after it has expired.
create table auth.invitation (
    invited_id      uuid not null references auth.account (id) on delete cascade,
    conversation_id uuid not null,
    by_id           uuid not null references auth.account (id) on delete cascade,
    -- None for a direct conversation.
    title           text,
    is_direct       boolean not null,
    created_at      timestamptz not null,
    expires_at      timestamptz not null,
    accepted        boolean not null default false,
    declined        boolean not null default false,
    primary key (invited_id, conversation_id)
);

create index invitation_by on auth.invitation (by_id);
create index invitation_expires on auth.invitation (expires_at);
