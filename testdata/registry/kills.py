"""Pushes until it is told to stop, and writes down what was acknowledged; afterwards reads all of it back.

usage: kills.py push  HOST:PORT RECORD SEED SECONDS    pushes beside the kills of kills.sh
       kills.py check HOST:PORT RECORD                 whether all that was acknowledged is there

RECORD is a folder of files, one a thread, of JSON lines; a line is written after the answer came.
"""

import concurrent.futures
import json
import os
import random
import sys
import time

from wire import Connection, Failed, ask, expect, manifest, put_manifest, sha256, IMAGE

THREADS = 6
BROKEN = (OSError, EOFError)


def content(seed, size):
    """The bytes of a seed: made again when they are compared."""
    return random.Random(seed).randbytes(size)


class Pusher:
    def __init__(self, at, folder, seed, number, until):
        self.at, self.until, self.number = at, until, number
        self.chance = random.Random(f"{seed}/{number}")
        self.record = open(os.path.join(folder, f"{number}.jsonl"), "a", buffering=1)
        self.repository = f"kills/{number}"
        self.round = seed

    def note(self, **what):
        self.record.write(json.dumps(what) + "\n")

    def run(self):
        count = 0
        self.resume()
        while time.monotonic() < self.until:
            try:
                self.chance.choice([self.image, self.image, self.chunks, self.delete])(count)
            except BROKEN:
                return
            count += 1

    def blob(self, seed, size):
        data = content(seed, size)
        self.note(sending=sha256(data), repository=self.repository)
        answer = ask(self.at, "POST", f"/v2/{self.repository}/blobs/uploads/?digest={sha256(data)}", {"Content-Type": "application/octet-stream"}, data)
        expect(answer.status == 201, f"a blob: {answer}")
        self.note(blob=[seed, size], digest=sha256(data), repository=self.repository)
        return data

    def image(self, count):
        name = f"{self.round}-{self.number}-{count}"
        config = self.blob(f"{name}-c", self.chance.randrange(2, 3000))
        layer = self.blob(f"{name}-l", self.chance.choice([1, 70_000, 900_000, 3_000_000]))
        data = manifest(config, [layer], annotations={"name": name})
        # Moving tags and new ones.
        tag = self.chance.choice([f"moving-{self.chance.randrange(3)}", f"t-{name}"])
        # An answer that does not come leaves open which of the two the tag is.
        self.note(trying=tag, manifest=sha256(data), repository=self.repository)
        answer = put_manifest(self.at, self.repository, tag, data)
        expect(answer.status == 201, f"a manifest: {answer}")
        self.note(tag=tag, manifest=sha256(data), repository=self.repository)

    def delete(self, count):
        tag = f"moving-{self.chance.randrange(3)}"
        self.note(deleting=tag, repository=self.repository)
        answer = ask(self.at, "DELETE", f"/v2/{self.repository}/manifests/{tag}")
        expect(answer.status in (202, 404), f"a deletion: {answer}")
        self.note(deleted=tag, repository=self.repository)

    def chunks(self, count):
        """An upload in chunks; what is cut short is gone on with after the next start."""
        size = self.chance.randrange(300_000, 4_000_000)
        begun = ask(self.at, "POST", f"/v2/{self.repository}/blobs/uploads/")
        expect(begun.status == 202, f"an upload: {begun}")
        place = begun.header("location")
        upload = {"seed": f"{self.round}-{self.number}-{count}-u", "size": size, "place": place[place.index("/v2/"):], "done": 0}
        self.note(upload=upload)
        self.go_on(upload)

    def go_on(self, upload):
        data = content(upload["seed"], upload["size"])
        while upload["done"] < len(data):
            end = min(len(data), upload["done"] + self.chance.randrange(50_000, 600_000))
            answer = ask(self.at, "PATCH", upload["place"], {"Content-Type": "application/octet-stream", "Content-Range": f"{upload['done']}-{end - 1}"}, data[upload["done"]:end])
            expect(answer.status == 202, f"a chunk at {upload['done']}: {answer}")
            place = answer.header("location")
            upload["place"], upload["done"] = place[place.index("/v2/"):], end
            self.note(upload=upload)
        place = upload["place"]
        self.note(sending=sha256(data), repository=self.repository)
        answer = ask(self.at, "PUT", f"{place}{'&' if '?' in place else '?'}digest={sha256(data)}")
        expect(answer.status == 201, f"finishing an upload: {answer}")
        self.note(finished=upload["seed"], blob=[upload["seed"], upload["size"]], digest=sha256(data), repository=self.repository)

    def resume(self):
        """Uploads that a kill cut: every acknowledged chunk must still be there."""
        try:
            for upload in open_uploads(self.record.name):
                answer = ask(self.at, "GET", upload["place"])
                if answer.status == 404 and upload["done"] == upload["size"]:
                    # Its end may have been done, and only the answer lost.
                    self.note(finished=upload["seed"])
                    continue
                expect(answer.status == 204, f"an upload with {upload['done']} acknowledged bytes is {answer} after a kill")
                there = int((answer.header("range") or "0-0").split("-")[1]) + 1
                if upload["done"] == upload["size"] and there < upload["done"]:
                    # It was being finished: its bytes had left the upload, and nobody was told that they arrived.
                    upload["done"] = there = 0
                expect(there >= upload["done"] or upload["done"] == 0, f"of {upload['done']} acknowledged bytes (of {upload['size']}) {there} are there after a kill")
                if there > 1:
                    upload["done"] = there
                place = answer.header("location") or upload["place"]
                upload["place"] = place[place.index("/v2/"):]
                self.go_on(upload)
                self.note(resumed=upload["seed"])
        except BROKEN:
            return


