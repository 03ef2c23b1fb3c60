"""Each target of the Makefile, and each part of .ci/test, installs what it uses before it uses it.

Reads what `make -n TARGET` would do, the scripts that are called on the way, the Python modules that they import and the
programs that Rust and JavaScript tests start, and compares that with the groups of .ci/setup. Nothing is run or
installed. tests/fresh/machine tries the same for real, once a night.
"""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]

# Debian's package of each program that a minimal Debian lacks. A program may come with one of several.
PROGRAMS = {
    "arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf", "bc": "bc", "blockdev": "util-linux", "btrfs": "btrfs-progs",
    "bzip2": "bzip2", "cargo": "cargo-web", "cargo-deny": "crates.io/cargo-deny", "cargo-clippy": "rust-web-clippy",
    "cargo-fmt": "rustfmt-web", "chromium": "chromium", "cpio": "cpio", "cryptsetup": "cryptsetup-bin", "debootstrap": "debootstrap",
    "depmod": "kmod", "e2fsck": "e2fsprogs", "fclones": "crates.io/fclones", "file": "file", "firefox-esr": "firefox-esr",
    "flake8": "python3-flake8", "fsck.vfat": "dosfstools", "g++": "g++", "gcc": "gcc", "genimage": "genimage", "git": "git",
    "gpgv": "gpgv", "jdupes": "jdupes", "make": "make", "mcopy": "mtools", "mdir": "mtools", "mke2fs": "e2fsprogs",
    "mkfs.btrfs": "btrfs-progs", "mkfs.exfat": "exfatprogs", "mkfs.ext4": "e2fsprogs", "mkfs.ntfs": "ntfs-3g",
    "mkfs.vfat": "dosfstools", "mkfs.xfs": "xfsprogs", "mktorrent": "mktorrent", "mksquashfs": "squashfs-tools", "mmdebstrap": "mmdebstrap",
    "modprobe": "kmod", "mount": "mount", "mtype": "mtools", "node": "nodejs", "npm": "npm", "ntfscp": "ntfs-3g", "patch": "patch", "perl": "perl",
    "python3": "python3", "qemu-arm-static": "qemu-user-static", "qemu-img": "qemu-utils", "qemu-storage-daemon": "qemu-system-common",
    "qemu-system-aarch64": "qemu-system-arm", "qemu-system-arm": "qemu-system-arm", "readelf": "binutils", "rmlint": "rmlint",
    "rsync": "rsync", "rustc": "rustc-web", "setpriv": "util-linux", "sfdisk": "fdisk", "shellcheck": "shellcheck", "ssh": "openssh-client",
    "ssh-keygen": "openssh-client", "strace": "strace", "transmission-show": "transmission-cli",
    "umount": "mount", "unshare": "util-linux", "unsquashfs": "squashfs-tools",
    "unzip": "unzip", "wget": "wget", "xz": "xz-utils", "zbarimg": "zbar-tools",
}
MODULES = {"pexpect": "python3-pexpect", "pytest": "python3-pytest", "magic": "python3-magic", "flake8": "python3-flake8"}
# What Debian calls essential or required: on every machine that can run apt.
EVERYWHERE = set(
    "sh bash env sync truncate timeout find cp mv rm ln ls cat dd sleep true false kill id stat grep sed awk sort head tail "
    "tar gzip dpkg dpkg-deb dpkg-query apt-get apt-cache apt-config chroot chown chmod touch tee cmp diff losetup mountpoint flock mkfifo".split()
)
SHELL_NOISE = re.compile(r"(^|\s)#[^\n]*|<<'?(\w+)'?\n.*?\n\2\n", re.DOTALL | re.MULTILINE)
# Where a shell takes a word for a program.
POSITION = (r"(?:^|[|&;({`]|\$\(|\b(?:then|do|else|if|elif|while|until|exec|env|sudo|xargs|command -v|timeout \d+|try|again)\s|!\s)"
            r"\s*(?:[A-Za-z_]+=\S*\s+)*(?:/usr)?(?:/s?bin/)?")

COMMAND = re.compile(r"(?=" + POSITION + r"([\w.+-]+)(?=[\s;)|&]|$))", re.MULTILINE)


