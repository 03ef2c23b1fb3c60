"""The card: its layout, and a copy of the image whose boot partition is seen as an owner's computer sees it."""

import os
import pathlib
import re
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def layout():
    """The card's layout, from layout.env."""
    text = (HERE / "layout.env").read_text()
    return dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, re.MULTILINE))


LAYOUT = layout()
BOOT_OFFSET = int(LAYOUT["BOOT_START_MIB"]) << 20
BOOT_SIZE = int(LAYOUT["BOOT_MIB"]) << 20
ROOT_OFFSET = BOOT_OFFSET + BOOT_SIZE


class Card:
    """A copy of the image, and its boot partition seen as an owner's computer sees it."""

    def __init__(self, image, path):
        self.path = pathlib.Path(path)
        self.original = pathlib.Path(image)
        subprocess.run(["cp", "--sparse=always", str(image), str(path)], check=True)

    def _mtools(self, tool, *args):
        run = subprocess.run(
            [tool, "-i", f"{self.path}@@{BOOT_OFFSET}", *args], check=True, capture_output=True,
            env={**os.environ, "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"},
        )
        return run.stdout

    def read(self, name):
        """A file of the boot partition, as bytes."""
        return self._mtools("mtype", f"::{name}")

    def write(self, name, text):
        """Puts a file on the boot partition."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            self._mtools("mcopy", "-o", file.name, f"::{name}")

    def changed_ranges(self, before):
        """Byte ranges of 512 that differ between this card and an earlier copy of it."""
        out = []
        with open(before, "rb") as old, open(self.path, "rb") as new:
            offset = 0
            while True:
                a, b = old.read(1 << 20), new.read(1 << 20)
                if not a and not b:
                    return out
                if a != b:
                    out += [offset + i for i in range(0, len(b), 512) if a[i : i + 512] != b[i : i + 512]]
                offset += len(b)
