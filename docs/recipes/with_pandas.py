"""Pseudonymises a CSV file that is larger than memory with pandas, against a server."""

import os
from pathlib import Path

import pandas as pd
from velonym import Client

client = Client(os.environ["VELONYM_URL"], Path("token").read_text())
chunks = pd.read_csv("register.csv", dtype=str, keep_default_na=False, chunksize=500)
with open("pseudonymised.csv.part", "w", newline="") as out:
    for i, chunk in enumerate(chunks):
        client.frame(chunk, ["national_id", "referrer_id"]).to_csv(out, index=False, header=i == 0)
os.rename("pseudonymised.csv.part", "pseudonymised.csv")
