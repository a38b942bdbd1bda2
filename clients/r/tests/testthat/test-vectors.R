ids <- c("1973080520045", "", "\u9ad8\u6a4b", "1973080520045", ' "quoted", \\ ', NA, "\u03a0\u03b1\u03c0")

test_that("vectors keep names, order, NA and empty texts, and come back", {
  rig <- real()
  velonym(rig$url, rig$forward)
  x <- setNames(ids, letters[1:7])
  done <- psn_pseudonymise(x)
  expect_named(done, letters[1:7])
  expect_identical(is.na(done), is.na(x))
  expect_identical(done[["b"]], "")
  expect_identical(done[["a"]], done[["d"]])
  expect_identical(length(unique(done)), 6L)
  expect_false(any(done[c(1, 3, 5, 7)] %in% ids))
  back <- velonym(rig$url, rig$back)
  expect_identical(psn_reverse(done), x)
  expect_identical(psn_reverse(done, service = back), x)
  service <- velonym(rig$url, rig$forward, batch_values = 2)
  expect_identical(psn_pseudonymise(x), done)
  expect_identical(psn_pseudonymise(x, velonym(rig$url, rig$forward, batch_bytes = 20)), done)
  expect_identical(psn_pseudonymise(character()), character())
  expect_identical(psn_pseudonymise(NA_character_), NA_character_)
  expect_identical(psn_pseudonymise(c(NA, NA)), c(NA_character_, NA_character_))
})

test_that("values of every kind go through lines and come back", {
  rig <- real()
  forward <- velonym(rig$url, token("tagged", "pseudonymise"))
  back <- velonym(rig$url, token("tagged", "reverse"))
  odd <- c("a,b", "\"", "\"\"", "two\nlines", "\n", "end\n", " spaces ", "sep=;", "\ufeffmark", "\r\n", "\u9ad8\u6a4b", "'", "\t", "NA", "#")
  done <- psn_pseudonymise(odd, forward)
  expect_identical(psn_reverse(done, back), odd)
  one <- vapply(odd, function(v) psn_pseudonymise(v, forward), "", USE.NAMES = FALSE)
  expect_identical(done, one)
  forward$lines <- FALSE # as JSON
  expect_identical(psn_pseudonymise(odd, forward), done)
})

test_that("long vectors are cut, and folded where that saves work", {
  rig <- real()
  velonym(rig$url, rig$forward, batch_values = 7000)
  different <- c(sprintf("%013d", 1:24000), NA, "1")
  repeated <- rep(sprintf("doctor %d", 1:50), 500)
  for (x in list(different, repeated)) {
    done <- psn_pseudonymise(x)
    expect_identical(is.na(done), is.na(x))
    expect_identical(done[c(1, 20001)], psn_pseudonymise(x[c(1, 20001)]))
    expect_identical(psn_reverse(done, velonym(rig$url, rig$back)), x)
    velonym(rig$url, rig$forward)
  }
})

test_that("one value is an array too, and gets what the command gives it", {
  rig <- real()
  velonym(rig$url, rig$forward)
  out <- system(paste(
    "printf 'id\\n1973080520045\\n' | VELONYM_TOKEN=", rig$forward, " ",
    shQuote(Sys.getenv("VELONYM_BINARY")), " run --column id --header --quiet", sep = ""
  ), intern = TRUE)
  expect_identical(psn_pseudonymise("1973080520045"), out[[2L]])
})

test_that("factors lose the levels that no value has", {
  rig <- real()
  velonym(rig$url, rig$forward)
  x <- factor(c("b", "a", NA, "b"), levels = c("secret", "b", "a"))
  done <- psn_pseudonymise(x)
  expect_identical(as.character(done), psn_pseudonymise(as.character(x)))
  expect_identical(nlevels(done), 2L)
  velonym(rig$url, token("same", "pseudonymise", "--norm trim"))
  expect_identical(nlevels(psn_pseudonymise(factor(c("a", " a")))), 1L)
})

