// Command mutants tests the tests: it removes the conditions of fast paths, one at a
// time, and verifies that a test fails for each. It does not edit the tree but gives the
// changed file to go test as an overlay.
//
//	go run ./testdata/mutants [-check] [-build] [-run REGEXP] [-j N] [-for DURATION] [LIST …]
//
// The exit status is 1 if a mutant survives or does not build, or if its text does not
// occur exactly once in its file. -check only looks for the texts; -build only builds.
// With -for it starts no further mutant after that time, chooses an order by the day, and
// prints how many it tried.
//
// Each list is a file LIST.txt in this folder. An entry is
//
//	mutant what the code does wrong with this fault, in a few words
//	file csvfast/select.go
//	in takeSingles
//	test ./csvfast -run ^TestOpenRow
//	- s.open.fields != 0 || rows != n
//	+ rows != n
//
// and ends at an empty line or a comment (#). The text after "- " must occur exactly once
// in the file or, with "in", in that function (of Go, or TEXT of assembly). Several "- "
// lines are consecutive lines, with their tabs. The "+ " lines replace the text; without
// them it is deleted. "file" and "test" apply to the following entries too, until changed;
// "in" applies to its entry only. The test is a package with flags of go test: the fastest
// test that must fail.
package main
