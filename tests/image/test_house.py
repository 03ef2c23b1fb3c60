"""A house in use: ten thousand files, a laptop that synchronizes, other people's drives beside, a drive that wears out.
One boot for all of it, in this order."""

import hashlib
import os
import re
import shutil
import subprocess
import time

import drives
import emulator
import pytest
import written
from laptop import Laptop

MANY = 10_000
WISHED = "Music/a long song.ogg"
SONG = os.urandom(1_000_000)
ENGINE_KIB = 30 * 1024


@pytest.fixture(scope="module")
def laptop(folder):
    (folder / "laptop").mkdir()
    with Laptop(folder / "laptop") as laptop:
        yield laptop


@pytest.fixture(scope="module")
def drive(folder):
    tree = folder / "tree"
    drives.family_tree(tree)
    (tree / "BTsync/files" / WISHED).write_bytes(SONG)
    for number in range(MANY):
        path = tree / f"BTsync/files/Many/{number // 100}/picture {number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    return drives.make_drive(folder / "family.img", "FAMILY001", size="512M", tree=tree)


def test_ready_with_ten_thousand_files(machine, drive, laptop, folder):
    """Leaves the machine ready and everything looked through."""
    machine.card.write("larder.toml", f'[devices.laptop]\nid = "{laptop.id}"\n\n[drive]\nimport = true\n\n[web]\npassword = "open sesame"\n')
    shutil.copyfile(machine.card.path, folder / "card.before")
    _, ready = machine.start([drive], "ready", 240)
    print(f"FIGURE: ready with {MANY} files {ready:.1f} s after power on")


