values <- c("CANARYVALUExxxxxxxxx", "CANARYVALUEyyyyyyyyy")

# The error of a lying server, which must hold no value and no token.
failing <- function(case, class, token = "SECRETTOKEN", ...) {
  velonym(liar(case), token, attempts = 2, pause = 0.001, ...)
  e <- expect_error(psn_pseudonymise(values), class = class)
  expect_s3_class(e, "velonym_error")
  shown <- paste(capture.output(print(e), str(unclass(e)), print(velonym:::session$service)), collapse = " ")
  expect_no_match(shown, "CANARY|SECRETTOKEN")
  e
}

times_asked <- function(case) sum(readLines(liars$log, warn = FALSE) == paste("asked", case, ""))

test_that("answers that are not what the contract says are refused", {
  for (case in c("fewer", "more", "number", "null", "foreign", "empty", "object", "other", "nothing", "text", "page", "echo")) {
    failing(case, "velonym_invalid_answer")
  }
  expect_match(conditionMessage(failing("page-2", "velonym_invalid_answer")), "page")
})

test_that("the same for answers in lines", {
  for (case in c("csvfewer", "csvnone", "csvempty", "csvbytes", "csvquote", "csvinner", "csvecho")) {
    failing(case, "velonym_invalid_answer")
  }
  velonym(liar("csvgood"), "SECRETTOKEN")
  expect_identical(psn_pseudonymise(values), c("two\nlines, \"quoted\"", "plain"))
})

test_that("a server that takes no lines gets JSON, and is not asked again", {
  velonym(liar("onlyjson"), "SECRETTOKEN")
  expect_identical(psn_pseudonymise(values), c("a", "b"))
  expect_identical(psn_pseudonymise(values), c("a", "b"))
  expect_identical(times_asked("onlyjson"), 3L)
})

test_that("statuses have their class", {
  expect_identical(failing("refused", "velonym_RETENTION_EXPIRED")$status, 403L)
  failing("unknown", "velonym_unexpected_status")
  expect_match(conditionMessage(failing("redirect", "velonym_unexpected_status")), "redirect")
  expect_match(conditionMessage(failing("proxy", "velonym_unexpected_status")), "given up after 2 attempts")
  failing("spent", "velonym_QUOTA_EXCEEDED")
  expect_identical(times_asked("spent"), 1L)
})

test_that("lost connections are repeated, unless that can spend a budget twice", {
  failing("cut", "velonym_connection_failed")
  expect_identical(times_asked("cut"), 2L)
  budget <- jwt('{"op":"pseudonymise","lim":{"max":9}}')
  e <- failing("cut-budget", "velonym_connection_failed", budget)
  expect_match(conditionMessage(e), "repeat_spends")
  expect_identical(times_asked("cut-budget"), 1L)
  failing("proxy-budget", "velonym_unexpected_status", budget)
  expect_identical(times_asked("proxy-budget"), 1L)
  failing("cut-spends", "velonym_connection_failed", budget, repeat_spends = TRUE)
  expect_identical(times_asked("cut-spends"), 2L)
  expect_match(conditionMessage(failing("stall", "velonym_connection_failed", budget, timeout = 0.3)), "in time")
})

test_that("a server that fails now and then is asked again", {
  velonym(liar("late"), "SECRETTOKEN", pause = 0.001)
  expect_identical(psn_pseudonymise(values), c("a", "b"))
  expect_identical(times_asked("late"), 3L)
})

test_that("an item that is refused is NA", {
  velonym(liar("item"), "SECRETTOKEN")
  expect_warning(done <- psn_pseudonymise(values), "VALUE_LENGTH")
  expect_identical(done, c("a", NA))
})

test_that("nobody there, no TLS", {
  velonym("http://127.0.0.1:9", "SECRETTOKEN", attempts = 2, pause = 0.001)
  expect_error(psn_pseudonymise("a"), "given up after 2 attempts: the server cannot be reached", class = "velonym_connection_failed")
  velonym(sub("http:", "https:", liar("fewer")), "SECRETTOKEN", pause = 0.001)
  expect_error(psn_pseudonymise("a"), "^TLS", class = "velonym_connection_failed")
})

test_that("nothing is half assigned", {
  velonym(liar("late-half"), "SECRETTOKEN", pause = 0.001)
  df <- data.frame(id = c("p", "q"), doctor = c("r", "\xff"))
  before <- df
  expect_error(psn_columns(df, c("id", "doctor")), 'column "doctor"', class = "velonym_UNPROCESSABLE_VALUES")
  expect_identical(df, before)
})

test_that("addresses and tokens are looked at", {
  for (url in c("", "ftp://x", "https://u:p@x", "https://x/?a=b", "psn.example.org")) {
    expect_error(velonym(url, "t"), "URL")
  }
  for (bad in list("", "a b", strrep("x", 9000), "two\nlines", NA_character_, NULL)) {
    expect_error(velonym("https://x", bad), "one line")
  }
  expect_warning(velonym("http://psn.example.org", "t"), "plain http")
  expect_identical(format(velonym("https://x/base/api/request-psn-rev/", "t\n")), "<velonym https://x/base>")
  rm("service", envir = velonym:::session)
  expect_error(psn_pseudonymise("a"), "call velonym")
})