def tracked():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, check=True, capture_output=True, text=True)
    return set(listed.stdout.splitlines())


FILES = tracked()


def groups():
    """What each group of .ci/setup brings, also what it only brings where a machine has none."""
    text = (TOP / ".ci/setup").read_text()
    found = {name: set(words.split()) for name, words in re.findall(r'^\s*\[(\w+)\]="([^"]*)"', text, re.MULTILINE)}
    for names, words in re.findall(r'^for group in ([^;]*); do\n[^\n]*packages\[\$group\]\+=" ([^"]*)"', text, re.MULTILINE):
        for name in names.split():
            found[name] |= set(words.split())
    for name, words in re.findall(r'packages\[(\w+)\]\+=" ([^"]*)"', text):
        found[name] |= set(words.split())
    for name, program in re.findall(r"^\s*(\w+)\).*\bfrom_crates (\S+)", text, re.MULTILINE):
        found[name].add(f"crates.io/{program}")
    return found


class Uses:
    """What a list of commands uses: packages, each with the first place that asks for it."""

    def __init__(self, commands):
        self.packages = {}
        self.unknown = []
        self.seen = set()
        self.makes = set()
        self.shell(commands, "the recipe")

    def need(self, package, where):
        self.packages.setdefault(package, where)

    def program(self, name, where):
        name = name.rsplit("/", 1)[-1]
        if name in PROGRAMS:
            self.need(PROGRAMS[name], f"{where} runs {name}")
        elif name not in EVERYWHERE:
            self.unknown.append(f"{where} runs {name}: add it to PROGRAMS or EVERYWHERE of tests/front")

    def shell(self, text, where):
        text = text.replace("\\\n", " ")
        text = SHELL_NOISE.sub(" ", text + "\n")
        text = re.sub(r'"?\$\{?(?:CARGO(?::-cargo)?)\}?"?', "cargo", text)
        text = re.sub(r'"?\$\{?(?:python|PYTHON)\}?"?|/usr/bin/python3', "python3", text)
        # Who says what a command is for, and then does it.
        text = re.sub(r'\b(?:try|again) [\w-]+ "[^"]*"', "; ", text)
        text = re.sub(r'\.ci/step \S+ \S+ \S+ "[^"]*"', "; ", text)
        for words in re.findall(r"\bfor tool in ([^;\n]*)", text):
            text += "".join(f"\n{word}" for word in words.split() if re.fullmatch(r"[\w.+-]+", word))
        for name in PROGRAMS.keys() & set(COMMAND.findall(text)):
            self.program(name, where)
        for name in ("deny", "fmt", "clippy"):
            if re.search(rf"\bcargo {name}\b", text):
                self.program(f"cargo-{name}", where)
        for module in re.findall(r"python3 -m (\w+)", text):
            self.module(module, where)
        for target in re.findall(r"\bmake ([a-z][a-z0-9-]*)", text):
            self.makes.add(target)
        for words in re.findall(r"\bcargo ((?:build|run|test|bench|clippy)\b[^\n;|]*)", text):
            self.cargo(words, where)
        for path in re.findall(r"(?<![\w/.-])((?:image|tests|buildroot)/[\w./-]*|\.ci/[a-z]+)", text):
            self.path(path.rstrip("/"))

    def cargo(self, words, where):
        # SQLite is C, and everything is linked by the C compiler.
        self.need("gcc", f"{where}: cargo links with gcc")
        self.need("libc6-dev", f"{where}: cargo links with the C library")
        kind = words.split()[0]
        if kind == "test" and "--target" not in words:
            one = re.search(r"--test (\w+)", words)
            if "--lib" in words:
                self.rust(lambda path: path.startswith("src/"))
            elif one:
                self.rust(lambda path: path.startswith(("tests/support/", f"tests/{one[1]}.rs", f"tests/{one[1]}/")))
            else:
                self.rust(lambda path: path.startswith(("src/", "tests/")))
        elif name := re.search(r"--bench (\w+)", words):
            self.rust(lambda path: path.startswith(("benches/common", f"benches/{name[1]}")))
        elif name := re.search(r"--example (\w+)", words):
            self.rust(lambda path: path.startswith(f"examples/{name[1]}"))

    def rust(self, wanted):
        for path in sorted(FILES):
            if path.endswith(".rs") and wanted(path):
                for name in re.findall(r'Command::new\("([^"]+)"\)', (TOP / path).read_text()):
                    if not name.startswith("/nonexistent/"):
                        self.program(name, path)
                if "get-syncthing" in (TOP / path).read_text():
                    self.path("tests/sync/get-syncthing")

    def path(self, path):
        # What .ci/setup itself takes is everywhere; the initial RAM disk runs on the card.
        if path in self.seen or path in (".ci/setup", ".ci/step", ".ci/test") or path.startswith("image/initramfs/"):
            return
        self.seen.add(path)
        if path not in FILES:
            for inside in sorted(FILES):
                if inside.startswith(path + "/") and inside.endswith((".py", ".js")):
                    self.path(inside)
            return
        text = (TOP / path).read_text(errors="replace")
        if path.endswith(".py"):
            self.python(text, path)
        elif path.endswith(".js"):
            for name in re.findall(r"""['"]/usr/bin/([\w-]+)['"]|\b(?:spawn|execFile|spawnSync|execFileSync)\(\s*['"]([\w.-]+)['"]""", text):
                self.program("".join(name), path)
        elif text.startswith("#!") and "sh" in text.splitlines()[0] or path.endswith(".sh"):
            self.shell(text, path)
            if re.search(r"^\. image/apt\.sh", text, re.MULTILINE):
                self.path("image/apt.sh")

    def module(self, name, where):
        if name in MODULES:
            self.need(MODULES[name], f"{where} imports {name}")
        elif name not in sys.stdlib_module_names:
            self.unknown.append(f"{where} imports {name}: add it to MODULES of tests/front")

    def python(self, text, path):
        self.need("python3", f"{path} is Python")
        tree = ast.parse(text)
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in (whole.split(".")[0] for whole in names):
                beside = [f"{folder}/{name}.py" for folder in (str(pathlib.PurePath(path).parent), "image")]
                local = next((one for one in beside if one in FILES), None)
                self.path(local) if local else self.module(name, path)
            # A list whose first word is a program, or a question for one.
            words = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("which", "has", "installed"):
                words = node.args
            first = words[0].value if words and isinstance(words[0], ast.Constant) else None
            if isinstance(first, str) and first in PROGRAMS:
                self.program(first, path)
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("run", "Popen", "check_output", "check_call"):
                command = node.args[0] if node.args else None
                head = command.elts[0] if isinstance(command, ast.List) and command.elts else None
                if isinstance(head, ast.Constant) and isinstance(head.value, str):
                    self.program(head.value, path)


