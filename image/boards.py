"""Checks that a kernel and its initial RAM disk can drive the SD card of boards: each host that the device tree
switches on, and each regulator that it draws from, has a driver that is built in or in the RAM disk. A host whose
regulator has no driver waits for ever, and the card with it.

    boards.py KERNEL RELEASE MODULES DTB...

KERNEL has lib/modules/RELEASE; MODULES lists the RAM disk's module files, a line each.

The flattened device tree: https://github.com/devicetree-org/devicetree-specification, chapter 5.
"""

import fnmatch
import pathlib
import struct
import sys

BEGIN_NODE, END_NODE, PROPERTY, NOP, END = 1, 2, 3, 4, 9


def nodes(blob):
    """Every node of a device tree, as (name, properties)."""
    magic, _, at, strings = struct.unpack(">4I", blob[:16])
    if magic != 0xD00DFEED:
        raise ValueError("no device tree")
    open_nodes = []
    while True:
        (token,) = struct.unpack_from(">I", blob, at)
        at += 4
        if token == BEGIN_NODE:
            end = blob.index(b"\0", at)
            open_nodes.append((blob[at:end].decode(), {}))
            at = end + 1
        elif token == PROPERTY:
            length, name = struct.unpack_from(">2I", blob, at)
            name = blob[strings + name : blob.index(b"\0", strings + name)].decode()
            open_nodes[-1][1][name] = blob[at + 8 : at + 8 + length]
            at += 8 + length
        elif token == END_NODE:
            yield open_nodes.pop()
        elif token == END:
            return
        elif token != NOP:
            raise ValueError(f"unknown token {token} at {at - 4}")
        at = (at + 3) & ~3


def words(value):
    return value.rstrip(b"\0").decode().split("\0")


def stands_on(dtb):
    """(name, compatible strings) of the SD hosts in use and of what supplies them, however far off."""
    tree = list(nodes(dtb.read_bytes()))
    by_handle = {node["phandle"]: (name, node) for name, node in tree if "phandle" in node}
    queue = [n for n in tree if n[0].startswith("mmc@") and n[1].get("status", b"okay\0") == b"okay\0"]
    if not queue:
        raise ValueError("it has no SD host")
    seen = []
    while queue:
        name, node = queue.pop()
        if name in seen:
            continue
        seen.append(name)
        # What has no driver of its own is a part of what it stands in.
        if "compatible" in node:
            yield name, words(node["compatible"])
        queue += [by_handle[value] for key, value in node.items() if key.endswith("-supply")]


def drivers(kernel, release):
    """(pattern of compatible strings, module; None when it is built in) of every driver."""
    folder = kernel / "lib/modules" / release
    for line in (folder / "modules.alias").read_text().splitlines():
        if line.startswith("alias of:"):
            _, pattern, module = line.split()
            yield pattern, module
    for entry in (folder / "modules.builtin.modinfo").read_bytes().split(b"\0"):
        _, _, pattern = entry.decode().partition(".alias=")
        if pattern.startswith("of:"):
            yield pattern, None


def main():
    kernel, release, listed = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    there = {pathlib.Path(line).stem.replace("-", "_") for line in listed.read_text().splitlines()}
    known = list(drivers(kernel, release))
    missing = []
    for dtb in map(pathlib.Path, sys.argv[4:]):
        for name, compatible in stands_on(dtb):
            fit = [m for p, m in known if any(fnmatch.fnmatchcase(f"of:NxTxC{c}", p) for c in compatible)]
            if not any(m is None or m.replace("-", "_") in there for m in fit):
                which = " or ".join(sorted(set(fit))) or "a driver that this kernel has not"
                missing.append(f"{dtb.stem}: {name} ({compatible[0]}) needs {which}")
    for line in missing:
        print(f"boards: {line}; add it to image/modules.txt as 'initramfs …'", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
