# Sets $node to a Node that runs the sources as they are: at least 24.12.
# Sourced by the launchers; $here is the folder of the launcher.
node=$here/../../.toolchain/node_modules/.bin/node
if [ ! -x "$node" ]; then
  node=$(command -v node) || { echo "no Node found: run 'make install' in the repository first" >&2; exit 69; }
  if ! "$node" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 24 || (a === 24 && b >= 12) ? 0 : 1)'; then
    echo "Node 24.12 or later is needed, found $("$node" --version) at $node: run 'make install' in the repository first" >&2
    exit 69
  fi
fi
