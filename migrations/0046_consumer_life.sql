-- The lifetime of the credentials of a consumer, in seconds, which each rotation gives the new ones; none if they are valid
-- until they are revoked. The time between `created_at` and `expires_at` is longer after a rotation.
alter table auth.consumer add column life_s bigint;