test_that("policies that tell equal values apart get every one of them, a document at once", {
  rig <- real()
  for (project in c("different", "document")) {
    for (x in list(c("a", NA, "a", ""), factor(c("a", NA, "a", "")))) {
      velonym(rig$url, token(project, "pseudonymise"))
      done <- psn_pseudonymise(x)
      expect_false(done[[1L]] == done[[3L]])
      velonym(rig$url, token(project, "reverse"))
      expect_identical(as.character(psn_reverse(done)), as.character(x))
    }
  }
  velonym(rig$url, token("document", "pseudonymise", "--req 3"))
  expect_error(psn_pseudonymise(rep("a", 4)), class = "velonym_TOO_LARGE", regexp = "one document")
})

test_that("numbers are texts only on request", {
  rig <- real()
  velonym(rig$url, rig$forward)
  expect_error(psn_pseudonymise(20045L), "numbers = \"text\"")
  want <- psn_pseudonymise(c("20045", NA, "1973080520045", "100000"))
  expect_identical(psn_pseudonymise(c(20045, NA, 1973080520045, 1e5), numbers = "text"), want)
  for (x in list(1.5, TRUE, Sys.Date(), list("a"), 1i, 2^60)) {
    expect_error(psn_pseudonymise(x, numbers = "text"), "identifiers are texts")
  }
})

test_that("bad values stand where the caller has them", {
  rig <- real()
  velonym(rig$url, rig$forward)
  bad <- "CANARY\u0001"
  e <- expect_error(psn_pseudonymise(c(NA, "a", bad, "a", bad)), class = "velonym_UNPROCESSABLE_VALUES")
  expect_identical(e$errors, data.frame(index = c(3L, 5L), code = "VALUE_NOT_TEXT"))
  expect_no_match(paste(capture.output(print(e), str(unclass(e))), collapse = " "), "CANARY")
  e <- expect_error(psn_pseudonymise(factor(c(NA, "a", bad))), class = "velonym_UNPROCESSABLE_VALUES")
  expect_identical(e$errors$index, 3L)
  e <- expect_error(psn_pseudonymise(c("a", "\xffCANARY")), class = "velonym_UNPROCESSABLE_VALUES")
  expect_identical(e$errors$index, 2L)
  velonym(rig$url, token("same", "pseudonymise", "--on-error item"))
  expect_warning(done <- psn_pseudonymise(c("a", bad, "b")), "VALUE_NOT_TEXT")
  expect_identical(is.na(done), c(FALSE, TRUE, FALSE))
})

test_that("a source's pseudonyms become another project's", {
  rig <- real()
  velonym(rig$url, rig$forward)
  first <- psn_pseudonymise(c("a", NA))
  velonym(rig$url, token("tagged", "secondary", "--source same"))
  moved <- psn_secondary(first)
  velonym(rig$url, token("tagged", "pseudonymise"))
  expect_identical(moved, psn_pseudonymise(c("a", NA)))
})

test_that("columns of a frame are replaced, all or none", {
  rig <- real()
  velonym(rig$url, rig$forward)
  df <- data.frame(id = c("a", NA, "b"), n = 1:3, doctor = factor(c("x", "y", "x")), row.names = c("r", "s", "t"))
  done <- psn_columns(df, c("id", "doctor"))
  expect_identical(done$n, df$n)
  expect_identical(row.names(done), row.names(df))
  expect_identical(names(done), names(df))
  expect_identical(done$id, psn_pseudonymise(df$id))
  velonym(rig$url, rig$back)
  expect_equal(psn_columns(done, c("id", "doctor"))$id, df$id)
  two <- psn_columns(df, c(id = rig$forward, doctor = token("tagged", "pseudonymise")))
  expect_identical(two$id, done$id)
  expect_false(any(two$doctor %in% done$doctor))
  expect_error(psn_columns(df, "ID"), 'no column "ID".*"id", "n"')
  expect_error(psn_columns(df, "n", operation = "pseudonymise"), 'column "n"')
  expect_error(psn_columns(df, c("id", "id")), "more than once")
  expect_error(psn_columns(df, 1), "name the columns")
})
