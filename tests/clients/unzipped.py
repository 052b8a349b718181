"""Reads the zip of an export as anybody would, with Python's own reader: unzipped.py FILE

Checks the checksums of the zip and those of its manifest, and prints the files as one JSON object.
"""

import hashlib
import json
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as zip:
    broken = zip.testzip()
    assert broken is None, broken
    files = {name: zip.read(name) for name in zip.namelist()}

assert len(files) == len(zip.namelist()), "a name comes once"
*names, last = files
assert last == "manifest.json", last
listed = json.loads(files[last])["files"]
assert [file["name"] for file in listed] == names, (listed, names)
for file in listed:
    content = files[file["name"]]
    assert len(content) == file["bytes"], file
    assert hashlib.sha256(content).hexdigest() == file["sha256"], file
print(json.dumps({name: content.decode() for name, content in files.items()}))
