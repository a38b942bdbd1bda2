//go:build !peers

package bench

// parquet adds a note that Parquet is not measured. The comparison needs parquet-go,
// whose initialisation would add a millisecond to every start of the program.
func (b *runBench) parquet(s *Section) error {
	s.Notes = append(s.Notes, "Parquet is not measured: this build does not hold the library that it is compared with. "+
		"`make bench` makes one that does: `go build -tags peers ./cmd/velonym`.")
	return nil
}
