psn_pseudonymise <- function(x, service = NULL, numbers = c("refuse", "text")) {
  replaced(x, "pseudonymise", used_service(service), match.arg(numbers), "x")
}

psn_secondary <- function(x, service = NULL) replaced(x, "secondary", used_service(service), "refuse", "x")

psn_reverse <- function(x, service = NULL) replaced(x, "reverse", used_service(service), "refuse", "x")

psn_columns <- function(df, columns, service = NULL, operation = NULL, numbers = c("refuse", "text")) {
  numbers <- match.arg(numbers)
  service <- used_service(service)
  if (!is.data.frame(df)) stop("df must be a data frame", call. = FALSE)
  columns <- unlist(columns)
  if (!is.character(columns) || !length(columns) || anyNA(columns)) {
    stop('name the columns: c("id", "doctor"), or c(id = token, doctor = other_token)', call. = FALSE)
  }
  named <- if (is.null(names(columns))) columns else names(columns)
  for (name in named) {
    many <- sum(names(df) == name)
    if (many == 0L) {
      stop("no column ", dQuote(name, FALSE), ": there are ", paste(dQuote(names(df), FALSE), collapse = ", "), call. = FALSE)
    }
    if (many > 1L || sum(named == name) > 1L) {
      stop("the column ", dQuote(name, FALSE), " is there, or named, more than once", call. = FALSE)
    }
  }
  # All columns are made before one is put into the frame.
  done <- lapply(seq_along(named), function(i) {
    way <- if (is.null(names(columns))) service else with_token(service, columns[[i]])
    op <- if (!is.null(operation)) operation else if (!is.null(way$claims$operation)) way$claims$operation else "pseudonymise"
    replaced(df[[named[[i]]]], op, way, numbers, paste("column", dQuote(named[[i]], FALSE)))
  })
  for (i in seq_along(named)) df[[named[[i]]]] <- done[[i]]
  df
}

# A vector with results in the place of its values. NA is never sent and stays. where names
# the vector in errors.
replaced <- function(x, operation, service, numbers, where) {
  operation <- match.arg(operation, c("pseudonymise", "reverse", "secondary"))
  if (is.factor(x)) {
    # A level that no value has is dropped: it is an identifier in clear.
    x <- droplevels(x)
    if (!repeats_are_equal(service, operation)) {
      return(factor(replaced(as.character(x), operation, service, numbers, where)))
    }
    made <- results_of(texts_of(levels(x), numbers, where), operation, service, function(i) which(as.integer(x) == i), where)
    levels(x) <- made # equal ones become one
    return(x)
  }
  texts <- texts_of(x, numbers, where)
  there <- which(!is.na(texts) & nzchar(texts))
  values <- if (length(there) == length(texts)) texts else texts[there]
  if (worth_folding(values, operation, service)) {
    given <- values
    values <- unique(given)
    code <- match(given, values)
    made <- results_of(values, operation, service, function(i) there[code == i], where)[code]
  } else {
    made <- results_of(values, operation, service, function(i) there[[i]], where)
  }
  if (length(there) == length(texts)) texts <- made else texts[there] <- made
  if (is.character(x)) x[] <- texts else x <- texts # names and other attributes stay
  x
}

# Whether equal values are sent once: always where each is counted, else where a look at the
# first ones says that it saves work.
worth_folding <- function(values, operation, service) {
  if (!repeats_are_equal(service, operation)) {
    return(FALSE)
  }
  some <- utils::head(values, 10000L)
  service$claims$budget || length(values) == length(some) || 2L * length(unique(some)) < length(some)
}

texts_of <- function(x, numbers, where) {
  if (is.character(x)) {
    texts <- as.vector(x)
    # Texts of the locale are UTF-8 but in a Latin-1 locale: in the C locale enc2utf8 would spell
    # their bytes out, <ff>, which is another text. ASCII needs no marks, which take their time.
    if (!isTRUE(l10n_info()[["Latin-1"]]) && any(writeBin(texts, raw(), useBytes = TRUE) >= as.raw(0x80L))) {
      native <- Encoding(texts) == "unknown"
      Encoding(texts[native]) <- "UTF-8"
    }
    return(enc2utf8(texts))
  }
  if (is.logical(x) && all(is.na(x))) {
    return(rep(NA_character_, length(x)))
  }
  whole <- is.numeric(x) && is.null(attr(x, "class")) && all(is.na(x) | (is.finite(x) & x == trunc(x) & abs(x) <= 2^53))
  if (!whole) {
    stop(where, " is of class ", class(x)[[1L]], ": identifiers are texts; convert it with as.character()", call. = FALSE)
  }
  if (numbers != "text") {
    stop(where, ' holds whole numbers: numbers = "text" transforms their decimal text, and a reverse then gives texts back',
      call. = FALSE
    )
  }
  text <- format(as.vector(x), scientific = FALSE, trim = TRUE, digits = 17)
  text[is.na(x)] <- NA
  text
}

repeats_are_equal <- function(service, operation) {
  policy <- service$claims$policy
  !is.null(policy) && (operation == "reverse" || policy == "same")
}

counts_occurrences <- function(service, operation) {
  operation != "reverse" && identical(service$claims$policy, "document")
}

# The results of values that are not missing; positions(i) says where value i stands in what
# the caller gave.
results_of <- function(values, operation, service, positions, where) {
  broken <- which(!validUTF8(values))
  if (length(broken)) refuse_values(broken, "VALUE_NOT_TEXT", length(broken), positions, where, NULL)
  n <- length(values)
  whole <- counts_occurrences(service, operation)
  if (whole && n > service$claims$values_per_request) refuse_division(n)
  made <- character(n)
  at <- 0L
  while (at < n) {
    size <- if (whole) n else min(service$batch_values, n - at)
    part <- at + seq_len(size)
    answer <- asked(values[part], operation, service, whole)
    if (answer$kind == "too large") {
      if (size == 1L) stop(answer$error)
      if (whole) refuse_division(n)
      service$batch_values <- max(1L, size %/% 2L) # remembered for later calls
      next
    }
    if (answer$kind == "refused") {
      refuse_values(at + answer$index, answer$code, answer$count, positions, where, answer$status)
    }
    made[part] <- answer$data
    at <- at + size
  }
  made
}

refuse_division <- function(n) {
  velonym_stop("TOO_LARGE", paste(
    n, "values are one document (policy document) and too many for one request:",
    "give each document a call of its own, or use the command, which takes a file"
  ))
}

refuse_values <- function(index, code, count, positions, where, status) {
  errors <- do.call(rbind, Map(function(i, code) {
    at <- positions(i)
    data.frame(index = at, code = rep(code, length(at)))
  }, index, code))
  errors <- errors[order(errors$index), , drop = FALSE]
  rownames(errors) <- NULL
  count <- max(count, nrow(errors))
  first <- utils::head(errors, 5L)
  velonym_stop("UNPROCESSABLE_VALUES",
    paste0(
      where, ": ", count, " of the values cannot be transformed: ",
      paste(first$code, "at", first$index, collapse = ", "), if (count > 5L) ", ..."
    ),
    status = status, errors = errors, error_count = count
  )
}
