//go:build !race

package csvfast

// raceRead tells the race detector that buf is read.
func raceRead([]byte) {}
