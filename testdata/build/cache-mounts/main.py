import os

import humanize

print(humanize.intcomma(1234567), humanize.naturalsize(3_000_000))
print(open("/list").read().split())
for path in ["/var/lib/apt/lists", "/var/cache/apt/archives", "/root/.cache/pip", "/mnt/list", "/scratch"]:
    found = os.listdir(path) if os.path.isdir(path) else os.path.exists(path) and os.path.getsize(path)
    print(path, "empty" if not found else found)
