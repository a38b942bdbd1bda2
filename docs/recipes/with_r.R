# Pseudonymises two columns of a data frame, against a server.
library(velonym)

velonym(Sys.getenv("VELONYM_URL"), readLines("token"))
register <- read.csv("register.csv", colClasses = "character", check.names = FALSE)
register <- psn_columns(register, c("national_id", "referrer_id"))
write.csv(register, "pseudonymised.csv", row.names = FALSE)
