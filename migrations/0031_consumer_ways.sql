-- Consumers of which one process at a time reads, and consumers that log in by a password of nats-server's configuration.

alter table auth.consumer
    add column is_exclusive boolean not null default false,
    -- Without a key there are no credentials of ours to replace and to revoke.
    alter column user_key drop not null;
