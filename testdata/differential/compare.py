#!/usr/bin/env python3
"""Builds the cases beside this script and compares what comes out, path by path.

usage: compare.py [--peer buildah|buildkit]... [--record] [--label WORD] [--list] [NAME...]

Without a peer, each result is compared with what is recorded in `expected/`. With peers, these build each case too, and their
results are compared with ours. `--record` writes what we make into `expected/`, which is for a case whose peers agree with us, or
whose difference is settled. A NAME is a case (`copy/one-file`) or a file of cases (`copy`).

A case stands in `cases/<file>.cases`:

  case: NAME             its name in the file
  context: SHELL         a line run in the empty build context (several)
  ignore: PATTERN        a line of .dockerignore (several)
  args: FLAGS            for the build: --build-arg, --target, --label, --build-context NAME=FOLDER of the context
  result: fails          the build must fail
  buildah: WORDS         the settled difference from Buildah: it is not compared
  buildkit: WORDS        the same for BuildKit
  single-id: WORDS       what a user without subordinate ids cannot have (`--label single-id`)
  |FROM busybox          a line of the Dockerfile

What is compared: of every path type, mode, owner, size, link, hard links, device, extended attributes, and content; of the
image its configuration. Times are not: they differ by their nature.

$ESTIBA is the binary, $BUSYBOX_LAYOUT an OCI layout that `FROM busybox` means. $BUILDKIT_HOST is where buildctl finds its
daemon. Prints "ok NAME" or "FAIL NAME: why"; the exit code is 1 where something differs, 2 where nothing could be compared.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BASE = "busybox"
# What a peer leaves in every layer of a RUN, and is no part of what the Dockerfile says.
STUBS = re.compile(r"^(proc|sys|dev|run|run/secrets|run/\.containerenv|etc/(resolv\.conf|hosts|hostname|mtab))$|^(dev|proc|sys)/")
EPOCH = 1_700_000_000  # The first case's files; each next is a second younger, as BuildKit tells contexts apart by times.


class Case:
    def __init__(self, file, name):
        self.file, self.name = file, f"{file}/{name}"
        self.context, self.ignore, self.dockerfile, self.args = [], [], [], []
        self.fails, self.settled = False, {}


def read_cases():
    """All cases, in the order they are written."""
    cases = []
    for path in sorted((HERE / "cases").glob("*.cases")):
        for number, line in enumerate(path.read_text().split("\n"), 1):
            if line.startswith("|"):
                cases[-1].dockerfile.append(line[1:])
                continue
            if not line.strip() or line.startswith("#"):
                continue
            key, _, value = line.partition(":")
            value = value.strip()
            if key == "case":
                cases.append(Case(path.stem, value))
            elif key == "context":
                cases[-1].context.append(value)
            elif key == "ignore":
                cases[-1].ignore.append(value)
            elif key == "args":
                cases[-1].args += shlex.split(value)
            elif key == "result" and value == "fails":
                cases[-1].fails = True
            elif key in ("buildah", "buildkit", "single-id"):
                cases[-1].settled[key] = value
            else:
                sys.exit(f"{path}:{number}: {line!r} is no line of a case")
    for number, case in enumerate(cases):
        case.time = EPOCH + number
    names = [case.name for case in cases]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        sys.exit(f"cases that are there twice: {', '.join(sorted(twice))}")
    return cases


# --- trees ---------------------------------------------------------------------------------------


def xattrs(member):
    """Extended attributes, without what peers keep for themselves."""
    found = {}
    for key, value in member.pax_headers.items():
        if key.startswith("SCHILY.xattr."):
            name = key[len("SCHILY.xattr."):]
            if not name.startswith(("user.overlay.", "trusted.overlay.", "user.rootlesscontainers", "user.containers.")):
                found[name] = hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return found


def open_layer(path):
    head = path.open("rb").read(4)
    if head[:2] == b"\x1f\x8b":
        return tarfile.open(fileobj=io.BytesIO(gzip.decompress(path.read_bytes())))
    if head == b"\x28\xb5\x2f\xfd":
        plain = subprocess.run(["zstd", "-dc", str(path)], check=True, capture_output=True).stdout
        return tarfile.open(fileobj=io.BytesIO(plain))
    return tarfile.open(path)


def apply(tree, layer):
    """Puts a layer on a tree: path → line of facts."""
    with open_layer(layer) as tar:
        members = tar.getmembers()
        names = [os.path.normpath("/" + member.name).lstrip("/") for member in members]
        for name in names:
            folder, base = os.path.split(name)
            if base == ".wh..wh..opq":
                for path in [path for path in tree if path.startswith(folder + "/") or folder == ""]:
                    del tree[path]
            elif base.startswith(".wh."):
                gone = os.path.join(folder, base[4:])
                for path in [path for path in tree if path == gone or path.startswith(gone + "/")]:
                    del tree[path]
        content = {}
        for member, name in zip(members, names):
            if os.path.basename(name).startswith(".wh.") or name in ("", "."):
                continue
            if name in tree and not member.isdir():
                for path in [path for path in tree if path.startswith(name + "/")]:
                    del tree[path]
            owner = f"{member.mode & 0o7777:o} {member.uid}:{member.gid}"
            more = "".join(f" {key}={value}" for key, value in sorted(xattrs(member).items()))
            if member.isdir():
                facts = f"dir {owner}{more}"
            elif member.issym():
                facts = f"link {member.uid}:{member.gid} -> {member.linkname}"
            elif member.islnk():
                target = os.path.normpath("/" + member.linkname).lstrip("/")
                facts = tree.get(target, f"hard link to nothing: {target}")
                content[name] = content.get(target)
            elif member.ischr() or member.isblk():
                kind = "char" if member.ischr() else "block"
                facts = f"{kind} {owner} {member.devmajor}:{member.devminor}{more}"
            elif member.isfifo():
                facts = f"fifo {owner}{more}"
            else:
                data = tar.extractfile(member).read()
                facts = f"file {owner} {len(data)} {hashlib.sha256(data).hexdigest()[:16]}{more}"
            tree[name] = facts
        # Parents that a layer implies.
        for name in names:
            parent = os.path.dirname(name)
            while parent and parent not in tree and not os.path.basename(name).startswith(".wh."):
                tree[parent] = "dir 755 0:0"
                parent = os.path.dirname(parent)


class Image:
    """An image in an OCI layout, or in a folder as Buildah's `dir:` writes it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.is_layout = (self.folder / "index.json").exists()
        if self.is_layout:
            manifest = json.loads((self.folder / "index.json").read_text())
            while "manifests" in manifest:
                manifest = self.document(manifest["manifests"][0]["digest"])
        else:
            manifest = json.loads((self.folder / "manifest.json").read_text())
        self.config = self.document(manifest["config"]["digest"])
        self.layers = [self.blob(layer["digest"]) for layer in manifest.get("layers") or []]
        self.diff_ids = self.config["rootfs"].get("diff_ids") or []

    def blob(self, digest):
        return self.folder / ("blobs/" + digest.replace(":", "/") if self.is_layout else digest.partition(":")[2])

    def document(self, digest):
        return json.loads(self.blob(digest).read_text())

    def lines(self, base):
        """What is compared, as sorted lines."""
        lines = config_lines(self.config)
        on_base = self.diff_ids[: len(base.diff_ids)] == base.diff_ids
        tree = dict(base.tree) if on_base else {}
        for layer in self.layers[len(base.diff_ids) if on_base else 0:]:
            apply(tree, layer)
        lines.append(f"base {'busybox' if on_base else 'none'}")
        before = base.tree if on_base else {}
        for path in sorted(set(tree) | set(before)):
            if tree.get(path) == before.get(path):
                continue
            lines.append(printable(f"path /{path} {tree.get(path, 'removed')}"))
        return lines


