"""Finished cards of either builder: IMAGE=img[:img…], or what `make image` and `make release` left under build/.

Looks into the root without starting it. What runs on it is the image tests' business, which take any of these cards.
"""

import functools
import re
import shutil
import subprocess
from fnmatch import fnmatch

import pytest
from external_tree import BOARD, TOP, given, layout

WHAT = "no card's root was looked into, and the two builders' file lists were not compared"

# Files of the two roots that may differ, and why. BusyBox applets that no script calls may differ freely.
DEBIAN_ONLY = {
    "usr/sbin/dumpe2fs": "taken along for looking at a drive",
    "usr/share/doc/*": "Debian's licence texts travel on the card; Buildroot's in legal-info",
    "etc/protocols": "names nobody here asks for; Buildroot's skeleton has its own or none",
    "etc/services": "as protocols",
    "usr/bin/fsck.ext4": "a link to e2fsck",
}
BUILDROOT_ONLY = {
    "etc/init.d/*": "package scripts; post-build.sh takes those away that an rcS would run",
    "etc/dropbear": "a link into /run; our key is elsewhere",
    "etc/ssl/*": "ca-certificates as single files, and OpenSSL's own settings",
    "etc/ca-certificates*": "as above",
    "etc/libnl/*": "libnl's class names",
    "etc/*-": "backups that Buildroot's user table leaves",
    "etc/issue": "greets nobody: there is no login",
    "etc/dhcp/*": "hooks of packages",
    "etc/avahi/hosts": "an example",
    "etc/ld.so.conf*": "glibc's",
    "etc/e2scrub.conf": "e2fsprogs'",
    "etc/wpa_supplicant.conf": "an example that the wifi script does not use",
    "etc/profile.d*": "Buildroot's skeleton",
    "etc/random-seed": "Buildroot's skeleton",
    "etc/gshadow": "Buildroot's user table",
    "etc/xattr.conf": "attr's",
    "usr/bin/avahi-*": "avahi's tools",
    "usr/sbin/avahi-*": "avahi's tools",
    "usr/sbin/dropbear*": "dropbear's tools",
    "usr/bin/dropbear*": "dropbear's tools",
    "usr/bin/scp": "dropbear's, for the owner with ssh",
    "usr/bin/dbclient": "dropbear's",
    "usr/sbin/wpa_*": "wpa_supplicant's tools",
    "usr/bin/openssl": "OpenSSL's tool",
    "usr/bin/c_rehash": "OpenSSL's tool",
    "usr/bin/chattr": "e2fsprogs'",
    "usr/bin/lsattr": "e2fsprogs'",
    "usr/bin/compile_et": "e2fsprogs'",
    "usr/bin/mk_cmds": "e2fsprogs'",
    "usr/bin/uuidgen": "e2fsprogs'",
    "usr/sbin/badblocks": "e2fsprogs'",
    "usr/sbin/*e2*": "e2fsprogs'",
    "usr/sbin/fsck*": "e2fsprogs'",
    "usr/sbin/mkfs.ext*": "e2fsprogs'",
    "usr/sbin/mklost+found": "e2fsprogs'",
    "usr/sbin/filefrag": "e2fsprogs'",
    "usr/sbin/logsave": "e2fsprogs'",
    "usr/sbin/e4crypt": "e2fsprogs'",
    "usr/sbin/update-ca-certificates": "ca-certificates'",
    "usr/bin/ld*": "glibc's",
    "usr/bin/getent": "glibc's",
    **{
        f"usr/{place}/{name}": "util-linux's, with sfdisk"
        for place in ("bin", "sbin")
        for name in (
            "cal cfdisk chcpu choom col colcrt colrm column coresched ctrlaltdel delpart enosys exch fdisk fincore findmnt "
            "hardlink i386 ipcmk irqtop isosize last* ldattach linux32 linux64 look ls* mcookie mesg mkfs mkfs.* namei "
            "pipesz prlimit partx addpart resizepart readprofile rename rtcwake script* setarch setterm sfdisk swap* "
            "uclampset ul uname26 utmpdump uuid* waitpid wall wdctl whereis wipefs zramctl blkzone"
        ).split()
    },
    "usr/bin/nl-*": "libnl's tools",
    "usr/sbin/nl-*": "libnl's tools",
    "usr/bin/genl-*": "libnl's tools",
}

# Compared: programs, settings, our own scripts. Libraries, modules and firmware come in other versions and places.
COMPARED = ("usr/bin/", "usr/sbin/", "etc/", "usr/lib/larder/")


def cards():
    found = given("IMAGE")
    if not found:
        found = [*sorted(TOP.glob("build/image/larder-*.img")), *sorted(TOP.glob("build/release/larder-*.img"))]
    return found


def pytest_generate_tests(metafunc):
    if "image" in metafunc.fixturenames:
        reason = f"IMAGE= is not given and nothing was built: {WHAT}"
        params = [pytest.param(p, id=p.name) for p in cards()]
        metafunc.parametrize("image", params or [pytest.param(None, id="none", marks=pytest.mark.skip(reason=reason))])


