"""The attacks of attacks.sh that need bare sockets.   usage: attacks.py NAME HOST:PORT

$SERVER_PID is the server, whose memory is looked at; $LOGIN is user:password, $OTHER another user's.
Ends with 0, or says on its last line why not.
"""

import base64
import concurrent.futures
import json
import os
import sys
import threading
import time

from wire import (CONTINUATION, GOAWAY, HEADERS, IMAGE, INDEX, PING, RESET, SETTINGS, Connection, Failed, Multiplexed,
                  anonymous_memory, ask, descriptor, expect, frame, manifest, push_blob, put_manifest, random_bytes,
                  request_fields, sha256)

HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SERVER = int(os.environ.get("SERVER_PID", "0"))


def basic(login):
    return {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}


def refused(answer, what, statuses=(400, 404), codes=None):
    """A client's error in the specification's own words."""
    expect(answer.status in statuses, f"{what}: answered {answer}")
    if codes:
        expect(answer.code() in codes, f"{what}: its code is {answer.code()}")


def alive(at):
    answer = ask(at, "GET", "/v2/", basic(os.environ.get("LOGIN")))
    expect(answer.status == 200, f"the server is not well afterwards: {answer}")


def traversal(at):
    escapes = ["..", "../..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a%2fb", "a%2Fb", "%00", "a%00b", "a%0ab",
               "%c0%ae%c0%ae", "%ff%fe", "a\\b", "%5c..%5c", "A", "a..b", "-a", "a/./b", "a//b", "~", "a" * 300, "%"]
    for name in escapes:
        for method, rest in [("GET", "/manifests/latest"), ("GET", f"/blobs/sha256:{HEX}"), ("PUT", "/manifests/latest"),
                             ("POST", "/blobs/uploads/"), ("GET", "/tags/list"), ("DELETE", "/manifests/latest"), ("GET", f"/referrers/sha256:{HEX}")]:
            path = f"/v2/{name}{rest}"
            refused(ask(at, method, path, {"Content-Type": IMAGE}, b"{}" if method == "PUT" else None), f"{method} {path[:100]}", (400, 404, 405, 414))
    digests = ["sha256:../../../../etc/passwd", "sha256:..%2f..%2f..%2fetc%2fpasswd", "sha256:" + "%2e" * 64, "sha256:%00", "sha256:", "sha256",
               "sha256:" + HEX.upper(), f"sha256:{HEX}%2f..", f"sha256:{HEX}0", f"sha256:{HEX[:-1]}", f"md5:{HEX[:32]}", "sha512:" + HEX, "..:..", "sha256:" + "a" * 20000]
    for digest in digests:
        refused(ask(at, "GET", f"/v2/a/blobs/{digest}"), f"blob {digest[:60]}", (400, 404, 414))
        refused(ask(at, "GET", f"/v2/a/manifests/{digest}"), f"manifest {digest[:60]}", (400, 404, 414))
        refused(ask(at, "GET", f"/v2/a/referrers/{digest}"), f"referrers {digest[:60]}", (400, 404, 414))
        refused(ask(at, "DELETE", f"/v2/a/blobs/{digest}"), f"delete {digest[:60]}", (400, 404, 414))
        if len(digest) < 1000:
            answer = ask(at, "POST", f"/v2/a/blobs/uploads/?digest={digest}", {"Content-Type": "application/octet-stream"}, b"x")
            refused(answer, f"upload as {digest}", (400,), ("DIGEST_INVALID", "UNSUPPORTED"))
            refused(ask(at, "POST", f"/v2/a/blobs/uploads/?mount={digest}&from=b"), f"mount {digest}", (400, 202))
    for tag in ["..", ".", ".a", "-a", "a%2fb", "%00", "a%0d%0ab", "a" * 129, "a%20b", "%c3%a9"]:
        refused(put_manifest(at, "a", tag, manifest()), f"tag {tag}")
        refused(ask(at, "GET", f"/v2/a/manifests/{tag}"), f"tag {tag}")
    for upload in ["..", "..%2f..%2fmetadata.sqlite", "%2e%2e", "%00", "metadata.sqlite", "a" * 5000, "..%5c", "."]:
        for method in ["GET", "PATCH", "PUT", "DELETE"]:
            query = f"?digest=sha256:{HEX}" if method == "PUT" else ""
            answer = ask(at, method, f"/v2/a/blobs/uploads/{upload}{query}", {"Content-Type": "application/octet-stream"}, b"x" if method in ("PATCH", "PUT") else None)
            refused(answer, f"{method} upload {upload[:40]}", (400, 404, 405, 414))
    refused(ask(at, "GET", "/v2/" + "a/" * 40000 + "manifests/x"), "a path of 80 KB", (400, 404, 414, 431))
    refused(ask(at, "GET", "/v2/a/tags/list?" + "x=1&" * 5000), "5,000 parameters", (400, 414, 431))
    alive(at)


