# Pseudonymises all Parquet files of the folder register:
#
#   make -j4 -f parquet.mk
#
# A file gets its name only when it is complete, so an interrupted make continues with the
# missing files. --workers 1 leaves the parallel work to make.

inputs  := $(wildcard register/*.parquet)
outputs := $(inputs:register/%=pseudonymised/%)

all: $(outputs)

pseudonymised/%.parquet: register/%.parquet token | pseudonymised
	velonym run --quiet --workers 1 --force --token-file token --column national_id -o $@ $<

pseudonymised:
	mkdir -p $@

.PHONY: all