@functools.cache
def root(image):
    """Path to (kind and mode as ls shows them, target of a link) of everything on a card's root."""
    if not shutil.which("unsquashfs"):
        pytest.skip(f"unsquashfs is not installed: {WHAT}")
    listing = squashfs(image, "-lln")
    entries = {}
    for line in listing.splitlines():
        if found := re.match(r"([bcdlps-][rwxsStT-]{9}) \d+/\d+ .*? \d\d:\d\d squashfs-root/(.*)$", line):
            path, _, target = found[2].partition(" -> ")
            entries[path] = (found[1], target)
    assert len(entries) > 100, f"{image}: no root found: {listing[:300]}"
    return entries


def squashfs(image, *arguments):
    card = layout()
    offset = (int(card["BOOT_START_MIB"]) + int(card["BOOT_MIB"])) << 20
    command = ["unsquashfs", "-o", str(offset), arguments[0], str(image), *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120).stdout


def variant(image):
    text = squashfs(image, "-cat", "etc/os-release") or squashfs(image, "-cat", "usr/lib/os-release")
    return re.search(r'^VARIANT_ID="?([^"\n]*)', text, re.MULTILINE)[1]


def busybox_applets(entries):
    return {path for path, (_, target) in entries.items() if target.rsplit("/", 1)[-1] == "busybox"}


def test_the_card_says_who_made_it(image):
    assert variant(image) in ("debian", "buildroot")


def test_the_overlay_is_on_the_card(image):
    entries = root(image)
    for path in (TOP / "overlay").rglob("*"):
        name = str(path.relative_to(TOP / "overlay"))
        assert name in entries, f"{name} is in overlay/ and not on the card"
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o100:
            assert entries[name][0][3] == "x", f"{name} is not executable on the card"


def test_every_program_is_on_the_card(image):
    entries = root(image)
    places = {path: f"/{path}" for path in entries}
    present = set(places.values())
    # /bin, /sbin and /lib are links into /usr.
    for short in ("bin", "sbin", "lib"):
        if entries[short][1] == f"usr/{short}":
            present |= {p.removeprefix("/usr") for p in present if p.startswith(f"/usr/{short}/")}
    debian = variant(image) == "debian"
    for line in (BOARD / "programs").read_text().splitlines():
        if line and not line.startswith("#"):
            name, package, _ = line.split()
            if debian and package.startswith("?"):
                continue
            wanted = {name} if name.startswith("/") else {f"/usr/bin/{name}", f"/usr/sbin/{name}"}
            assert wanted & present, f"{name} is not on the card"


def test_nothing_on_the_card_changes_its_user(image):
    odd = [path for path, (mode, _) in root(image).items() if "s" in mode[1:].lower()]
    assert not odd, "programs that run as their owner"


def test_mount_points_are_empty(image):
    for point in ("boot", "drive", "dev", "proc", "sys", "tmp"):
        assert point in root(image)
        inside = [path for path in root(image) if path.startswith(f"{point}/")]
        assert not [p for p in inside if point != "dev"], inside


def differences(one, other, allowed):
    """Compared files of one root that the other has not and the table does not allow."""
    applets = busybox_applets(one) | busybox_applets(other)
    names = {path.rsplit("/", 1)[-1] for path in other if path.startswith(("usr/bin/", "usr/sbin/"))}
    return sorted(
        path
        for path, (mode, _) in one.items()
        if path.startswith(COMPARED)
        and not mode.startswith("d")
        and path not in other
        and path not in applets
        and not (path.startswith(("usr/bin/", "usr/sbin/")) and path.rsplit("/", 1)[-1] in names)
        and not any(fnmatch(path, pattern) for pattern in allowed)
    )


def test_the_two_roots_agree():
    by_builder = {variant(image): image for image in cards()}
    if set(by_builder) != {"debian", "buildroot"}:
        pytest.skip("cards of both builders are not given (IMAGE=one:other): their file lists were not compared")
    debian, buildroot = root(by_builder["debian"]), root(by_builder["buildroot"])
    assert not differences(debian, buildroot, DEBIAN_ONLY), "on Debian's card only"
    assert not differences(buildroot, debian, BUILDROOT_ONLY), "on Buildroot's card only"


def test_the_comparison_sees_a_difference():
    """The test above would pass for ever if `differences` found nothing."""
    file, link = ("-rwxr-xr-x", ""), ("lrwxrwxrwx", "busybox")
    one = {"usr/bin/tool": file, "usr/bin/vi": link, "etc/x": file, "usr/sbin/moved": file, "usr/lib/a.so": file}
    other = {"usr/bin/moved": file}
    assert differences(one, other, {}) == ["etc/x", "usr/bin/tool"]
    assert differences(one, other, {"etc/*": "why"}) == ["usr/bin/tool"]
