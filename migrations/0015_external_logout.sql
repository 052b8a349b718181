-- The logins of which a token of an issuer is used as it is. Their ids are made of the issuer and the session or the token.
create table auth.direct_login (
    login_id   uuid primary key,
    account_id uuid not null references auth.account (id) on delete cascade,
    issuer     text collate "C" not null,
    subject    text collate "C" not null,
    session    text collate "C",
    -- When the last token that was seen expires.
    expires_at timestamptz not null,
    revoked_at timestamptz
);

create index direct_login_of on auth.direct_login (issuer, subject);
create index direct_login_session on auth.direct_login (issuer, session) where session is not null;
create index direct_login_of_account on auth.direct_login (account_id);
create index direct_login_revoked on auth.direct_login (revoked_at) where revoked_at is not null;
create index direct_login_expires on auth.direct_login (expires_at);

-- What issuers have said of ended sessions. A token that comes later, and is of such a session or was made before the user
-- logged out, begins nothing.
create table auth.external_logout (
    issuer text collate "C" not null,
    -- A session (`sid`), all sessions of a user (`sub`), or the id of a logout token (`jti`), which counts once.
    kind   text not null check (kind in ('sid', 'sub', 'jti')),
    value  text collate "C" not null,
    at     timestamptz not null,
    -- When no token of the time before can count any more.
    until  timestamptz not null,
    primary key (issuer, kind, value)
);

create index external_logout_until on auth.external_logout (until);
