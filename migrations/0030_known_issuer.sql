-- The external issuers that the nodes last read from their file, by the hashes of their URLs: an issuer that comes or goes is
-- one audit event, however many nodes read the file.
create table auth.known_issuer (
    hash uuid primary key
);
