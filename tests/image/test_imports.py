"""Imports onto a small Larder drive: what is copied, what is not, and what is said of it."""

import hashlib

import drives
import pytest
import written

SETTINGS = """
[devices.HTCphone]

[drive]
import = true

[web]
password = "open sesame"
"""


@pytest.fixture(scope="module")
def larders(folder):
    return drives.make_drive(folder / "larder.img", "LARDER001", size="64M", label="LARDER")


def image_of(folder, name, size):
    """A file of a size that holds nothing twice."""
    path = folder / name
    block = hashlib.sha256(name.encode()).digest() * 32768
    path.write_bytes(block * (size >> 20))
    return path


def logged(machine, word):
    return machine.sh_status(f"logread | grep -qF '{word}'")[0] == 0


def test_starts(machine, larders):
    """Leaves it ready, with its one small drive."""
    machine.card.write("larder.toml", SETTINGS)
    machine.start((larders,), "ready", 180)


def test_a_mac_drive_is_not_called_copied_when_one_of_its_partitions_was(machine, folder):
    efi = drives.fat(folder / "efi.part", "36M", "EFI", {})
    photos = drives.fat(folder / "photos.part", "40M", "PHOTOS", {"beach.jpg": image_of(folder, "beach.jpg", 2 << 20)})
    # All that is looked at of a Mac's file system: its mark, in the third sector.
    album = folder / "album.part"
    album.write_bytes(bytes(1024) + b"H+\x00\x04" + bytes((8 << 20) - 1028))
    mac = drives.make_partitioned(
        folder / "mac.img", "MACDRIVE1",
        [(drives.EFI, efi), (drives.WINDOWS_FILES, photos), (drives.MAC_FILES, album)],
    )
    machine.plug(mac)
    try:
        machine.wait("the copy", lambda: logged(machine, "NOT copied from that drive"), 120)
        assert machine.sh("stat -c %s /drive/BTsync/files/beach.jpg").strip() == str(2 << 20)
        says = ("\"PHOTOS\"", "NOT copied from that drive", "HFS+", "the EFI partition",
                "Keep that drive as it is")
        text = machine.wait("STATUS.txt", lambda: written.status(machine, *says), 100, 3)
        assert 'The files of "EFI"' not in text
        machine.wait_condition("attention", 45)
    finally:
        machine.unplug(mac)
    machine.wait_condition("ready", 60)


def test_a_film_that_does_not_fit_leaves_the_room_free(machine, folder):
    free = int(machine.sh("df -k /drive | awk 'END { print $4 }'"))
    files = {"film.mkv": image_of(folder, "film.mkv", 90 << 20), "small.jpg": image_of(folder, "small.jpg", 1 << 20)}
    films = drives.make_drive(folder / "films.img", "FILMS0001", "vfat", "128M", "FILMS")
    for name, source in files.items():
        drives.copy_to_fat(films.path, source, name)
    machine.plug(films)
    try:
        machine.wait("the end", lambda: logged(machine, "film.mkv: it has 94 MB"), 120)
        assert machine.sh("ls /drive/BTsync/files").split() == ["beach.jpg", "small.jpg"]
        assert machine.sh_status("ls /drive/BTsyncApp/import/part")[0] != 0
        left = int(machine.sh("df -k /drive | awk 'END { print $4 }'"))
        assert left > 8 << 10 and free - left < 4 << 10, f"{free} kB were free, and {left} are left"
        text = machine.wait("STATUS.txt", lambda: written.status(machine, "film.mkv", "Make room on the Larder drive"), 100, 3)
        assert "ledger" not in text
        assert "are on the Larder drive" not in text
    finally:
        machine.unplug(films)
    machine.wait_condition("ready", 60)
