# A terminal that babbles and is hung up under whoever has it open, as a USB adapter's is when it is pulled out.
# Its other end stays, so that only the hang-up tells. Prints the terminal's name; hangs up at a line on stdin.
import fcntl, os, sys, threading, tty

vhangup = 0x5437  # TIOCVHANGUP of Linux: needs root
master, slave = os.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)


def babble():
    os.set_blocking(master, False)
    while True:
        try:
            os.write(master, b'\x55')
        except OSError:
            pass
        pause.wait(0.0005)


pause = threading.Event()
threading.Thread(target=babble, daemon=True).start()
for _ in sys.stdin:
    fcntl.ioctl(slave, vhangup)
