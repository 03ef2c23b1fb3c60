"""The documents are true for a clean checkout: links lead somewhere, and what is to be typed exists."""

import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
LISTED = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, check=True, capture_output=True, text=True)
DOCUMENTS = sorted(path for path in LISTED.stdout.splitlines() if path.endswith(".md") and (TOP / path).exists())
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (TOP / "Makefile").read_text(), re.MULTILINE))


def anchors(text):
    """Headings as GitHub names them."""
    return {re.sub(r"[^\w -]", "", words).strip().lower().replace(" ", "-") for words in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file(document):
    path = TOP / document
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists() and there.is_relative_to(TOP), f"{document}: {target} is not there"
        if anchor:
            assert anchor in anchors(there.read_text()), f"{document}: {target} has no such heading"


# In buildroot/ it is Buildroot's own `make` as well.
@pytest.mark.parametrize("document", [path for path in DOCUMENTS if not path.startswith("buildroot/")])
def test_every_make_target_exists(document):
    text = (TOP / document).read_text()
    named = set(re.findall(r"`(?:time |sudo )?(?:[A-Z_]+=\S+ )*make ([a-z][a-z0-9-]*)", text))
    named |= set(re.findall(r"^    make ([a-z][a-z0-9-]*)", text, re.MULTILINE))
    assert named <= TARGETS, f"{document}: make {', '.join(sorted(named - TARGETS))} does not exist"


def test_readme_opens_with_the_two_commands():
    text = (TOP / "README.md").read_text()
    typed = re.findall(r"^    (make .*)$", text, re.MULTILINE)
    assert typed == ["make run", "make test", "make demo"]


def test_readme_names_every_target():
    text = (TOP / "README.md").read_text()
    # `bench-engine` and so on stand in a row without `make`; `setup` and `help` are for nobody to remember.
    missing = [target for target in sorted(TARGETS - {"help", "setup"}) if not re.search(rf"`(?:make )?{target}\b", text)]
    assert not missing, f"README.md does not name make {', '.join(missing)}"


def test_every_decision_has_its_three_parts():
    folder = TOP / "docs/decisions"
    records = {path.name for path in folder.glob("*.md")} - {"README.md"}
    assert len(records) >= 40
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert not listed - records, f"docs/decisions/README.md lists {listed - records}"
    for name in records:
        text = (folder / name).read_text()
        for heading in ("Context", "Decision", "Consequences"):
            assert re.search(rf"^(?:## |\*\*)?{heading}\b", text, re.MULTILINE), f"{name} has no {heading}"


def test_the_nevers_are_numbered_one_to_ten():
    # Sources and `larder check` name them by number.
    text = (TOP / "docs/design.md").read_text()
    never = text[text.index("\n## Never\n"):]
    assert re.findall(r"^(\d+)\. ", never, re.MULTILINE) == [str(number) for number in range(1, 11)]
