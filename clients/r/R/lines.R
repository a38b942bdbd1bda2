# Values as lines of CSV, one a line: the quickest way into and out of a character vector.

line_end <- as.raw(10L)

# The body of a request, or NULL where lines cannot carry one of the values: an empty one, or a
# CR, which readers of CSV do not agree on.
in_lines <- function(values) {
  values <- enc2utf8(values)
  body <- writeBin(values, raw(), useBytes = TRUE) # a NUL behind each, and none within; no translation to the locale
  several <- any(body == line_end)
  body[body == as.raw(0L)] <- line_end
  text <- rawToChar(body)
  has <- function(s) grepl(s, text, fixed = TRUE, useBytes = TRUE)
  if (has("\r") || !all(nzchar(values))) {
    return(NULL)
  }
  if (several || has("\"") || has(",")) {
    quoted <- grepl("[\",\n]", values, perl = TRUE, useBytes = TRUE)
    values[quoted] <- paste0("\"", gsub("\"", "\"\"", values[quoted], fixed = TRUE), "\"")
    body <- writeBin(enc2utf8(values), raw(), useBytes = TRUE)
    body[body == as.raw(0L)] <- line_end
  }
  # At the start of a file these are no value: a byte order mark, and what names the separator.
  if (length(body) >= 3L && identical(body[1:3], as.raw(c(0xef, 0xbb, 0xbf))) || startsWith(values[[1L]], "sep=")) {
    return(NULL)
  }
  body
}

# The fields in an answer of lines.
csv_results <- function(body) {
  if (!length(body)) {
    return(character())
  }
  text <- if (!any(body == 0L)) rawToChar(body)
  if (is.null(text) || !validUTF8(text)) invalid_answer("the answer is not the CSV that the contract says")
  ends <- body == line_end
  n <- sum(ends) + !ends[[length(ends)]]
  body[ends] <- as.raw(0L)
  fields <- readBin(if (n > sum(ends)) c(body, as.raw(0L)) else body, "character", n)
  if (grepl("\"", text, fixed = TRUE, useBytes = TRUE)) fields <- unquoted(fields)
  if (any(body >= as.raw(0x80L))) Encoding(fields) <- "UTF-8"
  fields
}

# Fields without their quotes, given the lines: a field within quotes may go over several.
unquoted <- function(lines) {
  Encoding(lines) <- "bytes"
  quotes <- nchar(lines, "bytes") - nchar(gsub("\"", "", lines, fixed = TRUE, useBytes = TRUE), "bytes")
  open <- cumsum(quotes) %% 2L == 1L
  if (any(open)) {
    field <- cumsum(c(TRUE, !open[-length(open)]))
    single <- tabulate(field)[field] == 1L
    joined <- vapply(split(lines[!single], field[!single]), paste, "", collapse = "\n")
    first <- !duplicated(field)
    whole <- lines[first]
    whole[!single[first]] <- joined
    lines <- whole
  }
  quoted <- grepl("^\"", lines, useBytes = TRUE)
  if (any(!grepl("..*\"$", lines[quoted], useBytes = TRUE)) ||
    any(grepl("\"", lines[!quoted], fixed = TRUE, useBytes = TRUE))) {
    invalid_answer("the answer is not the CSV that the contract says: a quote is out of place")
  }
  inner <- substring(lines[quoted], 2L, nchar(lines[quoted], "bytes") - 1L)
  lines[quoted] <- gsub("\"\"", "\"", inner, fixed = TRUE, useBytes = TRUE)
  lines
}
