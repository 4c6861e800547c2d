# Brings Node 24 along (npm package `node`) where the system's Node is older than 24.12.
set -e
mkdir -p .toolchain
here=.toolchain/none/none
if (. hardware/provisioning/find-node.sh) 2>/dev/null; then
  echo "Node $(node --version) serves"
else
  echo "the system has Node $(node --version 2>/dev/null || echo none): bringing Node 24 along ..."
  npm install --prefix .toolchain --no-save --no-progress --loglevel=error node@24.21.0
  echo "Node $(.toolchain/node_modules/.bin/node --version) in .toolchain"
fi
touch .toolchain/ready
