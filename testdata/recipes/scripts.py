#!/usr/bin/env python3
"""Prints the shell script of a CI recipe: what a runner of that kind would run to build and push.

usage: scripts.py FILE [NAME]     NAME: the job of a Kubernetes file

Reads the few forms that the recipes of examples/ci use: `run: |` and `script:` lists and `args: - |` in YAML, `sh '…'` in a Jenkinsfile. Lines
that install estiba itself are left out, since whoever runs this has it.
"""

import re
import sys
import textwrap


def block(lines, at, indent):
    """The lines of a block scalar that begins after line `at`, whose key stands at `indent`."""
    taken = []
    for line in lines[at + 1:]:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        taken.append(line)
    return textwrap.dedent("\n".join(taken)).strip("\n")


def scripts_of_yaml(text):
    lines, found = text.split("\n"), []
    in_list = None
    for at, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        stripped = line.strip()
        if in_list is not None and stripped and indent <= in_list and not stripped.startswith("- "):
            in_list = None
        if re.fullmatch(r"run: \|", stripped):
            found.append(block(lines, at, indent))
        elif stripped in ("script:", "args:"):
            in_list = indent
        elif in_list is not None and stripped == "- |":
            found.append(block(lines, at, indent))
        elif in_list is not None and stripped.startswith("- ") and indent == in_list + 2:
            found.append(stripped[2:])
    return found


def scripts_of_jenkins(text):
    return [textwrap.dedent(one or other).strip("\n") for one, other in re.findall(r"sh '''(.*?)'''|sh '([^'\n]*)'", text, re.S)]


def main():
    path, name = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    text = open(path).read()
    if name:
        text = next(part for part in text.split("\n---\n") if f"name: {name}\n" in part)
    found = scripts_of_jenkins(text) if path.endswith("Jenkinsfile") else scripts_of_yaml(text)
    found = [script for script in found if "ESTIBA_URL" not in script and "estiba" in script]
    if not any("estiba build" in script and "--push" in script for script in found):
        sys.exit(f"{path}: no script that builds and pushes was found")
    print("set -e\n" + "\n".join(found))


main()
