#!/usr/bin/env python3
"""`make run`: the card in an emulated Pi, with a small family's drive plugged in.

Prints how it starts, what the LED shows and the page's address; ends with Ctrl-C. With --once: until it is ready, one
wish was carried out and the LED was seen blinking; then it ends with 0 (or with 1, saying what did not come).
"""

import argparse
import re
import signal
import sys
import time

import drives
import emulator
import sdcard

SETTINGS = """
[devices.HTCphone]
label = "The old phone"
quota = "8 GB"

[devices.win7Laptop]
label = "The laptop"
"""
WISH = "Photos/2012/the garden.jpg"
LIMIT = 300


def say(machine, words):
    """One line, with the seconds since power on."""
    print(f"{time.monotonic() - machine.started:6.1f} s  {words}", flush=True)


def carried_out(machine):
    """Whether the wished file is in the phone's folder, as one more name of the same content."""
    command = f"stat -c %i '/drive/BTsync/files/{WISH}' '/drive/BTsync/devices/HTCphone/{WISH}' 2>/dev/null | uniq -c"
    return machine.sh(command).split()[:1] == ["2"]


def watch(machine, once):
    """Prints until Ctrl-C; with `once`, until everything was seen. True when it was."""
    say(machine, "power on; the kernel starts")
    machine.wait_for_shell(LIMIT)
    say(machine, "the system is up; for a shell of your own see README.txt (ssh)")
    patterns = machine.patterns()
    shown, logged, blinked, wished, done = None, 0, False, False, False
    while True:
        looks = machine.watch_lights(2.5)
        name, share = emulator.recognise(looks, patterns)
        if share > emulator.AGREES and name != shown:
            shown = name
            say(machine, f"LED  {patterns.get(name, '.' * 20)}  {name}")
        blinked = blinked or len({look[1] for look in looks}) > 1
        # The emulated console is slow: only what is new crosses it.
        new = machine.sh(f"logread | grep ' larder\\[' | tail -n +{logged + 1}", 60).splitlines()
        for line in new:
            say(machine, "log  " + re.sub(r"^.*? larder\[\d+\]: ", "", line))
        logged += len(new)
        # Without a password in the settings the LED shows that one may be chosen.
        if shown in ("ready", "claimable") and not wished:
            address = machine.sh("ip -4 addr | sed -n 's/.*inet \\([0-9.]*\\).*scope global.*/\\1/p'").strip()
            say(machine, f"ready; its own address is {address or 'not there yet'}, "
                         f"the page, where you choose a password, is at http://127.0.0.1:{machine.page_port}/")
            machine.wish(1, WISH)
            say(machine, f"wished: get '{WISH}' for HTCphone")
            wished = True
        if wished and not done and carried_out(machine):
            say(machine, f"the wish was carried out: '{WISH}' is in the phone's folder too, as the same file")
            done = True
        if once and done and blinked:
            say(machine, "the LED was seen blinking; all was seen")
            return True
        if once and time.monotonic() - machine.started > LIMIT * emulator.slow():
            missing = [word for word, seen in (("ready", wished), ("the wish", done), ("a blinking LED", blinked)) if not seen]
            print(f"run: not within {LIMIT} s: {', '.join(missing)}", file=sys.stderr)
            print(machine.sh("logread | tail -n 30"), file=sys.stderr)
            return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when everything was seen once")
    parser.add_argument("--keep", help="a folder for card and drive, kept between runs")
    parser.add_argument("--log", help="where the serial console is written")
    args = parser.parse_args()
    image = emulator.newest_image()
    # However it is told to end, the emulator ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with emulator.work_folder(args.keep) as folder:
        drive = drives.Drive(folder / "drive.img", "FAMILY001")
        if not drive.path.exists():
            drives.family_tree(folder / "tree")
            drive = drives.make_drive(drive.path, drive.serial, tree=folder / "tree")
        card = sdcard.Card(image, folder / "card.img")
        card.write("larder.toml", SETTINGS)
        with emulator.Machine(card, image, folder, args.log) as machine:
            machine.power_on([drive])
            try:
                good = watch(machine, args.once)
            except KeyboardInterrupt:
                print("\nrun: switching off", flush=True)
                good = True
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
