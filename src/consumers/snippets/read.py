async def read(nc, stream):
    js = nc.jetstream(prefix="log.api")
    inbox = f"_INBOX_{NAME}.".encode()
    events = await js.pull_subscribe_bind(NAME, stream, inbox_prefix=inbox)
    while True:
        try:
            messages = await events.fetch(20, timeout=5)
        except asyncio.TimeoutError:
            continue
        for message in messages:
            await take(message)