def missing(uses, brought):
    """Sentences on what is used and not brought."""
    return uses.unknown + [f"{where} ({package}): in none of the groups" for package, where in sorted(uses.packages.items())
                           if package not in brought]


def brought_by(names):
    known = groups()
    assert set(names) <= set(known), f"no such group: {sorted(set(names) - set(known))}"
    return {"bash"}.union(*(known[name] for name in names))


def targets():
    return re.findall(r"^([a-z][a-z0-9-]*):", (TOP / "Makefile").read_text(), re.MULTILINE)


def recipe(target):
    """What `make TARGET` would do, a command a line."""
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "LC_ALL": "C"}
    run = subprocess.run(["make", "-n", target], cwd=TOP, env=clean, check=True, capture_output=True, text=True)
    return [line for line in run.stdout.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("make")]


def parts():
    """Each part of .ci/test: the groups that it asks for, and what it does."""
    text = (TOP / ".ci/test").read_text()
    needs = dict(re.findall(r'^    \[([\w-]+)\]="([^"]*)"', re.search(r"declare -A needs=\((.*?)\n\)", text, re.DOTALL)[1], re.MULTILINE))
    functions = dict(re.findall(r"^(\w+)\(\) \{[^\n]*\n(.*?)^\}", text, re.DOTALL | re.MULTILINE))
    helpers = {name: body for name, body in functions.items() if not name.startswith("part_")}
    bodies = {}
    for name, body in functions.items():
        if name.startswith("part_"):
            called = [more for helper, more in helpers.items() if re.search(rf"^ *{helper}\b", body, re.MULTILINE)]
            bodies[name.removeprefix("part_").replace("_", "-")] = "\n".join([body, *called])
    bodies.pop("setup")
    return {name: (needs.get(name, "").split(), bodies[name]) for name in bodies}


