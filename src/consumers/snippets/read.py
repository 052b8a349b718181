async def read(nc, stream):
    js = nc.jetstream(prefix="log.api")
    inbox = f"_INBOX_{NAME}.".encode()
    events = await js.pull_subscribe_bind(NAME, stream, inbox_prefix=inbox)
    while True:
        try:
            messages = await events.fetch(20, timeout=5)
        except asyncio.TimeoutError:
            continue
        except nats.errors.Error:
            # nats-server was away for a moment. A connection that was closed for good does not come back.
            if nc.is_closed:
                raise
            await asyncio.sleep(1)
            continue
        for message in messages:
            await take(message)
