"""Debian's python3-cryptography as judge. Reads JSON [{text, key}] from stdin, prints the verdicts as JSON."""
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

task = json.load(sys.stdin)


def verdict(item):
    key = load_der_public_key(bytes.fromhex(item["key"]))
    header, rest = item["text"].split("|", 1)
    payload, signature = rest.rsplit("|", 1)
    try:
        key.verify(
            bytes.fromhex(json.loads(signature)["SD"]),
            payload.encode("latin-1"),
            ec.ECDSA(hashes.SHA256()),
        )
    except InvalidSignature:
        return False
    return header == "OCMF"


json.dump([verdict(item) for item in task], sys.stdout)