def numbers(at):
    push_blob(at, "many", b"{}")
    data = manifest()
    tags = [f"t{number:05}" for number in range(1100)]
    for start in range(0, len(tags), 20):
        query = "&".join(f"tag={tag}" for tag in tags[start:start + 20])
        answer = ask(at, "PUT", f"/v2/many/manifests/{sha256(data)}?{query}", {"Content-Type": IMAGE}, data)
        expect(answer.status == 201, f"tags are not taken: {answer}")
    for n in ["-1", "abc", "1e9", "%00", "99999999999999999999999999", "0x10", "+5", ""]:
        answer = ask(at, "GET", f"/v2/many/tags/list?n={n}")
        expect(answer.status in (200, 400), f"n={n}: {answer.status}")
    expect(json.loads(ask(at, "GET", "/v2/many/tags/list?n=0").body)["tags"] == [], "n=0 gives tags")
    for path in ["/v2/many/tags/list?n=2000000000", "/v2/_catalog?n=2000000000"]:
        answer = ask(at, "GET", path)
        expect(answer.status in (200, 400), f"{path}: {answer.status}")
        expect(len(answer.body) < 4 << 20, f"{path} gave {len(answer.body)} bytes")
    # However long the pages are, they walk the list whole, in order, and without doubles.
    seen, path = [], "/v2/many/tags/list?n=300"
    while path:
        answer = ask(at, "GET", path)
        seen += json.loads(answer.body)["tags"]
        link = answer.header("link")
        path = link.split("<")[1].split(">")[0] if link else None
    expect(seen == tags, f"{len(seen)} tags were walked instead of {len(tags)}")
    refused(ask(at, "PUT", f"/v2/many/manifests/{sha256(data)}?" + "&".join(f"tag={tag}" for tag in tags), {"Content-Type": IMAGE}, data),
            "1,100 tags at once", (414, 400))
    alive(at)


