"""Drives of every kind, plugged into a machine that started without one."""

import contextlib
import hashlib
import shlex
import subprocess
import time

import drives
import emulator
import pytest
import serving
import written

SETTINGS = """
[devices.HTCphone]

[drive]
format = "FORMATME1"

[web]
password = "open sesame"
"""
WISHED = "Papers/recipes/bread.txt"


@pytest.fixture(scope="module")
def key(folder):
    """An owner's ssh key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    return folder / "key"


def digest(drive):
    with open(drive.path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def logged(machine, word):
    """Whether the appliance's log has it. Never the whole log: BusyBox holds up all logging while it is printed."""
    return machine.sh_status(f"logread | grep -qF {shlex.quote(word)}")[0] == 0


def status_says(machine, *words):
    """STATUS.txt is rewritten at most once a minute."""
    return machine.wait(f"STATUS.txt says {', '.join(words)}", lambda: written.status(machine, *words), 100, 3)


@contextlib.contextmanager
def plugged(machine, drive):
    """Plugs it in for a while; pulled again, even when a check fails, so that the next one begins with nothing."""
    machine.plug(drive)
    try:
        yield drive
    finally:
        machine.unplug(drive)
    machine.wait_condition("waiting-for-drive", 30)


def test_starts_without_a_drive(machine, key):
    """Leaves the machine waiting, with ssh opened by the owner."""
    machine.card.write("larder.toml", SETTINGS)
    machine.card.write("ssh", "")
    machine.card.write("authorized_keys", key.with_suffix(".pub").read_text())
    machine.start((), "waiting-for-drive", 60)
    assert machine.sh("ls -A /drive") == ""


def test_exfat_is_left_alone(machine, folder):
    drive = drives.make_drive(folder / "exfat.img", "EXFAT0001", "exfat", "64M", "CAMERA")
    before = digest(drive)
    with plugged(machine, drive):
        machine.wait_condition("drive-unusable", 45)
        text = status_says(machine, "EXFAT0001", "exFAT")
        assert "hard links" in text
        assert "format" in text and "larder.toml" in text
    assert digest(drive) == before


def blank(folder):
    return drives.make_drive(folder / "blank.img", "BLANK0001", None, "64M")


def locked(folder):
    return drives.make_drive(folder / "locked.img", "LOCKED001", size="64M", label="LARDER", read_only=True)


def badly_damaged(folder):
    """Damage that e2fsck won't repair unasked."""
    drive = drives.make_drive(folder / "damaged.img", "DAMAGED01", size="64M", label="LARDER")
    with open(drive.path, "r+b") as file:
        # The group descriptors and the first inode table, root directory included; the superblock stays.
        file.seek(4096)
        file.write(b"\xa5" * (600 * 1024))
    return drive


# What is the matter, and what to do.
BLANK_SAYS = ("serial BLANK0001", "looks empty, with no file system", 'To use it, write `format = "BLANK0001"`')
LOCKED_SAYS = ("(serial LOCKED001) is write-protected", "Look for a switch on its side")
DAMAGED_SAYS = ("serial DAMAGED01", "can't be used: e2fsck", "have it checked on a Linux computer")


def test_blank_drive_is_offered_and_not_touched(machine, folder):
    drive = blank(folder)
    before = digest(drive)
    with plugged(machine, drive):
        machine.wait_condition("attention", 45)
        assert all(logged(machine, words) for words in BLANK_SAYS)
    assert digest(drive) == before


def test_read_only_drive(machine, folder):
    drive = locked(folder)
    before = digest(drive)
    with plugged(machine, drive):
        machine.wait_condition("drive-unusable", 45)
        assert all(logged(machine, words) for words in LOCKED_SAYS)
    assert digest(drive) == before


def test_badly_damaged_drive(machine, folder):
    """The drive is not used and a person is asked."""
    with plugged(machine, badly_damaged(folder)):
        machine.wait_condition("drive-unusable", 60)
        assert " /drive " not in machine.sh("cat /proc/mounts")
        assert all(logged(machine, words) for words in DAMAGED_SAYS)


