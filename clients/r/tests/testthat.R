library(testthat)
library(velonym)

test_check("velonym")
