#!/usr/bin/python3
"""The real program on a drive whose power is cut at every kind of moment.

A scene is played once on a drive behind a log of its writes (blocks.py). From that log come the states in which a cut may leave
the drive: every flush and what lies beside it, random prefixes, random subsets of what came after the last flush (a drive
may write its cache in any order), and last writes torn at a sector. Each is mounted, looked at, run once more, looked at.
ext4 hides what a missing fsync of a folder loses, btrfs shows it: always both.

    power.py [--larder FILE] [--seed N] [--scene NAME] [--kind ext4|btrfs] [--without CALL]

--without syncfs (or fsync, fdatasync) plays the scenes with a program for which that call does nothing: then this must fail.
LARDER_LONG=1 tries thousands of states.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import closing
from pathlib import Path

import blocks

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "image"))
import worklist  # noqa: E402

LONG_AGO = 1_700_000_000
LONG = os.environ.get("LARDER_LONG") == "1"
FLUSHES = blocks.FLUSH | blocks.FUA
STOP = threading.Event()
PHONE, LAPTOP = "HTCphone", "LinuxLaptop"
SETTINGS = "undo = \"none\"\n[sync]\nenabled = false\n[web]\nenabled = false\n[devices.HTCphone]\n[devices.LinuxLaptop]\n"
FRIEND = "AAAAAAA-AAAAAAA"
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d-\d\d-\d\d")


def noise(name, size):
    """Bytes that only this file has."""
    return random.Random(name).randbytes(size)


def wish(number, op, path, **more):
    return {"id": f"{number:020x}", "op": op, "path": path, "at": "2026-11-23T10:00:00Z", **more}


def seen(size):
    return {"size": size, "mtime": LONG_AGO}


class House:
    """A drive that is mounted somewhere, and the program for it."""

    def __init__(self, drive, boot, larder, without=None):
        self.drive, self.boot, self.larder, self.without = drive, boot, larder, without

    def home(self, path):
        return self.drive / "BTsync/files" / path

    def on(self, device, path):
        return self.drive / "BTsync/devices" / device / path

    def save(self, at, content):
        """As a sync engine saves: beside, synced, renamed, and the folder synced."""
        at.parent.mkdir(parents=True, exist_ok=True)
        beside = at.parent / ".syncthing.test.tmp"
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.utime(beside, (LONG_AGO, LONG_AGO))
            os.fsync(file.fileno())
        os.rename(beside, at)
        folder = os.open(at.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def wishes(self, device, name, items):
        # Only a name as browsers give it is taken for a worklist.
        number = int.from_bytes(name.encode(), "big")
        folder = self.drive / "BTsync/catalogue" / device
        page = folder / "catalogue.html"
        if page.exists():
            own = worklist.own(page.read_bytes())
            text = worklist.listed(own["page"], own["key"], device, items)
            self.save(folder / f"catalogue-worklist-{device}-{number}.json", text.encode())
        else:
            stamp = f"{number % 10**14:014d}"
            copy = f"catalogue.sync-conflict-{stamp[:8]}-{stamp[8:]}-ABCDEFG.html"
            self.save(folder / copy, worklist.first_form(items))

    def save_on_page(self, device, item):
        """What the page's [save] does: the page read, the worklist replaced, a new file renamed over it."""
        page = self.drive / "BTsync/catalogue" / device / "catalogue.html"
        self.save(page, worklist.put(page.read_bytes(), item))

    def start(self, words):
        lie = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={self.without}",
               "-e", f"inject={self.without}:retval=0"] if self.without else []
        return subprocess.Popen([*lie, self.larder, *words, "--drive", self.drive, "--boot", self.boot],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, meanwhile=lambda: None):
        child = self.start(["run", "--once", "--settle", "1"])
        meanwhile()
        said, _ = child.communicate(timeout=120)
        if child.returncode:
            raise AssertionError(f"larder run: {child.returncode}: {said}")

    def check(self):
        child = self.start(["check"])
        said, _ = child.communicate(timeout=120)
        return [] if child.returncode == 0 else said.splitlines() or [str(child.returncode)]

    def contents(self):
        """Every file of the family: the name, and the hash of what is in it."""
        found = {}
        for place in ("BTsync/files", "BTsync/devices", "BTsync/shared", "BTsyncApp/versions", "BTsyncApp/tmp"):
            for folder, _, names in os.walk(self.drive / place):
                for name in names:
                    at = Path(folder, name)
                    found[str(at.relative_to(self.drive))] = hashlib.sha256(at.read_bytes()).hexdigest()
        return found

    def tree(self):
        """What a rerun has to arrive at: names, contents, folders; without the moments and numbers in some names."""
        found = []
        for name, content in self.contents().items():
            parts = name.split("/")
            if parts[1] in ("versions", "shared"):
                parts[2] = "N"
            found.append(f"{MOMENT.sub('then', '/'.join(parts))}: {content[:12]}")
        for place in ("BTsync/files", "BTsync/devices"):
            for folder, folders, _ in os.walk(self.drive / place):
                found += [f"{Path(folder, f).relative_to(self.drive)}/" for f in folders]
        return sorted(found)

    def answers(self, scratch):
        """How each wish was answered by the ledger as it lies there, read from a copy."""
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            at = self.drive / "BTsyncApp" / name
            if at.exists():
                shutil.copy(at, scratch / name)
        with closing(sqlite3.connect(scratch / "ledger.sqlite")) as db:
            rows = db.execute("SELECT id, json_extract(answer, '$.state') FROM wishes WHERE answer IS NOT NULL")
            return {int(number, 16): state for number, state in rows}

    def pages(self):
        """What is wrong with the pages."""
        wrong = []
        for folder in (PHONE, LAPTOP, "."):
            at = self.drive / "BTsync/catalogue" / folder / "catalogue.html"
            page = at.read_bytes() if at.exists() else b""
            whole = page.startswith(b"<!doctype html>") and page.rstrip().endswith(b"<!--WORKLIST-END-->")
            if not whole or b"\0" in page:
                wrong.append(f"the page of {folder} is not whole: {len(page)} bytes")
        return wrong


