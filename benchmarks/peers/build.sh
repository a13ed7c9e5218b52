#!/usr/bin/env bash
# Builds the programs that the engine is measured against (llama-server, llama-bench, llama-batched-bench) from the
# llama.cpp source that the node-llama-cpp package carries. They load the CPU kernels of the installed platform package,
# the same that Inkstone loads, so that a measured difference is the scheduler's and never the compiler's.
#
#   benchmarks/peers/build.sh [PLATFORM]        PLATFORM: default linux-x64
#
# The programs come to $INKSTONE_PEERS_DIR/bin (default: ~/.cache/inkstone/peers), after about ten minutes on two cores.
# A second call finds the work done. Needs node, npm, git, cmake, ninja and a C++ compiler.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
platform=${1:-linux-x64}
peers=${INKSTONE_PEERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/inkstone/peers}
package=@node-llama-cpp/$platform
kernels=$root/node_modules/$package/bins/$platform

version=$(node -p "require('$root/package.json').optionalDependencies['$package'] ?? ''")
[[ -n $version ]] || { echo "package.json pins no $package" >&2; exit 2; }
[[ -d $kernels ]] || { echo "$kernels is missing: run npm install first" >&2; exit 2; }
for program in npm git cmake ninja c++; do
  command -v "$program" >/dev/null || { echo "$program is needed and was not found" >&2; exit 3; }
done

mkdir -p "$peers"
peers=$(cd "$peers" && pwd)
if [[ -f $peers/built-$version ]]; then
  echo "$peers/bin: already built from node-llama-cpp $version"
  exit 0
fi

# source of another version must not be mixed in
rm -rf "$peers/src" "$peers/build" "$peers/package" "$peers"/built-*
(cd "$peers" && npm pack --silent "node-llama-cpp@$version" >/dev/null && tar -xzf "node-llama-cpp-$version.tgz")
git clone --quiet "$peers/package/llama/gitRelease.bundle" "$peers/src"
cmake -S "$peers/src" -B "$peers/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON -DGGML_NATIVE=OFF \
  -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
ninja -C "$peers/build" llama-server llama-bench llama-batched-bench

# the package's backends, one for each microarchitecture, instead of the build's baseline one
rm -f "$peers/build/bin/libggml-cpu.so"
cp "$kernels"/libggml-cpu-*.so "$peers/build/bin/"
ln -sfn build/bin "$peers/bin"
touch "$peers/built-$version"
echo "$peers/bin: built from node-llama-cpp $version"