def test_the_engines_memory(machine):
    pages = "/drive/BTsync/catalogue/laptop/catalogue.html"
    machine.wait("the laptop's page", lambda: machine.sh_status(f"test -s {pages}")[0] == 0, 60)
    status = machine.sh("cat /proc/$(cat /run/larder/engine.pid)/status", check=True)
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    resident, most = (int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    print(f"FIGURE: the engine has {resident} KiB resident, {most} at most, with {MANY} files")
    assert resident < ENGINE_KIB


def test_a_wish_goes_to_the_laptop_while_the_light_blinks(machine, laptop):
    """From the wish in the page's folder to the same bytes on a real Syncthing outside the Pi."""
    text = machine.wait("the device id in STATUS.txt", lambda: written.status(machine, "Device id: "), 150, 3)
    pi = machine.wait(
        "an id to pair with",
        lambda: re.search(r"[A-Z2-7]{7}(?:-[A-Z2-7]{7}){7}", written.status(machine, "Device id: ") or ""), 150, 3,
    ).group()
    assert "Page" in text and "Version" in text
    laptop.add(pi, f"tcp://127.0.0.1:{machine.sync_port}")

    def both_folders():
        laptop.accept(pi)
        return len(laptop.ask("config/folders")) == 2
    machine.wait("the two folders of a device", both_folders, 180, 1)
    page = laptop.folder / "BTsync/catalogue/catalogue.html"
    machine.wait("the page on the laptop", lambda: page.exists() and b"WORKLIST-BEGIN" in page.read_bytes(), 180, 1)

    machine.wish(1, WISHED, "laptop")
    begin, looks, arrived = time.monotonic(), [], None
    copy = laptop.folder / "BTsync/files" / WISHED
    while time.monotonic() - begin < 180 * emulator.slow():
        looks.append((time.monotonic() - begin, *machine.lights()))
        if arrived is None and copy.exists():
            arrived = time.monotonic() - begin
        # Until the laptop's word has come back and the light is steady again.
        if arrived and time.monotonic() - begin > arrived + 3:
            break
        time.sleep(0.02)
    assert arrived, "the file did not come"
    print(f"FIGURE: a wish of {len(SONG)} bytes was on the laptop after {arrived:.1f} s")
    assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(SONG).digest()
    # Any two seconds in which the register showed the pattern of work on the way.
    patterns = machine.patterns()
    for light, which in ((1, "at the header"), (2, "on the board")):
        shown = set()
        for start in range(0, int(looks[-1][0] * 2)):
            window = [look for look in looks if start / 2 <= look[0] < start / 2 + 2]
            name, share = emulator.recognise(window, patterns, light)
            if share > emulator.AGREES:
                shown.add(name)
        assert "syncing" in shown, f"the light {which} showed {shown}"
    machine.wait_condition("ready", 60)


def other_disk(machine):
    """The kernel's name of the disk that is not the Larder's."""
    ours = machine.sh("sed -n 's|^/dev/\\(sd[a-z]\\).* /drive .*|\\1|p' /proc/mounts")
    names = machine.sh("ls /sys/block | grep sd").split()
    return next((name for name in names if name != ours), None)


def fill(machine, drive, kind, files):
    """Puts files on a foreign drive: from outside where this machine can, else by the Pi's own kernel."""
    if kind == "vfat":
        for name, content in files.items():
            local = drive.path.with_suffix(".content")
            local.write_bytes(content)
            subprocess.run(["mcopy", "-i", drive.path, local, f"::{name}"], check=True)
    elif kind == "ntfs":
        for name, content in files.items():
            local = drive.path.with_suffix(".content")
            local.write_bytes(content)
            subprocess.run(["ntfscp", drive.path, local, name], check=True, capture_output=True,
                           env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    else:
        machine.plug(drive)
        done = "logread | grep -c 'unmounted /run/larder/import'"
        before = machine.sh(done)
        machine.wait("an empty drive is imported too", lambda: machine.sh(done) != before, 60)
        machine.sh(f"mkdir -p /tmp/x && mount -t exfat /dev/{other_disk(machine)} /tmp/x", check=True)
        for name, content in files.items():
            machine.sh(f"printf %s '{content.decode()}' >'/tmp/x/{name}'", check=True)
        machine.sh("umount /tmp/x", check=True)
        machine.unplug(drive)
        machine.wait("it is gone", lambda: other_disk(machine) is None, 30)


@pytest.mark.parametrize("kind", ["vfat", "ntfs", "exfat"])
def test_files_of_a_foreign_drive_are_imported(machine, folder, kind):
    """`import = true`: they are in files/ of the Larder drive, and the foreign drive is as it was, byte by byte."""
    foreign = drives.make_drive(folder / f"{kind}.img", f"OTHER-{kind}", kind, "64M", "OTHER")
    files = {f"from {kind}.txt": b"some words", f"and {kind} again.bin": b"x" * 3000}
    fill(machine, foreign, kind, files)
    digest = hashlib.sha256(foreign.path.read_bytes()).digest()
    machine.plug(foreign)
    for name, content in files.items():
        path = f"'/drive/BTsync/files/{name}'"
        machine.wait(f"{name} in files/", lambda p=path: machine.sh_status(f"test -e {p}")[0] == 0, 90, 1)
        assert machine.sh(f"md5sum <{path}").split()[0] == hashlib.md5(content).hexdigest()
        assert machine.sh(f"stat -c %U {path}") == "larder"
    machine.wait("the end of it in the log", lambda: machine.sh_status(
        f"logread | grep -q 'The files of .*OTHER-{kind}.* are on the Larder drive'")[0] == 0, 60, 1)
    machine.unplug(foreign)
    machine.wait("it is gone", lambda: other_disk(machine) is None, 30)
    assert hashlib.sha256(foreign.path.read_bytes()).digest() == digest


def test_the_card_after_a_day(machine, folder):
    """After syncing, wishes and imports."""
    machine.wait("a report on the card", lambda: written.status(machine, "in use", "laptop"), 120, 5)
    written.only_the_status(machine, folder / "card.before")


def test_a_drive_that_fails_to_write(machine, drive):
    """Read-only at once: engine and mount are gone, LED and STATUS.txt say so, and nothing recorded as done is lost."""
    machine.fail_writes(drive)
    machine.sh("for i in 1 2 3 4 5; do echo worn >/drive/BTsync/files/worn$i.txt; sync; done; true", 60)
    machine.wait("the drive is taken out of use", lambda: " /drive " not in machine.sh("cat /proc/mounts"), 60)
    machine.wait_condition("drive-unusable", 60)
    assert machine.sh("cat /run/larder/engine.pid") and not machine.sh("pidof syncthing")
    text = machine.wait("STATUS.txt says it", lambda: written.status(machine, "failed while it was in use"), 150, 3)
    assert "What to do:" in text and "FAMILY001" in text
    assert machine.sh_status("touch /drive/x")[0] != 0


def test_a_drive_that_works_again(machine, drive):
    """Plugged in anew it is checked and used; the wish of before is still a link."""
    machine.unplug(drive)
    machine.wait_condition("waiting-for-drive", 60)
    machine.plug(drive)
    machine.wait_condition("ready", 240)
    names = f"'/drive/BTsync/files/{WISHED}' '/drive/BTsync/devices/laptop/{WISHED}'"
    assert len(set(machine.sh(f"stat -c %i {names}", check=True).split())) == 1
    machine.power_off()
    assert drives.fsck(drive.path) == 0
