-- The users of external issuers. The issuer and its name of the user find the account, and nothing else does: neither an
-- address nor a user name proves who somebody is.
create table auth.external_identity (
    issuer     text collate "C" not null,
    subject    text collate "C" not null,
    account_id uuid not null references auth.account (id) on delete cascade,
    -- What the groups of the user at the issuer make of the user here.
    roles      text[] not null,
    created_at timestamptz not null,
    primary key (issuer, subject)
);

create index external_identity_of on auth.external_identity (account_id);

-- The logins that a token of an issuer began, so that the issuer can end them.
create table auth.external_login (
    login_id   uuid primary key references auth.login (id) on delete cascade,
    issuer     text collate "C" not null,
    subject    text collate "C" not null,
    -- The session at the issuer, if the token has told it.
    session    text collate "C"
);

create index external_login_of on auth.external_login (issuer, subject);
create index external_login_session on auth.external_login (issuer, session) where session is not null;
