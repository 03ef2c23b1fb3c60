#!/usr/bin/env python3
"""An emulated Raspberry Pi 2 with the card in it: what `make run` and the image tests stand on.

Comes in: an image (`larder-*.img`) and the kernel files beside it. The emulator loads the kernel itself, since it has
no firmware; everything else is as on the board: card, USB sockets, serial console, the chip's pins.
The card is copied for each run; the image itself is never written.
Must never: leave an emulator running behind, or touch a drive image that the caller did not hand over.
"""

import contextlib
import errno
import glob
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import tempfile
import time

import pexpect

import loading
import worklist
from monitor import Monitor

HERE = pathlib.Path(__file__).resolve().parent
PROMPT = "larder# "
# Levels of the pins, 32 a word, in the chip's GPIO block: GPLEV0 and GPLEV1.
GPIO_LEVELS = 0x3F200034
BOARD_LED = 47
# In each look of `watch_lights`: the light at the header's pin, and the board's own.
HEADER, BOARD = 1, 2
# What the kernel says when one of its drivers broke down. The emulated card reader has brought that on: a request
# timed out while the host was too busy, and the driver stumbled over its own clearing up.
BROKE_DOWN = b"Internal error: Oops"
# A Pi that does not answer is asked by the magic keys of its serial line, which the kernel answers itself: 9 shows all its
# messages there, w names the tasks that wait for a device, l what each processor does.
MAGIC_KEYS, MAGIC = "9wl", "sysrq_always_enabled"
# One socket is the hub with the network, the drives' sockets come after it.
HUB = "1"
NETWORK_PORT = "1.1"
DRIVE_PORTS = ("1.2", "1.3", "1.4")


def slow():
    """How much slower than an idle machine things may be: waiting times are multiplied by it."""
    return float(os.environ.get("LARDER_SLOW", "1"))


def newest_image():
    """The image that `make image` made, or the one named by IMAGE."""
    named = os.environ.get("IMAGE")
    found = [named] if named else sorted(glob.glob(str(HERE.parent / "build/image/larder-*.img")))
    if not found or not os.path.exists(found[-1]):
        raise SystemExit("emulator: there is no image; run 'make image' first, or name one by IMAGE=")
    return pathlib.Path(found[-1])


def free_port():
    """A TCP port of this machine that nobody uses, below those that the kernel hands out (ip(7)): one of those could be
    somebody's before the emulator listens there."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Mute(AssertionError):
    """The console does not answer any more. Whoever asks again is told at once, so that one Pi that hangs costs one
    waiting time and not one for each test that comes after."""


class Wire:
    """One network for two Pis with cards of their own. The router is at the first one's end, which has to be on before
    the second is started with its network."""

    MACS = ("52:54:00:4c:00:01", "52:54:00:4c:00:02")
    # As that router gives them.
    SECOND_ADDRESS = "10.0.2.16"

    def __init__(self):
        self.port = free_port()
        self.pis = []

    def end_for(self, pi):
        """Which end is that Pi's: 0 or 1."""
        self.pis.append(pi)
        return len(self.pis) - 1


