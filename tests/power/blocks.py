"""A drive behind a log of its writes, and images of what a power cut may have left of it.

qemu-storage-daemon writes each request to a file and, in the format of dm-log-writes, to a log. The file is
exported by FUSE and a loop device lies on that, so the kernel's own file system works on it.
"""

import os
import shutil
import signal
import struct
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

SECTOR = 512
FLUSH, FUA, DISCARD = 1, 2, 4
SIZE = {"ext4": 96 << 20, "btrfs": 160 << 20}
# The sectors at which writes of superblocks begin.
SUPERBLOCKS = {"ext4": (0, 2), "btrfs": (128, 131072)}
MAKE = {"ext4": ["mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
        "btrfs": ["mkfs.btrfs", "-q", "-K"]}


def call(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout.strip()


def make(kind, image):
    image.write_bytes(b"")
    os.truncate(image, SIZE[kind])
    call(*MAKE[kind], image)


@contextmanager
def mounted(kind, image, at):
    """The image's file system at a folder; loop device and mount are gone afterwards in every case."""
    at.mkdir(exist_ok=True)
    # Attached for itself and not by mount, which would take an older device of the same file.
    loop = call("losetup", "--find", "--show", image)
    try:
        call("mount", "-t", kind, "-o", "nosuid,nodev,noexec,noatime", loop, at)
    finally:
        # The kernel lets go of it with the mount, whoever ends that.
        call("losetup", "--detach", loop)
    try:
        yield at
    finally:
        try:
            call("umount", at)
        except OSError:
            call("umount", "--lazy", at)
            raise


class Log:
    """The writes of a scene as the drive got them: (sector, data, flags), in their order."""

    def __init__(self, path):
        self.path = path

    def count(self):
        """How many requests have reached the drive by now."""
        with open(self.path, "rb") as file:
            return struct.unpack("<QQQI", file.read(28))[2]

    def entries(self):
        raw = self.path.read_bytes()
        magic, version, count, sector_size = struct.unpack_from("<QQQI", raw)
        assert (magic, version, sector_size) == (0x6A736677736872, 1, SECTOR), (hex(magic), version)
        found, at = [], SECTOR
        for _ in range(count):
            sector, sectors, flags, _ = struct.unpack_from("<QQQQ", raw, at)
            at += SECTOR
            data = b""
            if not flags & DISCARD:
                data = raw[at:at + sectors * SECTOR]
                assert len(data) == sectors * SECTOR, "the log ends early"
                at += len(data)
            found.append((sector, data, flags))
        return found


@contextmanager
def logged(image, folder):
    """Exports the image with a log before it: the file to mount, and the log."""
    folder.mkdir()
    export, log = folder / "export", folder / "log"
    export.write_bytes(b"")
    log.write_bytes(b"")
    daemon = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "qemu-storage-daemon",
         "--blockdev", f"driver=file,filename={image},node-name=disk",
         "--blockdev", f"driver=file,filename={log},node-name=log",
         "--blockdev", "driver=blklogwrites,node-name=logged,file=disk,log=log,"
                       f"log-sector-size={SECTOR},log-super-update-interval=1",
         "--export", f"type=fuse,id=export,node-name=logged,mountpoint={export},writable=on"],
        stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(200):
            if export.stat().st_size:
                break
            if daemon.poll() is not None:
                raise OSError(f"qemu-storage-daemon: {daemon.stderr.read().strip()}")
            time.sleep(0.05)
        else:
            raise OSError("qemu-storage-daemon exports nothing")
        yield export, Log(log)
    finally:
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        # What a killed daemon leaves; nothing otherwise.
        subprocess.run(["umount", "-l", export], capture_output=True, check=False)


class Replay:
    """An image to which the writes are applied one after the other, and copies of it."""

    def __init__(self, base, entries, folder):
        self.base, self.entries, self.at = base, entries, 0
        self.image = folder / "replay"
        copy(base, self.image)

    def go(self, count):
        """Applies everything before entry `count`; backwards from the beginning."""
        if count < self.at:
            copy(self.base, self.image)
            self.at = 0
        with open(self.image, "r+b") as file:
            for entry in self.entries[self.at:count]:
                put(file, entry)
        self.at = count

    def state(self, chosen, to):
        """A copy with these further writes on it: (sector, data)."""
        copy(self.image, to)
        with open(to, "r+b") as file:
            for sector, data in chosen:
                put(file, (sector, data, 0))


def put(file, entry):
    sector, data, _ = entry
    if data:
        file.seek(sector * SECTOR)
        file.write(data)


def copy(of, to):
    """A sparse copy."""
    call("cp", "--sparse=auto", "--reflink=auto", of, to)


def missing():
    """Why no drive can be cut here; nothing when one can."""
    if os.geteuid() != 0:
        return "not root: nothing can be mounted"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not Path(device).exists():
            return f"there is no {device}"
    for tool in ("qemu-storage-daemon", "mkfs.ext4", "mkfs.btrfs", "losetup", "mount", "setpriv", "unshare"):
        if not shutil.which(tool):
            return f"{tool} is not installed (.ci/setup power)"
    kernel = Path("/proc/filesystems").read_text()
    for kind in ("ext4", "btrfs"):
        # A module is loaded by the first mount; where there is none either, mount says so.
        if kind not in kernel:
            subprocess.run(["modprobe", kind], capture_output=True, check=False)
            if kind not in Path("/proc/filesystems").read_text():
                return f"this kernel has no {kind}"
    return None