def documents(at):
    for blob in (b"{}", b"layer"):
        push_blob(at, "json", blob)
    good = manifest(layers=[b"layer"])
    expect(put_manifest(at, "json", "good", good).status == 201, "a good manifest is not taken")
    before = anonymous_memory(SERVER)
    parsed = json.loads(good)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(IMAGE, good)]}
    broken = {
        "nothing": b"",
        "no JSON": b"not json",
        "half of it": good[:-10],
        "more after it": good + b"{}",
        "not UTF-8": good.replace(b"schemaVersion", b"schema\xff\xfe"),
        "an array": b"[]",
        "null": b"null",
        "a mark before it": b"\xef\xbb\xbf" + good,
        "deep arrays": good[:-1] + b',"x":' + b"[" * 200000 + b"]" * 200000 + b"}",
        "deep objects": good[:-1] + b',"x":' + b'{"a":' * 100000 + b"1" + b"}" * 100000 + b"}",
        "layers and manifests": json.dumps({**parsed, "manifests": index["manifests"]}).encode(),
        "config twice": good[:-1] + b',"config":' + json.dumps(descriptor("x/y", b"layer")).encode() + b"}",
        "layers twice": good[:-1] + b',"layers":[]}',
        "schema 1": json.dumps({**parsed, "schemaVersion": 1}).encode(),
        "another type inside": json.dumps({**parsed, "mediaType": INDEX}).encode(),
        "a negative size": json.dumps({**parsed, "config": {**parsed["config"], "size": -1}}).encode(),
        "an endless size": good.replace(b'"size": 2', b'"size": 99999999999999999999999999'),
        "a digest that is a path": json.dumps({**parsed, "config": {**parsed["config"], "digest": "sha256:../../etc/passwd"}}).encode(),
        "a digest that is a number": json.dumps({**parsed, "config": {**parsed["config"], "digest": 7}}).encode(),
        "a subject that is text": json.dumps({**parsed, "subject": "x"}).encode(),
        "layers that are an object": json.dumps({**parsed, "layers": {}}).encode(),
        "a null layer": json.dumps({**parsed, "layers": [None]}).encode(),
    }
    for what, data in broken.items():
        start = time.monotonic()
        refused(put_manifest(at, "json", "bad", data), what, (400,), ("MANIFEST_INVALID", "DIGEST_INVALID", "SIZE_INVALID"))
        expect(time.monotonic() - start < 5, f"{what} took {time.monotonic() - start:.1f} s")
    refused(put_manifest(at, "json", "bad", good, INDEX), "an image sent as an index", (400,), ("MANIFEST_INVALID",))
    refused(put_manifest(at, "json", "bad", manifest(layers=[b"absent"])), "an absent layer", (400, 404), ("MANIFEST_BLOB_UNKNOWN",))
    large = json.dumps({**parsed, "annotations": {"a": "b" * (9 << 20)}}).encode()
    refused(put_manifest(at, "json", "bad", large), "9 MiB", (413,))
    fits = json.dumps({**parsed, "annotations": {"a": "b" * (4 << 20)}}).encode()
    expect(put_manifest(at, "json", "fits", fits).status == 201, "4 MiB are not taken")
    # A length that is not kept to costs nothing.
    connection = Connection(at)
    connection.send(f"PUT /v2/json/manifests/bad HTTP/1.1\r\nHost: {at}\r\nContent-Type: {IMAGE}\r\nContent-Length: 99999999999\r\n\r\n".encode())
    refused(connection.answer(), "a length of 100 GB", (413, 400))
    refused(ask(at, "GET", "/v2/json/manifests/bad"), "what was refused", (404,), ("MANIFEST_UNKNOWN",))
    grown = anonymous_memory(SERVER) - before
    expect(grown < 64, f"anonymous memory grew by {grown:.0f} MiB")
    alive(at)


