//go:build !peers

package bench

// parquet says that the rows of Parquet are missing. They compare with parquet-go, whose
// initialisation would lengthen every start of the program by a millisecond.
func (b *runBench) parquet(s *Section) error {
	s.Notes = append(s.Notes, "Parquet is not measured: this build does not hold the library that it is compared with. "+
		"`make bench` makes one that does: `go build -tags peers ./cmd/velonym`.")
	return nil
}
