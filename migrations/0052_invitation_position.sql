-- The last position of the roster of a group when the invitation was sent: a later event about the invited user voids it.
-- None for a direct conversation, and for an invitation of an earlier version.
alter table auth.invitation add column roster_position bigint;