def test_status_says_of_each_drive_what_it_is_and_what_to_do(machine, folder):
    """All three at once, since STATUS.txt is written once a minute."""
    with contextlib.ExitStack() as sockets:
        for drive in (blank(folder), locked(folder), badly_damaged(folder)):
            machine.plug(drive)
            sockets.callback(machine.unplug, drive)
        text = status_says(machine, *BLANK_SAYS, *LOCKED_SAYS, *DAMAGED_SAYS)
        assert "none in use" in text
        machine.wait_condition("drive-unusable", 30)
    machine.wait_condition("waiting-for-drive", 30)


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_other_file_systems_serve_as_they_are(machine, folder, kind):
    """A family's drive of btrfs, an empty one of XFS: used, pulled without a word, used again, switched off in order."""
    if not drives.has_tool(f"mkfs.{kind}"):
        pytest.skip(f"SKIPPED: a drive of {kind} was not tried: mkfs.{kind} is not installed (.ci/setup emulator)")
    tree = None
    if kind == "btrfs":
        tree = folder / "tree"
        drives.family_tree(tree)
    drive = drives.make_drive(folder / f"{kind}.img", f"SERVES-{kind}", kind, "320M", tree=tree)
    with plugged(machine, drive):
        machine.wait_condition("ready", 90)
        assert f" /drive {kind} rw,nosuid,nodev,noexec" in machine.sh("cat /proc/mounts")
        if tree is None:
            home = f"/drive/BTsync/files/{WISHED}"
            machine.sh(f"mkdir -p $(dirname {home}) && echo flour >{home} && chown -R larder: /drive/BTsync/files", check=True)
        machine.wish(1, WISHED)
        machine.wait("the link", lambda: serving.linked(machine, WISHED), 60)
        serving.check(machine)
        # The emulator may end when a drive is pulled that is just being written.
        machine.sh("sync", 60)
        machine.disconnect(drive)
        try:
            machine.wait_condition("waiting-for-drive", 60)
            assert " /drive " not in machine.sh("cat /proc/mounts")
        finally:
            machine.reconnect(drive)
        machine.wait_condition("ready", 90)
        assert serving.linked(machine, WISHED)
        serving.check(machine)
        machine.sh("kill -USR1 $(cat /run/larder/appliance.pid)", check=True)
        machine.wait_condition("stopped-safely", 45)
    assert drives.fsck(drive.path, kind) == 0


def test_slightly_damaged_drive_is_repaired(machine, folder):
    """Wrong counts, as after a power cut: put right on the way, and used. Also: a drive that is plugged in later."""
    drive = drives.make_drive(folder / "later.img", "LATER0001", size="64M", label="LARDER")
    drives.debugfs(drive.path, "set_super_value free_blocks_count 7", "set_super_value state 0")
    with plugged(machine, drive):
        begin = time.monotonic()
        machine.wait("the mount", lambda: " /drive ext4 rw" in machine.sh("cat /proc/mounts"), 45)
        print(f"FIGURE: mounted {time.monotonic() - begin:.1f} s after it was plugged in")
        machine.wait_condition("ready", 60)
        assert logged(machine, "repaired")
        machine.sh("kill -USR1 $(cat /run/larder/appliance.pid)", check=True)
        machine.wait_condition("stopped-safely", 45)
        assert " /drive " not in machine.sh("cat /proc/mounts")
    assert drives.fsck(drive.path) == 0


def test_the_one_drive_named_in_the_settings_is_formatted(machine, folder):
    drive = drives.make_drive(folder / "new.img", "FORMATME1", "exfat", "128M", "OLD")
    machine.plug(drive)
    machine.wait_condition("ready", 120)
    mount = next(line for line in machine.sh("cat /proc/mounts").splitlines() if " /drive " in line)
    assert " ext4 rw" in mount
    assert machine.sh("stat -c %U /drive/BTsyncApp") == "larder"


def test_ssh_with_the_owners_key_and_no_other_way(machine, key):
    """A shell for the owner's key. The emulated processor takes its time for the handshake's arithmetic."""
    machine.wait("dropbear listens", lambda: machine.sh_status("pidof dropbear")[0] == 0, 60)
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
               "-o", "ConnectTimeout=180", "-o", "KexAlgorithms=curve25519-sha256", "-p", str(machine.ssh_port)]

    def ssh(*more):
        return subprocess.run(
            ["ssh", *more, *options, "root@127.0.0.1", "id -u"], capture_output=True, timeout=240 * emulator.slow()
        )
    begin = time.monotonic()
    with_key = ssh("-i", str(key))
    print(f"FIGURE: a command by ssh {time.monotonic() - begin:.1f} s")
    assert with_key.stdout.strip() == b"0", with_key.stderr
    without = ssh("-i", "/dev/null", "-o", "IdentitiesOnly=yes")
    assert without.returncode != 0
    assert b"Permission denied (publickey)" in without.stderr
