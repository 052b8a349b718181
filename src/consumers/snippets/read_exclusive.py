async def read(nc, stream):
    # nats-server gives events to one process, which shows its pin with each request; the others stand by.
    inbox = f"_INBOX_{NAME}.{os.urandom(8).hex()}"
    answers = await nc.subscribe(inbox)
    pin = ""
    while True:
        ask = {"batch": 20, "expires": 5_000_000_000, "group": "one"} | ({"id": pin} if pin else {})
        await nc.publish(f"log.api.CONSUMER.MSG.NEXT.{stream}.{NAME}", json.dumps(ask).encode(), reply=inbox)
        for _ in range(ask["batch"]):
            try:
                message = await answers.next_msg(timeout=10)
            except asyncio.TimeoutError:
                break
            headers = message.headers or {}
            if "Status" in headers:
                # 423: another process has taken over. 408: nothing more came in time.
                pin = "" if headers["Status"] == "423" else pin
                if headers["Status"] not in ("408", "423"):
                    await asyncio.sleep(1)
                break
            pin = headers.get("Nats-Pin-Id", pin)
            await take(message)
