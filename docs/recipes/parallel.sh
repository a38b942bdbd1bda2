#!/usr/bin/env bash
# Pseudonymises one large file in eight shares with GNU parallel. velonym cuts the shares
# at row ends; their outputs in order are the output of the whole file. On several machines
# with the same keystore, run other shares there (parallel --sshlogin).
set -euo pipefail

parallel --halt now,fail=1 \
	velonym run --quiet --workers 1 --force --part {}/8 --token-file token --column national_id -o share.{}.csv register.csv \
	::: 1 2 3 4 5 6 7 8
cat share.{1..8}.csv > pseudonymised.csv
rm share.{1..8}.csv
