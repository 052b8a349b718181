-- The key that signs access tokens, for installations that are not given one as a file.
create table auth.signing_key (
    id  int  primary key default 1 check (id = 1),
    pem text not null
);
