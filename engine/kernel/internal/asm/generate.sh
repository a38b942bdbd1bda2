#!/bin/bash
# Writes the assembly of engine/kernel anew: every folder here is one generator,
# and its gen.sh says which files it makes.
set -euo pipefail
cd "$(dirname "$0")"
for g in */gen.sh; do
	(cd "$(dirname "$g")" && bash gen.sh)
done
