"""Prints the versions of the packages that are named, each of which can be loaded."""

import importlib
import importlib.metadata
import json
import sys

versions = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    versions[name] = importlib.metadata.version(name)
print(json.dumps(versions))
