-- The processes that run, each as it sees itself: whether an outage is one node's own or all nodes share it.
create table auth.node (
    id          uuid primary key,
    seen_at     timestamptz not null,
    -- When the log last answered this node.
    log_seen_at timestamptz
);
