# Opens a pseudo-terminal and carries bytes between it and stdin/stdout.
# Node cannot issue the ioctls that this takes, and perl-base is on every Debian.
# The first line on stdout is the device's path; everything after it is what the peer sent.
# Ends when stdin ends, which also happens when the parent process dies in whatever way.
use strict;
use warnings;
use Fcntl qw(O_RDWR O_NOCTTY O_NONBLOCK);
use POSIX ();

# asm-generic/ioctls.h
use constant { TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430 };

# Ctrl-C reaches the whole process group; the parent decides when this ends.
$SIG{INT} = 'IGNORE';

sysopen(my $master, '/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK) or die "/dev/ptmx: $!\n";
my $unlocked = pack('i', 0);
ioctl($master, TIOCSPTLCK, $unlocked) or die "unlock: $!\n";
my $number = pack('i', 0);
ioctl($master, TIOCGPTN, $number) or die "number: $!\n";
my $path = '/dev/pts/' . unpack('i', $number);

# Held open for ever: without it the master reads an error whenever the peer closes the port.
sysopen(my $device, $path, O_RDWR | O_NOCTTY) or die "$path: $!\n";
my $termios = POSIX::Termios->new;
$termios->getattr(fileno $device);
$termios->setiflag(0);
$termios->setoflag(0);
$termios->setlflag(0);
$termios->setcflag(POSIX::CS8() | POSIX::CREAD() | POSIX::CLOCAL());
$termios->setispeed(POSIX::B9600());
$termios->setospeed(POSIX::B9600());
$termios->setcc(POSIX::VMIN(), 1);
$termios->setcc(POSIX::VTIME(), 0);
$termios->setattr(fileno $device, POSIX::TCSANOW()) or die "$path: raw mode: $!\n";

syswrite STDOUT, "$path\n";

while (1) {
    my $waiting = '';
    vec($waiting, fileno STDIN, 1) = 1;
    vec($waiting, fileno $master, 1) = 1;
    next if select($waiting, undef, undef, undef) < 0;
    if (vec($waiting, fileno $master, 1)) {
        my $count = sysread($master, my $bytes, 4096);
        syswrite STDOUT, $bytes if $count;
    }
    if (vec($waiting, fileno STDIN, 1)) {
        my $count = sysread(STDIN, my $bytes, 4096);
        exit 0 unless $count;
        # What a peer does not take in time is lost, as on a real line.
        syswrite $master, $bytes;
    }
}