def injection(at):
    push_blob(at, "in", b"{}")
    expect(put_manifest(at, "in", "one", manifest()).status == 201, "the manifest is not taken")
    mark = "%0d%0aX-INJECTED:%20yes%0d%0a"
    paths = [("GET", f"/v2/in/tags/list?n=1&last={mark}"), ("GET", f"/v2/in/referrers/{sha256(manifest())}?artifactType={mark}"),
             ("POST", f"/v2/in/blobs/uploads/?mount=sha256:{HEX}&from={mark}"), ("GET", f"/v2/in/manifests/{mark}"),
             ("POST", f"/v2/in/blobs/uploads/?digest-algorithm={mark}"), ("GET", f"/v2/in{mark}/tags/list"), ("GET", f"/v2/_catalog?n=1&last={mark}"),
             ("GET", f"/?q=<script>{mark}"), ("GET", f"/v2/?ns={mark}"), ("GET", f"/token?service={mark}&scope={mark}&account={mark}")]
    for method, path in paths:
        answer = ask(at, method, path, {"User-Agent": "evil\tINJECTED-AGENT \x7f", "X-Request-Id": "INJECTED-ID \x1b[31m"})
        expect(answer.status < 500, f"{path}: {answer}")
        expect(answer.header("x-injected") is None, f"{path}: a header was injected")
    for raw in [b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", b"GET /v2/\x00 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
                b"GET /v2/\r\n HTTP/1.1\r\nHost: a\r\n\r\n", b"G\xff\xff /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\r\n" * 10000]:
        connection = Connection(at, 5)
        try:
            connection.send(raw)
            answer = connection.answer()
            expect(400 <= answer.status < 500, f"{raw[:40]!r}: {answer}")
        except (EOFError, ConnectionError, TimeoutError):
            pass
        finally:
            connection.close()
    # A host that no reverse proxy would send must not become a place that clients go to.
    answer = ask(at, "POST", "/v2/in/blobs/uploads/", {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", "Forwarded": "host=evil.example"})
    expect("evil.example" not in (answer.header("location") or ""), f"Location is {answer.header('location')}")
    alive(at)


def slow(at):
    """The server gives a head 2 s and a body that stands still 2 s."""
    before = anonymous_memory(SERVER)
    lazy = []
    for number in range(300):
        connection = Connection(at)
        connection.send(b"GET /v2/ HTTP/1.1\r\nHost: " if number % 2 else b"")
        lazy.append(connection)
    stop = threading.Event()

    def drip():
        while not stop.wait(0.4):
            for connection in lazy:
                try:
                    connection.send(b"a")
                except OSError:
                    pass

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    for _ in range(20):
        began = time.monotonic()
        alive(at)
        expect(time.monotonic() - began < 2, "others wait while heads are slow")
    stop.set()
    thread.join()
    closed = sum(connection.silent(max(0.1, start + 8 - time.monotonic())) for connection in lazy)
    expect(closed == len(lazy), f"{len(lazy) - closed} of {len(lazy)} connections without a head are still open")
    # Bodies that stand still.
    halves = []
    for number in range(128):
        begun = ask(at, "POST", "/v2/slow/blobs/uploads/")
        expect(begun.status == 202, f"an upload does not begin: {begun}")
        connection = Connection(at)
        place = begun.header("location")
        place = place[place.index("/v2/"):]
        connection.send(f"PATCH {place} HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000000\r\n\r\n".encode() + random_bytes(300000))
        halves.append((connection, place))
    time.sleep(0.5)
    held = anonymous_memory(SERVER) - before
    expect(held < 48, f"128 half-open uploads hold {held:.0f} MiB")
    start = time.monotonic()
    alive(at)
    for connection, _ in halves:
        expect(connection.silent(max(0.1, start + 10 - time.monotonic())), "an upload that stands still is not closed")
    # What came is kept for whoever resumes.
    place = halves[0][1]
    answer = ask(at, "GET", place)
    expect(answer.status == 204 and answer.header("range") == "0-299999", f"after the cut: {answer.status} {answer.header('range')}")
    expect(ask(at, "DELETE", place).status == 204, "it cannot be cancelled")
    alive(at)


def slow_reader(at):
    """Clients that ask for much and read nothing."""
    data = random_bytes(8 << 20)
    digest = push_blob(at, "reader", data)
    before = anonymous_memory(SERVER)
    lazy = []
    for _ in range(64):
        connection = Connection(at)
        connection.send(f"GET /v2/reader/blobs/{digest} HTTP/1.1\r\nHost: {at}\r\n\r\n".encode() * 20)
        lazy.append(connection)
    time.sleep(1)
    grown = anonymous_memory(SERVER) - before
    expect(grown < 48, f"64 clients that do not read hold {grown:.0f} MiB")
    began = time.monotonic()
    alive(at)
    expect(time.monotonic() - began < 2, "others wait while some do not read")
    for connection in lazy:
        connection.close()


def sessions(at):
    """$LOGIN begins uploads; $OTHER, and other repositories, must not get at them."""
    mine, other = basic(os.environ["LOGIN"]), basic(os.environ["OTHER"])
    begun = ask(at, "POST", "/v2/mine/blobs/uploads/", mine)
    expect(begun.status == 202, f"an upload does not begin: {begun}")
    place = begun.header("location")
    place = place[place.index("/v2/"):]
    stream = {"Content-Type": "application/octet-stream"}
    elsewhere = place.replace("/v2/mine/", "/v2/elsewhere/")
    for who, where, what in [(mine, elsewhere, "another repository"), (other, place, "another user"), (other, elsewhere, "another of both"), ({}, place, "nobody")]:
        statuses = (401,) if what == "nobody" else (404, 403)
        refused(ask(at, "PATCH", where, {**who, **stream}, b"evil"), f"PATCH from {what}", statuses)
        refused(ask(at, "PUT", f"{where}{'&' if '?' in where else '?'}digest={sha256(b'evil')}", {**who, **stream}, b"evil"), f"PUT from {what}", statuses)
        refused(ask(at, "GET", where, who), f"GET from {what}", statuses)
        refused(ask(at, "DELETE", where, who), f"DELETE from {what}", statuses)
    answer = ask(at, "PUT", f"{place}{'&' if '?' in place else '?'}digest={sha256(b'good')}", {**mine, **stream}, b"good")
    expect(answer.status == 201, f"its owner cannot finish it: {answer}")
    for repository in ("elsewhere", "other"):
        refused(ask(at, "HEAD", f"/v2/{repository}/blobs/{sha256(b'good')}", mine), "the blob elsewhere", (404,))


def rights(at):
    """$LOGIN may do everything; $OTHER may pull and push `open/**` only; nobody may do anything."""
    mine, other = basic(os.environ["LOGIN"]), basic(os.environ["OTHER"])
    secret = random_bytes(1000)
    push_blob(at, "closed/a", secret, mine)
    push_blob(at, "closed/a", b"{}", mine)
    data = manifest(layers=[secret])
    expect(put_manifest(at, "closed/a", "one", data, headers=mine).status == 201, "the manifest is not taken")
    note = manifest(artifactType="application/x", subject=descriptor(IMAGE, data))
    expect(put_manifest(at, "closed/a", "note", note, headers=mine).status == 201, "the referrer is not taken")
    # To read by mounting, one must be allowed to read.
    for query in [f"mount={sha256(secret)}&from=closed/a", f"mount={sha256(secret)}"]:
        answer = ask(at, "POST", f"/v2/open/b/blobs/uploads/?{query}", other)
        expect(answer.status == 202, f"{query}: {answer.status}")
        absent = ask(at, "POST", f"/v2/open/b/blobs/uploads/?{query.replace(sha256(secret), sha256(b'absent'))}", other)
        expect(answer.status == absent.status, "a mount tells whether a blob exists")
        expect(ask(at, "HEAD", f"/v2/open/b/blobs/{sha256(secret)}", other).status == 404, "the blob was mounted")
    # A manifest may not reference what its repository has not.
    push_blob(at, "open/b", b"{}", other)
    refused(put_manifest(at, "open/b", "thief", manifest(layers=[secret]), headers=other), "a manifest about a foreign layer", (400, 404), ("MANIFEST_BLOB_UNKNOWN",))
    for method, path in [("GET", "/v2/closed/a/manifests/one"), ("GET", "/v2/closed/a/tags/list"), ("GET", f"/v2/closed/a/blobs/{sha256(secret)}"),
                         ("GET", f"/v2/closed/a/referrers/{sha256(data)}"), ("DELETE", "/v2/closed/a/manifests/one"), ("POST", "/v2/closed/a/blobs/uploads/")]:
        answer, absent = ask(at, method, path, other), ask(at, method, path.replace("closed/a", "closed/none"), other)
        refused(answer, f"{method} {path}", (403, 404))
        expect((answer.status, answer.code()) == (absent.status, absent.code()), f"{method} {path} tells that the repository exists: {answer} {absent}")
        nobody = ask(at, method, path)
        expect(nobody.status == 401 and nobody.header("www-authenticate"), f"{method} {path} as nobody: {nobody}")
    refused(put_manifest(at, "closed/a", "one", data, headers=other), "overwriting a tag", (403, 404))
    names = json.loads(ask(at, "GET", "/v2/_catalog", other).body)["repositories"]
    expect("closed/a" not in names, "the catalog names a closed repository")
    expect("open/b" in names, "the catalog does not name an open repository")
    for path in ["/", "/-/closed/a", "/metrics"]:
        for who in ({}, other):
            answer = ask(at, "GET", path, who)
            expect(b"closed/a" not in answer.body or answer.status == 404, f"{path} tells of a closed repository")
    # Tokens that nobody signed.
    for head in [{"alg": "none"}, {"alg": "HS256", "typ": "JWT"}, {"alg": "RS256", "jku": "http://127.0.0.1:1/"}]:
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in
                 (head, {"sub": "ada", "exp": 9999999999, "iss": "registry", "access": [{"type": "repository", "name": "closed/a", "actions": ["*"]}]})]
        token = ".".join(parts) + "." + ("" if head["alg"] == "none" else "AAAA")
        refused(ask(at, "GET", "/v2/closed/a/tags/list", {"Authorization": f"Bearer {token}"}), f"a token with {head}", (401,))


def deletes_off(at):
    push_blob(at, "kept", b"{}")
    data = manifest()
    expect(put_manifest(at, "kept", "one", data).status == 201, "the manifest is not taken")
    for path in ["manifests/one", f"manifests/{sha256(data)}", f"blobs/{sha256(b'{}')}"]:
        refused(ask(at, "DELETE", f"/v2/kept/{path}"), f"DELETE {path}", (405,), ("UNSUPPORTED",))
        expect(ask(at, "HEAD", f"/v2/kept/{path}").status == 200, f"{path} is gone")


def smuggling(at):
    inner = b"GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\n"
    cases = {
        "length and chunks": head + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(inner)) + inner,
        "two lengths": head + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        "two lengths in one": head + b"Content-Length: 0, %d\r\n\r\n" % len(inner) + inner,
        "a signed length": head + b"Content-Length: +0\r\n\r\n" + inner,
        "an odd coding": head + b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        "chunks not last": head + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + inner,
        "a space before the colon": head + b"Content-Length : %d\r\n\r\n" % len(inner) + inner,
        "a folded line": head + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        "a chunk's size with a sign": head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n" + inner,
        "a chunk's size that overflows": head + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n0\r\n\r\n" + inner,
        "a chunk's endless extension": head + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200000,
        "a vertical tab": head + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
    }
    for what, data in cases.items():
        connection = Connection(at, 5)
        try:
            connection.send(data)
            # Shut, so that a server which waits for more says what it has to say.
            connection.silent(1.5)
        except OSError:
            pass
        replies = connection.buffer.count(b"HTTP/1.1 ")
        expect(b"smuggled" not in connection.buffer, f"{what}: the inner request was answered")
        expect(replies <= 1, f"{what}: {replies} answers to one request")
        connection.close()
    alive(at)


