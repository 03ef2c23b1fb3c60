"""Fills in the release notes of a card built by Buildroot.

Comes in: the template, the bill of materials, the compressed image, and the same bill with vulnerabilities as
Buildroot's cve-check leaves it, if that was run. Must never: call a list complete that was not made.
"""

import argparse
import hashlib
import json
import pathlib
import re

# States of CycloneDX under which a vulnerability is not (or no longer) open on the card.
CLOSED = {"resolved", "resolved_with_pedigree", "not_affected", "false_positive"}


def component_versions(document):
    return {c["name"]: c.get("version", "") for c in document["components"]}


def build_tools(document):
    """References of what only ran on the build machine."""
    return {c["bom-ref"] for c in document["components"] if c["bom-ref"].startswith("host-")}


def vulnerabilities(document):
    """Markdown: the open ones that touch something on the card, and how many others the list has."""
    tools = build_tools(document)
    versions = {c["bom-ref"]: f"{c['name']} {c.get('version', '')}".strip() for c in document["components"]}
    rows, closed, elsewhere = [], 0, 0
    for entry in document.get("vulnerabilities", []):
        state = entry.get("analysis", {}).get("state", "")
        touched = [a["ref"] for a in entry.get("affects", []) if a["ref"] not in tools]
        if state in CLOSED:
            closed += 1
        elif not touched:
            elsewhere += 1
        else:
            for reference in touched:
                rows.append((versions.get(reference, reference), entry["id"], state or "not judged yet"))
    text = f"{len(rows)} open on the card, {closed} fixed or not applying, {elsewhere} in tools of the build machine.\n"
    if rows:
        text += "\n| package | vulnerability | state |\n|---|---|---|\n"
        text += "".join(f"| {package} | {name} | {state} |\n" for package, name, state in sorted(set(rows)))
    return text.rstrip("\n")


def fill(template, values):
    """The template with every @NAME@ replaced; an unknown or forgotten one is an error."""
    def value(match):
        if match[1] not in values:
            raise SystemExit(f"notes: the template asks for @{match[1]}@, which nobody knows")
        return values[match[1]]

    return re.sub(r"@([A-Z0-9]+)@", value, template)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("template", "sbom", "image"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--cve", type=pathlib.Path)
    for name in ("version", "buildroot"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()

    versions = component_versions(json.loads(args.sbom.read_text()))
    data = args.image.read_bytes()
    cve = "Not listed: this release was made with CVE=0."
    if args.cve:
        cve = vulnerabilities(json.loads(args.cve.read_text()))
    values = {
        "VERSION": args.version,
        "NAME": args.image.name.removesuffix(".img.xz"),
        "IMAGE": args.image.name,
        "SIZE": f"{len(data) / 1e6:.0f}",
        "SHA256": hashlib.sha256(data).hexdigest(),
        "BUILDROOT": args.buildroot,
        "LINUX": versions["linux"],
        "SYNCTHING": versions["syncthing-bin"],
        "BUSYBOX": versions["busybox"],
        "TOOLCHAIN": versions["toolchain-external-bootlin"],
        "CVE": cve,
    }
    print(fill(args.template.read_text(), values), end="")


if __name__ == "__main__":
    main()
