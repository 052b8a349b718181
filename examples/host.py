"""A host application: it brings its users and a team, logs one of them in, and sends a message in her name."""
import json, os, urllib.request
from websockets.sync.client import connect  # pip install websockets

URL = os.environ.get("VERBATIM_URL", "http://127.0.0.1:8080")
KEY = os.environ["VERBATIM_KEY"]  # a key with the scopes users:write, users:tokens and conversations:write


def ask(method, path, body):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/v1{path}", json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


# The host's own table of users is the truth: the same requests again change nothing.
users = [{"external_id": "7", "display_name": "Ana María"}, {"external_id": "8", "display_name": "Ben"}]
for user in ask("POST", "/provision/users", {"users": users})["results"]:
    print("user", user["external_id"], user["result"])
members = [{"external_id": "7", "role": "admin"}, {"external_id": "8"}]
team = ask("PUT", "/provision/conversations/team-1", {"kind": "group", "title": "Team 1", "members": members})
print("conversation", team["external_id"], team["result"])

# At the host's own log-in: the browser gets this token, and no password of ours.
login = ask("POST", "/provision/users/7/tokens", {"device": "host.py"})
bearer = {"Authorization": f"Bearer {login['access_token']}"}
with connect(f"ws{URL[4:]}/v1/ws", subprotocols=["verbatim.v1"], additional_headers=bearer) as socket:
    message = {"conversation_id": team["id"], "client_id": "hello-from-the-host", "text": "Hello!"}
    for frame in ({"op": "hello"}, {"op": "send", "id": "1", **message}):
        socket.send(json.dumps(frame))
    for frame in map(json.loads, socket):
        if frame["op"] in ("ack", "error"):
            print(frame["op"], frame.get("position", frame.get("detail")))
            break