def multiplexed(at):
    before = anonymous_memory(SERVER)
    # Streams that are reset as soon as they begin.
    for _ in range(3):
        connection = Multiplexed(at)
        try:
            for start in range(0, 20000, 500):
                connection.send(b"".join(frame(HEADERS, 0x5, 2 * n + 1, request_fields(b"/v2/_catalog")) + frame(RESET, 0, 2 * n + 1, b"\0\0\0\x08")
                                         for n in range(start, start + 500)))
        except OSError:
            pass
        seen = connection.frames(2)
        expect(any(kind == GOAWAY for kind, *_ in seen) or connection.silent(0.1), "20,000 reset streams do not end a connection")
    alive(at)
    # More streams than it lets be open.
    connection = Multiplexed(at)
    try:
        connection.send(b"".join(frame(HEADERS, 0x4, 2 * n + 1, request_fields()) for n in range(5000)))
    except OSError:
        pass
    seen = connection.frames(2)
    expect(any(kind in (RESET, GOAWAY) for kind, *_ in seen), "5,000 open streams are taken")
    # A head that never ends.
    connection = Multiplexed(at)
    try:
        connection.send(frame(HEADERS, 0, 1, request_fields()))
        for _ in range(4000):
            connection.send(frame(CONTINUATION, 0, 1, b"\x40\x04aaaa\x78" + b"a" * 120) * 100)
    except OSError:
        pass
    seen = connection.frames(3)
    expect(any(kind == GOAWAY for kind, *_ in seen) or connection.silent(0.1), "an endless head is read")
    # Pings and settings, which must be answered, from a client that reads none.
    for flood in (frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0)):
        connection = Multiplexed(at, 3)
        try:
            for _ in range(400):
                connection.send(flood * 1000)
        except OSError:
            pass
        grown = anonymous_memory(SERVER) - before
        connection.close()
        expect(grown < 64, f"a flood holds {grown:.0f} MiB")
    alive(at)
    time.sleep(1)
    grown = anonymous_memory(SERVER) - before
    expect(grown < 64, f"anonymous memory grew by {grown:.0f} MiB")


