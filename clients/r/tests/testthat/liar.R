# A server whose answers are wrong, as the first part of the path says. An answer
# that counts its calls is in the log of the file that the tests read.

value <- "CANARYVALUE"
json <- function(status, body, header = "") {
  paste0("HTTP/1.1 ", status, " X\r\nContent-Length: ", nchar(body, "bytes"), "\r\n", header, "Connection: close\r\n\r\n", body)
}
lines <- function(body) json(200, body, "Content-Type: text/csv; charset=utf-8\r\n")
calls <- list()
answer <- function(case, in_lines) {
  calls[[case]] <<- n <- if (is.null(calls[[case]])) 1L else calls[[case]] + 1L
  switch(sub("-.*", "", case),
    fewer = json(200, '{"data":["a"]}'),
    more = json(200, '{"data":["a","b","c"]}'),
    number = json(200, '{"data":["a",7]}'),
    null = json(200, '{"data":["a",null]}'),
    foreign = json(200, '{"data":["a",null],"errors":[{"index":9,"code":"CANARYVALUE"}]}'),
    item = json(200, '{"data":["a",null],"errors":[{"index":1,"code":"VALUE_LENGTH"}],"error_count":1}'),
    empty = json(200, '{"data":["a",""]}'),
    object = json(200, '{"data":{"a":"CANARYVALUE"}}'),
    other = json(200, '["CANARYVALUE"]'),
    nothing = json(200, ""),
    text = json(200, value),
    page = json(200, paste("<html>", value)),
    echo = json(200, '{"data":["CANARYVALUExxxxxxxxx","CANARYVALUEyyyyyyyyy"]}'),
    proxy = json(502, paste("<html>Bad gateway", value)),
    refused = json(403, '{"code":"RETENTION_EXPIRED","detail":"CANARYVALUE"}'),
    unknown = json(400, '{"code":"CANARYVALUE"}'),
    spent = json(429, '{"code":"QUOTA_EXCEEDED"}'),
    redirect = json(302, "", "Location: http://127.0.0.1:9/CANARYVALUE\r\n"),
    cut = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data":["CANARYVALUE',
    late = if (n < 3L) json(if (n == 1L) 429 else 503, "", "Retry-After: 0\r\n") else json(200, '{"data":["a","b"]}'),
    onlyjson = if (in_lines) json(415, '{"code":"UNSUPPORTED_MEDIA_TYPE"}') else json(200, '{"data":["a","b"]}'),
    csvfewer = lines("CANARYVALUE!\n"),
    csvnone = lines(""),
    csvempty = lines("a\n\n"),
    csvbytes = lines("a\nb\xff\n"),
    csvquote = lines("a\n\"CANARYVALUE\n"),
    csvinner = lines("a\nCANARY\"VALUE\"\n"),
    csvecho = lines("CANARYVALUExxxxxxxxx\nCANARYVALUEyyyyyyyyy\n"),
    csvgood = lines("\"two\nlines, \"\"quoted\"\"\"\nplain"),
    stall = NULL
  )
}

for (port in sample(20000:60000, 50L)) {
  listener <- tryCatch(suppressWarnings(serverSocket(port)), error = function(e) NULL)
  if (!is.null(listener)) break
}
cat("listening at http://127.0.0.1:", port, " \n", sep = "")
ended <- Sys.time() + 300 # in case that nobody ends it
while (Sys.time() < ended) {
  con <- tryCatch(suppressWarnings(socketAccept(listener, blocking = TRUE, open = "r+b", timeout = 5)), error = function(e) NULL)
  if (is.null(con)) next
  try({
    head <- raw()
    while (!grepl("\r\n\r\n$", rawToChar(head))) {
      b <- readBin(con, "raw", 1L)
      if (!length(b)) stop("cut")
      head <- c(head, b)
    }
    head <- rawToChar(head)
    size <- as.integer(sub("(?is).*content-length: *([0-9]+).*", "\\1", head, perl = TRUE))
    if (grepl("expect: 100", head, ignore.case = TRUE)) writeBin(charToRaw("HTTP/1.1 100 Continue\r\n\r\n"), con)
    while (size > 0L) size <- size - length(readBin(con, "raw", size))
    case <- sub("^POST /([^/ ]+).*", "\\1", strsplit(head, "\r\n")[[1L]][[1L]])
    cat("asked", case, "\n")
    said <- answer(case, grepl("content-type: text/csv", head, ignore.case = TRUE))
    if (is.null(said)) Sys.sleep(2) else writeBin(charToRaw(said), con)
  }, silent = TRUE)
  close(con)
}
