# The service that the other functions use when none is given: see velonym().
session <- new.env(parent = emptyenv())

velonym <- function(url, token, batch_values = 50000L, batch_bytes = 8 * 2^20, attempts = 10L, pause = 0.25,
                    timeout = 120, repeat_spends = FALSE) {
  base <- base_url(url)
  token <- checked_token(token)
  limits <- c(batch_values, batch_bytes, attempts, pause, timeout)
  if (!is.numeric(limits) || length(limits) != 5L || anyNA(limits) || any(limits[-4L] < 1e-3) || limits[[4L]] < 0) {
    stop("batch_values, batch_bytes, attempts, pause and timeout must be positive numbers", call. = FALSE)
  }
  claims <- read_claims(token)
  service <- new.env(parent = emptyenv())
  # A function keeps the token, so that no print and no str() shows it.
  service$token <- local({
    secret <- token
    function() secret
  })
  service$url <- base
  service$claims <- claims
  service$batch_values <- min(as.integer(batch_values), claims$values_per_request)
  service$batch_bytes <- batch_bytes
  service$attempts <- as.integer(attempts)
  service$pause <- pause
  service$timeout <- timeout
  service$repeat_spends <- isTRUE(repeat_spends)
  service$lines <- !claims$item # CSV has no place for the codes of values that have no result
  class(service) <- "velonym"
  session$service <- service
  invisible(service)
}

# The same server with another token, for a column that has its own.
with_token <- function(service, token) {
  other <- list2env(as.list.environment(service), parent = emptyenv())
  token <- checked_token(token)
  other$token <- local({
    secret <- token
    function() secret
  })
  other$claims <- read_claims(token)
  other$lines <- !other$claims$item
  other$batch_values <- min(other$batch_values, other$claims$values_per_request)
  class(other) <- "velonym"
  other
}

format.velonym <- function(x, ...) paste0("<velonym ", x$url, ">")

print.velonym <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  invisible(x)
}

used_service <- function(service) {
  if (is.null(service)) service <- session$service
  if (!inherits(service, "velonym")) {
    stop("no server: call velonym(url, token) first, or give its result as service", call. = FALSE)
  }
  service
}

base_url <- function(url) {
  if (!is.character(url) || length(url) != 1L || is.na(url) || !grepl("^https?://[^/?#@]+(/[^?#]*)?$", url)) {
    stop("the server's URL must be https://host with or without a path, and without name, password or query",
      call. = FALSE
    )
  }
  if (grepl("^http:", url) && !grepl("^http://(localhost|127\\.[0-9.]+|\\[::1\\])(:[0-9]+)?(/|$)", url)) {
    warning("the server is asked over plain http: token and values can be read on the way", call. = FALSE)
  }
  url <- sub("/+$", "", url)
  sub("/+$", "", sub("/api/request-psn(-rev)?$", "", url))
}

checked_token <- function(token) {
  if (is.character(token) && length(token) == 1L && !is.na(token)) {
    token <- sub("[\r\n]+$", "", token)
    if (grepl("^[!-~]{1,8192}$", token, perl = TRUE)) {
      return(token)
    }
  }
  stop("the token must be one line of at most 8 KiB, as velonym token create prints it: readLines(FILE)", call. = FALSE)
}

# What a token says of itself, read without verifying it; NULLs for a token that is no JWT.
read_claims <- function(token) {
  none <- list(operation = NULL, policy = NULL, values_per_request = .Machine$integer.max, budget = FALSE, item = FALSE)
  parts <- strsplit(token, ".", fixed = TRUE)[[1L]]
  if (length(parts) != 3L) {
    return(none)
  }
  psn <- tryCatch(
    jsonlite::fromJSON(rawToChar(jsonlite::base64url_dec(parts[[2L]])), simplifyVector = FALSE)[["psn"]],
    error = function(e) NULL
  )
  if (!is.list(psn)) {
    return(none)
  }
  most <- psn[["lim"]][["req"]]
  list(
    operation = psn[["op"]],
    policy = if (is.null(psn[["policy"]])) "same" else psn[["policy"]],
    values_per_request = if (is.numeric(most) && most > 0) as.integer(min(most, .Machine$integer.max)) else .Machine$integer.max,
    budget = isTRUE(psn[["lim"]][["max"]] > 0),
    item = identical(psn[["err"]], "item")
  )
}