@pytest.mark.parametrize("target", [t for t in targets() if t not in ("help", "setup")])
def test_a_target_installs_what_it_uses(target):
    commands = recipe(target)
    brought = set()
    complaints = []
    for command in commands:
        if found := re.search(r"\.ci/setup((?: [\w-]+)+)", command):
            brought |= brought_by(found[1].split())
        elif re.match(r"\.ci/test( |$)", command.strip()):
            # It installs by itself what its parts ask for.
            known = {*parts(), "all", "setup"}
            complaints += [f"{target}: .ci/test has no part {name}" for name in command.split()[1:] if name not in known]
        else:
            complaints += [f"make {target}: {words}" for words in missing(Uses(command), brought)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("part", sorted(parts()))
def test_a_part_of_the_tests_installs_what_it_uses(part):
    asked, body = parts()[part]
    uses = Uses(body)
    assert uses.makes <= set(targets())
    assert not (found := missing(uses, brought_by(asked))), "\n".join(f"part {part}: {words}" for words in found)


def test_the_check_sees_what_is_missing():
    # What `make run` said on a fresh machine once: no module named pexpect.
    found = missing(Uses("python3 image/run.py --once"), brought_by(["rust", "image"]))
    assert any("imports pexpect (python3-pexpect)" in words for words in found), found
    assert any("qemu-system-arm" in words for words in found), found
    found = missing(Uses("image/build.sh"), brought_by(["emulator"]))
    assert any("mksquashfs" in words for words in found) and any("runs cpio" in words for words in found), found
    found = missing(Uses("cargo test --locked"), brought_by(["engine"]))
    assert any("runs strace" in words for words in found), found
    assert not missing(Uses("true"), set())


def test_the_steps_are_counted_right():
    for target in targets():
        steps = re.findall(r"\.ci/step (\d+) (\d+) (?:first:)?(\d+) ", "\n".join(recipe(target)))
        if target == "bench":
            continue
        assert [int(x) for x, _, _ in steps] == list(range(1, len(steps) + 1)), target
        assert {int(y) for _, y, _ in steps} <= {len(steps)}, target


def test_no_target_needs_a_path_outside_the_checkout():
    for target in targets():
        for command in recipe(target):
            assert str(TOP) not in command, command
            outside = re.findall(r"(?<![\w.])/(?!usr/bin/)[\w/.-]+", command.split('"')[-1])
            assert not outside or target == "help", f"make {target}: {outside}"


@pytest.mark.parametrize(("required", "ends"), [(None, 0), ("all", 1)])
def test_what_is_not_installed_fails_where_all_is_required(tmp_path, required, ends):
    """`false` is a cargo without rustfmt and clippy. A test's own word that it lacks a program counts alike."""
    environment = {**os.environ, "CARGO": "false", "LARDER_SETUP": "no", "PYTHON": str(tmp_path / "python"),
                   "LARDER_LOGS": str(tmp_path / "logs")}
    environment.pop("LARDER_REQUIRE", None)
    if required:
        environment["LARDER_REQUIRE"] = required
    for part, says in [("lint", "no rustfmt"), ("buildroot", "mkfs.fancy is not installed here")]:
        (tmp_path / "python").write_text(f"#!/bin/sh\necho 'SKIPPED: {says}'\n")
        (tmp_path / "python").chmod(0o755)
        run = subprocess.run([TOP / ".ci/test", part], env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == ends, run.stdout + run.stderr
        summary = run.stdout.rpartition("== summary")[2]
        assert re.search(rf"^{part} +{'FAILED' if ends else 'SKIPPED'} .*{says}", summary, re.MULTILINE), summary
