# A real server, velonym serve on loopback, and one that lies (liar.R). VELONYM_BINARY names
# the command; without it the tests that need it are skipped.

start <- function(command, log) {
  as.integer(system(paste(command, ">", shQuote(log), "2>&1 & echo $!"), intern = TRUE))
}

# The first match of pattern in a file that a process is writing.
awaited <- function(log, pattern) {
  for (i in 1:600) {
    found <- grep(pattern, readLines(log, warn = FALSE), value = TRUE)
    if (length(found)) {
      return(sub(paste0(".*", pattern, ".*"), "\\1", found[[1L]]))
    }
    Sys.sleep(0.05)
  }
  stop("a server did not start: ", paste(readLines(log), collapse = "\n"))
}

rig <- new.env()

real <- function() {
  testthat::skip_if(Sys.getenv("VELONYM_BINARY") == "", "VELONYM_BINARY names no command")
  if (is.null(rig$url)) {
    rig$dir <- tempfile("velonym")
    rig$log <- tempfile()
    Sys.setenv(VELONYM_DIR = rig$dir)
    run("init")
    run("project create same --retention 1y")
    run("project create tagged --retention 1y --tag 64")
    run("project create different --retention 1y --policy different")
    run("project create document --retention 1y --policy document")
    rig$pid <- start(paste(shQuote(Sys.getenv("VELONYM_BINARY")), "serve --listen 127.0.0.1:0"), rig$log)
    rig$url <- awaited(rig$log, '"url":"([^"]+)"')
    reg.finalizer(rig, function(e) tools::pskill(e$pid), onexit = TRUE)
    rig$forward <- token("same", "pseudonymise")
    rig$back <- token("same", "reverse")
  }
  rig
}

run <- function(args) {
  out <- suppressWarnings(system(paste(shQuote(Sys.getenv("VELONYM_BINARY")), args, "2>/dev/null"), intern = TRUE))
  stopifnot(is.null(attr(out, "status")))
  out
}

token <- function(project, op, more = "") run(paste("token create --project", project, "--op", op, more))

liars <- new.env()

# The address of the lying server; what it says is the name that ends its path.
liar <- function(case) {
  if (is.null(liars$url)) {
    liars$log <- tempfile()
    rscript <- file.path(R.home("bin"), "Rscript")
    liars$pid <- start(paste(shQuote(rscript), "--vanilla", shQuote(testthat::test_path("liar.R"))), liars$log)
    liars$url <- awaited(liars$log, "listening at (http[^ ]+)")
    reg.finalizer(liars, function(e) tools::pskill(e$pid), onexit = TRUE)
  }
  paste0(liars$url, "/", case)
}

jwt <- function(psn) {
  paste0("e30.", sub("=+$", "", jsonlite::base64url_enc(charToRaw(paste0('{"psn":', psn, "}")))), ".SECRETTOKEN")
}
