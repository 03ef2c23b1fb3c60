"""USB drives for the emulated Pi, as image files: made with a file system or without, filled, checked and damaged."""

import contextlib
import os
import pathlib
import shutil
import subprocess


class Drive:
    """A USB drive: an image file with a serial number."""

    def __init__(self, path, serial, read_only=False):
        self.path = pathlib.Path(path)
        self.serial = serial
        self.read_only = read_only
        self.node = "disk-" + serial
        self.device = "usb-" + serial


def family_tree(folder):
    """A small family's files, for a drive to begin with: one that was a Larder's before."""
    folder = pathlib.Path(folder)
    (folder / "BTsyncApp").mkdir(parents=True)
    files = {
        "BTsync/files/Photos/2012/a beach.jpg": os.urandom(200_000),
        "BTsync/files/Photos/2012/the garden.jpg": os.urandom(150_000),
        "BTsync/files/Photos/2013/snow.jpg": os.urandom(120_000),
        "BTsync/files/Music/evening.ogg": os.urandom(900_000),
        "BTsync/files/Papers/house/insurance.txt": b"Number 4711, to be paid in March.\n",
        "BTsync/files/Papers/recipes/bread.txt": b"Flour, water, salt, and a night.\n",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def make_drive(path, serial, kind="ext4", size="256M", label="FAMILY", tree=None, read_only=False):
    """A drive image with a file system (ext4, btrfs, xfs, exfat, vfat, ntfs), or with none (kind None). `tree`: what is on
    it from the start, for ext4 and btrfs."""
    path = pathlib.Path(path)
    assert tree is None or kind in ("ext4", "btrfs"), f"{kind} is made empty"
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    subprocess.run(["truncate", "-s", size, str(path)], check=True)
    sbin = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    if kind == "ext4":
        source = ["-d", str(tree)] if tree else []
        command = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-E", "root_owner=1000:1000", *source, str(path)]
        subprocess.run(command, check=True, env=sbin)
    elif kind == "btrfs":
        source = ["--rootdir", str(tree)] if tree else []
        subprocess.run(["mkfs.btrfs", "-q", "-L", label, *source, str(path)], check=True, env=sbin, capture_output=True)
    elif kind == "xfs":
        subprocess.run(["mkfs.xfs", "-q", "-L", label, str(path)], check=True, env=sbin)
    elif kind == "exfat":
        subprocess.run(["mkfs.exfat", "-L", label, str(path)], check=True, env=sbin, stdout=subprocess.DEVNULL)
    elif kind == "vfat":
        subprocess.run(["mkfs.vfat", "-n", label, str(path)], check=True, env=sbin, stdout=subprocess.DEVNULL)
    elif kind == "ntfs":
        subprocess.run(["mkfs.ntfs", "-Q", "-q", "-F", "-L", label, str(path)], check=True, env=sbin, capture_output=True)
    return Drive(path, serial, read_only)


def has_tool(name):
    """Whether this machine has the program."""
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is not None


def _tool(*command):
    sbin = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    return subprocess.run([str(word) for word in command], capture_output=True, env=sbin, check=False)


def fsck(path, kind="ext4"):
    """Looks at an image and repairs nothing: 0 when there is nothing to repair."""
    looks = {"ext4": ["e2fsck", "-f", "-n"], "btrfs": ["btrfs", "check", "--readonly"], "xfs": ["xfs_repair", "-n"]}
    return _tool(*looks[kind], path).returncode


def debugfs(path, *requests):
    """Changes an ext4 image by debugfs."""
    for request in requests:
        done = _tool("debugfs", "-w", "-R", request, path)
        if done.returncode:
            raise RuntimeError(f"debugfs {request}: {done.stderr.decode()}")


# What a partition is for, as sfdisk writes it.
EFI = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
WINDOWS_FILES = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
MAC_FILES = "48465300-0000-11AA-AA11-00306543ECAC"


def fat(path, size, label, files):
    """A FAT file system with these files: name → where their bytes are."""
    drive = make_drive(path, label, "vfat", size, label)
    for name, source in files.items():
        copy_to_fat(drive.path, source, name)
    return drive.path


def copy_to_fat(image, source, name):
    """Puts a file on an image of a FAT file system."""
    subprocess.run(["mcopy", "-i", str(image), str(source), f"::{name}"], check=True)


def make_partitioned(path, serial, partitions):
    """A drive with a GPT. `partitions`: type, and the image file of what is in it, each of whole MiB."""
    path = pathlib.Path(path)
    sizes = [part.stat().st_size >> 20 for _, part in partitions]
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    subprocess.run(["truncate", "-s", f"{sum(sizes) + 2}M", str(path)], check=True)
    lines = "".join(f",{size}M,{kind}\n" for size, (kind, _) in zip(sizes, partitions))
    sbin = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    subprocess.run(["sfdisk", "-q", str(path)], input=f"label: gpt\n{lines}", text=True, check=True, env=sbin)
    start = 1
    for size, (_, part) in zip(sizes, partitions):
        copy = ["dd", f"if={part}", f"of={path}", "bs=1M", f"seek={start}", "conv=notrunc", "status=none"]
        subprocess.run(copy, check=True)
        start += size
    return Drive(path, serial)
