# Debian packages that `make test` uses as peers and judges. Root, or sudo at hand.
set -e
missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
[ -x /usr/sbin/mosquitto ] || need mosquitto mosquitto
need mbpoll mbpoll
need socat socat
need openssl openssl
need spin spin
need cc gcc
printf '#include <stdlib.h>\n' | cc -E - >/dev/null 2>&1 || missing="$missing libc6-dev"
need systemd-notify systemd
/usr/bin/python3 -c 'import cryptography' 2>/dev/null || missing="$missing python3-cryptography"
/usr/bin/python3 -c 'import pymodbus.server, serial_asyncio' 2>/dev/null || missing="$missing python3-pymodbus python3-serial-asyncio"
[ -z "$missing" ] && exit 0
echo "installing Debian packages:$missing ..."
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# The broker is started by the tests themselves, never as a service.
printf '#!/bin/sh\nexit 101\n' > policy-rc.tmp && $as_root install -m 755 policy-rc.tmp /usr/sbin/policy-rc.d && rm policy-rc.tmp
$as_root apt-get install -y -qq --no-install-recommends $missing
$as_root rm -f /usr/sbin/policy-rc.d
