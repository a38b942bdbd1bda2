problem_codes <- c(
  "BAD_REQUEST", "MISSING_TOKEN", "INVALID_TOKEN", "EXPIRED_TOKEN", "REVOKED_TOKEN", "FORBIDDEN_OPERATION",
  "UNKNOWN_DOMAIN", "RETENTION_EXPIRED", "NOT_FOUND", "METHOD_NOT_ALLOWED", "TIMEOUT", "TOO_LARGE",
  "HEADER_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "UNPROCESSABLE_VALUES", "QUOTA_EXCEEDED", "INTERNAL",
  "UNAVAILABLE", "OVERLOADED", "HTTP_VERSION_NOT_SUPPORTED"
)

value_codes <- c(
  "NOT_A_PSEUDONYM", "VALUE_NOT_TEXT", "VALUE_TOO_LONG", "VALUE_NOT_IN_ALPHABET", "VALUE_LENGTH", "VALUE_EMPTY",
  "NOT_A_STRING"
)

# A condition of class velonym_CODE. None holds a value, a token or a text that a server sent.
velonym_condition <- function(code, message, status = NULL, errors = NULL, error_count = 0L) {
  structure(
    class = c(paste0("velonym_", code), "velonym_error", "error", "condition"),
    list(
      message = message, call = NULL, code = code, status = status,
      errors = if (is.null(errors)) data.frame(index = integer(), code = character()) else errors,
      error_count = error_count
    )
  )
}

velonym_stop <- function(...) stop(velonym_condition(...))

invalid_answer <- function(...) velonym_stop("invalid_answer", paste0(...))

# Asks until there is an answer. Its kind is "done" (with data), "refused" (index and code of
# bad values) or "too large".
asked <- function(values, operation, service, whole) {
  lines <- if (service$lines) in_lines(values)
  body <- if (is.null(lines)) encoded(values) else lines
  if (length(body) > service$batch_bytes && length(values) > 1L && !whole) {
    return(list(kind = "too large"))
  }
  attempt <- 0L
  repeat {
    attempt <- attempt + 1L
    got <- post(body, if (is.null(lines)) json else csv, operation, service)
    wait <- 0
    if (!is.null(got$failure)) {
      error <- velonym_condition("connection_failed", got$failure)
      again <- !got$permanent
      unspent <- !got$sent
    } else {
      if (got$status == 200L) {
        return(list(kind = "done", data = results_in(got, values)))
      }
      if (got$status == 415L && !is.null(lines)) {
        service$lines <- FALSE
        return(asked(values, operation, service, whole))
      }
      answer <- parsed(got$body)
      code <- answer[["code"]]
      code <- if (is.character(code) && length(code) == 1L && code %in% problem_codes) code else NULL
      if (got$status == 422L && is.list(answer[["errors"]]) && length(answer[["errors"]])) {
        bad <- bad_values(answer, length(values))
        return(c(list(kind = "refused", status = 422L), bad))
      }
      error <- status_error(got, code)
      if (got$status == 413L || identical(code, "TOO_LARGE")) {
        return(list(kind = "too large", error = error))
      }
      limited <- got$status == 429L
      wait <- if (is.null(got$wait)) 0 else got$wait
      again <- limited && !(identical(code, "QUOTA_EXCEEDED") && is.null(got$wait)) || got$status %in% 502:504
      unspent <- limited
    }
    if (again && !unspent && service$claims$budget && !service$repeat_spends) {
      error$message <- paste0(
        error$message, "; it is not repeated, since the values may have been counted and the token has a ",
        "budget: velonym(repeat_spends = TRUE) repeats all the same"
      )
      again <- FALSE
    }
    if (!again) stop(error)
    if (attempt >= service$attempts) {
      error$message <- paste0("given up after ", attempt, " attempts: ", error$message)
      stop(error)
    }
    pause <- min(service$pause * 2^min(attempt - 1L, 16L), 30)
    Sys.sleep(max(stats::runif(1L, pause / 2, pause), min(wait, 120)))
  }
}

json <- "application/json"
csv <- "text/csv"

# One value stays an array: jsonlite leaves vectors alone when it is not told to unbox them.
encoded <- function(values) {
  charToRaw(enc2utf8(as.character(jsonlite::toJSON(list(data = values), auto_unbox = FALSE))))
}

post <- function(body, type, operation, service) {
  path <- if (operation == "reverse") "/api/request-psn-rev" else "/api/request-psn"
  accept <- if (type == csv) paste0(csv, ", ", json, ";q=0.5") else json
  request <- httr2::request(paste0(service$url, path))
  request <- httr2::req_headers(request, Authorization = paste("Bearer", service$token()), Accept = accept)
  request <- httr2::req_body_raw(request, body, type = type)
  request <- httr2::req_options(request, followlocation = FALSE, accept_encoding = "identity")
  request <- httr2::req_timeout(request, service$timeout)
  request <- httr2::req_error(request, is_error = function(response) FALSE)
  # The library's errors hold the request, and can hold what a server sent.
  response <- tryCatch(httr2::req_perform(request), error = function(e) failure_of(e))
  if (!inherits(response, "httr2_response")) {
    return(response)
  }
  list(
    status = httr2::resp_status(response), body = response$body,
    csv = grepl("^text/csv *(;|$)", paste0(httr2::resp_header(response, "Content-Type"), ""), ignore.case = TRUE),
    wait = retry_after(httr2::resp_header(response, "Retry-After"))
  )
}

