"""What a drive in use must show, seen by a shell on the Pi."""


def check(machine):
    """`larder check` as the engine's user finds nothing. While the engine lives, a page that is just being written lies
    in `tmp` for a moment: what stays there is a finding."""
    def looked():
        status, out = machine.sh_status("su -s /bin/sh larder -c 'larder check --drive /drive --boot /boot'", 120)
        print(out)
        return status == 0
    machine.wait("`larder check` finds nothing", looked, 45, 2)


def linked(machine, path, device="HTCphone"):
    """Whether the file in the device's folder is the one at home, under one more name."""
    names = f"'/drive/BTsync/files/{path}' '/drive/BTsync/devices/{device}/{path}'"
    status, out = machine.sh_status(f"stat -c %i {names}")
    return status == 0 and len(set(out.split())) == 1
