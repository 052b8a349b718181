-- When a key that was replaced would have expired without the replacement; `infinity` for never. Null until then.
alter table auth.api_key add column unreplaced_expires_at timestamptz;
