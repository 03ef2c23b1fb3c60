"""Drives of every kind, plugged into a machine that started without one."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import time

import emulator
import pytest
import written

SETTINGS = """
[devices.HTCphone]

[drive]
format = "FORMATME1"
"""


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
    return machine.sh_status(f"logread | grep -q '{word}'")[0] == 0


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
    machine.power_on()
    machine.wait_for_shell(120)
    machine.wait_condition("waiting-for-drive", 60)
    assert machine.sh("ls -A /drive") == ""


def test_exfat_is_left_alone(machine, folder):
    drive = emulator.make_drive(folder / "exfat.img", "EXFAT0001", "exfat", "64M", "CAMERA")
    before = digest(drive)
    with plugged(machine, drive):
        machine.wait_condition("drive-unusable", 45)
        text = status_says(machine, "EXFAT0001", "exFAT")
        assert "hard links" in text
        assert "format" in text and "larder.toml" in text
    assert digest(drive) == before


def test_blank_drive_is_offered_and_not_touched(machine, folder):
    drive = emulator.make_drive(folder / "blank.img", "BLANK0001", None, "64M")
    before = digest(drive)
    with plugged(machine, drive):
        machine.wait_condition("attention", 45)
        assert logged(machine, "BLANK0001")
        status_says(machine, 'format = "BLANK0001"', "larder.toml")
    assert digest(drive) == before


def test_read_only_drive(machine, folder):
    drive = emulator.make_drive(folder / "locked.img", "LOCKED001", size="64M", label="LARDER", read_only=True)
    before = digest(drive)
    with plugged(machine, drive):
        machine.wait_condition("drive-unusable", 45)
        assert logged(machine, "LOCKED001")
        status_says(machine, "LOCKED001", "write-protected")
    assert digest(drive) == before


def test_badly_damaged_drive(machine, folder):
    """Damage that e2fsck won't repair unasked: the drive is not used and a person is asked."""
    drive = emulator.make_drive(folder / "damaged.img", "DAMAGED01", size="64M", label="LARDER")
    with open(drive.path, "r+b") as file:
        # The group descriptors and the first inode table, root directory included; the superblock stays.
        file.seek(4096)
        file.write(b"\xa5" * (600 * 1024))
    with plugged(machine, drive):
        machine.wait_condition("drive-unusable", 60)
        assert " /drive " not in machine.sh("cat /proc/mounts")
        status_says(machine, "DAMAGED01", "e2fsck")


def test_slightly_damaged_drive_is_repaired(machine, folder):
    """Wrong counts, as after a power cut: put right on the way, and used. Also: a drive that is plugged in later."""
    drive = emulator.make_drive(folder / "later.img", "LATER0001", size="64M", label="LARDER")
    emulator.debugfs(drive.path, "set_super_value free_blocks_count 7", "set_super_value state 0")
    with plugged(machine, drive):
        begin = time.monotonic()
        machine.wait("the mount", lambda: " /drive ext4 rw" in machine.sh("cat /proc/mounts"), 45)
        print(f"FIGURE: mounted {time.monotonic() - begin:.1f} s after it was plugged in")
        machine.wait_condition("ready", 60)
        assert logged(machine, "repaired")
        machine.sh("kill -USR1 $(cat /run/larder/appliance.pid)", check=True)
        machine.wait_condition("stopped-safely", 45)
        assert " /drive " not in machine.sh("cat /proc/mounts")
    assert emulator.fsck(drive.path) == 0


@pytest.mark.parametrize(("kind", "size", "make"), [("btrfs", "256M", "mkfs.btrfs"), ("xfs", "320M", "mkfs.xfs")])
def test_other_file_systems_with_hard_links_serve_as_they_are(machine, folder, kind, size, make):
    """Used, not formatted: a wish becomes a hard link there, and what was promised holds."""
    if not shutil.which(make, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        pytest.skip(f"SKIPPED: {make} is not installed: no {kind} drive was tried")
    drive = emulator.make_drive(folder / f"{kind}.img", f"{kind}001".upper(), kind, size, "LARDER")
    with plugged(machine, drive):
        machine.wait_condition("ready", 120)
        assert f" /drive {kind} rw" in machine.sh("cat /proc/mounts")
        machine.sh("echo words >/drive/BTsync/files/words.txt && chown larder: /drive/BTsync/files/words.txt", check=True)
        page = "/drive/BTsync/catalogue/HTCphone/catalogue.html"
        machine.wait("the page", lambda: machine.sh_status(f"test -s {page}")[0] == 0, 60)
        machine.wish(1, "words.txt")
        names = "/drive/BTsync/files/words.txt /drive/BTsync/devices/HTCphone/words.txt"
        machine.wait("the link", lambda: machine.sh_status(f"stat {names}")[0] == 0, 60)
        assert len(set(machine.sh(f"stat -c %i {names}").split())) == 1
        looked = "su -s /bin/sh larder -c 'larder check --drive /drive --boot /boot'"
        machine.wait("`larder check` finds nothing", lambda: machine.sh_status(looked, 120)[0] == 0, 45, 2)
        machine.sh("kill -USR1 $(cat /run/larder/appliance.pid)", check=True)
        machine.wait_condition("stopped-safely", 45)


def test_where_nobody_gives_addresses_it_takes_one_of_its_own(machine):
    """IPv4LL (RFC 3927): a computer at the other end of the cable can reach it still."""
    with machine.lonely_network():
        machine.wait("an address", lambda: "inet 169.254." in machine.sh("ip -4 addr show usb1"), 60, 1)


def test_the_one_drive_named_in_the_settings_is_formatted(machine, folder):
    drive = emulator.make_drive(folder / "new.img", "FORMATME1", "exfat", "128M", "OLD")
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