class Scene:
    """One story: what is there, what is asked, what may go, and what each answered wish means on the drive."""

    def __init__(self, name, before, ask, so, lost=(), settings=SETTINGS, meanwhile=None, saved=()):
        self.name, self.before, self.ask, self.so = name, before, ask, so
        self.lost, self.settings, self.meanwhile = set(lost), settings, meanwhile
        # The wishes that come only meanwhile.
        self.saved = set(saved)


def album(house):
    for number in range(200):
        house.save(house.home(f"Album/{number:03}.jpg"), noise(f"album {number}", 1500))


def few(house):
    for name in ("doc", "movable", "edited", "both", "back", "other", "Trash/1", "Trash/deep/2"):
        house.save(house.home(name), noise(name, 5000))
    house.run()
    house.wishes(PHONE, "few", [wish(900 + n, "get", path, to=[PHONE, LAPTOP]) for n, path in enumerate(
        ("doc", "movable", "edited", "both", "back", "Trash"))])
    house.run()
    house.save(house.on(PHONE, "back"), noise("back two", 6000))
    house.run()


def changes(house):
    house.save(house.on(PHONE, "edited"), noise("edited two", 7000))
    house.save(house.on(PHONE, "both"), noise("both by phone", 7000))
    house.save(house.home("both"), noise("both at home", 6500))
    house.save(house.on(PHONE, "DCIM/new.jpg"), noise("new", 9000))
    house.wishes(PHONE, "asks", [
        wish(1, "destroy", "doc", seen=seen(5000)),
        wish(2, "move", "movable", to=[LAPTOP]),
        wish(3, "undo", "back"),
        wish(4, "destroy", "Trash", seen=seen(10000)),
        wish(5, "mkdir", "New/Album"),
    ])


