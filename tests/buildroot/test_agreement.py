"""The two builders of the card agree; read from the sources, no Buildroot needed.

Allowed differences stand in board/larder_rpi/programs (who supplies a program) and in the tables here.
"""

import re
import shutil
import subprocess

import pytest
from external_tree import BOARD, TOP, TREE, defconfig, fragment, layout

# Files of the shared overlay and of image/boot that the Buildroot card replaces, and why.
REPLACED = {
    "etc/openntpd.conf": "its openntpd is newer: it ignores -s and sets the clock only by trusted servers",
    "etc/avahi/avahi-daemon.conf": "its avahi is built without a bus and refuses the key enable-dbus",
}

# Lines that may stand in one card's boot file and not in the other's.
CONFIG_TXT_DEBIAN_ONLY = {
    "initramfs initrd.img followkernel",
    "[pi4]",
    "arm_64bit=1",
    "kernel=kernel8.img",
    "initramfs initrd8.img followkernel",
    "[all]",
}

# What a shell itself does.
BUILTINS = set(
    ". : [ break case cd continue do done echo elif else esac eval exec exit export false fi for if in kill local printf "
    "pwd read return set shift then trap true umask unset until wait while".split()
)


# What stands before a command and is none.
PREFIXES = {"!", "then", "do", "else", "elif", "if", "while", "until", "exec"}


def settings_of(path):
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def programs():
    """board/larder_rpi/programs: program to (Debian package, Buildroot package or BusyBox symbol)."""
    rows = [line.split() for line in settings_of(BOARD / "programs")]
    assert all(len(row) == 3 for row in rows), "programs: every line has three columns"
    names = [row[0] for row in rows]
    assert len(names) == len(set(names)), "programs: a program is listed twice"
    return {row[0]: (row[1], row[2]) for row in rows}


def overlay_scripts():
    for path in sorted((TOP / "overlay").rglob("*")):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:2] == b"#!":
            yield path


def closing(text, at, opener, closer):
    """Where the bracket that is open just before `at` ends."""
    depth = 1
    while depth:
        depth += {opener: 1, closer: -1}.get(text[at], 0)
        at += 1
    return at


def bare(text):
    """A shell script without comments, quoted text, ${…} and arithmetic; each $(…) on a line of its own."""
    out, modes, at = [], ["script"], 0
    while at < len(text):
        char, quoted = text[at], modes[-1] == "quotes"
        if char == "\\":
            at += 2
        elif text.startswith("$((", at):
            at = closing(text, at + 3, "(", ")") + 1
        elif text.startswith("${", at):
            at = closing(text, at + 2, "{", "}")
        elif text.startswith("$(", at):
            modes.append("substitution")
            out.append("\n")
            at += 2
        elif char == '"':
            if quoted:
                modes.pop()
            else:
                modes.append("quotes")
                out.append("Q")
            at += 1
        elif quoted:
            at += 1
        elif char == "'":
            at = text.index("'", at + 1) + 1
            out.append("Q")
        elif char == "#" and (at == 0 or text[at - 1].isspace()):
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
        elif char == ")" and modes[-1] == "substitution":
            modes.pop()
            out.append("\nQ ")
            at += 1
        else:
            out.append(char)
            at += 1
    return "".join(out)


def commands(text):
    """Names in the place of a command in a shell script. What it can't read it reports, rather than leaves out."""
    text = bare(text).replace(";;", "\n")
    functions = set(re.findall(r"^\s*(\w+)\(\)", text, re.MULTILINE))
    text = re.sub(r"^\s*(?:for\s+\w+\s+in|case)\b[^;\n]*", "", text, flags=re.MULTILINE)
    # The pattern of a case branch.
    text = re.sub(r"^\s*[^\s()]+(?:\s*\|\s*[^\s()]+)*\)", "", text, flags=re.MULTILINE)
    found = set()
    for piece in re.split(r"\|\||&&|[|;&\n(){}]", text):
        words = piece.split()
        while words and (words[0] in PREFIXES or re.fullmatch(r"\w+=\S*", words[0])):
            words.pop(0)
        if words and re.fullmatch(r"[A-Za-z/][\w./-]*", words[0]) and words[0] != "Q":
            found.add(words[0])
    return found - functions - BUILTINS