def printable(line):
    """One line of text, whatever bytes a name has."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\n", "\\n")


def config_lines(config):
    inner = config.get("config") or {}
    lines = []
    for key in sorted(inner):
        value = inner[key]
        if key == "Labels" and value:
            value = {name: text for name, text in value.items() if name != "io.buildah.version"}
        if key in ("ArgsEscaped", "Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"):
            continue
        if key == "Env":
            lines += [f"config Env {entry}" for entry in value]
        elif value not in (None, "", [], {}):
            lines.append(f"config {key} {json.dumps(value, sort_keys=True, ensure_ascii=False)}")
    if config.get("author"):
        lines.append(f"config author {config['author']}")
    return lines


class Base:
    def __init__(self, layout):
        self.layout = pathlib.Path(layout)
        image = Image(layout)
        self.diff_ids, self.tree = image.diff_ids, {}
        for layer in image.layers:
            apply(self.tree, layer)


# --- builders ------------------------------------------------------------------------------------


def contexts(case, folder):
    """The case's flags, with the folders of --build-context made absolute."""
    args, flags = list(case.args), []
    while args:
        flag = args.pop(0)
        if flag == "--build-context":
            name, _, place = args.pop(0).partition("=")
            flags += [flag, f"{name}={folder / place}"]
        else:
            flags.append(flag)
    return flags


