// Command mutants checks the tests: it breaks the fast paths on purpose, one
// condition at a time, and shows that a test fails for each. It never edits the
// tree: go test gets the changed file as an overlay.
//
//	go run ./testdata/mutants [-check] [-build] [-run REGEXP] [-j N] [-for DURATION] [ROOM …]
//
// It exits with 1 when a mutant survives, does not build, or when its text does
// not stand in its file exactly once. -check only looks for the texts,
// -build only builds. With -for it
// begins no other mutant after that time, takes them in another order each day, and says
// how many it tried.
//
// Each room keeps a list beside this file, ROOM.txt. An entry is
//
//	mutant what the code then gets wrong, in a few words
//	file csvfast/select.go
//	in takeSingles
//	test ./csvfast -run ^TestOpenRow
//	- s.open.fields != 0 || rows != n
//	+ rows != n
//
// and ends at an empty line or a comment (#). The text behind "- " must stand exactly
// once in the file or, with "in", in that function (of Go, or TEXT of assembly); several
// lines of "- " are lines one below the other, with their tabs. "+ " is what
// replaces it; with no such line it is cut out. A file and a test hold for the
// entries below until others are named; "in" holds for its entry alone. The test is a
// package and flags of go test; choose the fastest test that must fail.
package main
