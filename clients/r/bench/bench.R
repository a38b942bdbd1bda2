# Rscript bench.R URL ROWS ROUNDS: what the package does in a second, over HTTP; the token is in
# VELONYM_TOKEN. clients/python/bench/bench.py --r Rscript starts it with a server.
library(velonym)
args <- commandArgs(TRUE)
rows <- as.integer(args[[2]])
rounds <- as.integer(args[[3]])
velonym(args[[1]], Sys.getenv("VELONYM_TOKEN"))
set.seed(1)
ids <- sprintf("%.0f", 1e12 + floor(runif(rows) * 9e12))
df <- data.frame(id = ids, n = seq_len(rows))
rates <- vapply(seq_len(rounds), function(i) rows / system.time(psn_columns(df, "id"))[["elapsed"]], 1)
cat(sprintf("%-28s %7.2f M/s (%d rows, median of %d)\n", "R data frame, HTTP", stats::median(rates) / 1e6, rows, rounds))
