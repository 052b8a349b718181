-- Every node counts the parked deliveries once a second, as a part of its health. Without this index, it would read the whole
-- delivery log.
create index if not exists delivery_parked on hooks.delivery (endpoint) where state = 'parked';