class Estiba:
    name = "estiba"

    def __init__(self, base, work):
        self.binary, self.root, self.layouts = os.environ.get("ESTIBA", "estiba"), work / "store", work
        command = [self.binary, "--root", str(self.root), "load", "-i", str(base.layout)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            command = [self.binary, "--root", str(self.root), "copy", f"oci:{base.layout}", "store:busybox"]
            subprocess.run(command, check=True, capture_output=True)

    def build(self, case, folder, out):
        command = [self.binary, "--root", str(self.root), "build", "--progress=plain", "--pull=never", "-o", f"type=oci,tar=false,dest={out}"]
        return subprocess.run(command + contexts(case, folder) + ["."], cwd=folder, capture_output=True, text=True, errors="replace")


class Buildah:
    name = "buildah"

    def __init__(self, base, work):
        self.root = work / "buildah"
        self.common = ["--root", str(self.root), "--runroot", str(work / "buildah-run"), "--storage-driver", "vfs"]
        place = f"containers-storage:[vfs@{self.root}+{work / 'buildah-run'}]docker.io/library/busybox:latest"
        subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", f"oci:{base.layout}", place], check=True)

    def build(self, case, folder, out):
        command = ["buildah", *self.common, "bud", "-q", "--pull-never", "--isolation", "chroot", "--layers=false", "--format", "docker", "-t", f"dir:{out}"]
        return subprocess.run(command + contexts(case, folder) + ["."], cwd=folder, capture_output=True, text=True, errors="replace")


class BuildKit:
    name = "buildkit"

    def __init__(self, base, _work):
        self.base = base
        index = json.loads((base.layout / "index.json").read_text())
        self.digest = index["manifests"][0]["digest"]

    def build(self, case, folder, out):
        command = ["buildctl", "build", "--progress=plain", "--frontend=dockerfile.v0", "--local", "context=.", "--local", "dockerfile=.",
                   "--oci-layout", f"base={self.base.layout}", "--opt", f"context:{BASE}=oci-layout://base@{self.digest}",
                   "--output", f"type=oci,tar=false,dest={out}"]
        flags = contexts(case, folder)
        while flags:
            flag, value = flags.pop(0), flags.pop(0)
            if flag == "--build-arg":
                name, _, text = value.partition("=")
                command += ["--opt", f"build-arg:{name}={text}"]
            elif flag == "--target":
                command += ["--opt", f"target={value}"]
            elif flag == "--label":
                name, _, text = value.partition("=")
                command += ["--opt", f"label:{name}={text}"]
            elif flag == "--build-context":
                name, _, place = value.partition("=")
                command += ["--local", f"{name}={place}", "--opt", f"context:{name}=local:{name}"]
            else:
                raise ValueError(f"{case.name}: {flag} has no word in buildctl")
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")


# --- the run -------------------------------------------------------------------------------------


def prepare(case, folder):
    """Lays the build context."""
    folder.mkdir()
    if case.context:
        script = "set -e; umask 022\n" + "\n".join(case.context)
        subprocess.run(["sh", "-c", script], cwd=folder, check=True)
    if case.ignore:
        (folder / ".dockerignore").write_text("\n".join(case.ignore) + "\n")
    if not (folder / "Dockerfile").exists():
        (folder / "Dockerfile").write_text("\n".join(case.dockerfile) + "\n")
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            os.utime(os.path.join(root, name), (case.time, case.time), follow_symlinks=False)


def outcome(builder, case, base, work):
    """The lines that a builder's result comes to; `fails` where there is none."""
    folder, out = work / "context", work / "out"
    for path in (folder, out):
        shutil.rmtree(path, ignore_errors=True)
    prepare(case, folder)
    out.mkdir()
    done = builder.build(case, folder, out)
    if done.returncode != 0:
        return ["fails"], done.stdout + done.stderr
    return Image(out).lines(base), done.stdout + done.stderr


def settled_noise(lines, others):
    """What a peer made, without what is left of its mounts."""
    known = set(others)
    def is_stub(line):
        return line.startswith("path /") and line not in known and STUBS.match(line[len("path /"):].split(" ")[0])
    kept = [line for line in lines if not is_stub(line)]
    # What has no working directory works in `/`: docker and BuildKit write it for images made of scratch, Buildah does not.
    root = 'config WorkingDir "/"'
    return kept + [root] if root in known and not any(line.startswith("config WorkingDir") for line in kept) else kept


def differences(ours, theirs):
    left = [f"    - {line}" for line in theirs if line not in ours]
    right = [f"    + {line}" for line in ours if line not in theirs]
    return left + right


def read_expected(file):
    expected, name = {}, None
    path = HERE / "expected" / f"{file}.txt"
    for line in path.read_text().split("\n") if path.exists() else []:
        if line.startswith("== "):
            name = line[3:]
            expected[name] = []
        elif line and name:
            expected[name].append(line)
    return expected


def write_expected(cases, results):
    for file in sorted({case.file for case in cases}):
        known = read_expected(file)
        known.update({case.name: results[case.name] for case in cases if case.file == file})
        every = [case.name for case in read_cases() if case.file == file]
        text = "".join(f"== {name}\n" + "".join(line + "\n" for line in known[name]) for name in every if name in known)
        (HERE / "expected").mkdir(exist_ok=True)
        (HERE / "expected" / f"{file}.txt").write_text(text)


def compare(case, ours, theirs, who, log):
    """Prints one case's verdict; gives whether it is well."""
    found = differences(ours, theirs)
    settled = case.settled.get(who)
    if settled and found:
        print(f"settled {case.name}: {who}: {settled}")
        return True
    if settled:
        print(f"FAIL {case.name}: {who} agrees, though a difference is settled: {settled}")
        return False
    if not found:
        return True
    print(f"FAIL {case.name}: {who} differs (- theirs, + ours)\n" + "\n".join(found))
    if theirs == ["fails"] or ours == ["fails"]:
        print("".join(f"    | {line}\n" for line in log.strip().split("\n")[-6:]), end="")
    return False


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--peer", action="append", default=[], choices=["buildah", "buildkit"])
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--label", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    cases = [case for case in read_cases() if not options.names or case.name in options.names or case.file in options.names]
    if options.list or not cases:
        print("\n".join(case.name for case in cases))
        return 0 if cases else 2
    work = pathlib.Path(tempfile.mkdtemp(prefix="estiba-differential.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    try:
        return run(options, cases, work)
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(work)], stderr=subprocess.DEVNULL)
        shutil.rmtree(work, ignore_errors=True)


def run(options, cases, work):
    base = Base(os.environ["BUSYBOX_LAYOUT"])
    makers = {"buildah": Buildah, "buildkit": BuildKit}
    ours_builder, peers = Estiba(base, work), [makers[name](base, work) for name in options.peer]
    expected = {file: read_expected(file) for file in {case.file for case in cases}}
    results, bad = {}, 0
    for case in cases:
        ours, log = outcome(ours_builder, case, base, work)
        results[case.name] = ours
        well = (ours == ["fails"]) == case.fails
        if not well:
            print(f"FAIL {case.name}: it {'was built' if case.fails else 'failed'}")
            print("".join(f"    | {line}\n" for line in log.strip().split("\n")[-12:]), end="")
        for peer in peers:
            theirs, their_log = outcome(peer, case, base, work)
            well &= compare(case, ours, settled_noise(theirs, ours), peer.name, log if ours == ["fails"] else their_log)
        if not options.peer and not options.record:
            record = expected[case.file].get(case.name, ["nothing is recorded"])
            well &= compare(case, ours, record, options.label if options.label in case.settled else "the record", log)
        bad += not well
        if well:
            print(f"ok {case.name}" + (f" [{options.label}]" if options.label else ""))
    if options.record:
        write_expected(cases, results)
    print(f"{len(cases) - bad} of {len(cases)} cases agree")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