failure_of <- function(e) {
  text <- conditionMessage(e)
  if (inherits(e$parent, "condition")) text <- paste(text, conditionMessage(e$parent))
  has <- function(pattern) grepl(pattern, text, ignore.case = TRUE)
  failed <- function(failure, sent, permanent = FALSE) list(failure = failure, sent = sent, permanent = permanent)
  if (has("ssl|tls|certificate")) {
    return(failed("TLS: the server's certificate is not trusted, or it speaks no TLS", FALSE, TRUE))
  }
  if (has("could ?n[o']t (resolve|connect)|failed to connect|connection refused|no route to host")) {
    return(failed("the server cannot be reached", FALSE))
  }
  if (has("timed? ?out|timeout")) {
    return(failed("no answer in time", TRUE))
  }
  failed("the connection was closed before the answer was complete, or the answer is not HTTP", TRUE)
}

retry_after <- function(text) {
  if (is.null(text)) {
    return(NULL)
  }
  if (grepl("^[0-9]{1,9}$", text)) {
    return(as.numeric(text))
  }
  months <- match(substr(text, 9L, 11L), month.abb) # month names of the locale may be others
  at <- as.POSIXct(paste0(substr(text, 13L, 16L), "-", months, "-", substr(text, 6L, 7L), " ", substr(text, 18L, 25L)),
    tz = "GMT", format = "%Y-%m-%d %H:%M:%S"
  )
  if (is.na(at)) NULL else max(0, as.numeric(difftime(at, Sys.time(), units = "secs")))
}

status_error <- function(got, code) {
  hint <- ""
  if (got$status >= 300L && got$status < 400L) {
    hint <- ": a redirect, which is not followed: give the address that it leads to"
  } else if (got$status %in% c(404L, 405L)) {
    hint <- ": is the URL that of the server, with its base path?"
  } else if (identical(code, "QUOTA_EXCEEDED") && is.null(got$wait)) {
    hint <- ": the token's budget is spent: have another token made"
  } else if (identical(code, "FORBIDDEN_OPERATION")) {
    hint <- ": the token is for another operation"
  }
  text <- paste0("the server answered ", got$status, if (!is.null(code)) paste0(" ", code), hint)
  velonym_condition(if (is.null(code)) "unexpected_status" else code, text, status = got$status)
}

# The JSON of a body, or NULL: the parser's error would hold the body.
parsed <- function(body) {
  if (!length(body) || any(body == 0L)) {
    return(NULL)
  }
  text <- rawToChar(body)
  Encoding(text) <- "UTF-8"
  answer <- if (validUTF8(text)) {
    tryCatch(jsonlite::fromJSON(text, simplifyVector = FALSE), error = function(e) NULL)
  }
  if (is.list(answer) && !is.null(names(answer))) answer else NULL
}

bad_values <- function(answer, n) {
  index <- code <- NULL
  for (item in answer[["errors"]]) {
    i <- if (is.list(item)) item[["index"]]
    if (!is.numeric(i) || length(i) != 1L || i < 0 || i >= n || i != trunc(i)) {
      invalid_answer("the answer refuses a value that was not sent")
    }
    named <- item[["code"]]
    known <- is.character(named) && length(named) == 1L && named %in% value_codes
    index <- c(index, as.integer(i) + 1L)
    code <- c(code, if (known) named else "NOT_A_PSEUDONYM")
  }
  count <- answer[["error_count"]]
  list(index = index, code = code, count = if (is.numeric(count) && length(count) == 1L) min(count, n) else length(index))
}

# The results in an answer of status 200, once they are what the contract says.
results_in <- function(got, values) {
  data <- if (got$csv) csv_results(got$body) else json_results(got$body, values)
  if (length(data) != length(values)) {
    invalid_answer(length(data), " results came back for ", length(values), " values")
  }
  if (!all(nzchar(data)) && any(grepl("[^[:space:]]", values[!nzchar(data)]))) {
    invalid_answer("an empty result came back for a value")
  }
  # Short values of a small alphabet may by chance be their own pseudonyms.
  if (identical(data, values) && sum(nchar(values, "bytes")) >= 24L) {
    invalid_answer("the values came back as they were sent")
  }
  data
}

json_results <- function(body, values) {
  answer <- parsed(body)
  if (is.null(answer)) {
    if (length(body) && grepl("^[[:space:]]*<", rawToChar(utils::head(body[body != 0L], 64L)), useBytes = TRUE)) {
      invalid_answer("the answer is a page (HTML or XML): is the URL that of the server, and is there no proxy that asks for a login?")
    }
    invalid_answer("the answer is not the JSON that the contract says")
  }
  data <- answer[["data"]]
  if (!is.list(data) || !is.null(names(data))) invalid_answer("the answer has no array named data")
  if (length(data) != length(values)) {
    invalid_answer(length(data), " results came back for ", length(values), " values")
  }
  null <- vapply(data, is.null, TRUE)
  if (any(null)) {
    bad <- if (is.list(answer[["errors"]])) bad_values(answer, length(values))
    if (is.null(bad$index) || !all(null[bad$index]) || bad$count != sum(null)) {
      invalid_answer("the answer has nulls that it gives no reason for")
    }
    warning(sum(null), " values have no result: ", paste(unique(bad$code), collapse = ", "), call. = FALSE)
    data[null] <- NA_character_
  }
  if (!all(vapply(data, is.character, TRUE) & lengths(data) == 1L)) {
    invalid_answer("the answer has results that are no strings")
  }
  as.character(unlist(data))
}
