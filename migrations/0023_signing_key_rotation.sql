-- The rotation of the keys that sign access tokens. The time at which the nodes first published a key decides when it signs:
-- others keep our key set for minutes, and have to know a key before they see a token of it.
create table auth.published_key (
    -- The thumbprint of the public key (RFC 7638).
    kid          text collate "C" primary key,
    -- The private key; none for a key that is kept in a file.
    pem          text,
    published_at timestamptz not null
);
