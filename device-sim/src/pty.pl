# Opens a pseudo-terminal and carries bytes between it and stdin/stdout.
# Node cannot issue the ioctls that this takes, and whoever has git has perl.
# Usage: pty.pl BAUD PARODD, the speed that the port has until a client sets another, and the bait (below).
# stdout: the device's path and a newline, then messages: a letter, the payload's length in 16 bits, the payload.
#   'S': how the client has set the port: c_iflag, c_cflag and speed in 32 bits each.
#   'D': bytes that the client wrote, after the moment at which they were here.
# stdin: bytes for the client: the moment at which they are to be there (0: at once), the length in 16 bits, the bytes.
# Moments are seconds of CLOCK_MONOTONIC, as doubles: the wires' pace is kept here, next to the wires, so that it does not
# depend on when other processes wake up.
# Ends when stdin ends, which also happens when the parent dies in whatever way.
use strict;
use warnings;
use Fcntl qw(O_RDWR O_NOCTTY O_NONBLOCK);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

# asm-generic/ioctls.h, asm-generic/termbits.h
use constant {
    TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430, TCGETS2 => 0x802C542A, TCSETS2 => 0x402C542B,
    CS8 => 0060, CREAD => 0200, PARODD => 01000, CLOCAL => 04000, CMSPAR => 010000000000, CBAUD => 010017,
    ECHOE => 020, ECHONL => 0100,
};
# The codes of the usual speeds; BOTHER stands for any other.
my %speed_code = (
    300 => 7, 600 => 010, 1200 => 011, 1800 => 012, 2400 => 013, 4800 => 014, 9600 => 015, 19200 => 016, 38400 => 017,
    57600 => 010001, 115200 => 010002, 230400 => 010003, 460800 => 010004, 500000 => 010005, 576000 => 010006,
    921600 => 010007,
);
use constant BOTHER => 010000;
# struct termios2: four flags, the line discipline, 19 characters, two speeds.
use constant TERMIOS2 => 'L4 C a19 L2';

my ($baud, $bait) = @ARGV;

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

# A pty forgets PARENB at once, so parity must be guessed from what else a client does to the flags: those that want
# even parity clear PARODD, those that want none leave it or clear CMSPAR with it. Both are laid out as bait, and two
# echo flags that mean nothing in raw mode, so that every set-up changes something, also one that repeats the last.
sub lay_bait {
    my @termios = @_;
    $termios[2] |= CMSPAR;
    $termios[2] = $bait ? $termios[2] | PARODD : $termios[2] & ~PARODD;
    $termios[3] |= ECHOE | ECHONL;
    my $packed = pack(TERMIOS2, @termios);
    ioctl($device, TCSETS2, $packed) or die "$path: $!\n";
    return get_termios();
}

sub get_termios {
    my $termios = '';
    ioctl($device, TCGETS2, $termios) or die "$path: $!\n";
    # Perl hands over more bytes than the kernel fills.
    return substr($termios, 0, 44);
}

my $code = $speed_code{$baud} // BOTHER;
my $baited = lay_bait(0, 0, CS8 | CREAD | CLOCAL | $code, 0, 0, "\0" x 5 . "\0\1", $baud, $baud);
my $seen = $baited;

sub say_message { syswrite STDOUT, pack('A n/a*', @_) }

# Tells what a client has changed. The bait is laid again once the client is done with its set-up, or it would be
# overwritten half-way: at once when it writes ('done'), when nothing has changed for a while ('quiet'), or not now.
sub watch_settings {
    my ($client) = @_;
    my $now = get_termios();
    return if $now eq $baited;
    my @termios = unpack(TERMIOS2, $now);
    say_message('S', pack('N3', @termios[0, 2, -1])) if $now ne $seen;
    my $is_done = $client eq 'done' || ($client eq 'quiet' && $now eq $seen);
    $seen = $now;
    $seen = $baited = lay_bait(@termios) if $is_done;
}

syswrite STDOUT, "$path\n";

# select() wakes up a little late: the last stretch is spent awake.
use constant { QUIET => 0.1, AWAKE => 0.0002 };
my ($orders, @due) = ('');

sub now { clock_gettime(CLOCK_MONOTONIC) }

sub take_orders {
    while (length $orders >= 10) {
        my ($moment, $length) = unpack('d> n', $orders);
        last if length $orders < 10 + $length;
        push @due, [$moment, substr($orders, 10, $length)];
        $orders = substr($orders, 10 + $length);
    }
}

sub send_due {
    while (@due && $due[0][0] <= now()) {
        watch_settings('busy');
        # What a peer does not take in time is lost, as on a real line.
        syswrite $master, (shift @due)->[1];
    }
}

while (1) {
    send_due();
    my $rest = @due ? $due[0][0] - now() - AWAKE : QUIET;
    my $patience = $rest < 0 ? 0 : $rest < QUIET ? $rest : QUIET;
    my $waiting = '';
    vec($waiting, fileno STDIN, 1) = 1;
    vec($waiting, fileno $master, 1) = 1;
    my $ready = select($waiting, undef, undef, $patience);
    next if $ready < 0;
    if ($ready == 0) {
        watch_settings('quiet') unless @due;
        next;
    }
    if (vec($waiting, fileno $master, 1)) {
        my $moment = now();
        my $count = sysread($master, my $bytes, 4096);
        if ($count) {
            watch_settings('done');
            say_message('D', pack('d>', $moment) . $bytes);
        }
    }
    if (vec($waiting, fileno STDIN, 1)) {
        my $count = sysread(STDIN, $orders, 4096, length $orders);
        exit 0 unless $count;
        take_orders();
    }
}