def test_every_shell_script_of_the_repository_passes_shellcheck():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed: no script was checked")
    listed = subprocess.run(["git", "-C", TOP, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    scripts = []
    for name in listed.split("\0"):
        path = TOP / name
        if name and path.is_file() and not path.is_symlink():
            first = path.open("rb").readline()
            if re.match(rb"#!.*\b(ba|da)?sh\b", first):
                scripts.append(name)
    assert "buildroot/release" in scripts and "overlay/etc/init.d/rcS" in scripts
    # SC2187: BusyBox's ash is meant, and dash is the nearest that shellcheck knows.
    run = subprocess.run(
        ["shellcheck", "-x", "--severity=warning", "--exclude=SC2187", *scripts], cwd=TOP, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout


def test_what_the_overlay_calls_is_listed():
    listed = {name.rsplit("/", 1)[-1] for name in programs()}
    for script in overlay_scripts():
        own = {p.name for p in (TOP / "overlay/usr/lib/larder").iterdir()}
        called = {c.rsplit("/", 1)[-1] for c in commands(script.read_text())}
        unknown = called - listed - own
        assert not unknown, f"{script.relative_to(TOP)} calls {sorted(unknown)}: add them to board/larder_rpi/programs"
    for line in settings_of(TOP / "overlay/etc/inittab"):
        for word in line.split(":", 3)[3].split():
            if word.startswith("/") and not word.startswith(("/etc/", "/usr/lib/larder/")) and word != "/boot":
                assert word in programs(), f"inittab starts {word}: add it to board/larder_rpi/programs"


def test_the_reader_of_scripts_sees_commands():
    """The test above would pass for ever if `commands` found nothing."""
    text = """#!/bin/sh
    find / | sort -u >"$1" # awk is not called here
    [ -e x ] || mount -t proc p /p
    a="$(stat -c %Y 'it; is') can't; sleep" && exec ip a
    case $b in up | down*) kill $((a + 1)) ;; esac
    odd() { date; }
    odd
    """
    assert commands(text) == {"find", "sort", "mount", "stat", "ip", "date"}


def test_programs_come_from_packages_that_are_there():
    config, busybox = defconfig(), fragment(BOARD / "busybox.fragment")
    debian = {line.split()[0] for line in settings_of(TOP / "image/packages.txt")}
    wanted = []
    for name, (package, source) in programs().items():
        if package.startswith("?"):
            assert package[1:] not in debian, f"{name}: {package[1:]} has come to image/packages.txt: take away the ?"
            wanted.append(f"{name} ({package[1:]})")
        else:
            assert package == "-" or package in debian, f"{name}: image/packages.txt has no {package}"
        if source.startswith("CONFIG_"):
            assert busybox.get(source.removeprefix("CONFIG_")) != "n", f"{name}: the BusyBox fragment turns it off"
            continue
        symbol = "BR2_PACKAGE_" + source.upper().replace("-", "_")
        selected = (TREE / "package/larder/Config.in").read_text()
        assert (
            config.get(symbol) == "y" or config.get(f"{symbol}_BINARIES") == "y" or f"select {symbol} " in selected
        ), f"{name}: {symbol} is not on"
    if wanted:
        pytest.skip(f"the card of Debian's packages lacks {', '.join(wanted)}: what needs them can't work there")


def test_replaced_files_are_those_of_the_table():
    own = BOARD / "overlay"
    files = {str(p.relative_to(own)) for p in own.rglob("*") if p.is_file()}
    assert files == set(REPLACED)
    for name in files:
        assert (TOP / "overlay" / name).is_file(), f"{name} replaces nothing: it belongs in the shared overlay"


def test_avahi_differs_by_one_key():
    shared = settings_of(TOP / "overlay/etc/avahi/avahi-daemon.conf")
    assert settings_of(BOARD / "overlay/etc/avahi/avahi-daemon.conf") == [s for s in shared if s != "enable-dbus=no"]


def test_config_txt_differs_only_by_kernel_and_ram_disk():
    debian, ours = settings_of(TOP / "image/boot/config.txt"), settings_of(BOARD / "config.txt")
    assert set(debian) - set(ours) <= CONFIG_TXT_DEBIAN_ONLY
    assert set(ours) <= set(debian)
    assert not any(line.startswith("initramfs") for line in ours), "this card has no RAM disk"


def test_boards_and_disk_are_the_same():
    card, config = layout(), defconfig()
    trees = config["BR2_LINUX_KERNEL_INTREE_DTS_NAME"].split()
    assert sorted(t.removeprefix("broadcom/") for t in trees) == sorted(card["BOARDS"].split())
    assert f"root=PARTUUID={card['DISK_ID']}-02 " in (TOP / "image/boot/cmdline.txt").read_text()
    assert re.fullmatch(r"[0-9a-f]{8}", card["DISK_ID"])
    size = int(card["CARD_MIB"])
    assert size & (size - 1) == 0, "the emulator wants a card whose size is a power of two"
    assert int(card["BOOT_START_MIB"]) + int(card["BOOT_MIB"]) < size


def test_os_release_tells_the_builders_apart():
    variants = {}
    for name, path in (("debian", TOP / "image/build.sh"), ("buildroot", BOARD / "post-build.sh")):
        text = path.read_text()
        assert re.search(r"^\s*ID=larder$", text, re.MULTILINE)
        found = re.findall(r'^\s*VARIANT_ID="?([a-z0-9._-]+)"?$', text, re.MULTILINE)
        assert len(found) == 1, f"{path.name} writes one VARIANT_ID"
        variants[name] = found[0]
    assert variants == {"debian": "debian", "buildroot": "buildroot"}


def test_users_of_the_package_are_those_of_the_overlay():
    """Buildroot adds its packages' users to the overlay's passwd; for ours both must say the same."""
    line = re.search(r"define LARDER_USERS\n\t(.*)\n", (TREE / "package/larder/larder.mk").read_text())[1]
    name, uid, group, gid, password, home, shell, groups, comment = line.split(None, 8)
    assert (password, shell, groups) == ("*", "-", "-"), "no password, no shell, no other group"
    passwd = (TOP / "overlay/etc/passwd").read_text().splitlines()
    assert f"{name}:x:{uid}:{gid}:{comment}:{home}:/bin/false" in passwd
    assert f"{group}:x:{gid}:" in (TOP / "overlay/etc/group").read_text().splitlines()
    assert f"{name}:*:" in (TOP / "overlay/etc/shadow").read_text()


def test_root_cannot_log_in_with_a_password():
    assert (TOP / "overlay/etc/shadow").read_text().startswith("root:*:")
    assert defconfig()["BR2_TARGET_ENABLE_ROOT_LOGIN"] == "n"


def test_avahi_announces_what_the_supervisor_writes():
    """The port is a setting: a service file on the card would announce the default whatever it says."""
    services = TOP / "overlay/etc/avahi/services"
    for folder in (services, BOARD / "overlay/etc/avahi/services"):
        assert not list(folder.glob("*.service"))
    appliance = next(line for line in settings_of(TOP / "overlay/etc/inittab") if " appliance " in line)
    assert f"--announce /{services.relative_to(TOP / 'overlay')}" in appliance
    # It must be writable, and lie where the chroot of avahi leads: not behind a link.
    assert services.is_dir() and not services.is_symlink()
    assert re.search(r"mount -t tmpfs .* /etc/avahi/services$", (TOP / "overlay/etc/init.d/rcS").read_text(), re.M)


def test_wpa_supplicant_knows_what_the_wifi_script_says():
    """Without these, wpa_supplicant refuses the whole network block, or its own command line."""
    script = (TOP / "overlay/usr/lib/larder/wifi").read_text()
    config = defconfig()
    if "SAE" in (TOP / "src/config.rs").read_text():
        assert config.get("BR2_PACKAGE_WPA_SUPPLICANT_WPA3") == "y"
    if re.search(r"wpa_supplicant .*-s\b", script):
        assert config.get("BR2_PACKAGE_WPA_SUPPLICANT_DEBUG_SYSLOG") == "y"