def gone(path):
    return lambda h: not any(p.exists() for p in (h.home(path), h.on(PHONE, path), h.on(LAPTOP, path)))


CHANGED = {
    1: gone("doc"),
    2: lambda h: h.on(LAPTOP, "movable").exists() and not h.on(PHONE, "movable").exists(),
    3: lambda h: h.home("back").read_bytes() == noise("back", 5000),
    4: lambda h: gone("Trash/1")(h) and gone("Trash/deep/2")(h),
    5: lambda h: h.home("New/Album").is_dir(),
}


def room(house):
    for number in range(12):
        house.save(house.home(f"old/{number:02}"), noise(f"old {number}", 8000))
    house.save(house.home("big"), noise("big", 40000))
    house.run()
    house.wishes(PHONE, "old", [wish(900, "get", "old")])
    house.run()


def shared_names(house):
    return {Path(name).name for name in house.contents() if name.startswith("BTsync/shared/")}


def two_shares(house):
    few(house)
    house.wishes(PHONE, "first", [wish(950, "share", "doc", **{"with": FRIEND})])
    house.run()


SCENES = [
    Scene("get", album, lambda h: h.wishes(PHONE, "g", [wish(1, "get", "Album")]),
          {1: lambda h: len(list(h.on(PHONE, "Album").glob("*"))) == 200}),
    Scene("at once", few, changes, CHANGED, lost=("doc", "Trash/1", "Trash/deep/2")),
    Scene("with undo", few, changes, CHANGED, settings=SETTINGS.replace('"none"', '"1 day"', 1)),
    Scene("share", two_shares, lambda h: h.wishes(PHONE, "s", [
        wish(1, "share", "other", **{"with": FRIEND}), wish(2, "revoke", "doc")]),
        {1: lambda h: "other" in shared_names(h), 2: lambda h: "doc" not in shared_names(h)}),
    Scene("quota", room, lambda h: h.wishes(PHONE, "q", [wish(1, "get", "big")]),
          {1: lambda h: h.on(PHONE, "big").exists()},
          settings=SETTINGS.replace("[devices.HTCphone]\n", '[devices.HTCphone]\nquota = "120 KiB"\n')),
    Scene("page", few, lambda h: h.wishes(PHONE, "p", [wish(1, "get", "other")]),
          {1: lambda h: h.on(PHONE, "other").exists(), 2: lambda h: not h.on(PHONE, "movable").exists()},
          saved=(2,),
          meanwhile=lambda h: h.save_on_page(PHONE, wish(2, "delete", "movable"))),
]