class Machine:
    """One emulated Pi. Use as a context: it is gone at the end, whatever happens."""

    def __init__(self, card, image, folder, console_log=None, bits=32, wire=None):
        self.program, self.model, dtb, kernel, self.ramdisk = loading.BOARDS[bits]
        self.card = card
        self.boot = pathlib.Path(image).parent / "boot"
        self.folder = pathlib.Path(folder)
        self.kernel = loading.unpacked_kernel(self.boot / kernel, self.folder)
        self.dtb = loading.without_bluetooth(self.boot / dtb, self.folder)
        self.console_log = console_log
        self.page_port = free_port()
        self.ssh_port = free_port()
        self.sync_port = free_port()
        self.wire = wire
        self.end = wire.end_for(self) if wire else None
        self.serial = None
        self.monitor = None
        self.started = None
        self.console_begins = 0
        self.plugged = {}
        # What the console did not answer, since power on.
        self.mute = None
        self._patterns = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    # --- power -----------------------------------------------------------------------------------------------------

    def power_on(self, drives=(), extra="", network=True):
        """Starts it, with these drives plugged in. Without `network` its cable leads to nobody: no DHCP, no Internet."""
        line = (self.boot / "cmdline.txt").read_text().strip()
        line = re.sub(r"\bconsole=tty1 ?", "", line) + f" larder.console {MAGIC} {extra}"
        self.mute = None
        qmp = self.folder / "qmp.sock"
        with contextlib.suppress(FileNotFoundError):
            qmp.unlink()
        args = [
            "-M", self.model, "-display", "none", "-no-reboot",
            "-kernel", self.kernel, "-initrd", self.boot / self.ramdisk,
            "-dtb", self.dtb, "-append", line.strip(),
            "-drive", f"if=sd,id=card,format=raw,file={self.card.path}",
            "-device", f"usb-hub,id=hub,port={HUB}",
            *self._cable(network),
            "-serial", "stdio", "-qmp", f"unix:{qmp},server=on,wait=off",
        ]
        for drive, port in zip(drives, DRIVE_PORTS):
            args += ["-blockdev", json.dumps(self._node(drive))]
            args += ["-device", json.dumps(self._stick(drive, port))]
            self.plugged[drive.device] = (drive, port)
        log = open(self.console_log, "ab") if self.console_log else None
        self.console_begins = log.tell() if log else 0
        # The emulator's own remarks go to a file: on the console they would stand in the middle of an answer.
        words = ["-c", f'exec {self.program} "$@" 2>"$0"', str(self.folder / "emulator.err"), *map(str, args)]
        self.serial = pexpect.spawn("/bin/sh", words, timeout=60 * slow(), logfile=log, maxread=65536)
        self.serial.delaybeforesend = None
        self.started = time.monotonic()
        for _ in range(100):
            try:
                self.monitor = Monitor(qmp)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if not self.serial.isalive():
                    said = (self.folder / "emulator.err").read_text(errors="replace")
                    raise RuntimeError("the emulator did not start: " + said)
                time.sleep(0.05)

    def wait_for_shell(self, timeout=90):
        """Waits for the root shell on the serial console; seconds since power on."""
        self._expect("no shell", lambda: self.serial.expect_exact(PROMPT, timeout=timeout * slow()))
        taken = time.monotonic() - self.started
        # The shell asks the terminal where its cursor is. A loop inside it neither asks nor echoes.
        self.serial.send("\x1b[1;9R")
        self.serial.sendline("set +m; stty -echo; dmesg -n 1; while IFS= read -r c; do eval \"$c\"; done; # begins")
        self._expect("no loop in the shell", lambda: self.serial.expect_exact("begins", timeout=20 * slow()))
        self.sh("true")
        return taken

    def start(self, drives=(), shows="ready", timeout=180, pin=17, network=True):
        """Powers it on and waits for the shell and until the LED shows `shows` (None: the shell alone will do); both in
        seconds since power on. A start in which what is emulated failed is made once more, and that is said aloud."""
        for last in (False, True):
            self.power_on(drives, network=network)
            try:
                shell = self.wait_for_shell(120)
                if shows:
                    self.wait_condition(shows, timeout, pin)
                return shell, time.monotonic() - self.started
            except (AssertionError, OSError, pexpect.ExceptionPexpect) as why:
                what = self.emulation_failed()
                if last or not what:
                    raise
                print(f"NOTE: the emulated Pi's {what} at the start; it is started again: {why}\n{self.last_words()}")
                self.power_cut()

    def emulation_failed(self):
        """What no Pi would do, or None: each was seen on busy machines only. What is slow, or fails by itself, answers."""
        if self.broke_down():
            return "kernel broke down"
        with contextlib.suppress(OSError, pexpect.ExceptionPexpect):
            try:
                # The LED went on blinking "starting" for nine minutes, and no program could be started.
                self.sh("echo 3 >/proc/sys/vm/drop_caches; ls -lR /etc", 60)
                # "dwc2: Not connected", and nothing in any socket from then on.
                if self.sh_status("test -e /sys/bus/usb/devices/1-1")[0]:
                    return "USB found not even its hub"
            except Mute:
                return "kernel hung"
        return None

    def broke_down(self):
        """Whether the kernel said since power on that it did."""
        if not self.console_log:
            return False
        with open(self.console_log, "rb") as log:
            log.seek(self.console_begins)
            return BROKE_DOWN in log.read()

    def power_cut(self):
        """The plug is pulled: no warning, nothing flushed by the guest."""
        self.kill()

    def power_off(self, timeout=60):
        """Shuts down in order and waits until the machine is off."""
        self.serial.sendline("poweroff")
        # The Pi can't switch itself off: the kernel halts, and the emulator ends only at a reset.
        self.serial.expect([pexpect.EOF, "reboot: (System halted|Power down)", "Requesting system poweroff"],
                           timeout=timeout * slow())
        end = time.monotonic() + 10 * slow()
        while self.serial.isalive() and time.monotonic() < end:
            time.sleep(0.2)
        self.kill()

    def kill(self):
        """Ends the emulator at once."""
        if self.monitor:
            self.monitor.close()
            self.monitor = None
        if self.serial:
            if self.serial.isalive():
                self.serial.kill(signal.SIGKILL)
            self.serial.close(force=True)
            if self.serial.logfile:
                self.serial.logfile.close()
            self.serial = None
        self.plugged = {}

    # --- network ---------------------------------------------------------------------------------------------------

    def _forwarded(self, address=""):
        """What of the Pi can be reached from here, in the emulator's words."""
        ports = {self.page_port: 8080, self.ssh_port: 22, self.sync_port: 22000}
        return [f"tcp:127.0.0.1:{here}-{address}:{there}" for here, there in ports.items()]

    def _cable(self, network):
        """The network card and what its cable leads to."""
        card = f"usb-net,netdev=net,port={NETWORK_PORT}" + (f",mac={Wire.MACS[self.end]}" if self.wire else "")
        netdevs = ["hubport,id=net,hubid=0"]
        if self.wire is None and network:
            netdevs = ["user,id=net" + "".join(f",hostfwd={port}" for port in self._forwarded())]
        elif self.wire and self.end == 0:
            others = (port for pi in self.wire.pis[1:] for port in pi._forwarded(Wire.SECOND_ADDRESS))
            forward = "".join(f",hostfwd={port}" for port in (*self._forwarded(), *others))
            netdevs += [f"user,id=router{forward}", "hubport,id=socket,hubid=0,netdev=router",
                        f"socket,id=wire,listen=127.0.0.1:{self.wire.port}", "hubport,id=far,hubid=0,netdev=wire"]
        elif self.wire and network:
            netdevs += [f"socket,id=wire,connect=127.0.0.1:{self.wire.port}", "hubport,id=far,hubid=0,netdev=wire"]
        return [word for netdev in netdevs for word in ("-netdev", netdev)] + ["-device", card]

    def router_comes(self):
        """A Pi that was started without a network has one from now on."""
        forward = [{"str": port} for port in self._forwarded()]
        self.monitor.command("netdev_add", type="user", id="router", hostfwd=forward)
        self.monitor.command("netdev_add", type="hubport", id="socket", hubid=0, netdev="router")

    # --- drives ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _node(drive):
        return {
            "driver": "raw", "node-name": drive.node, "read-only": drive.read_only,
            "file": {"driver": "file", "node-name": drive.node + "-file", "filename": str(drive.path), "locking": "off"},
        }

    @staticmethod
    def _stick(drive, port):
        return {"driver": "usb-storage", "id": drive.device, "drive": drive.node, "serial": drive.serial, "port": port}

    def plug(self, drive):
        """Plugs a drive into the first free socket."""
        used = {port for _, port in self.plugged.values()}
        port = next(p for p in DRIVE_PORTS if p not in used)
        self.monitor.command("blockdev-add", **self._node(drive))
        self.monitor.command("device_add", **self._stick(drive, port))
        self.plugged[drive.device] = (drive, port)

    def unplug(self, drive):
        """Pulls a drive that is not being written. The emulator may crash when it is: use `disconnect` then."""
        self.monitor.command("device_del", id=drive.device)
        self.plugged.pop(drive.device)
        for _ in range(100):
            with contextlib.suppress(RuntimeError):
                self.monitor.command("blockdev-del", **{"node-name": drive.node})
                break
            time.sleep(0.1)
        with contextlib.suppress(RuntimeError):
            self.monitor.command("blockdev-del", **{"node-name": drive.node + "-worn"})

    def fail_writes(self, drive):
        """From now on every write to the drive fails, as on worn flash; what is on it can be read."""
        worn = drive.node + "-worn"
        rules = [{"event": "none", "iotype": kind, "errno": errno.EIO} for kind in ("write", "flush")]
        self.monitor.command(
            "blockdev-add", **{"driver": "blkdebug", "node-name": worn, "image": drive.node + "-file", "inject-error": rules}
        )
        self.monitor.command("blockdev-reopen", options=[{**self._node(drive), "file": worn}])

    def _socket_switch(self, drive):
        port = self.plugged[drive.device][1].rsplit(".", 1)[1]
        return f"/sys/bus/usb/devices/1-1:1.0/1-1-port{port}/disable"

    def disconnect(self, drive):
        """The drive's socket goes dead, in the middle of whatever is being written."""
        self.sh(f"echo 1 >{self._socket_switch(drive)}")

    def reconnect(self, drive):
        """And lives again, with the drive plugged in anew: nobody writes it now, so it may be taken out first."""
        switch = self._socket_switch(drive)
        self.unplug(drive)
        self.sh(f"echo 0 >{switch}", check=True)
        self.plug(drive)

    # --- the console -----------------------------------------------------------------------------------------------

    def sh(self, command, timeout=30, check=False):
        """Runs a shell command as root; what it printed (both streams)."""
        status, out = self.sh_status(command, timeout)
        if check and status:
            raise AssertionError(f"`{command}` ended with {status}:\n{out}")
        return out

    def sh_status(self, command, timeout=30):
        """Its exit status and output."""
        # The marker is put together by the shell, so that an echo of the command can't be taken for it.
        marker = 'echo "<<"$?">>"'
        if self.mute:
            raise Mute(f"`{command}` was not tried: {self.mute}")
        self.serial.sendline(f"{{ {command}; }} 2>&1 </dev/null; {marker}")
        self._expect(f"no answer to `{command}`", lambda: self.serial.expect(rb"<<(\d+)>>\r*\n", timeout=timeout * slow()))
        text = self.serial.before.decode("utf-8", "replace").replace("\r", "")
        # Whenever init starts a service again it makes the console sane, which includes an echo.
        text = text.rpartition(marker)[2]
        return int(self.serial.match.group(1)), text.strip("\n")

    def _expect(self, failure, expect):
        """Runs `expect`; when nothing comes the console is mute until the next power on, and its last lines are told."""
        begun = time.monotonic()
        try:
            expect()
        except pexpect.TIMEOUT:
            self.mute = f"{failure} within {time.monotonic() - begun:.0f} s"
            self.ask_the_kernel()
            raise Mute(f"{self.mute}; the console's last lines:\n{self.last_words()}") from None

    def ask_the_kernel(self):
        """Has the kernel write to the console's log what it waits for."""
        for key in MAGIC_KEYS if self.monitor else "":
            with contextlib.suppress(OSError, RuntimeError, pexpect.ExceptionPexpect):
                self.monitor.command("chardev-send-break", id="serial0")
                self.serial.send(key)
                self.serial.expect(pexpect.EOF, timeout=5)

    def last_words(self, lines=150):
        """The end of what the console said since power on."""
        if not self.console_log:
            return "(no log of it is kept)"
        with open(self.console_log, "rb") as log:
            log.seek(self.console_begins)
            text = log.read().decode("utf-8", "replace").replace("\r", "")
        return "\n".join(text.splitlines()[-lines:]) or "(nothing at all)"

    def wait(self, what, condition, timeout=30, every=0.3):
        """Asks again and again until it is true; its value. Fails naming `what`."""
        end = time.monotonic() + timeout * slow()
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout * slow():.0f} s: {what}")
            time.sleep(every)

    def wish(self, number, path, device="HTCphone"):
        """Makes a wish as a page does that could only save a file: the folder of its page carries it home."""
        page = f"/drive/BTsync/catalogue/{device}/catalogue.html"
        # Of the whole page, which is long on a serial line, only the two that are needed.
        own = {
            name: self.sh(f"""grep -o '"{name}":"[^"]*"' {page} | tail -n 1""", check=True).split('"')[3]
            for name in ("page", "key")
        }
        item = {"id": f"{number:020x}", "op": "get", "path": path.replace(" ", "%20"), "at": "2026-11-23T10:00:00Z"}
        text = worklist.listed(own["page"], own["key"], device, [item])
        name = f"/drive/BTsync/catalogue/{device}/catalogue-worklist-{device}-{1795428000 + number}.json"
        self.sh(f"echo '{text}' >{name}.part && chown larder: {name}.part && mv {name}.part {name}", check=True)

    # --- the LED ---------------------------------------------------------------------------------------------------

    def lights(self, pin=17):
        """(header pin, the board's own LED): lit or not, as the chip's registers have it."""
        answer = self.monitor.command(
            "human-monitor-command", **{"command-line": f"xp /2wx {GPIO_LEVELS:#x}"}
        )
        words = [int(word, 16) for word in re.findall(r"0x([0-9a-f]{8})(?:\s|$)", answer)]
        levels = words[0] | words[1] << 32
        return bool(levels >> pin & 1), bool(levels >> BOARD_LED & 1)

    def watch_lights(self, seconds, pin=17, every=0.02):
        """The lights over time: [(seconds, header, board)]."""
        seen = []
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < seconds:
            seen.append((now, *self.lights(pin)))
            time.sleep(every)
        return seen

    def patterns(self):
        """What the LED can show: {condition: twenty slots of # and .}, as the program on the card has it."""
        if self._patterns is None:
            rows = [line.split(" ", 1) for line in self.sh("larder led table", 60, check=True).splitlines()]
            self._patterns = {name: drawing.strip() for name, drawing in rows}
        return self._patterns

    def condition(self, pin=17, seconds=4, light=HEADER):
        """The condition that the LED shows: (name, share of the looks that agree with its pattern)."""
        return recognise(self.watch_lights(seconds, pin), self.patterns(), light)

    def wait_condition(self, name, timeout=60, pin=17, light=HEADER):
        """Waits until the LED shows it: the one at the header's pin, or the board's own."""
        end = time.monotonic() + timeout * slow()
        seen = []
        # A Pi that is stalled for seconds shows a steady light, too: that one has to be seen twice, and the Pi to
        # answer in between.
        wanted = 1 if len(set(self.patterns()[name])) > 1 else 2
        agreed = 0
        while True:
            shown, share = self.condition(pin, light=light)
            agreed = agreed + 1 if shown == name and share > AGREES else 0
            if agreed == wanted:
                return
            if agreed:
                self.sh("true", 60)
                continue
            seen.append(f"{shown or 'nothing that it can show'} ({share:.0%})")
            if time.monotonic() > end:
                raise AssertionError(f"the LED does not show {name}: {', '.join(seen[-6:])}")


SLOT = 0.1
# A busy machine delays the guest's own clock by a slot now and then.
AGREES = 0.85


def recognise(looks, patterns, light=HEADER):
    """Which pattern the looks of `watch_lights` show: (name, share that agrees). Every shift is tried.

    A light that stands still shows no pattern that moves, and the other way round: a Pi that stalls while its light is
    off would have the spark of "stopped safely" for 95 %. ("", 0) when it can't be any."""
    best = ("", 0.0)
    moved = len({look[light] for look in looks}) > 1
    for name, drawing in patterns.items():
        slots = [slot == "#" for slot in drawing]
        if moved != (len(set(slots)) > 1):
            continue
        cycle = len(slots)
        for shift in range(cycle * 4):
            hits = sum(look[light] == slots[int(look[0] / SLOT + shift / 4) % cycle] for look in looks)
            share = hits / len(looks)
            if share > best[1]:
                best = (name, share)
    return best


@contextlib.contextmanager
def work_folder(keep=None):
    """A folder for one run; gone afterwards unless `keep` names it."""
    if keep:
        pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
        yield pathlib.Path(keep)
        return
    folder = tempfile.mkdtemp(prefix="larder-pi-")
    try:
        yield pathlib.Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
