"""Finishes the bill of materials of a card built by Buildroot and writes the plain list of packages beside it.

Comes in: the CycloneDX document of Buildroot's generate-cyclonedx, and Cargo.lock, whose crates are in the engine's
binary and unknown to Buildroot. Must never: say something about a package that neither of the two says.
"""

import argparse
import hashlib
import json
import pathlib
import tomllib
import uuid


def crates(lock):
    """Crates that Cargo.lock knows, ours left out. Those only for tests or other systems are among them."""
    for package in tomllib.loads(lock)["package"]:
        if "source" not in package:
            continue
        reference = f"pkg:cargo/{package['name']}@{package['version']}"
        component = {
            "type": "library",
            "bom-ref": reference,
            "name": package["name"],
            "version": package["version"],
            "purl": reference,
        }
        if "checksum" in package:
            component["hashes"] = [{"alg": "SHA-256", "content": package["checksum"]}]
        yield component


def finish(document, lock):
    """The document with the crates as parts of the engine, and nothing in it that differs from run to run."""
    engine = next((c for c in document["components"] if c["name"] == "larder"), None)
    if engine is None:
        raise SystemExit("sbom: Buildroot's list has no package 'larder': is BR2_PACKAGE_LARDER on?")
    inside = list(crates(lock))
    document["components"] += inside
    document.setdefault("dependencies", [])
    entry = next((d for d in document["dependencies"] if d["ref"] == engine["bom-ref"]), None)
    if entry is None:
        entry = {"ref": engine["bom-ref"], "dependsOn": []}
        document["dependencies"].append(entry)
    entry.setdefault("dependsOn", []).extend(c["bom-ref"] for c in inside)
    # The time of the run is no property of the card, and the serial number comes from the contents.
    document.get("metadata", {}).pop("timestamp", None)
    document.pop("serialNumber", None)
    identity = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.UUID(identity[:32])}"
    return document


def listed(document, version):
    """Lines "name version" of what is on the card itself: no tools of the build machine, no crates."""
    lines = {f"larder {version}"}
    for component in document["components"]:
        reference = component["bom-ref"]
        if reference.startswith(("host-", "pkg:cargo/")) or component["name"] in ("larder", "skeleton"):
            continue
        if component.get("version"):
            lines.add(f"{component['name']} {component['version']}")
    return "".join(f"{line}\n" for line in sorted(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("sbom", "lock", "packages"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--version", required=True)
    args = parser.parse_args()
    document = finish(json.loads(args.sbom.read_text()), args.lock.read_text())
    args.packages.write_text(listed(document, args.version))
    print(json.dumps(document, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
