// Reads events of the log as CloudEvents: lines of {headers, data} in, lines of what was read out.
import { readFileSync } from "node:fs";
import { HTTP } from "cloudevents";

for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const { headers, data } = JSON.parse(line);
  // The bindings of NATS and HTTP differ in the name of this one.
  headers["content-type"] = headers["ce-datacontenttype"];
  delete headers["ce-datacontenttype"];
  const event = HTTP.toEvent({ headers, body: data });
  event.validate();
  const { id, type, source, dataschema = null, actor } = event;
  console.log(JSON.stringify({ id, type, source, dataschema, actor, data: event.data }));
}
