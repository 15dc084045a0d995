"""Rewrites the one image of an OCI layout: its layers of zstd become plain tars, by the program `zstd`.

usage: unzstd.py LAYOUT
"""

import hashlib
import json
import os
import subprocess
import sys


def main(layout):
    def path(digest):
        return os.path.join(layout, "blobs", *digest.split(":"))

    def put(data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        with open(path(digest), "wb") as file:
            file.write(data)
        return {"digest": digest, "size": len(data)}

    with open(os.path.join(layout, "index.json")) as file:
        index = json.load(file)
    entry = index["manifests"][0]
    with open(path(entry["digest"])) as file:
        manifest = json.load(file)
    for layer in manifest["layers"]:
        if layer["mediaType"].endswith("+zstd"):
            layer.update(put(subprocess.run(["zstd", "-dcq", path(layer["digest"])], check=True, stdout=subprocess.PIPE).stdout))
            layer["mediaType"] = layer["mediaType"].removesuffix("+zstd")
    entry.update(put(json.dumps(manifest).encode()))
    with open(os.path.join(layout, "index.json"), "w") as file:
        json.dump(index, file)


main(sys.argv[1])