def disk(at):
    """The disk has about 24 MB."""
    push_blob(at, "small", b"{}")
    answers = []
    for size in (60_000_000, 60_000_000):
        data = random_bytes(size)
        try:
            answers.append(ask(at, "POST", f"/v2/small/blobs/uploads/?digest={sha256(data)}", {"Content-Type": "application/octet-stream"}, data).status)
        except (OSError, EOFError):
            # It need not read 60 MB to say no.
            answers.append(0)
        begun = ask(at, "POST", "/v2/small/blobs/uploads/")
        if begun.status == 202:
            place = begun.header("location")
            place = place[place.index("/v2/"):]
            try:
                answers.append(ask(at, "PATCH", place, {"Content-Type": "application/octet-stream"}, data).status)
            except (OSError, EOFError):
                answers.append(0)
            ask(at, "DELETE", place)
        else:
            answers.append(begun.status)
        refused(ask(at, "HEAD", f"/v2/small/blobs/{sha256(data)}"), "what did not fit", (404,))
    expect(all(status == 0 or status >= 500 or status in (413, 429) for status in answers), f"answers to what does not fit: {answers}")
    expect(any(status == 507 for status in answers), f"none of the answers is 507: {answers}")
    # It fills the disk by what fits, one after the other, until no more does.
    kept = []
    for _ in range(60):
        data = random_bytes(1_000_000)
        try:
            answer = ask(at, "POST", f"/v2/small/blobs/uploads/?digest={sha256(data)}", {"Content-Type": "application/octet-stream"}, data)
        except (OSError, EOFError):
            break
        if answer.status != 201:
            expect(answer.status >= 500, f"a full disk answers {answer}")
            break
        kept.append(sha256(data))
    else:
        raise Failed("60 MB fit on 24 MB")
    expect(len(kept) >= 5, f"only {len(kept)} MB fit on 24 MB")
    for digest in kept:
        answer = ask(at, "GET", f"/v2/small/blobs/{digest}")
        expect(answer.status == 200 and sha256(answer.body) == digest, f"{digest} was acknowledged and is {answer.status}")
    for digest in kept[:3]:
        expect(ask(at, "DELETE", f"/v2/small/blobs/{digest}").status == 202, "a blob cannot be deleted on a full disk")


def crowd(at):
    """256 uploads at once."""
    data = random_bytes(2 << 20)
    peak = 0.0
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, anonymous_memory(SERVER))

    def upload(number):
        own = number.to_bytes(4, "big") + data
        push_blob(at, f"crowd/{number % 16}", own)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with concurrent.futures.ThreadPoolExecutor(256) as pool:
            list(pool.map(upload, range(256)))
    finally:
        done.set()
        thread.join()
    expect(peak < 128, f"256 uploads took {peak:.0f} MiB of anonymous memory")


def main():
    try:
        globals()[sys.argv[1]](sys.argv[2])
    except Failed as failed:
        print(f"{sys.argv[1]}: {failed}")
        return 1
    except (OSError, EOFError) as error:
        print(f"{sys.argv[1]}: the connection broke where an answer was due: {error!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
