"""Reads events of the log as CloudEvents: lines of {headers, data} in, lines of what was read out."""

import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_binary_event

for line in sys.stdin:
    message = json.loads(line)
    event = from_binary_event(HTTPMessage(headers=message["headers"], body=message["data"].encode()))
    read = {
        "id": event.get_id(),
        "type": event.get_type(),
        "source": event.get_source(),
        "dataschema": event.get_dataschema(),
        "actor": event.get_extension("actor"),
        "data": event.get_data(),
    }
    print(json.dumps(read))
