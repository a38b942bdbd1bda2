"""Pseudonymises a column in a lazy query of polars, with the command on this machine."""

from pathlib import Path

import polars as pl
from velonym import Local

local = Local(Path("token").read_text())
register = pl.scan_csv("register.csv", infer_schema=False)
visits = local.frame(register.select("national_id", "diagnosis", "visit_date"), ["national_id"])
visits.sort("national_id").collect().write_csv("visits.csv")
