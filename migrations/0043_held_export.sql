-- Exports of what a legal hold keeps stand beside the exports of own data. A hold is never removed, so the id is no reference.
alter table auth.export add column hold_id uuid;
