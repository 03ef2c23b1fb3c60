"""Prints a CycloneDX bill of materials of the card, and writes the plain list of packages with versions beside it.

Comes in: the pinned Debian packages, where they were unpacked (for the licence texts), and Cargo.lock.
"""

import argparse
import hashlib
import json
import pathlib
import re
import tomllib
import uuid


def debian_components(packages, unpacked):
    for line in packages.read_text().splitlines():
        if not line or line.startswith(("#", "release ")):
            continue
        name, arch, version, sha256, pool_path = line.split()
        copyright_file = unpacked / name / "usr/share/doc" / name / "copyright"
        text = copyright_file.read_text(errors="replace") if copyright_file.is_file() else ""
        licences = sorted(set(re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", text, re.MULTILINE)))
        component = {
            "type": "operating-system" if name.startswith("linux-image-") else "library",
            "bom-ref": f"deb/{name}",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{version.replace(':', '%3A').replace('+', '%2B')}?arch={arch}",
            "hashes": [{"alg": "SHA-256", "content": sha256}],
            "externalReferences": [{"type": "distribution", "url": f"https://deb.debian.org/{pool_path}"}],
        }
        if licences:
            component["licenses"] = [{"license": {"name": licence}} for licence in licences]
        yield component


def normal_dependencies(lock):
    """Crates that Cargo.lock knows, ours left out. Those only for tests or other systems are among them."""
    for package in tomllib.loads(lock.read_text())["package"]:
        if "source" not in package:
            continue
        component = {
            "type": "library",
            "bom-ref": f"cargo/{package['name']}@{package['version']}",
            "name": package["name"],
            "version": package["version"],
            "purl": f"pkg:cargo/{package['name']}@{package['version']}",
        }
        if "checksum" in package:
            component["hashes"] = [{"alg": "SHA-256", "content": package["checksum"]}]
        yield component


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("packages", "unpacked", "lock", "list"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--version", required=True)
    args = parser.parse_args()

    debian = list(debian_components(args.packages, args.unpacked))
    crates = list(normal_dependencies(args.lock))
    args.list.write_text(
        "".join(f"{c['name']} {c['version']}\n" for c in [{"name": "larder", "version": args.version}, *debian])
    )
    components = debian + crates
    identity = hashlib.sha256(json.dumps([args.version, components], sort_keys=True).encode()).hexdigest()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # From the contents, so that the same card has the same serial number.
        "serialNumber": f"urn:uuid:{uuid.UUID(identity[:32])}",
        "version": 1,
        "metadata": {
            "component": {"type": "firmware", "bom-ref": "larder-image", "name": "larder-image", "version": args.version}
        },
        "components": components,
    }
    print(json.dumps(document, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