class Play:
    """A scene on one kind of file system: played once, then looked at in many states."""

    def __init__(self, scene, kind, folder, options):
        self.scene, self.kind, self.folder, self.options = scene, kind, folder, options
        self.random = random.Random(f"{options.seed} {scene.name} {kind}")
        self.counts, self.wrong, self.seconds = Counter(), [], 0.0
        self.at, self.boot = folder / "drive", folder / "boot"
        self.boot.mkdir()
        (self.boot / "larder.toml").write_text(scene.settings)
        self.base, self.disk, self.cut = folder / "base", folder / "disk", folder / "cut"

    def house(self, without=None):
        return House(self.at, self.boot, self.options.larder, without)

    def record(self):
        blocks.make(self.kind, self.base)
        with blocks.mounted(self.kind, self.base, self.at):
            (self.at / "BTsync").mkdir()
            self.scene.before(self.house())
            self.house().run()
            self.scene.ask(self.house())
            self.needed = {h for n, h in self.house().contents().items()} - \
                {hashlib.sha256(noise(n, 5000)).hexdigest() for n in self.scene.lost}
        self.ends = [self.undisturbed(wished=False)]
        if self.scene.meanwhile:
            self.ends.append(self.undisturbed(wished=True))
        blocks.copy(self.base, self.disk)
        self.wished = None
        with blocks.logged(self.disk, self.folder / "log") as (export, log):
            with blocks.mounted(self.kind, export, self.at):
                house = self.house(self.options.without)

                def meanwhile():
                    if self.scene.meanwhile:
                        time.sleep(0.03)
                        self.scene.meanwhile(house)
                        self.wished = log.count()
                house.run(meanwhile)
                self.ran = log.count()
                house.run()
                self.done = log.count()
                self.all_done = house.answers(self.folder / "books")
        self.entries = log.entries()

    def undisturbed(self, wished):
        blocks.copy(self.base, self.cut)
        with blocks.mounted(self.kind, self.cut, self.at):
            house = self.house()
            house.run()
            if wished:
                self.scene.meanwhile(house)
            house.run()
            assert house.check() == [], house.check()
            answers = house.answers(self.folder / "books")
            for number, so in self.scene.so.items():
                if number in self.scene.saved and not wished:
                    continue
                assert answers.get(number) == "done", f"wish {number} is not done: {answers}"
                assert so(house), f"wish {number} has no effect"
            return house.tree()

    def states(self, share):
        """(kind, prefix, further writes). Prefix n: entries 0..n are on the drive, and these writes after them."""
        count = len(self.entries)
        flushes = [n for n, (_, _, flags) in enumerate(self.entries) if flags & FLUSHES]
        near = sorted({m for n in flushes for m in (n - 1, n, n + 1) if 0 <= m <= count} | {count})
        pick = lambda all, most: sorted(self.random.sample(all, min(most, len(all))))
        found = [("flush", n, []) for n in (near if LONG else sorted({*pick(near, share), count}))]
        found += [("prefix", n, []) for n in pick(range(count), 2000 if LONG else share)]
        for _ in range(120 if LONG else share):
            n = self.random.randrange(count)
            last = max((f for f in flushes if f < n), default=-1) + 1
            pending = [(s, d) for s, d, flags in self.entries[last:n + 1] if d]
            kept = [write for write in pending if self.random.random() < 0.5]
            found.append(("subset", last, kept))
        writes = [n for n, (_, data, _) in enumerate(self.entries) if len(data) > blocks.SECTOR
                  # No file system mounts with a torn superblock: no matter of ours.
                  and self.entries[n][0] not in blocks.SUPERBLOCKS[self.kind]]
        for n in pick(writes, 80 if LONG else share):
            sector, data, _ = self.entries[n]
            whole = self.random.randrange(1, len(data) // blocks.SECTOR) * blocks.SECTOR
            found.append(("torn", n, [(sector, data[:whole])]))
        # Where time is short, none of the moments is left out more than others. All of them: the drive in one go.
        self.random.shuffle(found)
        return sorted(found, key=lambda state: state[1]) if LONG else found

    def look(self, kind, prefix, further):
        """What is wrong with one state."""
        wrong = []
        with blocks.mounted(self.kind, self.cut, self.at):
            house = self.house()

            def whole(when):
                lacking = self.needed - set(house.contents().values())
                if lacking:
                    wrong.append(f"{when}: {len(lacking)} contents have no name any more")
                wrong.extend(f"{when}: {page}" for page in house.pages())
            whole("cut")
            answers = house.answers(self.folder / "books")
            for number, so in self.scene.so.items():
                if answers.get(number) == "done" and not so(house):
                    wrong.append(f"cut: wish {number} is answered as done and is not")
                # What a run that has ended had answered stays answered.
                if prefix >= self.done and answers.get(number) != self.all_done.get(number):
                    wrong.append(f"cut: the answer to wish {number} is lost")
            house.run()
            found = house.check()
            if found:
                wrong.append(f"check after the rerun: {found}")
            house.run()
            whole("rerun")
            tree = house.tree()
            ends = self.ends
            if self.wished is not None and prefix >= self.wished:
                ends = ends[1:]
            if tree not in ends:
                # Counted: two shares of one file are two.
                more, less = (sorted((Counter(a) - Counter(b)).elements()) for a, b in ((tree, ends[-1]), (ends[-1], tree)))
                wrong.append(f"ends elsewhere: more {more[:9]}, less {less[:9]}")
        return wrong

    def play(self, share, until):
        self.record()
        replay = blocks.Replay(self.base, self.entries, self.folder)
        begun = time.monotonic()
        for kind, prefix, further in self.states(share):
            if STOP.is_set():
                return
            if until and time.monotonic() > until:
                self.counts["left out for time"] += 1
                continue
            replay.go(prefix)
            replay.state(further, self.cut)
            try:
                wrong = self.look(kind, prefix, further)
            except (AssertionError, OSError, sqlite3.Error, subprocess.SubprocessError) as error:
                wrong = [f"{type(error).__name__}: {error}"]
            self.counts[kind] += 1
            self.wrong += [f"{self.scene.name}, {self.kind}, {kind} {prefix} of {len(self.entries)}: {w}" for w in wrong]
        self.seconds = time.monotonic() - begun




def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--larder", default=Path(__file__).parents[2] / "target/debug/larder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scene")
    parser.add_argument("--kind", choices=list(blocks.SIZE))
    parser.add_argument("--without")
    parser.add_argument("--share", type=int, default=4, help="so many states of each kind in a scene")
    parser.add_argument("--seconds", type=int, default=0 if LONG else 80, help="0: as long as it takes")
    options = parser.parse_args()
    why = blocks.missing()
    if why is None and not Path(options.larder).exists():
        sys.exit(f"there is no {options.larder}: cargo build --bin larder")
    if why:
        print(f"SKIPPED: {why}: no power cut was tried on a drive")
        return
    # In a mount namespace of its own: whatever ends this program ends its mounts and with them its loop devices.
    if "LARDER_POWER_ALONE" not in os.environ:
        os.environ["LARDER_POWER_ALONE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: STOP.set())
    options.until = time.monotonic() + options.seconds if options.seconds else None
    plays, failed = [], []

    def scenes(kind, place):
        for number, scene in enumerate(SCENES):
            if STOP.is_set() or options.scene not in (None, scene.name):
                continue
            folder = place / f"{kind}{number}"
            folder.mkdir()
            play = Play(scene, kind, folder, options)
            plays.append(play)
            try:
                now, left = time.monotonic(), sum(options.scene in (None, s.name) for s in SCENES[number:])
                play.play(options.share, options.until and now + (options.until - now) / left)
            except Exception:  # told at the end, with the others
                failed.append(f"{scene.name}, {kind}: {traceback.format_exc()}")
            tried = sum(n for k, n in play.counts.items() if k != "left out for time")
            print(f"{kind:5} {scene.name:9} {len(getattr(play, 'entries', ())):5} requests, {tried:4} states"
                  f" {dict(play.counts)}, {play.seconds * 1000 / max(tried, 1):.0f} ms each, {len(play.wrong)} wrong", flush=True)
            shutil.rmtree(folder)

    shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=shm, prefix="larder-power-") as place:
        kinds = [options.kind] if options.kind else list(blocks.SIZE)
        threads = [threading.Thread(target=scenes, args=(kind, Path(place))) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    total = sum((play.counts for play in plays), Counter())
    left = total.pop("left out for time", 0)
    print(f"seed {options.seed}: {sum(total.values())} states: {dict(total)}")
    if left:
        print(f"LEFT OUT: {left} states of power cuts for want of time")
    wrong = failed + [line for play in plays for line in play.wrong]
    if STOP.is_set():
        wrong.append("stopped before the end")
    for line in wrong[:40]:
        print(line)
    sys.exit(f"{len(wrong)} complaints" if wrong else 0)


if __name__ == "__main__":
    main()
