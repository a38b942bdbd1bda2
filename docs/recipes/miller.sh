#!/usr/bin/env bash
# Selects rows and columns with Miller, pseudonymises, and sorts by pseudonym, in one pipe.
# pipefail makes the script fail if any part of the pipe fails; the output gets its name
# only then.
set -euo pipefail

mlr --csv filter 'is_not_empty($national_id)' then cut -o -f national_id,diagnosis,visit_date register.csv |
	velonym run --quiet --token-file token --column national_id |
	mlr --csv sort -f national_id > visits.csv.part
mv visits.csv.part visits.csv

# The same with qsv:
#   qsv select national_id,diagnosis,visit_date register.csv |
#     velonym run --quiet --token-file token --column national_id |
#     qsv sort --select national_id > visits.csv
