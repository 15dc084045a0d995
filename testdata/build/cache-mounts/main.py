import os

import humanize


def found(path):
    if os.path.isdir(path):
        # Debian has the folder of partial downloads, empty, from the start.
        return [name for name in os.listdir(path) if name != "partial"]
    return os.path.exists(path) and os.path.getsize(path)


print(humanize.intcomma(1234567), humanize.naturalsize(3_000_000))
print(open("/list").read().split())
for path in ["/var/lib/apt/lists", "/var/cache/apt/archives", "/root/.cache/pip", "/mnt/list", "/scratch"]:
    print(path, found(path) or "empty")
