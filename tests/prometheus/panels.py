#!/usr/bin/env python3
"""Prints the expressions of a Grafana dashboard as recording rules, which promtool can check."""

import json
import sys


def expressions(of):
    if isinstance(of, dict):
        for name, value in of.items():
            if name == "expr":
                yield value
            else:
                yield from expressions(value)
    elif isinstance(of, list):
        for item in of:
            yield from expressions(item)


with open(sys.argv[1], encoding="utf-8") as file:
    dashboard = json.load(file)
print("groups:\n  - name: panels\n    rules:")
for number, expr in enumerate(expressions(dashboard)):
    expr = expr.replace("$__rate_interval", "5m").replace("$instance", ".+")
    print(f"      - record: panel:{number}\n        expr: {json.dumps(expr)}")