def lines(path):
    with open(path) as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def open_uploads(path):
    uploads = {}
    for line in lines(path):
        if "upload" in line:
            uploads[line["upload"]["seed"]] = line["upload"]
        elif "finished" in line:
            uploads.pop(line["finished"], None)
    return list(uploads.values())


def push(at, folder, seed, seconds):
    until = time.monotonic() + float(seconds)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        runs = [pool.submit(Pusher(at, folder, int(seed), number, until).run) for number in range(THREADS)]
    for run in runs:
        run.result()


def check(at, folder):
    blobs = tags = 0
    connection = Connection(at)
    for name in sorted(os.listdir(folder)):
        state, seen, unsure = {}, set(), set()
        for line in lines(os.path.join(folder, name)):
            if "blob" in line and line["digest"] not in seen:
                seen.add(line["digest"])
                seed, size = line["blob"]
                answer = connection.ask("GET", f"/v2/{line['repository']}/blobs/{line['digest']}")
                expect(answer.status == 200, f"the acknowledged blob {line['digest']} is {answer.status}")
                expect(sha256(answer.body) == line["digest"] and len(answer.body) == size, f"the blob {line['digest']} came back as other bytes")
                blobs += 1
            if "sending" in line:
                unsure.add((line["repository"], line["sending"]))
            # Between a request and its answer a tag may be as before or as asked.
            if "trying" in line:
                state.setdefault((line["repository"], line["trying"]), {None}).add(line["manifest"])
            elif "tag" in line:
                state[line["repository"], line["tag"]] = {line["manifest"]}
            elif "deleting" in line:
                state.setdefault((line["repository"], line["deleting"]), {None}).add(None)
            elif "deleted" in line:
                state[line["repository"], line["deleted"]] = {None}
        # What was not acknowledged may be there whole, or not at all.
        for repository, digest in unsure:
            if digest not in seen:
                answer = connection.ask("GET", f"/v2/{repository}/blobs/{digest}")
                expect(answer.status == 404 or sha256(answer.body) == digest, f"the unacknowledged blob {digest} is served as other bytes: {answer.status}")
        for (repository, tag), may in state.items():
            answer = connection.ask("GET", f"/v2/{repository}/manifests/{tag}", {"Accept": IMAGE})
            is_now = sha256(answer.body) if answer.status == 200 else None
            expect(is_now in may, f"{repository}:{tag} is {is_now} ({answer.status}) instead of one of {may}")
            tags += 1
            if is_now:
                for part in [json.loads(answer.body)["config"], *json.loads(answer.body)["layers"]]:
                    expect(connection.ask("HEAD", f"/v2/{repository}/blobs/{part['digest']}").status == 200, f"{repository}:{tag} references {part['digest']}, which is gone")
    print(f"{blobs} blobs, {tags} tags")


def main():
    try:
        {"push": push, "check": check}[sys.argv[1]](*sys.argv[2:])
    except Failed as failed:
        print(failed)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
