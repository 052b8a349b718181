// Follows the events of somebody as a web page would, prints what it is told as lines of JSON, and breaks the
// connection off as often as it reads `break`.
import { createInterface } from "node:readline";
import { EventSource } from "eventsource";

const [url, token] = process.argv.slice(1);
const tell = (what) => console.log(JSON.stringify(what));
let cut;
const source = new EventSource(url, {
  fetch: (url, init) => {
    cut = new AbortController();
    const signal = AbortSignal.any([init.signal, cut.signal]);
    return fetch(url, { ...init, signal, headers: { ...init.headers, Authorization: `Bearer ${token}` } });
  },
});
source.addEventListener("cursor", () => tell("here"));
source.onmessage = ({ data }) => tell(JSON.parse(data).data.text);
source.addEventListener("end", ({ data }) => {
  tell(JSON.parse(data).code);
  source.close();
  lines.close();
});
const lines = createInterface({ input: process.stdin });
lines.on("line", () => cut.abort(new Error("the network is away")));
